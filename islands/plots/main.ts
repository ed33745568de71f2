// Curves with thresholds; the numbers stand in the table beside.
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { color, element, toggle, whenColorsChange } from "../viewing/controls";
import { mount } from "../viewing/mount";
import { type Chart, fetchIndex } from "../viewing/previews";

// Distinguishable by people who confuse red and green, on white and on dark.
const LIGHT = ["#0b6380", "#c4451c", "#5b4bb5", "#8a6d00", "#a3206f", "#33691e"];
const DARK = ["#5cc3e2", "#ff9d73", "#b3a6ff", "#e2c044", "#ff8fcb", "#a8d67f"];
const DASHES = [[], [8, 4], [2, 3], [10, 3, 2, 3], [5, 5], [1, 4]];
const HEIGHT_PX = 340;

const isDark = (): boolean => matchMedia("(prefers-color-scheme: dark)").matches;
// So many digits, without zeros at the end of a fraction.
const short = (value: number, digits: number): string => String(Number(value.toPrecision(digits)));
const asResolution = (frequency: number): string => (frequency > 0 ? short(1 / frequency, 3) : "∞");

interface Scales {
  x: boolean;
  y: boolean;
}

function thresholdLines(chart: Chart): uPlot.Plugin {
  const draw = (plot: uPlot): void => {
    for (const threshold of chart.thresholds ?? []) {
      const y = Math.round(plot.valToPos(threshold, "y", true));
      plot.ctx.save();
      plot.ctx.strokeStyle = plot.ctx.fillStyle = color("--ink-2");
      plot.ctx.setLineDash([4 * devicePixelRatio, 4 * devicePixelRatio]);
      plot.ctx.beginPath();
      plot.ctx.moveTo(plot.bbox.left, y);
      plot.ctx.lineTo(plot.bbox.left + plot.bbox.width, y);
      plot.ctx.stroke();
      plot.ctx.textAlign = "right";
      plot.ctx.font = `${12 * devicePixelRatio}px system-ui, sans-serif`;
      plot.ctx.fillText(String(threshold), plot.bbox.left + plot.bbox.width - 4, y - 5 * devicePixelRatio);
      plot.ctx.restore();
    }
  };
  return { hooks: { draw } };
}

function axes(chart: Chart): uPlot.Axis[] {
  const look = { stroke: color("--ink-2"), grid: { stroke: color("--line"), width: 1 }, ticks: { stroke: color("--line") } };
  const x: uPlot.Axis = { ...look, label: chart.x_label };
  if (chart.x_kind === "frequency") x.values = (_plot, splits) => splits.map(asResolution);
  return [x, { ...look, label: chart.y_label, size: 64 }];
}

function shownX(chart: Chart, value: number | null): string {
  if (value === null) return "–";
  if (chart.x_kind === "frequency") return `${asResolution(value)} Å`;
  return short(value, 4);
}

function options(chart: Chart, width: number, scales: Scales): uPlot.Options {
  const colors = isDark() ? DARK : LIGHT;
  const y: uPlot.Scale = { distr: scales.y ? 3 : 1 };
  if (chart.thresholds && !scales.y) y.range = (_plot, low) => [Math.min(-0.1, low), 1.05];
  return {
    width,
    height: HEIGHT_PX,
    plugins: [thresholdLines(chart)],
    scales: { x: { time: false, distr: scales.x ? 3 : 1 }, y },
    axes: axes(chart),
    series: [
      { label: chart.x_label.replace(/ \(.*/, ""), value: (_plot, value) => shownX(chart, value) },
      ...chart.series.map((series, index) => ({
        label: series.name,
        stroke: colors[index % colors.length] ?? "gray",
        dash: chart.points ? [] : (DASHES[index % DASHES.length] ?? []),
        width: 2,
        ...(chart.points ? { paths: () => null, points: { show: true, size: 6 } } : { points: { show: false } }),
        value: (_plot: uPlot, value: number | null) => (value === null ? "–" : value.toPrecision(4)),
      })),
    ],
  };
}

// Logarithms have no place for zero and below, such as the first shell.
function rows(chart: Chart, scales: Scales): uPlot.AlignedData {
  const kept = chart.x.map((x) => x !== null && (!scales.x || x > 0));
  const column = (values: (number | null)[], positive: boolean): (number | null)[] =>
    values.filter((_value, row) => kept[row]).map((value) => (value !== null && positive && value <= 0 ? null : value));
  return [column(chart.x, false) as number[], ...chart.series.map((series) => column(series.y, scales.y))];
}

function show(root: HTMLElement, chart: Chart): void {
  const scales: Scales = { x: false, y: false };
  const place = element("div");
  let plot: uPlot | undefined;
  const draw = (): void => {
    plot?.destroy();
    plot = new uPlot(options(chart, place.clientWidth || 600, scales), rows(chart, scales), place);
    plot.root.querySelector("canvas")?.setAttribute("aria-hidden", "true");
  };
  const logarithmic = (axis: "x" | "y", label: string): HTMLElement =>
    toggle(label, false, (on) => {
      scales[axis] = on;
      draw();
    });
  const controls = element("div", "plot-controls");
  if (chart.x_kind !== "number") controls.append(logarithmic("x", "Logarithmic x"));
  if (chart.name !== "guinier") controls.append(logarithmic("y", "Logarithmic y"));
  root.replaceChildren(controls, place);
  draw();
  new ResizeObserver(() => {
    if (plot && Math.abs(plot.width - place.clientWidth) > 1) plot.setSize({ width: place.clientWidth, height: HEIGHT_PX });
  }).observe(place);
  whenColorsChange(draw);
}

mount("plots", async (root) => {
  const chart = (await fetchIndex(root)).charts?.find((one) => one.name === root.dataset.chart);
  if (!chart) throw new Error(`there are no numbers for “${root.dataset.chart}”`);
  show(root, chart);
});
