// One micrograph after the other, with what was picked on it, by a job or by hand, and the rings of its power spectrum.
import { button, choice, context2d, element, group, slider, toggle, type Slider } from "../viewing/controls";
import { lowPassed } from "../viewing/low_pass";
import { mount } from "../viewing/mount";
import { panAndZoom, sizeToScreen, type Stage } from "../viewing/pan_zoom";
import { fetchImage, fetchIndex, fetchJson, type MicrographRow } from "../viewing/previews";
import { PickEditor, type Place, type Shown } from "./picking";
import { type Ctf, zeroFrequency } from "./rings";
import { drawScaleBar } from "./scale_bar";
import { Scores } from "./scores";
import { listen } from "./tools";

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
const RINGS_MAX = 30;
const KEPT_COLOR = "#ffd54a";
const ADDED_COLOR = "#4cd4ff";
const ERASED_COLOR = "rgb(255 110 110 / 90%)";

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
  private readonly givenDiameterAngstrom: number;
  private readonly editor: PickEditor | null = null;
  private pointer: Place | null = null;

  constructor(private readonly root: HTMLElement, private readonly rows: MicrographRow[], private readonly scores: Scores | null) {
    this.givenDiameterAngstrom = Number(root.dataset.diameter) || 0;
    if (root.dataset.draft) this.editor = this.makeEditor();
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "img");
    this.caption.setAttribute("role", "status");
    const frame = element("div", "stage tall", this.canvas);
    this.pick = choice("Micrograph", rows.map((row, index) => [String(index), row.name]), (index) => void this.go(Number(index)));
    this.threshold_ = slider("Score at least", { min: 0, max: 1, step: 0.001, value: 0 }, (v) => v.toFixed(3), (least) => {
      this.setLeast(least);
      this.editor?.changedSettings();
    });
    this.picksGroup = group("Picks", this.toggleOf("Show picks", "showsPicks"), this.threshold_.element, this.histogram);
    this.spectrumToggle = toggle("Power spectrum instead of the image", false, (on) => void this.switchTo(on));
    this.ringsToggle = this.toggleOf("Rings where the CTF is zero", "showsRings");
    const controls = element(
      "div",
      "controls",
      this.editor?.panel ?? "",
      group("Gray levels", ...this.grayControls()),
      this.picksGroup,
      group("CTF", this.spectrumToggle, this.ringsToggle),
    );
    root.replaceChildren(element("div", "row", ...this.navigation()), this.editor?.bar ?? "", element("div", "bench", element("div", "", frame, this.caption), controls));
    this.stage = panAndZoom(this.canvas, () => this.size, () => this.redraw());
    this.canvas.addEventListener("keydown", (event) => this.key(event));
    if (this.editor) this.useTools(this.editor);
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

  private makeEditor(): PickEditor {
    const view = {
      shown: (): Shown => this.shown(),
      least: (): number => this.threshold,
      redraw: (): void => this.redraw(),
      goTo: (name: string): void => void this.go(this.rows.findIndex((row) => row.name === name)),
      setLeast: (least: number | null): void => this.setLeast(least ?? -Infinity),
    };
    return new PickEditor(this.givenDiameterAngstrom, view, new Set(this.rows.map((row) => row.name)));
  }

  async openEdits(): Promise<void> {
    if (this.editor) await this.editor.open(this.root.dataset.draft ?? "");
  }

  private useTools(editor: PickEditor): void {
    listen(this.canvas, this.stage, editor, {
      isUsable: () => !this.showsSpectrum,
      placeOf: (x, y) => this.placeOf(x, y),
      pointed: (place) => {
        this.pointer = place;
        this.redraw();
      },
    });
  }

  private reduction(): number {
    return this.micrograph.view_width_px / this.micrograph.width_px;
  }

  // Pixel centers are at whole coordinates in both pictures.
  private placeOf(x: number, y: number): Place {
    const { scale, left, top } = this.stage.view;
    const reduction = this.reduction();
    return [(x - left) / scale / reduction - 0.5, (y - top) / scale / reduction - 0.5];
  }

  private shown(): Shown {
    const reduction = this.reduction();
    const picks = this.micrograph.picks.map(([x, y, score]): [number, number, number] => [(x + 0.5) / reduction - 0.5, (y + 0.5) / reduction - 0.5, score]);
    return { ...this.micrograph, picks };
  }

  private setLeast(least: number): void {
    const low = Number(this.threshold_.input.min);
    this.threshold = least > low ? least : -Infinity;
    this.threshold_.show(Math.max(low, least));
    this.redraw();
  }

  private key(event: KeyboardEvent): void {
    if (this.editor?.pressed(event)) return event.preventDefault();
    if (event.key === "Enter" && this.editor && this.editor.tool !== "move" && !this.showsSpectrum) {
      event.preventDefault();
      return this.editor.tap(...this.placeOf(this.canvas.clientWidth / 2, this.canvas.clientHeight / 2));
    }
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
    const scores = this.scores ?? new Scores(picks.map((pick) => pick[2]).sort((a, b) => a - b));
    this.picksGroup.hidden = scores.count === 0;
    const { input } = this.threshold_;
    [input.min, input.max] = [String(scores.low), String(scores.high)];
    this.threshold_.show(Math.max(scores.low, this.threshold));
    this.shownScores = scores;
  }

  private shownScores = new Scores([]);

  private describe(): void {
    const { name, width_px, height_px, pixel_size_angstrom, ctf } = this.micrograph;
    const facts = [`${name} (${this.at + 1} of ${this.rows.length})`, `${width_px} × ${height_px} px of ${pixel_size_angstrom} Å`];
    if (ctf.defocus_u_angstrom !== undefined) facts.push(`defocus ${(ctf.defocus_u_angstrom / 10000).toFixed(2)} µm`);
    if (ctf.resolution_angstrom !== undefined) facts.push(`CTF fitted to ${ctf.resolution_angstrom.toFixed(1)} Å`);
    this.facts = facts.join(", ");
    this.canvas.setAttribute("aria-label", `${this.facts}. Arrow keys move, + and − zoom, N and P go to the next and previous micrograph.${this.editor ? " Enter adds a pick in the middle, or erases the one there." : ""}`);
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
    const angstromPerCssPixel = this.micrograph.pixel_size_angstrom / this.reduction() / scale;
    if (!this.showsSpectrum) drawScaleBar(context, ratio, angstromPerCssPixel, this.canvas.clientHeight);
    if (!this.picksGroup.hidden) this.shownScores.draw(this.histogram, this.threshold);
    this.caption.textContent = this.facts + this.tally(shown);
    if (this.editor && !this.showsSpectrum) this.drawTool(context, ratio, scale, this.editor);
  }

  private tally(shown: number): string {
    const { picks } = this.micrograph;
    const here = picks.length || shown ? `. ${shown} of ${picks.length} picks here` : "";
    if (!this.scores) return here;
    const reaching = this.scores.reaching(this.threshold).toLocaleString("en");
    return `${here}, ${reaching} of ${this.scores.count.toLocaleString("en")} on all micrographs`;
  }

  private drawPicks(context: CanvasRenderingContext2D, scale: number): number {
    const perPixel = this.micrograph.pixel_size_angstrom * (this.micrograph.width_px / this.micrograph.view_width_px);
    const diameterAngstrom = this.editor?.diameterAngstrom ?? this.givenDiameterAngstrom;
    const radius = diameterAngstrom ? diameterAngstrom / 2 / perPixel : 10;
    if (this.editor) {
      const { kept, erased, added } = this.editor.circles();
      this.drawCircles(context, scale, radius, erased, ERASED_COLOR, this.reduction());
      this.drawCircles(context, scale, radius, kept, KEPT_COLOR, this.reduction());
      this.drawCircles(context, scale, radius, added, ADDED_COLOR, this.reduction());
      return kept.length + added.length;
    }
    const shown = this.micrograph.picks.filter((pick) => pick[2] >= this.threshold);
    this.drawCircles(context, scale, radius, shown, KEPT_COLOR, 1);
    return shown.length;
  }

  private drawCircles(context: CanvasRenderingContext2D, scale: number, radius: number, places: readonly (readonly number[])[], color: string, reduction: number): void {
    if (!this.showsPicks) return;
    context.lineWidth = 1.6 / scale;
    context.setLineDash(color === ERASED_COLOR ? [4 / scale, 4 / scale] : []);
    context.strokeStyle = color;
    context.beginPath();
    for (const place of places) {
      const [x, y] = [((place[0] ?? 0) + 0.5) * reduction, ((place[1] ?? 0) + 0.5) * reduction];
      context.moveTo(x + radius, y);
      context.arc(x, y, radius, 0, 2 * Math.PI);
    }
    context.stroke();
    context.setLineDash([]);
  }

  // The eraser below the pointer, and for the keyboard a cross in the middle.
  private drawTool(context: CanvasRenderingContext2D, ratio: number, scale: number, editor: PickEditor): void {
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.strokeStyle = "#ffffff";
    context.lineWidth = 1.2;
    context.beginPath();
    if (editor.tool === "erase" && this.pointer) {
      const radius = (editor.eraserAngstrom / this.micrograph.pixel_size_angstrom) * this.reduction() * scale;
      context.arc(this.pointer[0], this.pointer[1], radius, 0, 2 * Math.PI);
    }
    if (editor.tool !== "move" && this.canvas.matches(":focus-visible")) {
      const [x, y] = [this.canvas.clientWidth / 2, this.canvas.clientHeight / 2];
      for (const [dx, dy] of [[8, 0], [0, 8]] as const) {
        context.moveTo(x - dx, y - dy);
        context.lineTo(x + dx, y + dy);
      }
    }
    context.stroke();
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
}

mount("micrograph_view", async (root) => {
  const { shown = [], scores } = (await fetchIndex(root)).micrographs ?? {};
  if (!shown.length) throw new Error("no micrographs were found");
  const all = scores ? new Scores(await fetchJson<number[]>(root, scores.file)) : null;
  const view = new MicrographView(root, shown, all);
  await view.go(0);
  await view.openEdits();
});
