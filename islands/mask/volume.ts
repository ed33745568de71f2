// A mask of a small map, as the job makes it of the whole one: low-pass, cut, largest pieces, solids, soft edge.
import type { Point } from "../viewing/planes";

export interface Solid {
  kind: "ball" | "cylinder";
  adds: boolean;
  center_xyz_angstrom: Point;
  radius_angstrom: number;
  axis: "x" | "y" | "z";
  length_angstrom: number | null;
}
export interface Grid {
  // Voxels along x, y, z; the first axis runs fastest.
  size: Point;
  pixelAngstrom: number;
}
const KEPT_MASS = 0.95;
const FAR = 1e12;

// Three box averages along each axis; half of the amplitude is left at the resolution.
export function lowPassed(voxels: Float32Array, { size, pixelAngstrom }: Grid, resolutionAngstrom: number): Float32Array {
  const sigma = (0.1874 * resolutionAngstrom) / pixelAngstrom;
  const reach = Math.round((Math.sqrt(4 * sigma * sigma + 1) - 1) / 2);
  const out = voxels.slice();
  if (reach < 1) return out;
  const buffer = new Float32Array(Math.max(...size));
  eachLine(size, (begin, stride, count) => {
    for (let pass = 0; pass < 3; pass++) {
      let sum = 0;
      const at = (index: number): number => out[begin + stride * Math.min(count - 1, Math.max(0, index))] ?? 0;
      for (let index = -reach; index <= reach; index++) sum += at(index);
      for (let index = 0; index < count; index++) {
        buffer[index] = sum / (2 * reach + 1);
        sum += at(index + reach + 1) - at(index - reach);
      }
      for (let index = 0; index < count; index++) out[begin + stride * index] = buffer[index] ?? 0;
    }
  });
  return out;
}

function eachLine(size: Point, work: (begin: number, stride: number, count: number) => void): void {
  const strides = [1, size[0], size[0] * size[1]] as const;
  for (const axis of [0, 1, 2] as const) {
    const [one, other] = axis === 0 ? ([1, 2] as const) : axis === 1 ? ([0, 2] as const) : ([0, 1] as const);
    for (let a = 0; a < size[one]; a++) {
      for (let b = 0; b < size[other]; b++) work(a * strides[one] + b * strides[other], strides[axis], size[axis]);
    }
  }
}

// What lies above the level inside the ball that fits the box: the largest pieces with 95 % of the density there.
export function coreOf(density: Float32Array, { size }: Grid, level: number): Uint8Array {
  const [nx, ny, nz] = size;
  const label = new Int32Array(density.length);
  const queue = new Int32Array(density.length);
  const isIn = (index: number): boolean => (density[index] ?? 0) > level && insideBall(index, size);
  const mass: number[] = [0];
  for (let seed = 0; seed < density.length; seed++) {
    if (label[seed] || !isIn(seed)) continue;
    const piece = mass.length;
    let [head, tail, sum] = [0, 0, 0];
    queue[tail++] = seed;
    label[seed] = piece;
    while (head < tail) {
      const index = queue[head++] ?? 0;
      sum += density[index] ?? 0;
      const x = index % nx;
      const y = Math.floor(index / nx) % ny;
      const z = Math.floor(index / (nx * ny));
      const neighbors = [x > 0 ? index - 1 : -1, x < nx - 1 ? index + 1 : -1, y > 0 ? index - nx : -1, y < ny - 1 ? index + nx : -1, z > 0 ? index - nx * ny : -1, z < nz - 1 ? index + nx * ny : -1];
      for (const next of neighbors) {
        if (next < 0 || label[next] || !isIn(next)) continue;
        label[next] = piece;
        queue[tail++] = next;
      }
    }
    mass.push(sum);
  }
  const order = mass.map((_sum, piece) => piece).slice(1).sort((a, b) => (mass[b] ?? 0) - (mass[a] ?? 0));
  const total = mass.reduce((sum, one) => sum + one, 0);
  const kept = new Uint8Array(mass.length);
  let before = 0;
  for (const piece of order) {
    kept[piece] = before < KEPT_MASS * total ? 1 : 0;
    before += mass[piece] ?? 0;
  }
  const core = new Uint8Array(density.length);
  for (let index = 0; index < core.length; index++) core[index] = kept[label[index] ?? 0] ?? 0;
  return core;
}

