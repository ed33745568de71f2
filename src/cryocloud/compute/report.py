"""``report.html`` of a workflow: one self-contained page, warnings first, then numbers and plots by job."""

from __future__ import annotations

import base64
import csv
import struct
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from typing import Any

from cryocloud.catalog import load_job_type
from cryocloud.catalog.metrics import Spoken, spoken_number
from cryocloud.catalog.units import value_words
from cryocloud.compute.files import read_json, write_text

STYLE = Path(__file__).with_name("report.css")
MEDIA_TYPES = {".png": "image/png", ".svg": "image/svg+xml"}
EXCEPTIONS_SHOWN = 12
ROW_SHOWN = 4
ROW_EMBEDDED = 8
WIDE_ASPECT = 1.7


def write_report(out: Path, title: str, record: Mapping[str, Any], folders: Iterable[Path]) -> None:
    """Write the page for the jobs in ``folders``; ``record`` is the content of ``decisions.json``."""
    steps = [_Step(folder) for folder in folders]
    body = [
        f"<header><h1>{escape(title)}</h1><p>{escape(_state(record, steps))}</p></header>",
        _warnings(record["warnings"], steps),
        _key_numbers(record["key_numbers"], steps),
        *_sections(record, steps),
        f"<footer>CryoCloud {escape(_versions(steps))} · files in {escape(str(out))}</footer>",
    ]
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE.read_text(encoding='utf-8')}</style></head>"
        f"<body><main>{''.join(body)}</main></body></html>\n"
    )
    write_text(out / "report.html", page)


