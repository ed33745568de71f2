// One micrograph after the other, with what was picked on it and the rings of its power spectrum.
import { button, choice, context2d, element, group, slider, toggle, type Slider } from "../viewing/controls";
import { lowPassed } from "../viewing/low_pass";
import { mount } from "../viewing/mount";
import { panAndZoom, sizeToScreen, type Stage } from "../viewing/pan_zoom";
import { fetchImage, fetchIndex, fetchJson, type MicrographRow } from "../viewing/previews";
import { type Ctf, zeroFrequency } from "./rings";

interface Micrograph extends MicrographRowFacts {
  view: string;
  view_width_px: number;
  view_height_px: number;
  width_px: number;
  height_px: number;
  pixel_size_angstrom: number;
  ctf: Ctf;
  spectrum: { file: string; edge_px: number; pixel_size_angstrom: number } | null;
  picks: [number, number, number][];
}
interface MicrographRowFacts {
  number: number;
  name: string;
}
const BAR_LENGTHS_ANGSTROM = [50, 100, 200, 500, 1000, 2000, 5000, 10000];
const RINGS_MAX = 30;
const HISTOGRAM_BINS = 60;

class MicrographView {
  private at = 0;
  private micrograph!: Micrograph;
  private gray = new Float32Array(0);
  private size: [number, number] = [1, 1];
  private picture = element("canvas");
  private contrast = 1;
  private brightness = 0;
  private lowPassAngstrom = 0;
  private threshold = -Infinity;
  private showsPicks = true;
  private showsRings = true;
  private showsSpectrum = false;
  private pending = false;
  private loads = 0;
  private readonly canvas = element("canvas");
  private readonly caption = element("p", "caption");
  private readonly histogram = element("canvas", "histogram");
  private readonly stage: Stage;
  private readonly pick: { element: HTMLElement; select: HTMLSelectElement };
  private readonly threshold_: Slider;
  private readonly picksGroup: HTMLElement;
  private readonly spectrumToggle: HTMLLabelElement;
  private readonly ringsToggle: HTMLLabelElement;
  private readonly diameterAngstrom: number;

