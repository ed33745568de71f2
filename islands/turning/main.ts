// The map as it turns: prepared pictures side by side, of which one is shown. It turns once by itself, then by hand.
import { context2d, element, slider } from "../viewing/controls";
import { mount } from "../viewing/mount";
import { fetchImage, fetchIndex } from "../viewing/previews";

const TURN_MS = 6000;
const DEGREES_A_PIXEL = 1;

mount("turning", async (root) => {
  const turning = (await fetchIndex(root)).turning;
  if (!turning) throw new Error("there are no pictures of the map");
  const sheet = await fetchImage(root, turning.file);
  const { frames, tile_px: tile } = turning;
  const canvas = element("canvas");
  canvas.width = canvas.height = tile;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `${turning.title}, its surface seen from the side`);
  const context = context2d(canvas);
  let degrees = 0;
  const show = (to: number): void => {
    degrees = ((to % 360) + 360) % 360;
    const frame = Math.round((degrees / 360) * frames) % frames;
    context.clearRect(0, 0, tile, tile);
    context.drawImage(sheet, frame * tile, 0, tile, tile, 0, 0, tile, tile);
    turn.show(Math.round(degrees));
  };
  let isByHand = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const turn = slider("Turn", { min: 0, max: 360, step: 360 / frames, value: 0 }, (v) => `${v}°`, (v) => {
    isByHand = true;
    show(v);
  });
  canvas.addEventListener("pointerdown", (event) => {
    isByHand = true;
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (canvas.hasPointerCapture(event.pointerId)) show(degrees - DEGREES_A_PIXEL * event.movementX);
  });
  root.replaceChildren(canvas, turn.element);
  show(0);
  const begin = performance.now();
  const step = (time: number): void => {
    if (isByHand || !root.isConnected) return;
    const share = Math.min(1, Math.max(0, time - begin) / TURN_MS);
    show(360 * share);
    if (share < 1) requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
});
