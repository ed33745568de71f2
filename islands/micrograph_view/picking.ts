// Picks by hand: what was added and erased on each micrograph, with undo, and the tools to do it.
import { button, element, group, slider, type Slider } from "../viewing/controls";
import { type Content, Draft, type Setting } from "../viewing/draft";

export type Place = [number, number];
export interface MicrographEdits {
  added: Place[];
  erased: Place[];
}
interface PickEdits {
  micrographs: Record<string, MicrographEdits>;
}
interface Step {
  name: string;
  before: MicrographEdits;
  after: MicrographEdits;
}
// What the editor knows of the micrograph that is shown; places are in its pixels.
export interface Shown {
  name: string;
  width_px: number;
  height_px: number;
  pixel_size_angstrom: number;
  picks: [number, number, number][];
}
interface View {
  shown(): Shown;
  least(): number;
  redraw(): void;
  goTo(name: string): void;
  setLeast(least: number | null): void;
}
export type Tool = "move" | "add" | "erase";

const NOTHING: MicrographEdits = { added: [], erased: [] };
const TOOLS: [Tool, string, string][] = [
  ["move", "Move", "Drag to move, pinch or roll to zoom (M)"],
  ["add", "Add", "Tap a particle to add it, tap a pick to erase it (A)"],
  ["erase", "Erase", "Drag over picks to erase them (E)"],
];
// A tap this near to the center of a pick means that pick.
const SAME_PICK_RADII = 0.4;
const DIAMETER_RANGE_ANGSTROM = [21, 1500] as const;
const FIRST_DIAMETER_ANGSTROM = 150;

const rounded = (value: number): number => Math.round(100 * value) / 100;
const key = (place: readonly number[]): string => `${place[0]},${place[1]}`;

export class PickEditor {
  tool: Tool = "add";
  diameterAngstrom: number;
  eraserAngstrom: number;
  readonly bar = element("div", "row tools");
  readonly panel: HTMLElement;
  private draft!: Draft<PickEdits>;
  private edits: PickEdits = { micrographs: {} };
  private done: Step[] = [];
  private undone: Step[] = [];
  private stroke: MicrographEdits | null = null;
  private readonly buttons = new Map<Tool, HTMLButtonElement>();
  private readonly undoButton = button("Undo", () => this.undo());
  private readonly redoButton = button("Redo", () => this.redo());
  private readonly counts = element("p", "caption");
  private readonly complaint = element("p", "error");
  private readonly diameter: HTMLInputElement;
  private readonly eraser: Slider;

  constructor(diameterAngstrom: number, private readonly view: View, private readonly names: Set<string>) {
    this.diameterAngstrom = diameterAngstrom || FIRST_DIAMETER_ANGSTROM;
    this.eraserAngstrom = this.diameterAngstrom / 2;
    for (const [tool, label, title] of TOOLS) {
      const node = button(label, () => this.choose(tool));
      node.title = title;
      this.buttons.set(tool, node);
    }
    this.undoButton.title = "Control Z";
    this.redoButton.title = "Control Y";
    this.bar.setAttribute("role", "toolbar");
    this.bar.setAttribute("aria-label", "Picking by hand");
    this.bar.append(...this.buttons.values(), this.undoButton, this.redoButton);
    this.diameter = this.diameterField();
    const eraser = { min: 10, max: 1500, step: 5, value: this.eraserAngstrom };
    this.eraser = slider("Radius of the eraser", eraser, (v) => `${v} Å`, (radius) => {
      this.eraserAngstrom = radius;
      this.view.redraw();
    });
    this.counts.setAttribute("role", "status");
    const label = element("label", "", "Particle diameter (Å)");
    label.htmlFor = this.diameter.id;
    this.panel = group("Picks by hand", this.counts, element("div", "slider", label, this.diameter), this.eraser.element, this.complaint);
    this.choose("add");
  }

  async open(address: string): Promise<void> {
    const current = (): Content<PickEdits> => ({ edits: this.edits, settings: this.settings() });
    this.draft = await Draft.open(address, current, (content) => this.replace(content));
    const reset = button("Start over", () => this.startOver());
    reset.title = "Forget all that was added and erased; Undo brings it back";
    const use = button("Use these picks in a job", () => void this.use(), "primary");
    this.panel.append(this.draft.said, element("div", "row wrap", use, reset));
    this.refresh();
  }

  // Circles to draw: picks of the job that are left, those that were erased, and those that were added.
  circles(): { kept: Place[]; erased: Place[]; added: Place[] } {
    const { name, picks } = this.view.shown();
    const edits = this.of(name);
    const gone = new Set(edits.erased.map(key));
    const least = this.view.least();
    const above = picks.filter((pick) => pick[2] >= least);
    const kept: Place[] = [];
    const erased: Place[] = [];
    for (const [x, y] of above) (gone.has(key([rounded(x), rounded(y)])) ? erased : kept).push([x, y]);
    return { kept, erased, added: edits.added };
  }

  tap(x: number, y: number): void {
    const { name, width_px, height_px, pixel_size_angstrom } = this.view.shown();
    const reach = (SAME_PICK_RADII * this.diameterAngstrom) / 2 / pixel_size_angstrom;
    const before = this.of(name);
    if (this.erased(before, x, y, reach)) return this.step(this.erased(before, x, y, reach) ?? before);
    if (x < -0.5 || y < -0.5 || x >= width_px - 0.5 || y >= height_px - 0.5) return;
    this.step({ ...before, added: [...before.added, [rounded(x), rounded(y)]] });
  }

