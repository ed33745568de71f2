// Upload of folders and many files. Replaces the plain form of the page, which works without script.
import { ofDrop, ofPicker, type Chosen } from "./files";
import { Pace, bytesText, durationText } from "./pace";
import { Queue, type Item, type State } from "./queue";

const ROWS_MAX = 60;
const DRAW_EVERY_MS = 200;
const SHOWN = new Set<State>(["sending", "failed", "present"]);

class Uploader {
  private readonly queue: Queue;
  private readonly pace = new Pace();
  private readonly rows = new Map<Item, Row>();
  private readonly parts = {
    zone: make("div", "dropzone"),
    answer: make("p", "notice warning"),
    panel: make("div", "stack"),
    summary: make("p", "strong"),
    pace: make("p", "help"),
    bar: make("progress", ""),
    controls: make("div", "row"),
    list: make("ul", "list uploads"),
    status: make("p", "visually-hidden"),
  };
  private readonly pauseButton = button("Pause", () => (this.queue.isPaused ? this.queue.resume() : this.queue.pause()));
  private readonly retryButton = button("Try failed files again", () => this.queue.retry("failed"));
  private isDrawing = false;
  private arrived = 0;

  constructor(private readonly root: HTMLElement) {
    this.queue = new Queue(root.dataset["dataset"] ?? "", root.dataset["endpoint"] ?? "", () => this.draw());
    root.querySelector("form")?.remove();
    const { zone, answer, panel, summary, pace, bar, controls, list, status } = this.parts;
    this.buildZone(zone);
    answer.setAttribute("role", "alert");
    answer.hidden = true;
    status.setAttribute("role", "status");
    bar.setAttribute("aria-label", "All files");
    controls.append(this.pauseButton, this.retryButton);
    panel.append(summary, bar, pace, controls, list);
    panel.hidden = true;
    root.append(zone, answer, panel, status);
    window.addEventListener("beforeunload", (event) => {
      if (this.queue.count("sending", "waiting") > 0) {
        event.preventDefault();
      }
    });
    window.addEventListener("online", () => this.queue.retry("failed"));
  }

  private buildZone(zone: HTMLElement): void {
    const folder = picker(true, (chosen) => this.take(chosen));
    const files = picker(false, (chosen) => this.take(chosen));
    const row = make("div", "row");
    row.append(
      button("Choose a folder", () => folder.click(), "primary"),
      button("Choose files", () => files.click()),
    );
    const text = make("p", "strong");
    text.textContent = "Drop a folder or files here";
    const help = make("p", "help");
    help.textContent =
      "MRC, MRCS, STAR and everything else, up to 1 TB a file. You may close the page at any time: choose the same folder " +
      "again later and the upload goes on where it stopped.";
    zone.append(text, row, help, folder, files);
    for (const kind of ["dragenter", "dragover"]) {
      zone.addEventListener(kind, (event) => {
        event.preventDefault();
        zone.dataset["over"] = "";
      });
    }
    zone.addEventListener("dragleave", () => delete zone.dataset["over"]);
    zone.addEventListener("drop", (event) => {
      event.preventDefault();
      delete zone.dataset["over"];
      if (event.dataTransfer) {
        ofDrop(event.dataTransfer).then(
          (chosen) => this.take(chosen),
          (error: unknown) => this.say(`What was dropped cannot be read: ${String(error)}. Choose it with the button.`),
        );
      }
    });
  }

  private take(chosen: Chosen[]): void {
    this.say(chosen.length === 0 ? "There is no file in what you chose: the folder is empty." : "");
    this.queue.add(chosen);
  }

  private say(words: string): void {
    this.parts.answer.textContent = words;
    this.parts.answer.hidden = words === "";
  }

  private draw(): void {
    if (!this.isDrawing) {
      this.isDrawing = true;
      setTimeout(() => {
        this.isDrawing = false;
        this.drawNow();
      }, DRAW_EVERY_MS);
    }
  }

  private drawNow(): void {
    const { items } = this.queue;
    const { panel, summary, bar, pace } = this.parts;
    panel.hidden = items.length === 0;
    const total = sum(items, (item) => item.size);
    const sent = sum(items, (item) => item.sent);
    const ended = this.queue.count("done", "present");
    const failed = this.queue.count("failed");
    const open = this.queue.count("sending", "waiting", "paused");
    bar.max = total || 1;
    bar.value = total ? sent : ended;
    summary.textContent =
      `${ended.toLocaleString("en")} of ${items.length.toLocaleString("en")} files, ` +
      `${bytesText(sent)} of ${bytesText(total)}${failed ? `, ${failed} failed` : ""}`;
    this.pace.note(sent);
    pace.textContent = this.paceText(total - sent, open);
    this.pauseButton.hidden = open === 0;
    this.pauseButton.textContent = this.queue.isPaused ? "Go on" : "Pause";
    this.retryButton.hidden = failed === 0;
    this.drawRows();
    this.tell(open, ended, failed);
  }

