// Class averages: sort them, choose some, and take the choice to a selection job.
import { button, choice, context2d, element, slider } from "../viewing/controls";
import { mount } from "../viewing/mount";
import { type ClassRow, fetchImage, fetchIndex, type Index } from "../viewing/previews";

type Classes = NonNullable<Index["classes"]>;
type Order = "particles" | "resolution" | "score" | "number";
const ORDERS: [Order, string][] = [
  ["particles", "most particles first"],
  ["resolution", "finest resolution first"],
  ["score", "best score first"],
  ["number", "by number"],
];
const KEYS: Record<Order, (row: ClassRow) => number> = {
  particles: (row) => -(row.particles ?? 0),
  resolution: (row) => row.resolution_angstrom ?? Infinity,
  score: (row) => -(row.score ?? 0),
  number: (row) => row.number,
};

class Gallery {
  private order: Order = "particles";
  private readonly chosen = new Set<number>();
  private readonly grid = element("ul", "class-grid");
  private readonly said = element("p", "caption");
  private readonly next = element("p", "row");
  private readonly tiles = new Map<number, HTMLButtonElement>();

  constructor(private readonly root: HTMLElement, private readonly classes: Classes, sheet: ImageBitmap) {
    for (const row of classes.rows) this.tiles.set(row.number, this.tile(row, sheet));
    const keptByJob = classes.rows.some((row) => row.kept !== undefined);
    this.choose(classes.rows.filter((row) => (keptByJob ? row.kept : (row.score ?? 0) >= 0.25)));
    const sort = choice("Order", ORDERS, (order) => {
      this.order = order as Order;
      this.arrange();
    });
    const score = slider("Choose by score, at least", { min: 0, max: 1, step: 0.01, value: 0.25 }, (v) => v.toFixed(2), (least) =>
      this.choose(classes.rows.filter((row) => (row.score ?? 0) >= least)),
    );
    score.element.classList.add("grow");
    const buttons = element(
      "div",
      "row",
      button("All", () => this.choose(classes.rows)),
      button("None", () => this.choose([])),
      button("The others", () => this.choose(classes.rows.filter((row) => !this.chosen.has(row.number)))),
    );
    this.said.setAttribute("role", "status");
    root.replaceChildren(element("div", "row", sort.element, score.element, buttons), this.said, this.grid, this.next);
    this.arrange();
  }

  private tile(row: ClassRow, sheet: ImageBitmap): HTMLButtonElement {
    const edge = this.classes.tile_px;
    const canvas = element("canvas");
    [canvas.width, canvas.height] = [edge, edge];
    const index = row.number - 1;
    const x = (index % this.classes.columns) * edge;
    const y = Math.floor(index / this.classes.columns) * edge;
    context2d(canvas).drawImage(sheet, x, y, edge, edge, 0, 0, edge, edge);
    const facts = [
      row.particles === undefined ? "" : `${row.particles.toLocaleString("en")} particles`,
      row.resolution_angstrom === undefined ? "" : `${row.resolution_angstrom.toFixed(1)} Å`,
    ].filter(Boolean);
    const name = element("span", "name", element("span", "", `Class ${row.number}`), row.score === undefined ? "" : row.score.toFixed(2));
    const node = element("button", "", canvas, name, element("span", "facts", ...facts.map((fact) => element("span", "", fact))));
    if (row.kept !== undefined) node.append(element("span", row.kept ? "kept" : "left-out", row.kept ? "kept" : "left out"));
    node.type = "button";
    node.title = row.reason ?? "Press to choose";
    node.addEventListener("click", () => {
      if (!this.chosen.delete(row.number)) this.chosen.add(row.number);
      this.update();
    });
    node.addEventListener("keydown", (event) => this.step(event, node));
    return node;
  }

  private choose(rows: ClassRow[]): void {
    this.chosen.clear();
    for (const row of rows) this.chosen.add(row.number);
    this.update();
  }

  private arrange(): void {
    const rows = [...this.classes.rows].sort((a, b) => KEYS[this.order](a) - KEYS[this.order](b) || a.number - b.number);
    this.grid.replaceChildren(...rows.map((row) => element("li", "", this.tiles.get(row.number) ?? "")));
    rows.forEach((row, index) => this.tiles.get(row.number)?.setAttribute("tabindex", index === 0 ? "0" : "-1"));
  }

  // One stop for the tab key; arrow keys go from tile to tile.
  private step(event: KeyboardEvent, from: HTMLButtonElement): void {
    const tiles = [...this.grid.querySelectorAll("button")];
    const across = tiles.filter((tile) => tile.offsetTop === tiles[0]?.offsetTop).length;
    const steps: Record<string, number> = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across, ArrowDown: across };
    const by = steps[event.key];
    const to = by === undefined ? undefined : tiles[tiles.indexOf(from) + by];
    if (by === undefined) return;
    event.preventDefault();
    if (!to) return;
    from.tabIndex = -1;
    to.tabIndex = 0;
    to.focus();
  }

  private update(): void {
    let particles = 0;
    let all = 0;
    for (const row of this.classes.rows) {
      const isChosen = this.chosen.has(row.number);
      this.tiles.get(row.number)?.setAttribute("aria-pressed", String(isChosen));
      particles += isChosen ? (row.particles ?? 0) : 0;
      all += row.particles ?? 0;
    }
    const share = all ? ` (${((100 * particles) / all).toFixed(0)} %)` : "";
    const count = `${this.chosen.size} of ${this.classes.rows.length} classes chosen`;
    this.said.textContent = `${count}, ${particles.toLocaleString("en")} of ${all.toLocaleString("en")} particles${share}.`;
    this.offerJob();
  }

  private offerJob(): void {
    const include = [...this.chosen].sort((a, b) => a - b);
    const exclude = this.classes.rows.map((row) => row.number).filter((number) => !this.chosen.has(number));
    const copy = button("Copy the numbers", () => {
      void navigator.clipboard?.writeText(include.join(", ")).then(() => (copy.textContent = "Copied"));
    });
    this.next.replaceChildren(copy);
    const address = this.root.dataset.newJob;
    if (!address || !include.length) return;
    const query = new URLSearchParams({
      "input-input": `job:${this.root.dataset.job}/particles.star`,
      "parameter-include": include.join(", "),
      "parameter-exclude": exclude.join(", "),
    });
    const link = element("a", "button primary", "Select these classes in a new job");
    link.href = `${address}?${query}`;
    this.next.prepend(link);
  }
}

mount("class_gallery", async (root) => {
  const { classes } = await fetchIndex(root);
  if (!classes) throw new Error("no classes were found");
  new Gallery(root, classes, await fetchImage(root, classes.file));
});
