// How fast bytes go, over the last seconds, and how people say such figures.

const WINDOW_MS = 8000;

export class Pace {
  private points: { at: number; bytes: number }[] = [];

  note(bytes: number): void {
    const at = performance.now();
    this.points.push({ at, bytes });
    while (this.points.length > 2 && at - this.points[0]!.at > WINDOW_MS) {
      this.points.shift();
    }
  }

  forget(): void {
    this.points = [];
  }

  get bytesPerSecond(): number {
    const first = this.points[0];
    const last = this.points[this.points.length - 1];
    if (!first || !last || last.at - first.at < 500) {
      return 0;
    }
    return Math.max(0, (1000 * (last.bytes - first.bytes)) / (last.at - first.at));
  }
}

export function bytesText(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 || value >= 99.5 ? value.toFixed(0) : value.toFixed(1)} ${units[unit]}`;
}

export function durationText(seconds: number): string {
  if (seconds < 60) {
    return `${Math.max(1, Math.round(seconds))} s`;
  }
  const minutes = Math.round(seconds / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
}
