// The files to send, a few at a time. Each survives dropped connections, a restarted server and a closed page.
import { DetailedError, Upload } from "tus-js-client";
import type { Chosen } from "./files";

const AT_ONCE = 4;
const CHUNK_BYTES = 16 * 1024 * 1024;
// About half an hour of patience each time the bytes stop; then the person decides.
const RETRY_DELAYS_MS = [500, 1000, 2000, 5000, 10000, 20000, ...Array<number>(60).fill(30000)];
const PASSING = new Set([0, 408, 409, 423, 429, 460, 507]);

export type State = "waiting" | "sending" | "paused" | "done" | "present" | "failed";

export class Item {
  state: State = "waiting";
  sent = 0;
  problem = "";
  isWaitingForServer = false;
  private upload: Upload | null = null;

  constructor(
    readonly chosen: Chosen,
    private readonly queue: Queue,
  ) {}

  get size(): number {
    return this.chosen.file.size;
  }

  async send(): Promise<void> {
    this.state = "sending";
    this.problem = "";
    this.upload ??= this.makeUpload();
    if (this.upload.url === null) {
      const former = await this.upload.findPreviousUploads();
      if (former[0]) {
        this.upload.resumeFromPreviousUpload(former[0]);
      }
    }
    if ((this.state as State) === "sending") {
      this.upload.start();
    }
  }

  pause(): void {
    if (this.state === "sending" || this.state === "waiting") {
      this.state = "paused";
      void this.upload?.abort();
    }
  }

  async drop(): Promise<void> {
    await this.upload?.abort(true).catch(() => undefined);
  }

  private makeUpload(): Upload {
    const { file, path } = this.chosen;
    const name = `cryocloud:${this.queue.dataset}:${path}:${file.size}:${file.lastModified}`;
    return new Upload(file, {
      endpoint: this.queue.endpoint,
      chunkSize: CHUNK_BYTES,
      retryDelays: RETRY_DELAYS_MS,
      metadata: { dataset: this.queue.dataset, path },
      fingerprint: () => Promise.resolve(name),
      removeFingerprintOnSuccess: true,
      onShouldRetry: (error) => this.mayPass(error),
      onProgress: (sent) => {
        this.sent = sent;
        this.isWaitingForServer = false;
        this.queue.changed();
      },
      onSuccess: () => this.end("done", ""),
      onError: (error) => this.fail(error),
    });
  }

  private mayPass(error: DetailedError): boolean {
    const status = error.originalResponse?.getStatus() ?? 0;
    const isTaken = error.originalRequest.getMethod() === "POST" && status === 409 && !isBusy(error);
    const passes = status >= 500 || (PASSING.has(status) && !isTaken);
    this.isWaitingForServer = passes;
    this.queue.changed();
    return passes;
  }

  private fail(error: Error): void {
    const detail = error instanceof DetailedError ? error : null;
    const response = detail?.originalResponse ?? null;
    const message = response ? messageOf(response.getBody(), response.getStatus()) : lostMessage(detail, error);
    if (response?.getStatus() === 409 && message.includes("in this dataset already")) {
      this.end("present", "");
    } else {
      this.end("failed", message);
    }
  }

  private end(state: State, problem: string): void {
    this.state = state;
    this.problem = problem;
    this.isWaitingForServer = false;
    if (state === "done" || state === "present") {
      this.sent = this.size;
    }
    this.queue.ended();
  }
}

export class Queue {
  readonly items: Item[] = [];
  isPaused = false;
  private readonly byPath = new Map<string, Item>();

  constructor(
    readonly dataset: string,
    readonly endpoint: string,
    readonly changed: () => void,
  ) {}

  add(chosen: Chosen[]): void {
    for (const one of chosen) {
      const known = this.byPath.get(one.path);
      if (!known) {
        const item = new Item(one, this);
        this.byPath.set(one.path, item);
        this.items.push(item);
      } else if (known.state === "done" && known.size === one.file.size) {
        known.state = "present";
      }
    }
    this.fill();
  }

  pause(): void {
    this.isPaused = true;
    for (const item of this.items) {
      item.pause();
    }
    this.changed();
  }

  resume(): void {
    this.isPaused = false;
    this.retry("paused");
  }

  retry(state: State): void {
    for (const item of this.items.filter((one) => one.state === state)) {
      item.state = "waiting";
    }
    this.fill();
  }

  async remove(item: Item): Promise<void> {
    this.byPath.delete(item.chosen.path);
    this.items.splice(this.items.indexOf(item), 1);
    await item.drop();
    this.fill();
  }

  ended(): void {
    this.fill();
  }

  count(...states: State[]): number {
    return this.items.filter((item) => states.includes(item.state)).length;
  }

  private fill(): void {
    let free = this.isPaused ? 0 : AT_ONCE - this.count("sending");
    for (const item of this.items) {
      if (free <= 0) {
        break;
      }
      if (item.state === "waiting") {
        free -= 1;
        void item.send();
      }
    }
    this.changed();
  }
}

// An earlier connection that the server has not given up yet; half a minute later it has.
function isBusy(error: DetailedError): boolean {
  return (error.originalResponse?.getBody() ?? "").includes("at this moment");
}

function messageOf(body: string, status: number): string {
  try {
    return String((JSON.parse(body) as { error: string }).error);
  } catch {
    return `The server answered ${status}. Try again.`;
  }
}

function lostMessage(detail: DetailedError | null, error: Error): string {
  return detail
    ? "The server cannot be reached. What has arrived is kept; try again when the connection is back."
    : `The file cannot be read: ${error.message}. Choose it again.`;
}
