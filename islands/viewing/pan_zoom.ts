// Moving about on a canvas by mouse, touch and keyboard. The view says where the image lies in CSS pixels.
export interface View {
  scale: number;
  left: number;
  top: number;
}

export interface Stage {
  view: View;
  // Whether one finger, or the mouse, moves the image; two fingers always do.
  dragPans: boolean;
  // How many fingers are down.
  touches(): number;
  fit(): void;
  zoom(factor: number): void;
}

export function panAndZoom(
  canvas: HTMLCanvasElement,
  imageSize: () => [number, number],
  redraw: () => void,
): Stage {
  const view: View = { scale: 1, left: 0, top: 0 };
  const fingers = new Map<number, PointerEvent>();
  const stage: Stage = { view, dragPans: true, touches: () => fingers.size, fit: () => fit(), zoom: (factor) => zoom(factor) };
  const fit = (): void => {
    const [width, height] = imageSize();
    view.scale = Math.min(canvas.clientWidth / width, canvas.clientHeight / height);
    view.left = (canvas.clientWidth - width * view.scale) / 2;
    view.top = (canvas.clientHeight - height * view.scale) / 2;
    redraw();
  };
  const zoomAt = (factor: number, x: number, y: number): void => {
    const scale = Math.min(40, Math.max(0.02, view.scale * factor));
    view.left = x - ((x - view.left) * scale) / view.scale;
    view.top = y - ((y - view.top) * scale) / view.scale;
    view.scale = scale;
    redraw();
  };
  const zoom = (factor: number): void => zoomAt(factor, canvas.clientWidth / 2, canvas.clientHeight / 2);
  const pan = (x: number, y: number): void => {
    view.left += x;
    view.top += y;
    redraw();
  };
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoomAt(Math.exp(-event.deltaY / 400), event.offsetX, event.offsetY);
  });
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, event);
  });
  canvas.addEventListener("pointermove", (event) => {
    const before = fingers.get(event.pointerId);
    if (!before) return;
    const other = [...fingers.values()].find((finger) => finger.pointerId !== event.pointerId);
    if (other) {
      const distance = (one: PointerEvent): number => Math.hypot(one.offsetX - other.offsetX, one.offsetY - other.offsetY);
      zoomAt(distance(event) / Math.max(1, distance(before)), other.offsetX, other.offsetY);
    } else if (stage.dragPans) {
      pan(event.offsetX - before.offsetX, event.offsetY - before.offsetY);
    }
    fingers.set(event.pointerId, event);
  });
  for (const end of ["pointerup", "pointercancel"] as const) {
    canvas.addEventListener(end, (event) => fingers.delete(event.pointerId));
  }
  canvas.addEventListener("keydown", (event) => {
    const moves: Record<string, () => void> = {
      ArrowLeft: () => pan(40, 0),
      ArrowRight: () => pan(-40, 0),
      ArrowUp: () => pan(0, 40),
      ArrowDown: () => pan(0, -40),
      "+": () => zoom(1.25),
      "=": () => zoom(1.25),
      "-": () => zoom(0.8),
      "0": fit,
    };
    const move = moves[event.key];
    if (!move || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    move();
  });
  return stage;
}

export function sizeToScreen(canvas: HTMLCanvasElement): number {
  const ratio = window.devicePixelRatio || 1;
  const width = Math.round(canvas.clientWidth * ratio);
  const height = Math.round(canvas.clientHeight * ratio);
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  return ratio;
}
