// Micrographs accepted and rejected while limits are dragged, single ones by hand; taken to a curation job.
import { button, element, whenColorsChange } from "../viewing/controls";
import { type Content, Draft, type Setting } from "../viewing/draft";
import { mount } from "../viewing/mount";
import { fetchIndex, fetchJson, type MicrographRow } from "../viewing/previews";
import { type Criterion, LimitChart, type Side } from "./limits";

interface Evidence {
  names: string[];
  criteria: Criterion[];
}
interface CurationEdits {
  accepted: string[];
  rejected: string[];
}
const SHOWN_AT_ONCE = 24;

class Curation {
  private readonly charts: LimitChart[];
  private readonly accepted = new Set<string>();
  private readonly rejected = new Set<string>();
  private readonly said = element("p", "strong counts");
  private readonly lists: Record<"rejected" | "accepted", HTMLElement> = {
    rejected: element("ul", "micrograph-cards"),
    accepted: element("ul", "micrograph-cards"),
  };
  private readonly more: Record<"rejected" | "accepted", HTMLButtonElement>;
  private readonly shown = { rejected: SHOWN_AT_ONCE, accepted: SHOWN_AT_ONCE };
  private readonly rejectedTitle = element("h2", "", "Rejected");
  private readonly complaint = element("p", "error");
  private readonly thumbs: Map<string, MicrographRow>;
  private readonly mayEdit: boolean;
  private draft!: Draft<CurationEdits>;
  private isDrawing = false;

  constructor(private readonly root: HTMLElement, private readonly evidence: Evidence, micrographs: MicrographRow[]) {
    this.thumbs = new Map(micrographs.map((row) => [row.name, row]));
    this.mayEdit = Boolean(root.dataset.draft);
    this.charts = evidence.criteria.map((criterion) => new LimitChart(criterion, () => this.changed()));
    this.more = { rejected: this.moreButton("rejected"), accepted: this.moreButton("accepted") };
    this.said.setAttribute("role", "status");
    this.suggest();
    const details = element("details", "", element("summary", "", "Accepted micrographs"), this.lists.accepted, this.more.accepted);
    details.addEventListener("toggle", () => this.redraw());
    this.details = details;
    const buttons = [
      button("Suggested limits", () => this.setAll((chart, side) => chart.criterion[side])),
      button("No limits", () => this.setAll(() => null)),
      button("Undo decisions by hand", () => this.forget()),
    ];
    this.actions.append(...buttons);
    const charts = element("div", "limit-grid", ...this.charts.map((chart) => chart.element));
    root.replaceChildren(this.said, this.actions, this.complaint, charts, this.rejectedTitle, this.lists.rejected, this.more.rejected, details);
    whenColorsChange(() => this.redraw());
  }

  private readonly details: HTMLDetailsElement;
  private readonly actions = element("div", "row");

  async open(): Promise<void> {
    if (this.mayEdit) {
      const current = (): Content<CurationEdits> => ({ edits: this.edits(), settings: this.settings() });
      this.draft = await Draft.open(this.root.dataset.draft ?? "", current, (content) => this.replace(content));
      this.actions.prepend(button("Curate with these limits", () => void this.use(), "primary"));
      this.actions.after(this.draft.said);
    }
    this.redraw();
  }

  private suggest(): void {
    for (const chart of this.charts) for (const side of chart.sides()) chart.set(side, chart.criterion[side]);
  }

  private setAll(value: (chart: LimitChart, side: Side) => number | null): void {
    for (const chart of this.charts) for (const side of chart.sides()) chart.set(side, value(chart, side));
    this.changed();
  }

  private forget(): void {
    this.accepted.clear();
    this.rejected.clear();
    this.changed();
  }

  private changed(): void {
    this.draft?.changed();
    this.redraw();
  }

  private redraw(): void {
    if (this.isDrawing) return;
    this.isDrawing = true;
    requestAnimationFrame(() => {
      this.isDrawing = false;
      this.draw();
    });
  }

  private reasons(row: number): string[] {
    const name = this.evidence.names[row] ?? "";
    if (this.accepted.has(name)) return [];
    if (this.rejected.has(name)) return ["rejected by hand"];
    return this.charts.map((chart) => chart.against(row)).filter(Boolean);
  }

