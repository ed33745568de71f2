// A mask over three slices of a map: its level and edge by sliders, shapes drawn into it; made whole by a job.
import { button, choice, context2d, element, group, slider, type Slider, toggle } from "../viewing/controls";
import { type Content, Draft, type Setting } from "../viewing/draft";
import { mount } from "../viewing/mount";
import { AXES, type Axis, keyStep, type Plane, PLANES, type Point } from "../viewing/planes";
import { type DensityMap, fetchBytes, fetchIndex } from "../viewing/previews";
import { coreOf, type Grid, lowPassed, softened, type Solid, withSolid } from "./volume";

interface MaskEdits {
  solids: Solid[];
}
type Tool = "point" | "add" | "remove";

const TOOLS: [Tool, string, string][] = [
  ["point", "Move the slices", "Tap where the slices shall meet"],
  ["add", "Brush: add", "Drag over a slice to add balls of the brush's radius"],
  ["remove", "Brush: take away", "Drag over a slice to take balls away"],
];
const SOLIDS_MAX = 5000;
const COMPUTE_AFTER_MS = 60;
// Two voxels in a hundred lie above the first level.
const LEVEL_SHARE = 0.02;
const LEVEL_STEPS = 400;

class MaskEditor {
  private map!: DensityMap;
  private grid: Grid = { size: [1, 1, 1], pixelAngstrom: 1 };
  private voxels = new Uint8Array(1);
  private filtered = new Float32Array(1);
  private mask = new Uint8Array(1);
  private at: Point = [0, 0, 0];
  private solids: Solid[] = [];
  // How many solids each stroke or button made, for Undo; strokes taken back wait in ``undone``.
  private strokes: number[] = [];
  private undone: Solid[][] = [];
  private tool: Tool = "point";
  private settings = { threshold: 0, low_pass_angstrom: 15, extension_angstrom: 6, edge_angstrom: 10, radius: 15, length: 40, axis: "z" as Solid["axis"], begins: true };
  private filteredAt = -1;
  private timer: number | undefined;
  private readonly canvases: HTMLCanvasElement[] = [];
  private readonly captions: HTMLElement[] = [];
  private readonly buttons = new Map<Tool, HTMLButtonElement>();
  private readonly said = element("p", "caption");
  private readonly complaint = element("p", "error");
  private readonly undoButton = button("Undo", () => this.undo());
  private readonly redoButton = button("Redo", () => this.redo());
  private readonly pick: { element: HTMLElement; select: HTMLSelectElement };
  private readonly sliders: Record<"threshold" | "low_pass_angstrom" | "extension_angstrom" | "edge_angstrom" | "radius" | "length", Slider>;
  private readonly begins: HTMLLabelElement;
  private draft: Draft<MaskEdits> | undefined;

  constructor(private readonly root: HTMLElement, private readonly maps: DensityMap[]) {
    this.pick = choice("Map", maps.map((map) => [map.name, map.title]), (name) => void this.load(name, true));
    const angstrom = (value: number): string => `${value} Å`;
    const made = (name: keyof MaskEditor["sliders"], label: string, range: [number, number, number], format: (value: number) => string): Slider =>
      slider(label, { min: range[0], max: range[1], step: range[2], value: this.settings[name] }, format, (value) => this.set(name, value));
    this.sliders = {
      threshold: made("threshold", "Level", [0, 1, 0.001], (value) => value.toPrecision(3)),
      low_pass_angstrom: made("low_pass_angstrom", "Low-pass filter", [4, 60, 1], angstrom),
      extension_angstrom: made("extension_angstrom", "Extended by", [0, 40, 0.5], angstrom),
      edge_angstrom: made("edge_angstrom", "Soft edge", [1, 40, 0.5], angstrom),
      radius: made("radius", "Radius", [2, 200, 1], angstrom),
      length: made("length", "Length of a cylinder", [2, 400, 1], angstrom),
    };
    this.begins = toggle("Begin with the density", true, (on) => {
      this.settings.begins = on;
      this.changed();
    });
    this.layOut();
  }

