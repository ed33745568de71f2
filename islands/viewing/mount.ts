// Starts an island in each place that asks for it; what goes wrong is said there instead of leaving a hole.
export function mount(name: string, start: (root: HTMLElement) => Promise<void>): void {
  for (const root of document.querySelectorAll<HTMLElement>(`[data-island="${name}"]`)) {
    if (root.dataset.started) continue;
    root.dataset.started = "yes";
    start(root).then(
      () => (root.dataset.ready = "yes"),
      (error: unknown) => fail(root, error),
    );
  }
}

export function fail(root: HTMLElement, error: unknown): void {
  console.error(error);
  const notice = document.createElement("p");
  notice.className = "notice warning";
  notice.setAttribute("role", "alert");
  notice.textContent = `This cannot be drawn: ${error instanceof Error ? error.message : String(error)}`;
  root.replaceChildren(notice);
  root.dataset.failed = "yes";
}