class _Step:
    """The records of one job, as far as it got."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        record = folder / "job.json"
        self.job: dict[str, Any] | None = read_json(record) if record.exists() else None
        metrics = folder / "metrics.json"
        self.metrics: dict[str, Any] = read_json(metrics) if metrics.exists() else {}

    @property
    def title(self) -> str:
        return load_job_type(self.folder.name.split("_", 1)[1]).title

    def exceptions(self) -> list[list[str]]:
        path = self.folder / "exceptions.csv"
        if not path.exists():
            return []
        with path.open(encoding="utf-8", newline="") as table:
            return list(csv.reader(table))[1:]

    def plots(self) -> list[Path]:
        """One picture for each name; PNG where both forms exist."""
        found: dict[str, Path] = {}
        for path in sorted((self.folder / "plots").glob("*"), key=lambda p: (p.stem, p.suffix)):
            if path.suffix in MEDIA_TYPES:
                found.setdefault(path.stem, path)
        return list(found.values())


def _sections(record: Mapping[str, Any], steps: list[_Step]) -> list[str]:
    """The result of a finished workflow comes first."""
    sections = {step.folder.name: _section(step, record) for step in steps}
    if not record["finished"]:
        return list(sections.values())
    conclusions = [decision for decision in record["decisions"] if not decision["job"]]
    evidence = _decisions("Conclusion", conclusions)
    result = sections.pop(record["result"])
    return [f"<section>{evidence}</section>", result, "<h2>How it came about</h2>", *sections.values()]


def _state(record: Mapping[str, Any], steps: list[_Step]) -> str:
    finished = [step for step in steps if step.job]
    if not record["finished"]:
        return f"Not finished: {len(finished)} jobs done so far. Run the same command again to go on."
    ended = finished[-1].job["finished_at"].replace("T", " ").removesuffix("Z") if finished[-1].job else ""
    return f"Finished on {ended} UTC, {len(finished)} jobs"


def _warnings(warnings: list[str], steps: list[_Step]) -> str:
    bad = sum(len(step.exceptions()) for step in steps)
    texts = [f"<strong>{escape(text)}</strong>" for text in warnings]
    if bad:
        texts.append(
            f"{bad} item{'s were' if bad > 1 else ' was'} set aside; each is listed with its reason below."
        )
    return "".join(f'<p class="warning" role="alert">{text}</p>' for text in texts)


def _key_numbers(numbers: Mapping[str, float], steps: list[_Step]) -> str:
    cpu_s = sum(step.job["cpu_s"] for step in steps if step.job)
    wall_s = sum(step.job["wall_s"] for step in steps if step.job)
    cards = [spoken_number(name, value) for name, value in numbers.items()]
    cards += [Spoken("cpu_s", "CPU time", _duration(cpu_s)), Spoken("wall_s", "wall time", _duration(wall_s))]
    return _definitions("cards", cards)


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _section(step: _Step, record: Mapping[str, Any]) -> str:
    own = [decision for decision in record["decisions"] if decision["job"] == step.folder.name]
    mark = record["marks"].get(step.folder.name, "")
    job = step.job
    cost = "not finished"
    if job:
        cost = f"{_duration(job['wall_s'])}, CPU {_duration(job['cpu_s'])}, {job['device']}"
    numbers = [spoken_number(name, value) for name, value in step.metrics.items()]
    parts = [
        f'<section><h2><span class="number">{escape(step.folder.name[:3])}</span> {escape(step.title)}'
        f"{f' <strong>{escape(mark)}</strong>' if mark else ''} <small>{escape(cost)}</small></h2>",
        _definitions("numbers", numbers),
        _plots(step.plots()),
        _exceptions(step.exceptions()),
        _decisions("Decisions", own),
        "</section>",
    ]
    return "".join(parts)


def _definitions(kind: str, numbers: list[Spoken]) -> str:
    items = "".join(
        f'<div><dt title="{escape(one.help)}">{escape(one.label)}</dt><dd>{escape(one.text)}</dd></div>'
        for one in numbers
    )
    return f'<dl class="{kind}">{items}</dl>' if items else ""


def _plots(plots: list[Path]) -> str:
    """Pictures of the whole job, then one of each row of pictures by item, the others folded away."""
    rows: dict[str, list[Path]] = {}
    for plot in plots:
        by_item = any(character.isdigit() for character in plot.stem)
        rows.setdefault(plot.stem.split("_")[0] + "_" if by_item else plot.stem, []).append(plot)
    shown = [plot for row in rows.values() for plot in (row if len(row) <= ROW_SHOWN else row[:1])]
    parts = [f'<div class="plots">{"".join(map(_figure, shown))}</div>' if shown else ""]
    for row in rows.values():
        if len(row) > ROW_SHOWN:
            folded = "".join(map(_figure, row[1:ROW_EMBEDDED]))
            more = len(row) - ROW_EMBEDDED
            rest = f"<p>{more} more in {escape(str(row[0].parent))}</p>" if more > 0 else ""
            title = f"{len(row[1:ROW_EMBEDDED])} more of these"
            parts.append(
                f'<details><summary>{title}</summary><div class="plots">{folded}</div>{rest}</details>'
            )
    return "".join(parts)


def _figure(plot: Path) -> str:
    name = escape(plot.stem.replace("_", " "))
    content = plot.read_bytes()
    source = f"data:{MEDIA_TYPES[plot.suffix]};base64,{base64.b64encode(content).decode()}"
    wide = ' class="wide"' if _aspect(plot.suffix, content) > WIDE_ASPECT else ""
    return f'<figure{wide}><img src="{source}" alt="{name}" loading="lazy"><figcaption>{name}</figcaption></figure>'


def _aspect(suffix: str, content: bytes) -> float:
    """Width over height of a PNG, from its header."""
    if suffix != ".png":
        return 1.0
    width, height = struct.unpack(">II", content[16:24])
    return float(width / height)


def _exceptions(rows: list[list[str]]) -> str:
    if not rows:
        return ""
    lines = "".join(
        f"<li><code>{escape(row[0])}</code> {escape(row[1])}</li>" for row in rows[:EXCEPTIONS_SHOWN]
    )
    more = len(rows) - EXCEPTIONS_SHOWN
    rest = f"<li>and {more} more in exceptions.csv</li>" if more > 0 else ""
    return f'<h3>Set aside</h3><ul class="exceptions">{lines}{rest}</ul>'


def _decisions(title: str, decisions: list[dict[str, Any]]) -> str:
    if not decisions:
        return ""
    rows = "".join(
        f"<tr><th>{escape(str(d['what']))}</th><td>{escape(value_words(d['value']))}</td><td>{escape(d['why'])}"
        f"{_evidence(d['evidence'])}</td></tr>"
        for d in decisions
    )
    return f'<h3>{title}</h3><div class="scroll"><table>{rows}</table></div>'


def _evidence(evidence: Mapping[str, Any]) -> str:
    spoken = (spoken_number(name, value) for name, value in evidence.items())
    text = ", ".join(f"{one.label} {one.text}" for one in spoken)
    return f" <small>({escape(text)})</small>" if text else ""


def _versions(steps: list[_Step]) -> str:
    return ", ".join(sorted({step.job["engine_version"] for step in steps if step.job}))