function insideBall(index: number, [nx, ny, nz]: Point): boolean {
  const x = (index % nx) - (nx >> 1);
  const y = (Math.floor(index / nx) % ny) - (ny >> 1);
  const z = Math.floor(index / (nx * ny)) - (nz >> 1);
  return x * x + y * y + z * z < (nx / 2) ** 2;
}

export function withSolid(core: Uint8Array, { size, pixelAngstrom }: Grid, solid: Solid): void {
  const axis = solid.kind === "cylinder" ? "xyz".indexOf(solid.axis) : -1;
  const half = (along: number): number => (along === axis ? (solid.length_angstrom ?? 0) / 2 : solid.radius_angstrom);
  const first = solid.center_xyz_angstrom.map((center, along) => Math.max(0, Math.ceil((center - half(along)) / pixelAngstrom - 1e-6))) as Point;
  const last = solid.center_xyz_angstrom.map((center, along) => Math.min((size[along] ?? 1) - 1, Math.floor((center + half(along)) / pixelAngstrom + 1e-6))) as Point;
  for (let z = first[2]; z <= last[2]; z++) {
    for (let y = first[1]; y <= last[1]; y++) {
      for (let x = first[0]; x <= last[0]; x++) {
        const away = [x, y, z].map((place, along) => (along === axis ? 0 : place * pixelAngstrom - (solid.center_xyz_angstrom[along] ?? 0)));
        if (Math.hypot(...away) <= solid.radius_angstrom * (1 + 1e-9)) core[(z * size[1] + y) * size[0] + x] = solid.adds ? 1 : 0;
      }
    }
  }
}

// 1 up to the extension from the core, then a raised cosine; as bytes, 255 for 1.
export function softened(core: Uint8Array, { size, pixelAngstrom }: Grid, extensionAngstrom: number, edgeAngstrom: number): Uint8Array {
  const squared = new Float32Array(core.length);
  for (let index = 0; index < core.length; index++) squared[index] = core[index] ? 0 : FAR;
  const longest = Math.max(...size);
  const line = new Float64Array(longest);
  const parabolas = new Int32Array(longest);
  const borders = new Float64Array(longest + 1);
  eachLine(size, (begin, stride, count) => distancesAlong(squared, begin, stride, count, line, parabolas, borders));
  const soft = new Uint8Array(core.length);
  for (let index = 0; index < soft.length; index++) {
    const away = Math.sqrt(squared[index] ?? 0) * pixelAngstrom;
    const ramp = Math.max(0, Math.min(1, (away - extensionAngstrom) / edgeAngstrom));
    soft[index] = Math.round(255 * (0.5 + 0.5 * Math.cos(Math.PI * ramp)));
  }
  return soft;
}

// The lower envelope of parabolas (Felzenszwalb and Huttenlocher 2012), along one line.
function distancesAlong(squared: Float32Array, begin: number, stride: number, count: number, line: Float64Array, parabolas: Int32Array, borders: Float64Array): void {
  for (let index = 0; index < count; index++) line[index] = squared[begin + stride * index] ?? 0;
  const meet = (a: number, b: number): number => ((line[b] ?? 0) + b * b - (line[a] ?? 0) - a * a) / (2 * (b - a));
  let last = 0;
  parabolas[0] = 0;
  borders[0] = -Infinity;
  borders[1] = Infinity;
  for (let index = 1; index < count; index++) {
    let border = meet(parabolas[last] ?? 0, index);
    while (border <= (borders[last] ?? 0)) border = meet(parabolas[--last] ?? 0, index);
    parabolas[++last] = index;
    borders[last] = border;
    borders[last + 1] = Infinity;
  }
  let at = 0;
  for (let index = 0; index < count; index++) {
    while ((borders[at + 1] ?? Infinity) < index) at++;
    const nearest = parabolas[at] ?? 0;
    squared[begin + stride * index] = (index - nearest) ** 2 + (line[nearest] ?? 0);
  }
}
