// Plain form controls with their labels, made in script because they do nothing without it.
let made = 0;

export function element<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  className = "",
  ...content: (Node | string)[]
): HTMLElementTagNameMap[Tag] {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.append(...content);
  return node;
}

export interface Slider {
  element: HTMLElement;
  input: HTMLInputElement;
  show(value: number): void;
}

export function slider(
  label: string,
  range: { min: number; max: number; step: number; value: number },
  format: (value: number) => string,
  changed: (value: number) => void,
): Slider {
  const input = element("input");
  input.type = "range";
  input.id = `slider-${++made}`;
  const value = element("output");
  const name = element("label", "", label);
  name.htmlFor = value.htmlFor.value = input.id;
  const show = (to: number): void => {
    input.value = String(to);
    value.textContent = format(to);
    input.setAttribute("aria-valuetext", format(to));
  };
  input.min = String(range.min);
  input.max = String(range.max);
  input.step = String(range.step);
  show(range.value);
  input.addEventListener("input", () => {
    show(input.valueAsNumber);
    changed(input.valueAsNumber);
  });
  return { element: element("div", "slider", element("span", "", name, value), input), input, show };
}

export function toggle(label: string, on: boolean, changed: (on: boolean) => void): HTMLLabelElement {
  const input = element("input");
  input.type = "checkbox";
  input.checked = on;
  input.addEventListener("change", () => changed(input.checked));
  return element("label", "switch", input, element("span", "", label));
}

export function choice(
  label: string,
  options: [string, string][],
  changed: (value: string) => void,
): { element: HTMLElement; select: HTMLSelectElement } {
  const select = element("select");
  select.id = `choice-${++made}`;
  for (const [value, text] of options) select.add(new Option(text, value));
  select.addEventListener("change", () => changed(select.value));
  const name = element("label", "small", label);
  name.htmlFor = select.id;
  return { element: element("div", "slider grow", name, select), select };
}

export function button(label: string, pressed: () => void, className = "compact"): HTMLButtonElement {
  const node = element("button", className, label);
  node.type = "button";
  node.addEventListener("click", pressed);
  return node;
}

export function group(legend: string, ...content: (Node | string)[]): HTMLFieldSetElement {
  return element("fieldset", "", element("legend", "", legend), ...content);
}

export function context2d(canvas: HTMLCanvasElement, readOften = false): CanvasRenderingContext2D {
  const context = canvas.getContext("2d", { willReadFrequently: readOften });
  if (!context) throw new Error("this browser draws no canvas");
  return context;
}

export function color(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

export function whenColorsChange(redraw: () => void): void {
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
}