  private paceText(left: number, open: number): string {
    if (open === 0) {
      const present = this.queue.count("present");
      return present ? `${present.toLocaleString("en")} of them were here already and were not sent again.` : "";
    }
    if (this.queue.isPaused) {
      this.pace.forget();
      return "Paused. What has arrived is kept.";
    }
    const rate = this.pace.bytesPerSecond;
    return rate > 0 ? `${bytesText(rate)}/s, about ${durationText(left / rate)} left` : "Starting …";
  }

  private drawRows(): void {
    const shown = this.queue.items
      .filter((item) => SHOWN.has(item.state) || (item.state === "paused" && item.sent > 0))
      .sort((one, other) => Number(one.state === "present") - Number(other.state === "present"))
      .slice(0, ROWS_MAX);
    const wanted = new Set(shown);
    for (const [item, row] of this.rows) {
      if (!wanted.has(item)) {
        row.element.remove();
        this.rows.delete(item);
      }
    }
    for (const item of shown) {
      let row = this.rows.get(item);
      if (!row) {
        row = new Row(item, this.queue);
        this.rows.set(item, row);
        this.parts.list.append(row.element);
      }
      row.draw();
    }
  }

  private tell(open: number, ended: number, failed: number): void {
    if (ended > this.arrived) {
      this.arrived = ended;
      document.body.dispatchEvent(new CustomEvent("uploaded"));
    }
    const message =
      open > 0 ? "" : failed > 0 ? `${failed} files failed.` : ended > 0 ? `All files are here. ${this.paceText(0, 0)}` : "";
    if (this.parts.status.textContent !== message) {
      this.parts.status.textContent = message;
    }
  }
}

class Row {
  readonly element = make("li", "");
  private readonly bar = make("progress", "");
  private readonly text = make("span", "muted small nowrap");
  private readonly problem = make("p", "error");
  private readonly again: HTMLButtonElement;
  private readonly away: HTMLButtonElement;

  constructor(
    private readonly item: Item,
    queue: Queue,
  ) {
    const name = make("span", "break");
    name.textContent = item.chosen.path;
    this.bar.setAttribute("aria-label", item.chosen.path);
    this.bar.max = item.size || 1;
    this.again = button("Try again", () => {
      item.state = "waiting";
      queue.ended();
    }, "compact");
    this.away = button("Remove", () => void queue.remove(item), "quiet compact");
    this.away.setAttribute("aria-label", `Remove ${item.chosen.path}`);
    const head = make("div", "row spread");
    const side = make("span", "row");
    side.append(this.text, this.again, this.away);
    head.append(name, side);
    this.element.append(head, this.bar, this.problem);
  }

  draw(): void {
    const { item } = this;
    this.bar.value = item.sent;
    this.bar.hidden = item.state === "failed" || item.state === "present";
    this.away.hidden = item.state === "present";
    this.again.hidden = item.state !== "failed";
    this.problem.textContent = item.problem;
    this.problem.hidden = item.problem === "";
    if (item.state === "present") {
      this.text.textContent = `already here, ${bytesText(item.size)}`;
      return;
    }
    const waits = item.isWaitingForServer ? "waiting for the server, " : "";
    this.text.textContent = `${waits}${bytesText(item.sent)} of ${bytesText(item.size)}`;
  }
}

function make<Name extends keyof HTMLElementTagNameMap>(name: Name, classes: string): HTMLElementTagNameMap[Name] {
  const element = document.createElement(name);
  element.className = classes;
  return element;
}

function button(label: string, act: () => void, classes = ""): HTMLButtonElement {
  const element = make("button", classes);
  element.type = "button";
  element.textContent = label;
  element.addEventListener("click", act);
  return element;
}

function picker(isFolder: boolean, take: (chosen: Chosen[]) => void): HTMLInputElement {
  const input = make("input", "");
  input.type = "file";
  input.multiple = true;
  input.webkitdirectory = isFolder;
  input.hidden = true;
  input.setAttribute("aria-label", isFolder ? "Folder to upload" : "Files to upload");
  input.addEventListener("change", () => {
    take(ofPicker(input));
    input.value = "";
  });
  return input;
}

function sum<Thing>(things: Thing[], of: (thing: Thing) => number): number {
  return things.reduce((total, thing) => total + of(thing), 0);
}

for (const root of document.querySelectorAll<HTMLElement>('[data-island="uploader"]')) {
  new Uploader(root);
}
