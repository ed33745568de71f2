// Parts of a page with data-live fetch themselves again when an event arrives (hx-trigger="sse:job, poll").
// While the event stream is down they are asked to do so every 5 seconds.
import type htmxOf from "htmx.org";

const POLL_MS = 5000;

export function pollWhenStreamsFail(htmx: typeof htmxOf): void {
  let timer: number | undefined;
  const poll = (): void => {
    if (document.hidden) return;
    for (const part of document.querySelectorAll("[data-live]")) htmx.trigger(part, "poll");
  };
  document.body.addEventListener("htmx:sseError", () => {
    timer ??= window.setInterval(poll, POLL_MS);
  });
  document.body.addEventListener("htmx:sseOpen", () => {
    if (timer === undefined) return;
    window.clearInterval(timer);
    timer = undefined;
    poll();
  });
  document.addEventListener("visibilitychange", () => {
    if (timer !== undefined) poll();
  });
}
