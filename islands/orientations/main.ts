// Directions of view on an equal-area map of the sphere (Mollweide).
import { choice, context2d, element } from "../viewing/controls";
import { mount } from "../viewing/mount";
import { fetchIndex, type Index } from "../viewing/previews";

type Orientations = NonNullable<Index["orientations"]>;
// Dark blue to yellow, even in lightness and readable without color.
const STOPS: [number, number, number][] = [
  [36, 22, 66], [54, 51, 122], [48, 91, 140], [38, 128, 142], [48, 163, 131], [112, 195, 96], [202, 217, 62], [252, 246, 140],
];

export function shade(share: number): [number, number, number] {
  const place = Math.max(0, Math.min(1, share)) * (STOPS.length - 1);
  const low = STOPS[Math.floor(place)] ?? [0, 0, 0];
  const high = STOPS[Math.min(STOPS.length - 1, Math.floor(place) + 1)] ?? low;
  const part = place % 1;
  return low.map((value, index) => value + ((high[index] ?? value) - value) * part) as [number, number, number];
}

// Height (cos tilt, 1 at the top) and azimuth in degrees of a place on the map, or null outside of it.
export function directionAt(x: number, y: number): { height: number; azimuthDeg: number } | null {
  if (x * x + y * y > 1) return null;
  const theta = Math.asin(y);
  const height = (2 * theta + Math.sin(2 * theta)) / Math.PI;
  const azimuthDeg = (180 * x) / Math.max(1e-9, Math.cos(theta));
  return Math.abs(azimuthDeg) > 180 ? null : { height, azimuthDeg };
}

class Sphere {
  private readonly canvas = element("canvas");
  private readonly bar = element("canvas");
  private readonly said = element("p", "caption", "Point at a place to read its direction.");
  private scale: (count: number) => number;

  constructor(private readonly root: HTMLElement, private readonly found: Orientations) {
    this.scale = (count) => count / found.most;
    const pick = choice("Colors", [["linear", "in proportion to the views"], ["log", "logarithmic, shows gaps"]], (kind) => {
      this.scale = kind === "log" ? (n) => Math.log1p(n) / Math.log1p(found.most) : (n) => n / found.most;
      this.draw();
    });
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", "Number of particles by direction of view; the table below has the numbers.");
    this.canvas.addEventListener("pointermove", (event) => this.say(event));
    const legend = element("p", "legend-bar", "0", this.bar, `${found.most} views a cell`);
    root.replaceChildren(element("div", "row", pick.element), element("div", "sphere", this.canvas, this.said, legend));
    this.draw();
  }

  private count(direction: { height: number; azimuthDeg: number }): number {
    const { heights, azimuths, counts } = this.found;
    const row = Math.min(heights - 1, Math.floor(((1 - direction.height) / 2) * heights));
    const column = Math.min(azimuths - 1, Math.floor(((direction.azimuthDeg + 180) / 360) * azimuths));
    return counts[row * azimuths + column] ?? 0;
  }

  private say(event: PointerEvent): void {
    const x = (2 * event.offsetX) / this.canvas.clientWidth - 1;
    const y = 1 - (2 * event.offsetY) / this.canvas.clientHeight;
    const direction = directionAt(x, y);
    if (!direction) return;
    const tilt = (Math.acos(Math.max(-1, Math.min(1, direction.height))) * 180) / Math.PI;
    this.said.textContent = `rot ${direction.azimuthDeg.toFixed(0)}°, tilt ${tilt.toFixed(0)}°: ${this.count(direction)} views`;
  }

  private draw(): void {
    const width = (this.canvas.width = 1200);
    const height = (this.canvas.height = 600);
    const context = context2d(this.canvas);
    const pixels = context.createImageData(width, height);
    for (let row = 0; row < height; row++) {
      for (let column = 0; column < width; column++) {
        const direction = directionAt((2 * (column + 0.5)) / width - 1, 1 - (2 * (row + 0.5)) / height);
        if (!direction) continue;
        pixels.data.set([...shade(this.scale(this.count(direction))), 255], 4 * (row * width + column));
      }
    }
    context.putImageData(pixels, 0, 0);
    this.drawGrid(context, width, height);
    this.drawBar();
  }

  private drawGrid(context: CanvasRenderingContext2D, width: number, height: number): void {
    context.strokeStyle = "rgb(255 255 255 / 35%)";
    context.fillStyle = "#ffffff";
    context.font = "24px system-ui, sans-serif";
    context.textAlign = "center";
    context.shadowColor = "#000000";
    context.shadowBlur = 6;
    for (const tiltDeg of [30, 60, 90, 120, 150]) {
      let theta = 0;
      const target = Math.PI * Math.cos((tiltDeg * Math.PI) / 180);
      for (let step = 0; step < 40; step++) {
        theta -= (2 * theta + Math.sin(2 * theta) - target) / Math.max(0.05, 2 + 2 * Math.cos(2 * theta));
      }
      const y = (height * (1 - Math.sin(theta))) / 2;
      const half = (width * Math.cos(theta)) / 2;
      context.beginPath();
      context.moveTo(width / 2 - half, y);
      context.lineTo(width / 2 + half, y);
      context.stroke();
      context.fillText(`${tiltDeg}°`, width / 2, y - 6);
    }
  }

  private drawBar(): void {
    [this.bar.width, this.bar.height] = [256, 1];
    const context = context2d(this.bar);
    for (let x = 0; x < 256; x++) {
      context.fillStyle = `rgb(${shade(this.scale((x / 255) * this.found.most)).map(Math.round).join(" ")})`;
      context.fillRect(x, 0, 1, 1);
    }
  }
}

mount("orientations", async (root) => {
  const { orientations } = await fetchIndex(root);
  if (!orientations) throw new Error("no orientations were found");
  new Sphere(root, orientations);
});
