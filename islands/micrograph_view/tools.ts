// Taps add, drags with the eraser erase; what two fingers do is moving and zooming.
import type { Stage } from "../viewing/pan_zoom";
import type { PickEditor, Place } from "./picking";

// A finger that moved less than this has tapped.
const TAP_PX = 7;

export interface Surface {
  // Whether picks can be edited on what the canvas shows.
  isUsable(): boolean;
  // The place on the micrograph that lies at a point of the canvas.
  placeOf(x: number, y: number): Place;
  // Where the pointer is, so that the eraser can be drawn there.
  pointed(place: Place | null): void;
}

export function listen(canvas: HTMLCanvasElement, stage: Stage, editor: PickEditor, surface: Surface): void {
  let from: Place | null = null;
  let isTap = false;
  const isErasing = (): boolean => editor.tool === "erase" && surface.isUsable();
  const erase = (event: PointerEvent): void => editor.eraseAt(...surface.placeOf(event.offsetX, event.offsetY));
  canvas.addEventListener("pointerdown", (event) => {
    stage.dragPans = !isErasing();
    const isFirst = stage.touches() === 1;
    if (!isFirst) editor.endStroke(false);
    from = isFirst && event.button === 0 ? [event.offsetX, event.offsetY] : null;
    isTap = from !== null;
    if (!from || !isErasing()) return;
    editor.beginStroke();
    erase(event);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (from && Math.hypot(event.offsetX - from[0], event.offsetY - from[1]) > TAP_PX) isTap = false;
    if (from && isErasing()) erase(event);
    if (isErasing()) surface.pointed([event.offsetX, event.offsetY]);
  });
  canvas.addEventListener("pointerup", (event) => {
    if (from && isErasing()) editor.endStroke(true);
    else if (from && isTap && editor.tool === "add" && surface.isUsable()) editor.tap(...surface.placeOf(event.offsetX, event.offsetY));
    from = null;
    surface.pointed(event.pointerType === "mouse" ? [event.offsetX, event.offsetY] : null);
  });
  for (const end of ["pointercancel", "pointerleave"] as const) {
    canvas.addEventListener(end, () => {
      if (from) editor.endStroke(false);
      from = null;
      surface.pointed(null);
    });
  }
  for (const change of ["focus", "blur"] as const) canvas.addEventListener(change, () => surface.pointed(null));
}
