// The three slices through a point. Horizontal and vertical axis of each, and the axis it is moved along; x is 0.
export type Axis = 0 | 1 | 2;
export type Point = [number, number, number];
export interface Plane {
  readonly name: string;
  readonly across: Axis;
  readonly down: Axis;
  readonly along: Axis;
}
export const PLANES: readonly Plane[] = [
  { name: "along z", across: 0, down: 1, along: 2 },
  { name: "along y", across: 0, down: 2, along: 1 },
  { name: "along x", across: 1, down: 2, along: 0 },
];
export const AXES = "xyz";

// What a key does to the point on a canvas that shows a plane: an axis and a step.
export function keyStep(plane: Plane, key: string): [Axis, number] | undefined {
  const moves: Record<string, [Axis, number]> = {
    ArrowLeft: [plane.across, -1],
    ArrowRight: [plane.across, 1],
    ArrowUp: [plane.down, -1],
    ArrowDown: [plane.down, 1],
    PageUp: [plane.along, 1],
    PageDown: [plane.along, -1],
  };
  return moves[key];
}