  private layOut(): void {
    const grid = element("div", "slice-grid");
    for (const plane of PLANES) grid.append(this.makePlane(plane));
    const bar = element("div", "row tools");
    bar.setAttribute("role", "toolbar");
    bar.setAttribute("aria-label", "Drawing");
    for (const [tool, label, title] of TOOLS) {
      const node = button(label, () => this.choose(tool));
      node.title = title;
      this.buttons.set(tool, node);
    }
    bar.append(...this.buttons.values(), this.undoButton, this.redoButton);
    const axis = choice("Axis of a cylinder", [["z", "z"], ["y", "y"], ["x", "x"]], (name) => (this.settings.axis = name as Solid["axis"]));
    const solid = (kind: Solid["kind"], adds: boolean): (() => void) => () => this.stroke([this.solid(kind, adds, this.at)]);
    const shapes = element(
      "div",
      "row wrap",
      button("Add a ball", solid("ball", true)),
      button("Take a ball away", solid("ball", false)),
      button("Add a cylinder", solid("cylinder", true)),
      button("Take a cylinder away", solid("cylinder", false)),
      button("Remove all shapes", () => this.clear()),
    );
    const { threshold, low_pass_angstrom, extension_angstrom, edge_angstrom, radius, length } = this.sliders;
    const controls = element(
      "div",
      "mask-controls",
      group("From the density", this.begins, threshold.element, low_pass_angstrom.element),
      group("Edge", extension_angstrom.element, edge_angstrom.element),
      group("Shapes where the slices meet", radius.element, length.element, axis.element, shapes),
    );
    this.said.setAttribute("role", "status");
    this.root.replaceChildren(element("div", "row", this.pick.element, button("Back to the center", () => this.center())), bar, grid, this.said, controls);
    this.choose("point");
  }

  async open(): Promise<void> {
    await this.load(this.maps[0]?.name ?? "", true);
    const address = this.root.dataset.draft;
    if (!address) return;
    const current = (): Content<MaskEdits> => ({ edits: { solids: this.solids }, settings: this.kept() });
    const draft = await Draft.open(address, current, (content) => void this.replace(content));
    this.draft = draft;
    const use = button("Make this mask", () => void this.use(), "primary");
    this.root.append(element("div", "row", use), draft.said, this.complaint);
    this.tell();
  }

  private async load(name: string, isFresh: boolean): Promise<void> {
    this.map = this.maps.find((map) => map.name === name) ?? (this.maps[0] as DensityMap);
    this.pick.select.value = this.map.name;
    const [nz, ny, nx] = this.map.slices.shape_zyx;
    this.voxels = await fetchBytes(this.root, this.map.slices.file);
    if (this.voxels.length !== nx * ny * nz) throw new Error("the preview of this map is damaged; reload the page");
    this.grid = { size: [nx, ny, nz], pixelAngstrom: this.map.slices.pixel_size_angstrom };
    this.filteredAt = -1;
    this.filter();
    if (isFresh) this.settings.threshold = this.firstLevel();
    this.boundLevel();
    this.center();
    this.compute();
    if (isFresh) this.draft?.changed();
  }

  private filter(): void {
    if (this.filteredAt === this.settings.low_pass_angstrom) return;
    const { low, high } = this.map.slices;
    const density = Float32Array.from(this.voxels, (voxel) => low + ((high - low) * voxel) / 255);
    this.filtered = lowPassed(density, this.grid, this.settings.low_pass_angstrom) as Float32Array<ArrayBuffer>;
    this.filteredAt = this.settings.low_pass_angstrom;
  }

  private firstLevel(): number {
    const sorted = this.filtered.slice().sort();
    return Number((sorted[Math.floor((1 - LEVEL_SHARE) * sorted.length)] ?? 0).toPrecision(3));
  }

  private boundLevel(): void {
    let [least, most] = [Infinity, -Infinity];
    for (const value of this.filtered) {
      if (value < least) least = value;
      if (value > most) most = value;
    }
    const { input } = this.sliders.threshold;
    [input.min, input.max, input.step] = [String(least), String(most), String((most - least) / LEVEL_STEPS || 1)];
    this.sliders.threshold.show(this.settings.threshold);
  }

  private set(name: keyof MaskEditor["sliders"], value: number): void {
    this.settings[name] = name === "threshold" ? Number(value.toPrecision(4)) : value;
    if (name === "radius" || name === "length") return;
    if (name === "low_pass_angstrom") {
      this.filter();
      this.boundLevel();
    }
    this.changed();
  }

  private changed(): void {
    this.draft?.changed();
    this.tell();
    window.clearTimeout(this.timer);
    this.timer = window.setTimeout(() => this.compute(), COMPUTE_AFTER_MS);
  }

  private compute(): void {
    const core = this.settings.begins ? coreOf(this.filtered, this.grid, this.settings.threshold) : new Uint8Array(this.voxels.length);
    for (const solid of this.solids) withSolid(core, this.grid, solid);
    this.mask = softened(core, this.grid, this.settings.extension_angstrom, this.settings.edge_angstrom) as Uint8Array<ArrayBuffer>;
    this.draw();
    this.tell();
  }

