// The scores of all picks: how many reach a threshold, and their histogram.
import { context2d } from "../viewing/controls";

const BINS = 60;
const HEIGHT_PX = 56;

export class Scores {
  readonly low: number;
  readonly high: number;

  // In order, the lowest first.
  constructor(private readonly sorted: readonly number[]) {
    this.low = Math.floor(1000 * (sorted[0] ?? 0)) / 1000;
    this.high = Math.ceil(1000 * (sorted[sorted.length - 1] ?? 1)) / 1000;
  }

  get count(): number {
    return this.sorted.length;
  }

  reaching(least: number): number {
    let [from, to] = [0, this.sorted.length];
    while (from < to) {
      const middle = (from + to) >> 1;
      if ((this.sorted[middle] ?? 0) < least) from = middle + 1;
      else to = middle;
    }
    return this.sorted.length - from;
  }

  draw(canvas: HTMLCanvasElement, least: number): void {
    const counts = new Array<number>(BINS).fill(0);
    for (const score of this.sorted) {
      const bin = Math.min(BINS - 1, Math.floor(((score - this.low) / (this.high - this.low || 1)) * BINS));
      counts[bin] = (counts[bin] ?? 0) + 1;
    }
    const most = Math.max(1, ...counts);
    [canvas.width, canvas.height] = [BINS * 4, HEIGHT_PX];
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", "How many picks have which score");
    const context = context2d(canvas);
    counts.forEach((count, bin) => {
      const score = this.low + ((bin + 1) / BINS) * (this.high - this.low);
      const height = count ? Math.max(1, ((HEIGHT_PX - 2) * count) / most) : 0;
      context.fillStyle = score > least ? "#d9a900" : "#8896a3";
      context.fillRect(4 * bin, HEIGHT_PX - height, 3, height);
    });
  }
}
