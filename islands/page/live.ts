// Parts of a page with data-live fetch themselves again when an event arrives (hx-trigger="sse:job, poll").
// While the event stream is down they are asked to do so every 5 seconds.
import type htmxOf from "htmx.org";

const POLL_MS = 5000;
const FRESH_MS = 60_000;
const SETTLE_MS = 1500;

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

// Parts with data-fresh (the bell) do so once a minute while the page is looked at, and soon after an event has come.
export function keepFresh(htmx: typeof htmxOf): void {
  let soon: number | undefined;
  const ask = (): void => {
    soon = undefined;
    if (document.hidden) return;
    for (const part of document.querySelectorAll("[data-fresh]")) htmx.trigger(part, "poll");
  };
  window.setInterval(ask, FRESH_MS);
  document.addEventListener("visibilitychange", ask);
  document.body.addEventListener("htmx:sseMessage", () => {
    soon ??= window.setTimeout(ask, SETTLE_MS);
  });
}
