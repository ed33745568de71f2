// One kind of evidence about micrographs, with limits that are dragged on its histogram or typed.
import { color, context2d, element } from "../viewing/controls";

export interface Criterion {
  name: string;
  unit: string;
  lower_parameter: string | null;
  upper_parameter: string | null;
  lower: number | null;
  upper: number | null;
  why: string;
  too_low: string;
  too_high: string;
  values: (number | null)[];
}
export type Side = "lower" | "upper";

const BINS = 40;
const HEIGHT_PX = 110;
const GRAB_PX = 24;

export const words = (criterion: Criterion): string => criterion.name.replace(/_angstrom$/, "").replaceAll("_", " ");

export function plain(value: number): string {
  if (Math.abs(value) >= 1000) return Math.round(value).toLocaleString("en");
  return String(Number(value.toPrecision(3)));
}

// Rounded so that what is typed, sent and drawn is one number.
const kept = (value: number): number => Number(value.toPrecision(4));

export class LimitChart {
  readonly element: HTMLElement;
  readonly limits: Record<Side, number | null> = { lower: null, upper: null };
  private readonly canvas = element("canvas", "limit-chart");
  private readonly fields = new Map<Side, HTMLInputElement>();
  private readonly low: number;
  private readonly high: number;
  private isAccepted: (row: number) => boolean = () => true;

  constructor(readonly criterion: Criterion, private readonly changed: () => void) {
    const finite = criterion.values.filter((value): value is number => value !== null);
    const given = [criterion.lower, criterion.upper].filter((value): value is number => value !== null);
    const [least, most] = [Math.min(...finite, ...given), Math.max(...finite, ...given)];
    const margin = 0.05 * (most - least || Math.abs(most) || 1);
    [this.low, this.high] = finite.length ? [least - margin, most + margin] : [0, 1];
    const unit = criterion.unit ? ` (${criterion.unit})` : "";
    const title = words(criterion);
    const inputs = element("div", "row limit-fields");
    for (const side of this.sides()) inputs.append(this.field(side, title));
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", `How many micrographs have which ${title}${unit}`);
    this.listen();
    const heading = element("h3", "", `${title[0]?.toUpperCase()}${title.slice(1)}${unit}`);
    this.element = element("section", "card limit", heading, this.canvas, inputs);
    if (criterion.why) this.element.append(element("p", "help", `Suggested: ${criterion.why}.`));
    new ResizeObserver(() => this.draw()).observe(this.canvas);
  }

  sides(): Side[] {
    return (["lower", "upper"] as const).filter((side) => this.criterion[`${side}_parameter`] !== null);
  }

  set(side: Side, value: number | null): void {
    this.limits[side] = value === null ? null : kept(value);
    const field = this.fields.get(side);
    if (field) field.value = this.limits[side] === null ? "" : String(this.limits[side]);
  }

  // Why the limits reject a row; nothing for a good one.
  against(row: number): string {
    const { lower, upper } = this.limits;
    if (lower === null && upper === null) return "";
    const value = this.criterion.values[row] ?? null;
    const unit = this.criterion.unit ? ` ${this.criterion.unit}` : "";
    const title = words(this.criterion);
    if (value === null) return `${title} is unknown`;
    if (lower !== null && value < lower) return `${title} ${plain(value)}${unit}, at least ${plain(lower)} is wanted`;
    if (upper !== null && value > upper) return `${title} ${plain(value)}${unit}, at most ${plain(upper)} is wanted`;
    return "";
  }

  show(isAccepted: (row: number) => boolean): void {
    this.isAccepted = isAccepted;
    this.draw();
  }

  private field(side: Side, title: string): HTMLElement {
    const input = element("input");
    input.type = "number";
    input.step = "any";
    input.id = `limit-${this.criterion.name}-${side}`;
    input.placeholder = "no limit";
    input.setAttribute("aria-label", `${side === "lower" ? "Lowest" : "Highest"} ${title}`);
    input.addEventListener("input", () => {
      if (input.validity.badInput) return;
      this.limits[side] = input.value === "" ? null : input.valueAsNumber;
      this.changed();
    });
    this.fields.set(side, input);
    const label = element("label", "", side === "lower" ? "at least" : "at most");
    label.htmlFor = input.id;
    return element("div", "limit-field", label, input);
  }