  private draw(): void {
    const all = this.evidence.names.map((_name, row) => this.reasons(row));
    const bad = all.flatMap((reasons, row) => (reasons.length ? [row] : []));
    const good = all.flatMap((reasons, row) => (reasons.length ? [] : [row]));
    for (const chart of this.charts) chart.show((row) => !all[row]?.length);
    const share = all.length ? ` (${((100 * good.length) / all.length).toFixed(0)} %)` : "";
    const hand = this.accepted.size + this.rejected.size;
    const byHand = hand ? `, ${hand} of them by hand` : "";
    this.said.textContent = `${good.length.toLocaleString("en")} of ${all.length.toLocaleString("en")} micrographs accepted${share}, ${bad.length.toLocaleString("en")} rejected${byHand}.`;
    this.rejectedTitle.textContent = bad.length ? `Rejected: ${bad.length.toLocaleString("en")}` : "No micrograph is rejected";
    this.list("rejected", bad, (row) => all[row]?.join("; ") ?? "");
    this.details.querySelector("summary")?.replaceChildren(`Accepted: ${good.length.toLocaleString("en")}`);
    this.list("accepted", this.details.open ? good : [], (row) => (this.accepted.has(this.evidence.names[row] ?? "") ? "accepted by hand" : ""));
  }

  // Cards are kept while they stay, so that pictures do not flicker and the focus stays where it is.
  private list(kind: "rejected" | "accepted", rows: number[], reason: (row: number) => string): void {
    const kept = new Map([...this.lists[kind].querySelectorAll<HTMLElement>(":scope > li")].map((card) => [card.dataset.row, card]));
    const cards = rows.slice(0, this.shown[kind]).map((row) => {
      const card = kept.get(String(row)) ?? this.card(kind, row);
      const said = card.querySelector(".reason");
      if (said) said.textContent = reason(row);
      return card;
    });
    const isSame = cards.length === kept.size && cards.every((card, index) => this.lists[kind].children[index] === card);
    if (!isSame) this.lists[kind].replaceChildren(...cards);
    this.more[kind].hidden = rows.length <= this.shown[kind];
  }

  private card(kind: "rejected" | "accepted", row: number): HTMLElement {
    const name = this.evidence.names[row] ?? "";
    const thumb = this.thumbs.get(name)?.thumb;
    const card = element("li", "micrograph-card");
    card.dataset.row = String(row);
    if (thumb) {
      const picture = element("img");
      picture.src = `${this.root.dataset.previews ?? ""}${thumb}`;
      picture.alt = "";
      picture.loading = "lazy";
      card.append(picture);
    }
    card.append(element("span", "mono break", name), element("span", "reason"));
    if (this.mayEdit) {
      const label = kind === "rejected" ? "Accept" : "Reject";
      const decide = button(label, () => this.decide(name, kind === "rejected"));
      decide.setAttribute("aria-label", `${label} ${name}`);
      card.append(decide);
    }
    return card;
  }

  private decide(name: string, accepts: boolean): void {
    const [to, from] = accepts ? [this.accepted, this.rejected] : [this.rejected, this.accepted];
    const wasByHand = from.delete(name);
    const row = this.evidence.names.indexOf(name);
    // Taking back the opposite decision may be enough.
    if (!wasByHand || this.reasons(row).length > 0 === accepts) to.add(name);
    this.changed();
  }

  private moreButton(kind: "rejected" | "accepted"): HTMLButtonElement {
    return button("Show more", () => {
      this.shown[kind] += SHOWN_AT_ONCE;
      this.redraw();
    });
  }

  private edits(): CurationEdits {
    return { accepted: [...this.accepted], rejected: [...this.rejected] };
  }

  private settings(): Record<string, Setting> {
    const settings: Record<string, Setting> = {};
    for (const chart of this.charts) {
      for (const side of chart.sides()) settings[chart.criterion[`${side}_parameter`] ?? ""] = chart.limits[side];
    }
    return settings;
  }

  private replace(content: Partial<Content<CurationEdits>>): void {
    for (const [own, saved] of [[this.accepted, content.edits?.accepted], [this.rejected, content.edits?.rejected]] as const) {
      own.clear();
      for (const name of saved ?? []) own.add(name);
    }
    for (const chart of this.charts) {
      for (const side of chart.sides()) {
        const value = content.settings?.[chart.criterion[`${side}_parameter`] ?? ""];
        chart.set(side, typeof value === "number" ? value : null);
      }
    }
    this.redraw();
  }

  private async use(): Promise<void> {
    const fields = await this.draft.use({ limits: "given", ...this.settings() });
    this.complaint.textContent = Object.values(fields).join(" ");
  }
}

mount("curation", async (root) => {
  const { curation, micrographs } = await fetchIndex(root);
  if (!curation) throw new Error("there is nothing to judge these micrographs by");
  const evidence = await fetchJson<Evidence>(root, curation.file);
  await new Curation(root, evidence, micrographs?.shown ?? []).open();
});
