// Three slices through a map that meet in one point.
import { button, choice, context2d, element, group, slider } from "../viewing/controls";
import { mount } from "../viewing/mount";
import { AXES, type Axis, keyStep, type Plane, PLANES, type Point } from "../viewing/planes";
import { type DensityMap, fetchBytes, fetchIndex } from "../viewing/previews";

class SliceViewer {
  private voxels = new Uint8Array(1);
  private size: Point = [1, 1, 1];
  private at: Point = [0, 0, 0];
  private contrast = 1;
  private brightness = 0;
  private map!: DensityMap;
  private readonly canvases: HTMLCanvasElement[] = [];
  private readonly captions: HTMLElement[] = [];
  private readonly caption = element("p", "caption");

  constructor(private readonly root: HTMLElement, private readonly maps: DensityMap[]) {
    const pick = choice("Map", maps.map((map) => [map.name, map.title]), (name) => void this.load(name));
    const grid = element("div", "slice-grid");
    for (const plane of PLANES) grid.append(this.makePlane(plane));
    const controls = group(
      "Gray levels",
      slider("Contrast", { min: 0.25, max: 4, step: 0.05, value: 1 }, (v) => `${v.toFixed(2)} ×`, (v) => this.set({ contrast: v })).element,
      slider("Brightness", { min: -1, max: 1, step: 0.02, value: 0 }, (v) => v.toFixed(2), (v) => this.set({ brightness: v })).element,
    );
    const center = button("Back to the center", () => this.center());
    this.caption.setAttribute("aria-live", "polite");
    root.replaceChildren(element("div", "row", pick.element, center), grid, this.caption, controls);
  }

  async load(name: string): Promise<void> {
    this.map = this.maps.find((map) => map.name === name) ?? this.map;
    const [nz, ny, nx] = this.map.slices.shape_zyx;
    this.voxels = await fetchBytes(this.root, this.map.slices.file);
    if (this.voxels.length !== nx * ny * nz) throw new Error("the preview of this map is damaged; reload the page");
    const moved = this.size.join() !== [nx, ny, nz].join();
    this.size = [nx, ny, nz];
    if (moved) this.center();
    this.draw();
  }

  private set(change: { contrast?: number; brightness?: number }): void {
    this.contrast = change.contrast ?? this.contrast;
    this.brightness = change.brightness ?? this.brightness;
    this.draw();
  }

  private center(): void {
    this.at = this.size.map((edge) => Math.floor(edge / 2)) as Point;
    this.draw();
  }

  private makePlane(plane: Plane): HTMLElement {
    const canvas = element("canvas");
    canvas.tabIndex = 0;
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `Slice ${plane.name}. Arrow keys move the point, Page Up and Page Down the slice.`);
    const point = (event: PointerEvent): void => {
      const place = [event.offsetX / canvas.clientWidth, event.offsetY / canvas.clientHeight];
      this.move(plane.across, Math.floor((place[0] ?? 0) * this.size[plane.across]));
      this.move(plane.down, Math.floor((place[1] ?? 0) * this.size[plane.down]));
    };
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      point(event);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (event.buttons) point(event);
    });
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
    const caption = element("figcaption");
    this.canvases.push(canvas);
    this.captions.push(caption);
    return element("figure", "", canvas, caption);
  }

  private move(axis: Axis, to: number): void {
    this.at[axis] = Math.max(0, Math.min(this.size[axis] - 1, to));
    this.draw();
  }

  private value(): number {
    const { low, high } = this.map.slices;
    return low + ((high - low) * (this.voxels[this.offset(this.at)] ?? 0)) / 255;
  }

  private offset(at: readonly number[]): number {
    return ((at[2] ?? 0) * this.size[1] + (at[1] ?? 0)) * this.size[0] + (at[0] ?? 0);
  }

  private draw(): void {
    PLANES.forEach((plane, index) => {
      const canvas = this.canvases[index];
      const caption = this.captions[index];
      if (!canvas || !caption) return;
      this.drawPlane(canvas, plane);
      const angstrom = (this.at[plane.along] * this.map.slices.pixel_size_angstrom).toFixed(1);
      caption.textContent = `${AXES[plane.across]}${AXES[plane.down]} at ${AXES[plane.along]} = ${angstrom} Å`;
    });
    const pixel = this.map.slices.pixel_size_angstrom;
    const places = this.at.map((place, axis) => `${AXES[axis]} ${(place * pixel).toFixed(1)} Å`).join(", ");
    const value = this.value();
    const sigma = (value - this.map.mean) / (this.map.deviation || 1);
    this.caption.textContent = `${this.map.title} at ${places}: ${value.toPrecision(3)} (${sigma.toFixed(1)} σ)`;
  }

  private drawPlane(canvas: HTMLCanvasElement, plane: Plane): void {
    const width = this.size[plane.across];
    const height = this.size[plane.down];
    [canvas.width, canvas.height] = [width, height];
    const context = context2d(canvas);
    const pixels = context.createImageData(width, height);
    const place = [...this.at];
    for (let row = 0, out = 0; row < height; row++) {
      place[plane.down] = row;
      for (let column = 0; column < width; column++, out += 4) {
        place[plane.across] = column;
        const gray = ((this.voxels[this.offset(place)] ?? 0) - 127.5) * this.contrast + 127.5 + 127.5 * this.brightness;
        pixels.data[out] = pixels.data[out + 1] = pixels.data[out + 2] = gray;
        pixels.data[out + 3] = 255;
      }
    }
    context.putImageData(pixels, 0, 0);
    context.fillStyle = "rgb(90 200 230 / 55%)";
    context.fillRect(this.at[plane.across], 0, 1, height);
    context.fillRect(0, this.at[plane.down], width, 1);
  }
}

export async function showSlices(root: HTMLElement): Promise<void> {
  const maps = (await fetchIndex(root)).maps ?? [];
  const first = maps[0];
  if (!first) throw new Error("there is no map to show");
  await new SliceViewer(root, maps).load(first.name);
}

mount("slices", showSlices);
// The page of the 3D view holds one that is started only where 3D does not work.
document.addEventListener("viewer:slices", () => mount("slices", showSlices));