  private x(value: number): number {
    return ((value - this.low) / (this.high - this.low)) * this.canvas.clientWidth;
  }

  // The handle of a side without a limit waits at its end of the chart.
  private handle(side: Side): number {
    const { lower, upper } = this.limits;
    if (side === "lower") return lower === null ? 0 : Math.max(0, this.x(lower));
    return upper === null ? this.canvas.clientWidth : Math.min(this.canvas.clientWidth, this.x(upper));
  }

  private listen(): void {
    let dragged: Side | null = null;
    const drag = (event: PointerEvent): void => {
      if (!dragged) return;
      const share = Math.max(0, Math.min(1, event.offsetX / this.canvas.clientWidth));
      // Dragged out of the chart, a limit is lifted.
      const isLifted = dragged === "lower" ? share <= 0 : share >= 1;
      this.set(dragged, isLifted ? null : this.low + share * (this.high - this.low));
      this.changed();
    };
    this.canvas.addEventListener("pointerdown", (event) => {
      const near = this.sides()
        .map((side) => ({ side, away: Math.abs(this.handle(side) - event.offsetX) }))
        .sort((a, b) => a.away - b.away)[0];
      if (!near || near.away > GRAB_PX) return;
      dragged = near.side;
      this.canvas.setPointerCapture(event.pointerId);
      drag(event);
    });
    this.canvas.addEventListener("pointermove", drag);
    for (const end of ["pointerup", "pointercancel"] as const) this.canvas.addEventListener(end, () => (dragged = null));
  }

  private draw(): void {
    const ratio = window.devicePixelRatio || 1;
    const width = this.canvas.clientWidth;
    [this.canvas.width, this.canvas.height] = [Math.round(width * ratio), Math.round(HEIGHT_PX * ratio)];
    const context = context2d(this.canvas);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const bins = this.bins();
    const most = Math.max(1, ...bins.map(([accepted, rejected]) => accepted + rejected));
    const step = width / BINS;
    const unit = (HEIGHT_PX - 26) / most;
    bins.forEach(([accepted, rejected], bin) => {
      const floor = HEIGHT_PX - 18;
      context.fillStyle = color("--accent");
      context.fillRect(bin * step, floor - accepted * unit, step - 1, accepted * unit);
      context.fillStyle = color("--bad");
      context.fillRect(bin * step, floor - (accepted + rejected) * unit, step - 1, rejected * unit);
    });
    context.fillStyle = color("--ink-2");
    context.font = "12px system-ui, sans-serif";
    context.fillText(plain(this.low), 0, HEIGHT_PX - 4);
    context.textAlign = "right";
    context.fillText(plain(this.high), width, HEIGHT_PX - 4);
    for (const side of this.sides()) this.drawHandle(context, side, width);
  }

  private bins(): [number, number][] {
    const bins = Array.from({ length: BINS }, (): [number, number] => [0, 0]);
    this.criterion.values.forEach((value, row) => {
      if (value === null) return;
      const bin = bins[Math.max(0, Math.min(BINS - 1, Math.floor(((value - this.low) / (this.high - this.low)) * BINS)))];
      if (bin) bin[this.isAccepted(row) ? 0 : 1]++;
    });
    return bins;
  }

  private drawHandle(context: CanvasRenderingContext2D, side: Side, width: number): void {
    const x = this.handle(side);
    const isSet = this.limits[side] !== null;
    context.fillStyle = "rgb(128 128 128 / 22%)";
    if (isSet) context.fillRect(side === "lower" ? 0 : x, 0, side === "lower" ? x : width - x, HEIGHT_PX - 18);
    context.fillStyle = color(isSet ? "--ink" : "--line-strong");
    context.fillRect(Math.max(0, Math.min(width - 2, x - 1)), 0, 2, HEIGHT_PX - 18);
    const direction = side === "lower" ? 1 : -1;
    context.beginPath();
    context.moveTo(x, 2);
    context.lineTo(x + 12 * direction, 9);
    context.lineTo(x, 16);
    context.fill();
  }
}