  constructor(private readonly root: HTMLElement, private readonly rows: MicrographRow[]) {
    this.diameterAngstrom = Number(root.dataset.diameter) || 0;
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "img");
    this.caption.setAttribute("role", "status");
    const frame = element("div", "stage tall", this.canvas);
    this.pick = choice("Micrograph", rows.map((row, index) => [String(index), row.name]), (index) => void this.go(Number(index)));
    this.threshold_ = slider("Score at least", { min: 0, max: 1, step: 0.001, value: 0 }, (v) => v.toFixed(3), (least) => {
      this.threshold = least;
      this.redraw();
    });
    this.picksGroup = group("Picks", this.toggleOf("Show picks", "showsPicks"), this.threshold_.element, this.histogram);
    this.spectrumToggle = toggle("Power spectrum instead of the image", false, (on) => void this.switchTo(on));
    this.ringsToggle = this.toggleOf("Rings where the CTF is zero", "showsRings");
    const controls = element(
      "div",
      "controls",
      group("Gray levels", ...this.grayControls()),
      this.picksGroup,
      group("CTF", this.spectrumToggle, this.ringsToggle),
    );
    root.replaceChildren(element("div", "row", ...this.navigation()), element("div", "bench", element("div", "", frame, this.caption), controls));
    this.stage = panAndZoom(this.canvas, () => this.size, () => this.redraw());
    this.canvas.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.stage.fit()).observe(frame);
  }

  private navigation(): HTMLElement[] {
    return [
      button("← Previous", () => void this.go(this.at - 1)),
      this.pick.element,
      button("Next →", () => void this.go(this.at + 1)),
      button("+", () => this.stage.zoom(1.25)),
      button("−", () => this.stage.zoom(0.8)),
      button("Whole image", () => this.stage.fit()),
    ];
  }

  private grayControls(): HTMLElement[] {
    const change = (field: "contrast" | "brightness" | "lowPassAngstrom") => (value: number) => {
      this[field] = value;
      this.paint(field === "lowPassAngstrom");
    };
    return [
      slider("Contrast", { min: 0.25, max: 4, step: 0.05, value: 1 }, (v) => `${v.toFixed(2)} ×`, change("contrast")).element,
      slider("Brightness", { min: -1, max: 1, step: 0.02, value: 0 }, (v) => v.toFixed(2), change("brightness")).element,
      slider("Low-pass filter", { min: 0, max: 100, step: 1, value: 0 }, (v) => (v ? `${v} Å` : "off"), change("lowPassAngstrom")).element,
    ];
  }

  private toggleOf(label: string, field: "showsPicks" | "showsRings"): HTMLLabelElement {
    return toggle(label, true, (on) => {
      this[field] = on;
      this.redraw();
    });
  }

  private key(event: KeyboardEvent): void {
    if (event.key === "n" || event.key === "PageDown") void this.go(this.at + 1);
    else if (event.key === "p" || event.key === "PageUp") void this.go(this.at - 1);
    else return;
    event.preventDefault();
  }

  async go(to: number): Promise<void> {
    const row = this.rows[to];
    if (!row) return;
    const load = ++this.loads;
    this.at = to;
    this.pick.select.value = String(to);
    const micrograph = await fetchJson<Micrograph>(this.root, row.file);
    if (load !== this.loads) return;
    this.micrograph = micrograph;
    this.showPickControls();
    for (const node of [this.spectrumToggle, this.ringsToggle]) node.hidden = !micrograph.spectrum;
    (this.spectrumToggle.closest("fieldset") as HTMLElement).hidden = !micrograph.spectrum;
    await this.loadPicture(load);
  }

  private async switchTo(spectrum: boolean): Promise<void> {
    this.showsSpectrum = spectrum;
    await this.loadPicture(++this.loads);
  }

  private async loadPicture(load: number): Promise<void> {
    const spectrum = this.showsSpectrum ? this.micrograph.spectrum : null;
    const image = await fetchImage(this.root, spectrum ? spectrum.file : this.micrograph.view);
    if (load !== this.loads) return;
    const moved = this.size.join() !== [image.width, image.height].join();
    this.size = [image.width, image.height];
    [this.picture.width, this.picture.height] = this.size;
    const context = context2d(this.picture, true);
    context.drawImage(image, 0, 0);
    const pixels = context.getImageData(0, 0, image.width, image.height).data;
    this.gray = new Float32Array(image.width * image.height);
    for (let index = 0; index < this.gray.length; index++) this.gray[index] = pixels[4 * index] ?? 0;
    this.describe();
    this.paint(true);
    if (moved) this.stage.fit();
  }

  private filtered = new Float32Array(0);
  private mean = 127.5;
  private spread = 127.5;

  // The filter and the levels; moving about only draws the painted picture again.
  private paint(filterAnew: boolean): void {
    const [width, height] = this.size;
    if (filterAnew) this.filter();
    const context = context2d(this.picture, true);
    const pixels = context.createImageData(width, height);
    const gain = (127.5 * this.contrast) / this.spread;
    const base = 127.5 + 127.5 * this.brightness - this.mean * gain;
    for (let index = 0, out = 0; index < this.filtered.length; index++, out += 4) {
      pixels.data[out] = pixels.data[out + 1] = pixels.data[out + 2] = (this.filtered[index] ?? 0) * gain + base;
      pixels.data[out + 3] = 255;
    }
    context.putImageData(pixels, 0, 0);
    this.redraw();
  }

  private filter(): void {
    const [width, height] = this.size;
    const pixelAngstrom = (this.micrograph.pixel_size_angstrom * this.micrograph.width_px) / this.micrograph.view_width_px;
    // Half of the amplitude is left at the chosen resolution.
    const sigma = this.showsSpectrum ? 0 : (0.1874 * this.lowPassAngstrom) / pixelAngstrom;
    this.filtered = lowPassed(this.gray, width, height, sigma) as Float32Array<ArrayBuffer>;
    let sum = 0;
    let squares = 0;
    for (const value of this.filtered) {
      sum += value;
      squares += value * value;
    }
    this.mean = sum / this.filtered.length;
    this.spread = this.showsSpectrum ? 127.5 : 3 * Math.sqrt(Math.max(0.01, squares / this.filtered.length - this.mean ** 2));
    if (this.showsSpectrum) this.mean = 127.5;
  }

  private showPickControls(): void {
    const { picks } = this.micrograph;
    this.picksGroup.hidden = picks.length === 0;
    if (!picks.length) return;
    const scores = picks.map((pick) => pick[2]);
    const low = Math.min(...scores);
    const high = Math.max(...scores);
    const { input } = this.threshold_;
    input.min = String(Math.floor(1000 * low) / 1000);
    input.max = String(Math.ceil(1000 * high) / 1000);
    this.threshold = Math.max(low, Math.min(high, this.threshold));
    this.threshold_.show(Number.isFinite(this.threshold) ? this.threshold : low);
  }

  private describe(): void {
    const { name, width_px, height_px, pixel_size_angstrom, ctf } = this.micrograph;
    const facts = [`${name} (${this.at + 1} of ${this.rows.length})`, `${width_px} × ${height_px} px of ${pixel_size_angstrom} Å`];
    if (ctf.defocus_u_angstrom !== undefined) facts.push(`defocus ${(ctf.defocus_u_angstrom / 10000).toFixed(2)} µm`);
    if (ctf.resolution_angstrom !== undefined) facts.push(`CTF fitted to ${ctf.resolution_angstrom.toFixed(1)} Å`);
    this.facts = facts.join(", ");
    this.canvas.setAttribute("aria-label", `${this.facts}. Arrow keys move, + and − zoom, N and P go to the next and previous micrograph.`);
  }

  private facts = "";

  private redraw(): void {
    if (this.pending || !this.micrograph) return;
    this.pending = true;
    requestAnimationFrame(() => {
      this.pending = false;
      this.draw();
    });
  }

  private draw(): void {
    const ratio = sizeToScreen(this.canvas);
    const context = context2d(this.canvas);
    const { scale, left, top } = this.stage.view;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = "#05080a";
    context.fillRect(0, 0, this.canvas.width, this.canvas.height);
    context.setTransform(ratio * scale, 0, 0, ratio * scale, ratio * left, ratio * top);
    context.imageSmoothingEnabled = scale < 3;
    context.drawImage(this.picture, 0, 0);
    const shown = this.showsSpectrum ? 0 : this.drawPicks(context, scale);
    if (this.showsSpectrum && this.showsRings) this.drawRings(context, scale);
    if (!this.showsSpectrum) this.drawScaleBar(context, ratio, scale);
    this.drawHistogram();
    const { picks } = this.micrograph;
    this.caption.textContent = this.facts + (picks.length ? `. ${shown} of ${picks.length} picks` : "");
  }

  private drawPicks(context: CanvasRenderingContext2D, scale: number): number {
    const perPixel = this.micrograph.pixel_size_angstrom * (this.micrograph.width_px / this.micrograph.view_width_px);
    const radius = this.diameterAngstrom ? this.diameterAngstrom / 2 / perPixel : 10;
    const shown = this.micrograph.picks.filter((pick) => pick[2] >= this.threshold);
    if (!this.showsPicks) return shown.length;
    context.lineWidth = 1.6 / scale;
    context.strokeStyle = "#ffd54a";
    context.beginPath();
    for (const [x, y] of shown) {
      context.moveTo(x + 0.5 + radius, y + 0.5);
      context.arc(x + 0.5, y + 0.5, radius, 0, 2 * Math.PI);
    }
    context.stroke();
    return shown.length;
  }

  private drawRings(context: CanvasRenderingContext2D, scale: number): void {
    const { spectrum, ctf } = this.micrograph;
    if (!spectrum) return;
    const center = Math.floor(spectrum.edge_px / 2) + 0.5;
    context.lineWidth = 1.2 / scale;
    context.strokeStyle = "rgb(255 213 74 / 80%)";
    for (let n = 1; n <= RINGS_MAX; n++) {
      context.beginPath();
      for (let step = 0; step <= 180; step++) {
        const angle = (step * Math.PI) / 90;
        const frequency = zeroFrequency(ctf, n, angle);
        const radius = frequency === null ? Infinity : frequency * spectrum.pixel_size_angstrom * spectrum.edge_px;
        if (radius > spectrum.edge_px / 2) return;
        context.lineTo(center + radius * Math.cos(angle), center + radius * Math.sin(angle));
      }
      context.stroke();
    }
  }

  private drawScaleBar(context: CanvasRenderingContext2D, ratio: number, scale: number): void {
    const angstromPerCssPixel = (this.micrograph.pixel_size_angstrom * this.micrograph.width_px) / this.micrograph.view_width_px / scale;
    const wanted = 120 * angstromPerCssPixel;
    const length = [...BAR_LENGTHS_ANGSTROM].reverse().find((one) => one <= wanted) ?? 50;
    const width = length / angstromPerCssPixel;
    const y = this.canvas.clientHeight - 18;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.fillStyle = "rgb(0 0 0 / 65%)";
    context.fillRect(10, y - 24, Math.max(width, 50) + 16, 36);
    context.fillStyle = "#ffffff";
    context.fillRect(18, y, width, 4);
    context.font = "13px system-ui, sans-serif";
    context.fillText(length >= 1000 ? `${length / 10} nm` : `${length} Å`, 18, y - 7);
  }

  private drawHistogram(): void {
    const { picks } = this.micrograph;
    const low = Number(this.threshold_.input.min);
    const high = Number(this.threshold_.input.max);
    const counts = new Array<number>(HISTOGRAM_BINS).fill(0);
    for (const pick of picks) {
      const bin = Math.min(HISTOGRAM_BINS - 1, Math.floor(((pick[2] - low) / (high - low || 1)) * HISTOGRAM_BINS));
      counts[bin] = (counts[bin] ?? 0) + 1;
    }
    const most = Math.max(1, ...counts);
    [this.histogram.width, this.histogram.height] = [HISTOGRAM_BINS * 4, 56];
    this.histogram.setAttribute("role", "img");
    this.histogram.setAttribute("aria-label", "How many picks have which score");
    const context = context2d(this.histogram);
    counts.forEach((count, bin) => {
      const score = low + ((bin + 1) / HISTOGRAM_BINS) * (high - low);
      context.fillStyle = score > this.threshold ? "#d9a900" : "#8896a3";
      context.fillRect(4 * bin, 56 - (54 * count) / most, 3, (54 * count) / most);
    });
  }
}

mount("micrograph_view", async (root) => {
  const rows = (await fetchIndex(root)).micrographs?.shown ?? [];
  if (!rows.length) throw new Error("no micrographs were found");
  await new MicrographView(root, rows).go(0);
});
