// The graph is drawn by the server and works as links. Here a node that is pointed at or focused lights up what it was
// made from and what was made from it, and arrow keys walk along the links.
const RIGHT = "ArrowRight";
const LEFT = "ArrowLeft";

function edges(graph: Element): SVGPathElement[] {
  return [...graph.querySelectorAll<SVGPathElement>(".edge")];
}

function nodeOf(target: EventTarget | null): SVGAElement | null {
  return target instanceof Element ? target.closest<SVGAElement>("a[data-node]") : null;
}

function darken(graph: Element): void {
  graph.removeAttribute("data-lit");
  for (const lit of graph.querySelectorAll("[data-lit]")) lit.removeAttribute("data-lit");
}

function follow(graph: Element, start: string, from: "from" | "to", found: Set<string>): void {
  const to = from === "from" ? "to" : "from";
  const waiting = [start];
  for (let id = waiting.pop(); id !== undefined; id = waiting.pop()) {
    for (const edge of edges(graph)) {
      const next = edge.dataset[to];
      if (edge.dataset[from] !== id || next === undefined) continue;
      edge.setAttribute("data-lit", "");
      if (found.has(next)) continue;
      found.add(next);
      waiting.push(next);
    }
  }
}

function light(graph: Element, node: SVGAElement): void {
  darken(graph);
  const id = node.dataset["node"] ?? "";
  const found = new Set([id]);
  follow(graph, id, "from", found);
  follow(graph, id, "to", found);
  if (found.size < 2) return;
  graph.setAttribute("data-lit", "");
  for (const other of graph.querySelectorAll<SVGAElement>("a[data-node]")) {
    if (found.has(other.dataset["node"] ?? "")) other.setAttribute("data-lit", "");
  }
}

function walk(graph: Element, node: SVGAElement, key: string): void {
  const [here, there] = key === RIGHT ? (["from", "to"] as const) : (["to", "from"] as const);
  const edge = edges(graph).find((one) => one.dataset[here] === node.dataset["node"]);
  const next = edge?.dataset[there];
  if (next !== undefined) graph.querySelector<SVGAElement>(`a[data-node="${CSS.escape(next)}"]`)?.focus();
}

function mount(graph: HTMLElement): void {
  if (graph.dataset["mounted"] !== undefined) return;
  graph.dataset["mounted"] = "";
  graph.addEventListener("pointerover", (event) => {
    const node = nodeOf(event.target);
    if (node) light(graph, node);
  });
  graph.addEventListener("pointerleave", () => darken(graph));
  graph.addEventListener("focusin", (event) => {
    const node = nodeOf(event.target);
    if (node?.matches(":focus-visible")) light(graph, node);
  });
  graph.addEventListener("focusout", () => darken(graph));
  graph.addEventListener("keydown", (event) => {
    const node = nodeOf(event.target);
    if (!node || (event.key !== RIGHT && event.key !== LEFT)) return;
    event.preventDefault();
    walk(graph, node, event.key);
  });
}

function mountAll(): void {
  for (const graph of document.querySelectorAll<HTMLElement>('[data-island="job_graph"]')) mount(graph);
}

mountAll();
document.body.addEventListener("htmx:afterSwap", mountAll);
