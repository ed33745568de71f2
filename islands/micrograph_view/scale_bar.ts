// A bar of a round length in the lower left corner.
const LENGTHS_ANGSTROM = [50, 100, 200, 500, 1000, 2000, 5000, 10000];
const WANTED_CSS_PX = 120;

export function drawScaleBar(context: CanvasRenderingContext2D, ratio: number, angstromPerCssPixel: number, height: number): void {
  const length = [...LENGTHS_ANGSTROM].reverse().find((one) => one <= WANTED_CSS_PX * angstromPerCssPixel) ?? 50;
  const width = length / angstromPerCssPixel;
  const y = height - 18;
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.fillStyle = "rgb(0 0 0 / 65%)";
  context.fillRect(10, y - 24, Math.max(width, 50) + 16, 36);
  context.fillStyle = "#ffffff";
  context.fillRect(18, y, width, 4);
  context.font = "13px system-ui, sans-serif";
  context.fillText(length >= 1000 ? `${length / 10} nm` : `${length} Å`, 18, y - 7);
}
