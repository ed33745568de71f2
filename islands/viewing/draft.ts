// Edits by hand, saved on the server as they are made. What cannot be saved stays here and is tried again.
import { button, element } from "./controls";

export type Setting = number | string | boolean | null;
export interface Content<Edits> {
  edits: Edits;
  settings: Record<string, Setting>;
}
interface Told<Edits> {
  version: number;
  content: Partial<Content<Edits>>;
  csrf?: string;
  message?: string;
  url?: string;
}

const QUIET_MS = 700;
const BETWEEN_SAVES_MS = 2500;
const RETRY_MS = 5000;
const LOGGED_OUT = "Not saved: you are logged out here. What you did stays on this page and is saved when you have logged in.";

export class Draft<Edits> {
  readonly said = element("p", "caption");
  private version = 0;
  private csrf = "";
  private isDirty = false;
  private saving: Promise<void> | null = null;
  private isStale = false;
  private savedAt = 0;
  private timer: number | undefined;

  private constructor(
    private readonly address: string,
    private readonly current: () => Content<Edits>,
    private readonly replace: (content: Partial<Content<Edits>>) => void,
  ) {
    this.said.setAttribute("role", "status");
    window.addEventListener("beforeunload", (event) => {
      if (!this.isDirty) return;
      void this.save();
      event.preventDefault();
    });
    document.addEventListener("visibilitychange", () => {
      if (document.hidden && this.isDirty) void this.save();
    });
    window.addEventListener("focus", () => {
      if (this.isDirty) this.schedule(0);
    });
  }

  // Opens what was saved before; ``replace`` is called with it, if there is something.
  static async open<Edits>(
    address: string,
    current: () => Content<Edits>,
    replace: (content: Partial<Content<Edits>>) => void,
  ): Promise<Draft<Edits>> {
    const draft = new Draft(address, current, replace);
    const told = await draft.ask();
    if (!told) throw new Error("the server did not answer for your edits; reload the page");
    draft.take(told);
    return draft;
  }

  changed(): void {
    this.isDirty = true;
    if (this.isStale) return;
    this.say("Saving…");
    this.schedule(Math.max(QUIET_MS, this.savedAt + BETWEEN_SAVES_MS - Date.now()));
  }

  // A job of all this; its page opens.
  async use(parameters: Record<string, Setting>, file = ""): Promise<Record<string, string>> {
    while (this.saving) await this.saving;
    if (this.isDirty) await this.save();
    if (this.isDirty) return {};
    const response = await this.post(`${this.address}use/`, { parameters, file });
    const told = response && ((await response.json()) as { url?: string; message?: string; fields?: Record<string, string> });
    if (told?.url) location.assign(told.url);
    else this.say(told?.message ?? "The server did not answer. Nothing is lost: try again.", "error");
    return told?.fields ?? {};
  }

  private schedule(wait: number): void {
    window.clearTimeout(this.timer);
    this.timer = window.setTimeout(() => void this.save(), wait);
  }

  // One at a time, since each goes by the version that the one before it made.
  private save(): Promise<void> {
    if (this.isStale) return Promise.resolve();
    this.saving ??= this.send().finally(() => (this.saving = null));
    return this.saving;
  }

  private async send(): Promise<void> {
    window.clearTimeout(this.timer);
    this.isDirty = false;
    const response = await this.post(this.address, { version: this.version, content: this.current() });
    this.savedAt = Date.now();
    if (!response) return this.retry();
    const told = (await response.json()) as Told<Edits>;
    if (response.ok) {
      this.version = told.version;
      this.say(this.isDirty ? "Saving…" : "All changes are saved.");
      if (this.isDirty) this.changed();
      return;
    }
    this.isDirty = true;
    if (response.status === 409 && told.content) this.askWhich(told);
    else this.say(`Not saved: ${told.message ?? response.status}`, "error");
  }

  private async retry(): Promise<void> {
    this.isDirty = true;
    // The token for saving changes at each log-in.
    const told = await this.ask();
    if (told) this.schedule(QUIET_MS);
    else this.schedule(RETRY_MS);
  }

  private askWhich(told: Told<Edits>): void {
    this.isStale = true;
    const choose = (act: () => void): (() => void) => () => {
      this.isStale = false;
      this.version = told.version;
      act();
    };
    this.say(`${told.message ?? ""} `, "error");
    this.said.append(
      button("Load what was saved there", choose(() => this.take(told))),
      " ",
      button("Keep what is here", choose(() => void this.save())),
    );
  }

  private take(told: Told<Edits>): void {
    this.version = told.version;
    this.isDirty = false;
    if (told.version) this.replace(told.content);
    this.say(told.version ? "All changes are saved." : "");
  }

  private async ask(): Promise<Told<Edits> | null> {
    const response = await this.fetched(this.address, { headers: { Accept: "application/json" } });
    if (!response) return null;
    const told = (await response.json()) as Told<Edits>;
    this.csrf = told.csrf ?? this.csrf;
    return told;
  }

  private post(address: string, content: unknown): Promise<Response | null> {
    const body = JSON.stringify(content);
    return this.fetched(address, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-CSRFToken": this.csrf },
      body,
      // Browsers let only small requests outlive their page.
      keepalive: body.length < 60_000,
    });
  }

  // An answer in JSON; null, and said so, where a log-in page or nothing came.
  private async fetched(address: string, options: RequestInit): Promise<Response | null> {
    try {
      const response = await fetch(address, options);
      if (response.headers.get("Content-Type")?.startsWith("application/json")) return response;
      if (response.redirected) this.sayLoggedOut();
      else if (response.status !== 403) this.say(`Not saved: the server answered ${response.status}. It is tried again.`, "error");
    } catch {
      this.say("Not saved: no connection. It is tried again; what you did stays on this page.", "error");
    }
    return null;
  }

  private sayLoggedOut(): void {
    this.say(`${LOGGED_OUT} `, "error");
    const link = element("a", "", "Log in in another tab");
    link.href = "/accounts/login/";
    link.target = "_blank";
    this.said.append(link);
  }

  private say(text: string, kind = ""): void {
    this.said.className = kind ? `caption ${kind}` : "caption";
    this.said.textContent = text;
  }
}