  private tell(): void {
    this.undoButton.disabled = !this.strokes.length;
    this.redoButton.disabled = !this.undone.length;
    let sum = 0;
    for (const value of this.mask) sum += value;
    const share = sum / 255 / this.mask.length;
    const volume = (sum / 255) * this.grid.pixelAngstrom ** 3 / 1000;
    const empty = sum ? "" : " Nothing is inside: lower the level, or draw.";
    this.said.textContent = `The mask fills ${(100 * share).toFixed(1)} % of the box, ${volume.toPrecision(3)} nm³; ${this.solids.length.toLocaleString("en")} shapes are drawn.${empty}`;
    this.root.dataset.share = share.toFixed(4);
  }

  private choose(tool: Tool): void {
    this.tool = tool;
    for (const [name, node] of this.buttons) node.setAttribute("aria-pressed", String(name === tool));
  }

  private solid(kind: Solid["kind"], adds: boolean, at: Point): Solid {
    const { radius, length, axis } = this.settings;
    const center = at.map((place) => Number((place * this.grid.pixelAngstrom).toFixed(2))) as Point;
    return { kind, adds, center_xyz_angstrom: center, radius_angstrom: radius, axis, length_angstrom: kind === "cylinder" ? length : null };
  }

  private stroke(solids: Solid[]): void {
    const added = solids.slice(0, SOLIDS_MAX - this.solids.length);
    if (!added.length) return;
    this.solids = [...this.solids, ...added];
    this.strokes.push(added.length);
    this.undone = [];
    this.changed();
  }

  private undo(): void {
    const count = this.strokes.pop();
    if (count === undefined) return;
    this.undone.push(this.solids.slice(-count));
    this.solids = this.solids.slice(0, -count);
    this.changed();
  }

  private redo(): void {
    const solids = this.undone.pop();
    if (!solids) return;
    this.solids = [...this.solids, ...solids];
    this.strokes.push(solids.length);
    this.changed();
  }

  private clear(): void {
    if (!this.solids.length) return;
    this.undone = [this.solids];
    [this.solids, this.strokes] = [[], []];
    this.changed();
  }

  private kept(): Record<string, Setting> {
    const { threshold, low_pass_angstrom, extension_angstrom, edge_angstrom, begins } = this.settings;
    return { threshold, low_pass_angstrom, extension_angstrom, edge_angstrom, begin_with: begins ? "density" : "nothing", map: this.map.name };
  }

  private async replace(content: Partial<Content<MaskEdits>>): Promise<void> {
    this.solids = content.edits?.solids ?? [];
    this.strokes = this.solids.map(() => 1);
    this.undone = [];
    const settings = content.settings ?? {};
    for (const name of ["threshold", "low_pass_angstrom", "extension_angstrom", "edge_angstrom"] as const) {
      const value = settings[name];
      if (typeof value === "number") this.settings[name] = value;
      this.sliders[name].show(this.settings[name]);
    }
    this.settings.begins = settings.begin_with !== "nothing";
    const box = this.begins.querySelector("input");
    if (box) box.checked = this.settings.begins;
    await this.load(String(settings.map ?? ""), false);
  }

  private async use(): Promise<void> {
    const { map: _, ...parameters } = this.kept();
    if (parameters.begin_with === "nothing") parameters.threshold = null;
    const fields = (await this.draft?.use(parameters, this.map.file)) ?? {};
    this.complaint.textContent = Object.values(fields).join(" ");
  }

  private center(): void {
    this.at = this.grid.size.map((edge) => Math.floor(edge / 2)) as Point;
    this.draw();
  }

  private move(axis: Axis, to: number): void {
    this.at[axis] = Math.max(0, Math.min(this.grid.size[axis] - 1, to));
    this.draw();
  }

