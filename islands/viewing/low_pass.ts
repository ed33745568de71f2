// A Gaussian low-pass of a gray image: three box averages along each axis.
export function lowPassed(image: Float32Array, width: number, height: number, sigma: number): Float32Array {
  let from = image.slice();
  if (sigma < 0.3) return from;
  // Three boxes of width w have the variance (w^2 - 1) / 4.
  const reach = Math.max(1, Math.round((Math.sqrt(4 * sigma * sigma + 1) - 1) / 2));
  let to = new Float32Array(image.length);
  for (let pass = 0; pass < 3; pass++) {
    for (let y = 0; y < height; y++) boxAverage(from, to, y * width, 1, width, reach);
    for (let x = 0; x < width; x++) boxAverage(to, from, x, width, height, reach);
  }
  return from;
}

function boxAverage(
  from: Float32Array,
  to: Float32Array,
  begin: number,
  stride: number,
  count: number,
  reach: number,
): void {
  const at = (index: number): number => from[begin + stride * Math.min(count - 1, Math.max(0, index))] ?? 0;
  let sum = 0;
  for (let index = -reach; index <= reach; index++) sum += at(index);
  for (let index = 0; index < count; index++) {
    to[begin + stride * index] = sum / (2 * reach + 1);
    sum += at(index + reach + 1) - at(index - reach);
  }
}