  beginStroke(): void {
    this.stroke = this.of(this.view.shown().name);
  }

  eraseAt(x: number, y: number): void {
    const { name, pixel_size_angstrom } = this.view.shown();
    const after = this.erased(this.of(name), x, y, this.eraserAngstrom / pixel_size_angstrom);
    if (after) this.put(name, after);
  }

  // A second finger turns a stroke into a pinch: what it erased comes back.
  endStroke(isMeant: boolean): void {
    const { name } = this.view.shown();
    const before = this.stroke;
    this.stroke = null;
    if (!before) return;
    const after = this.of(name);
    this.put(name, before);
    if (isMeant && after !== before) this.step(after);
  }

  pressed(event: KeyboardEvent): boolean {
    const command = event.ctrlKey || event.metaKey;
    const pressed = event.key.toLowerCase();
    if (command && pressed === "z") event.shiftKey ? this.redo() : this.undo();
    else if (command && pressed === "y") this.redo();
    else if (command || event.altKey) return false;
    else if (pressed === "m") this.choose("move");
    else if (pressed === "a") this.choose("add");
    else if (pressed === "e") this.choose("erase");
    else return false;
    return true;
  }

  changedSettings(): void {
    this.draft.changed();
    this.refresh();
  }

  refresh(): void {
    const all = Object.values(this.edits.micrographs);
    const added = all.reduce((sum, one) => sum + one.added.length, 0);
    const erased = all.reduce((sum, one) => sum + one.erased.length, 0);
    const lost = Object.keys(this.edits.micrographs).filter((name) => !this.names.has(name));
    const say = (count: number): string => count.toLocaleString("en");
    this.counts.textContent = `${say(added)} added, ${say(erased)} erased on all micrographs.`;
    if (lost.length) this.counts.append(` ${lost.length} micrograph${lost.length > 1 ? "s" : ""} with edits (${lost[0]}) cannot be shown here; the job names what it cannot use.`);
    this.undoButton.disabled = !this.done.length;
    this.redoButton.disabled = !this.undone.length;
    this.view.redraw();
  }

  private choose(tool: Tool): void {
    this.tool = tool;
    for (const [name, node] of this.buttons) node.setAttribute("aria-pressed", String(name === tool));
    this.eraser.element.hidden = tool !== "erase";
    this.view.redraw();
  }

  private erased(edits: MicrographEdits, x: number, y: number, reach: number): MicrographEdits | null {
    const isNear = (place: readonly number[]): boolean => Math.hypot((place[0] ?? 0) - x, (place[1] ?? 0) - y) <= reach;
    const added = edits.added.filter((place) => !isNear(place));
    const gone = this.circles().kept.filter(isNear).map(([px, py]): Place => [rounded(px), rounded(py)]);
    if (added.length === edits.added.length && !gone.length) return null;
    return { added, erased: [...edits.erased, ...gone] };
  }

  private of(name: string): MicrographEdits {
    return this.edits.micrographs[name] ?? NOTHING;
  }

  private put(name: string, edits: MicrographEdits): void {
    const { [name]: _, ...others } = this.edits.micrographs;
    const isEmpty = !edits.added.length && !edits.erased.length;
    this.edits = { micrographs: isEmpty ? others : { ...others, [name]: edits } };
    this.view.redraw();
  }

  private step(after: MicrographEdits): void {
    const { name } = this.view.shown();
    this.done.push({ name, before: this.of(name), after });
    this.undone = [];
    this.put(name, after);
    this.changedSettings();
  }

  private undo(): void {
    const step = this.done.pop();
    if (step) this.jump(step, step.before, this.undone);
  }

  private redo(): void {
    const step = this.undone.pop();
    if (step) this.jump(step, step.after, this.done);
  }

  private jump(step: Step, to: MicrographEdits, onto: Step[]): void {
    onto.push(step);
    this.put(step.name, to);
    if (step.name !== this.view.shown().name) this.view.goTo(step.name);
    this.changedSettings();
  }

  private startOver(): void {
    for (const [name, before] of Object.entries(this.edits.micrographs)) {
      this.done.push({ name, before, after: NOTHING });
      this.put(name, NOTHING);
    }
    this.undone = [];
    this.changedSettings();
  }

  private settings(): Record<string, Setting> {
    const least = this.view.least();
    return { particle_diameter_angstrom: this.diameterAngstrom, score_min: Number.isFinite(least) ? least : null };
  }

  private replace(content: Partial<Content<PickEdits>>): void {
    this.edits = { micrographs: content.edits?.micrographs ?? {} };
    this.done = [];
    this.undone = [];
    const diameter = Number(content.settings?.particle_diameter_angstrom);
    if (diameter > 0) this.diameterAngstrom = diameter;
    this.diameter.value = String(this.diameterAngstrom);
    const least = content.settings?.score_min;
    this.view.setLeast(typeof least === "number" ? least : null);
    this.refresh();
  }

  private diameterField(): HTMLInputElement {
    const input = element("input");
    input.type = "number";
    input.id = "particle-diameter";
    [input.min, input.max] = DIAMETER_RANGE_ANGSTROM.map(String) as [string, string];
    input.step = "any";
    input.value = String(this.diameterAngstrom);
    input.addEventListener("input", () => {
      if (!(input.valueAsNumber > 0)) return;
      this.diameterAngstrom = input.valueAsNumber;
      this.changedSettings();
    });
    return input;
  }

  private async use(): Promise<void> {
    this.complaint.textContent = "";
    const fields = await this.draft.use(this.settings());
    this.complaint.textContent = Object.values(fields).join(" ");
  }
}
