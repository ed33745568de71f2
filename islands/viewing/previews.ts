// What the platform prepared for the viewers: index.json and the files that it names.
export interface Slices {
  file: string;
  shape_zyx: [number, number, number];
  pixel_size_angstrom: number;
  low: number;
  high: number;
}
export interface DensityMap {
  name: string;
  title: string;
  file: string;
  true_pixel_size_angstrom: number;
  mean: number;
  deviation: number;
  minimum: number;
  maximum: number;
  level: number;
  slices: Slices;
}
export interface ClassRow {
  number: number;
  particles?: number;
  share?: number;
  resolution_angstrom?: number;
  score?: number;
  kept?: boolean;
  reason?: string;
}
export interface Chart {
  name: string;
  title: string;
  x: (number | null)[];
  x_kind: "frequency" | "squared_frequency" | "number";
  x_label: string;
  y_label: string;
  points?: boolean;
  thresholds?: number[];
  series: { name: string; y: (number | null)[] }[];
}
export interface MicrographRow {
  number: number;
  name: string;
  file: string;
  thumb?: string;
  picks: number;
}
export interface Scores {
  file: string;
  picks: number;
}
export interface Index {
  maps?: DensityMap[];
  turning?: { file: string; title: string; frames: number; tile_px: number };
  charts?: Chart[];
  classes?: { file: string; tile_px: number; columns: number; rows: ClassRow[] };
  orientations?: { heights: number; azimuths: number; particles: number; counts: number[]; most: number };
  micrographs?: { all: number; shown: MicrographRow[]; scores?: Scores };
  curation?: { file: string; micrographs: number };
}

async function answer(root: HTMLElement, file: string): Promise<Response> {
  const response = await fetch(`${root.dataset.previews ?? ""}${file}`);
  if (!response.ok) throw new Error(`the server answered ${response.status} for ${file}; reload the page`);
  return response;
}

export async function fetchIndex(root: HTMLElement): Promise<Index> {
  return (await (await answer(root, "index.json")).json()) as Index;
}

export async function fetchJson<Content>(root: HTMLElement, file: string): Promise<Content> {
  return (await (await answer(root, file)).json()) as Content;
}

export async function fetchBytes(root: HTMLElement, file: string): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await (await answer(root, file)).arrayBuffer());
}

export async function fetchImage(root: HTMLElement, file: string): Promise<ImageBitmap> {
  return createImageBitmap(await (await answer(root, file)).blob());
}
