// What is wider or higher than its frame can be reached by the keyboard; what fits is no stop on the way.
const FRAMES = ".scroll, .graph, pre";

function judge(frame: HTMLElement): void {
  const overflows = frame.scrollWidth > frame.clientWidth || frame.scrollHeight > frame.clientHeight;
  if (overflows) frame.tabIndex = 0;
  else frame.removeAttribute("tabindex");
}

export function letKeysScroll(): void {
  const watched = new ResizeObserver((entries) => entries.forEach((entry) => judge(entry.target as HTMLElement)));
  const watch = (): void => {
    watched.disconnect();
    for (const frame of document.querySelectorAll<HTMLElement>(FRAMES)) watched.observe(frame);
  };
  watch();
  document.addEventListener("htmx:afterSettle", watch);
}
