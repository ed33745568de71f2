// On every page: htmx, its event-stream extension, and nothing of our own that a page could not do without.
import htmx from "htmx.org";
import { keepFresh, pollWhenStreamsFail } from "./live";
import { letKeysScroll } from "./scroll";

htmx.config.allowEval = false;
htmx.config.includeIndicatorStyles = false;
htmx.config.selfRequestsOnly = true;
htmx.config.historyCacheSize = 0;
(window as unknown as { htmx: typeof htmx }).htmx = htmx;
await import("htmx-ext-sse");
pollWhenStreamsFail(htmx);
keepFresh(htmx);
letKeysScroll();
