// The map in 3D; where the browser has no 3D graphics, slices take its place.
import { button, element, group, slider, toggle, type Slider } from "../viewing/controls";
import { mount } from "../viewing/mount";
import { type DensityMap, fetchBytes, fetchIndex } from "../viewing/previews";
import { hasWebGl, Scene, type Surface } from "./scene";

const COLORS = ["#7fb3c8", "#e0a458", "#b8a1d9", "#8fbf8a", "#d98a9c", "#c9c27a"];
const MASK_COLOR = "#d8dde2";
const DARK = "#05080a";
const LIGHT = "#ffffff";
const QUARTER = Math.PI / 12;

const sigmasAbove = (map: DensityMap, value: number): number => (value - map.mean) / (map.deviation || 1);

class MapView {
  private readonly shown = new Map<string, Surface>();
  private readonly maps: DensityMap[];
  private levelSigma: number;
  private opacity = 1;
  private changing: Promise<void> = Promise.resolve();
  private queued = false;
  private readonly said = element("p", "caption");
  private readonly level: Slider;

  constructor(private readonly root: HTMLElement, private readonly frame: HTMLElement, private readonly scene: Scene, maps: DensityMap[]) {
    this.maps = maps;
    const first = this.first();
    this.levelSigma = Math.round(20 * sigmasAbove(first, first.level)) / 20;
    this.level = slider("Level", this.levels(first), (v) => this.levelText(v), (v) => {
      this.levelSigma = v;
      this.update();
    });
    this.said.setAttribute("role", "status");
  }

  async start(): Promise<void> {
    const controls = element(
      "div",
      "controls",
      group("Surface", this.level.element, slider("Opacity", { min: 0.1, max: 1, step: 0.05, value: 1 }, (v) => `${Math.round(100 * v)} %`, (v) => {
        this.opacity = v;
        this.update();
      }).element),
      group("Maps", ...this.maps.map((map, index) => this.mapToggle(map, index))),
      group("View", element("div", "row wrap", ...this.viewButtons()), toggle("White background", false, (on) => this.scene.setBackground(on ? LIGHT : DARK))),
    );
    this.root.replaceChildren(element("div", "bench", element("div", "", this.frame, this.said), controls));
    this.scene.canvas.setAttribute("role", "img");
    this.scene.canvas.setAttribute("aria-label", "Surface of the density map; the buttons beside turn it, and the slices show the same by numbers.");
    await this.show(this.first(), COLORS[0] ?? LIGHT);
    this.scene.resetView();
  }

  private first(): DensityMap {
    const map = this.maps[0];
    if (!map) throw new Error("there is no map to show");
    return map;
  }

  private levels(map: DensityMap): { min: number; max: number; step: number; value: number } {
    const max = Math.max(1, Math.ceil(sigmasAbove(map, map.maximum)));
    return { min: 0, max, step: 0.05, value: this.levelSigma };
  }

  private levelText(sigma: number): string {
    const map = this.first();
    return `${sigma.toFixed(2)} σ (${(map.mean + sigma * map.deviation).toPrecision(3)})`;
  }

  private mapToggle(map: DensityMap, index: number): HTMLElement {
    const color = element("input");
    color.type = "color";
    color.value = map.name === "mask" ? MASK_COLOR : (COLORS[index % COLORS.length] ?? LIGHT);
    color.setAttribute("aria-label", `Color of ${map.title}`);
    color.addEventListener("input", () => {
      const surface = this.shown.get(map.name);
      if (surface) surface.color = color.value;
      this.update();
    });
    const label = toggle(map.title, index === 0, (on) => {
      this.changing = this.changing.then(() => (on ? this.show(map, color.value) : this.hide(map)), () => undefined);
    });
    return element("div", "row", label, color);
  }

  private viewButtons(): HTMLElement[] {
    const turn = (label: string, name: string, right: number, down: number, zoom = 1): HTMLElement => {
      const node = button(label, () => this.scene.turn(right, down, zoom));
      node.setAttribute("aria-label", name);
      return node;
    };
    return [
      turn("←", "Turn left", -QUARTER, 0),
      turn("→", "Turn right", QUARTER, 0),
      turn("↑", "Turn up", 0, -QUARTER),
      turn("↓", "Turn down", 0, QUARTER),
      turn("+", "Closer", 0, 0, 1.25),
      turn("−", "Farther", 0, 0, 0.8),
      button("Reset", () => this.scene.resetView()),
      button("Save picture", () => void this.save()),
    ];
  }

  private surface(map: DensityMap, color: string): Surface {
    if (map.name === "mask") return { levelSigma: sigmasAbove(map, 0.5), color, opacity: 0.3 };
    return { levelSigma: this.levelSigma, color, opacity: this.opacity };
  }

  private async show(map: DensityMap, color: string): Promise<void> {
    this.say(`Loading ${map.title}…`);
    const bytes = await fetchBytes(this.root, map.file);
    const surface = this.surface(map, color);
    await this.scene.add(map.name, bytes, surface);
    this.shown.set(map.name, surface);
    this.say();
  }

  private async hide(map: DensityMap): Promise<void> {
    this.shown.delete(map.name);
    await this.scene.remove(map.name);
    this.say();
  }

  // One change at a time, and the last one wins: a slider asks faster than surfaces are made.
  private update(): void {
    if (this.queued) return;
    this.queued = true;
    this.changing = this.changing.then(async () => {
      this.queued = false;
      for (const [name, before] of this.shown) {
        const map = this.maps.find((one) => one.name === name);
        if (!map) continue;
        const surface = this.surface(map, before.color);
        this.shown.set(name, surface);
        await this.scene.change(name, surface);
      }
      this.say();
    });
  }

  private say(text = ""): void {
    const names = this.maps.filter((map) => this.shown.has(map.name)).map((map) => map.title);
    this.said.textContent = text || `${names.join(", ") || "No map"} at ${this.levelText(this.levelSigma)}. Drag to turn, scroll to zoom, right-drag to move.`;
  }

  private async save(): Promise<void> {
    const blob = await this.scene.picture();
    if (!blob) return;
    const link = element("a");
    link.href = URL.createObjectURL(blob);
    link.download = `${this.first().name}.png`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  }
}

function showSlicesInstead(root: HTMLElement, reason: string): void {
  const notice = element("p", "notice", `${reason} The slices below show the same map.`);
  notice.setAttribute("role", "status");
  root.replaceChildren(notice);
  const place = document.querySelector<HTMLElement>("[data-deferred-island=slices]");
  if (!place) return;
  place.closest("section")?.removeAttribute("hidden");
  place.dataset.island = "slices";
  document.dispatchEvent(new Event("viewer:slices"));
}

mount("map_view", async (root) => {
  if (!hasWebGl()) {
    showSlicesInstead(root, "This browser shows no 3D graphics (WebGL is off or missing).");
    return;
  }
  const maps = (await fetchIndex(root)).maps ?? [];
  const frame = element("div", "stage tall");
  root.append(frame);
  try {
    await new MapView(root, frame, await Scene.open(frame, DARK), maps).start();
  } catch (error) {
    console.error(error);
    showSlicesInstead(root, "The 3D view could not be started.");
  }
});