  private makePlane(plane: Plane): HTMLElement {
    const canvas = element("canvas");
    canvas.tabIndex = 0;
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `Slice ${plane.name} with the mask. Arrow keys move the point, Page Up and Page Down the slice.`);
    this.listen(canvas, plane);
    const caption = element("figcaption");
    this.canvases.push(canvas);
    this.captions.push(caption);
    return element("figure", "", canvas, caption);
  }

  private listen(canvas: HTMLCanvasElement, plane: Plane): void {
    let brushed: Solid[] | null = null;
    const brush = (event: PointerEvent): void => {
      const place: Point = [...this.at];
      place[plane.across] = (event.offsetX / canvas.clientWidth) * this.grid.size[plane.across] - 0.5;
      place[plane.down] = (event.offsetY / canvas.clientHeight) * this.grid.size[plane.down] - 0.5;
      if (this.tool === "point") {
        this.move(plane.across, Math.round(place[plane.across]));
        return this.move(plane.down, Math.round(place[plane.down]));
      }
      const solid = this.solid("ball", this.tool === "add", place);
      const before = brushed?.[brushed.length - 1]?.center_xyz_angstrom;
      const apart = before ? Math.hypot(...before.map((one, axis) => one - (solid.center_xyz_angstrom[axis] ?? 0))) : Infinity;
      if (apart < this.settings.radius / 2) return;
      brushed = [...(brushed ?? []), solid];
      this.drawBrush(canvas, plane, solid);
    };
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      brush(event);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (event.buttons) brush(event);
    });
    for (const end of ["pointerup", "pointercancel"] as const) {
      canvas.addEventListener(end, () => {
        if (brushed) this.stroke(brushed);
        brushed = null;
      });
    }
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.move(plane.along, this.at[plane.along] + Math.sign(event.deltaY));
    });
    canvas.addEventListener("keydown", (event) => {
      const move = keyStep(plane, event.key);
      if (!move) return;
      event.preventDefault();
      this.move(move[0], this.at[move[0]] + move[1]);
    });
  }

  private draw(): void {
    PLANES.forEach((plane, index) => {
      const [canvas, caption] = [this.canvases[index], this.captions[index]];
      if (!canvas || !caption) return;
      this.drawPlane(canvas, plane);
      const angstrom = (this.at[plane.along] * this.grid.pixelAngstrom).toFixed(1);
      caption.textContent = `${AXES[plane.across]}${AXES[plane.down]} at ${AXES[plane.along]} = ${angstrom} Å`;
    });
  }

  private offset(at: readonly number[]): number {
    const { size } = this.grid;
    return ((at[2] ?? 0) * size[1] + (at[1] ?? 0)) * size[0] + (at[0] ?? 0);
  }

  // The mask tints the slice, and its middle is a line where a neighbor lies on the other side of one half.
  private drawPlane(canvas: HTMLCanvasElement, plane: Plane): void {
    const [width, height] = [this.grid.size[plane.across], this.grid.size[plane.down]];
    [canvas.width, canvas.height] = [width, height];
    const context = context2d(canvas);
    const pixels = context.createImageData(width, height);
    const place = [...this.at];
    const step = this.offset([0, 0, 0].map((_zero, axis) => Number(axis === plane.across)));
    const down = this.offset([0, 0, 0].map((_zero, axis) => Number(axis === plane.down)));
    for (let row = 0, out = 0; row < height; row++) {
      place[plane.down] = row;
      for (let column = 0; column < width; column++, out += 4) {
        place[plane.across] = column;
        const index = this.offset(place);
        const inside = this.mask[index] ?? 0;
        const isBorder = inside > 127 && [column > 0 ? index - step : -1, column < width - 1 ? index + step : -1, row > 0 ? index - down : -1, row < height - 1 ? index + down : -1].some((next) => next < 0 || (this.mask[next] ?? 0) <= 127);
        const gray = this.voxels[index] ?? 0;
        const tint = (0.35 * inside) / 255;
        const color = isBorder ? [53, 208, 79] : [gray * (1 - tint), gray * (1 - tint) + 190 * tint, gray * (1 - tint) + 230 * tint];
        pixels.data.set([...color, 255], out);
      }
    }
    context.putImageData(pixels, 0, 0);
    context.fillStyle = "rgb(255 255 255 / 35%)";
    context.fillRect(this.at[plane.across], 0, 1, height);
    context.fillRect(0, this.at[plane.down], width, 1);
  }

  private drawBrush(canvas: HTMLCanvasElement, plane: Plane, solid: Solid): void {
    const context = context2d(canvas);
    const [x, y] = [plane.across, plane.down].map((axis) => (solid.center_xyz_angstrom[axis] ?? 0) / this.grid.pixelAngstrom + 0.5);
    context.fillStyle = solid.adds ? "rgb(76 212 255 / 45%)" : "rgb(255 110 110 / 45%)";
    context.beginPath();
    context.arc(x ?? 0, y ?? 0, solid.radius_angstrom / this.grid.pixelAngstrom, 0, 2 * Math.PI);
    context.fill();
  }
}

mount("mask", async (root) => {
  const maps = ((await fetchIndex(root)).maps ?? []).filter((map) => map.name !== "mask");
  if (!maps.length) throw new Error("there is no map to make a mask of");
  await new MaskEditor(root, maps).open();
});
