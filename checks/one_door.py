"""House rules of the platform that keep tenants apart and pages safe: ``python checks/one_door.py [FOLDER]``.

Rows of tenants are reached through ``organizations.access``; ``unscoped`` stands only in the files that
``one_door_exceptions.toml`` lists with a reason. Nobody asks for the time but ``core/clock.py``. No text is declared
safe, no view is without CSRF protection, and templates hold no inline script, style or foreign address.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).parents[1]
WEB = ROOT / "src" / "cryocloud" / "web"
EXCEPTIONS = Path(__file__).with_name("one_door_exceptions.toml")

CLOCKS = {
    ("datetime", "now"), ("datetime", "utcnow"), ("datetime", "today"), ("date", "today"), ("timezone", "now"),
    ("time", "time"), ("time", "time_ns"), ("time", "gmtime"), ("time", "localtime"),
}  # fmt: skip
SQL_CLOCK = re.compile(r"\bCURRENT_(TIMESTAMP|TIME|DATE)\b")
AUTOMATIC_CLOCKS = {"auto_now", "auto_now_add"}
REMEDIES = {
    "unscoped": "tenant rows are reached through organizations.access; a service that was handed its objects by it, "
    "or the scheduler, may stand in checks/one_door_exceptions.toml",
    "clock": "ask cryocloud.web.core.clock.now()",
    "safe": "let the template escape it, or build it with format_html",
    "csrf": "no view is exempt from CSRF protection",
    "inline": "behavior is an island, looks are in static/css/cryocloud.css: the CSP refuses this",
    "foreign": "nothing is loaded from another host",
}
IN_TEMPLATES = {
    "safe": re.compile(r"\|\s*safe(seq)?\b|\{%\s*autoescape\s+off"),
    "inline": re.compile(
        r"<script(?![^>]*\s(?:src=|type=[\"']application/json))[^>]*>|<style\b|\sstyle\s*=|<[^>]*\son[a-z]+\s*=\s*[\"']|javascript:",
        re.IGNORECASE,
    ),
    "foreign": re.compile(
        r"<(script|link|img|iframe|source|video|audio|object|embed)\b[^>]*\s(src|href|data)=[\"']?\s*(https?:)?//",
        re.IGNORECASE,
    ),
}
SAFE_NAMES = {"mark_safe", "SafeText"}
CSRF_NAMES = {"csrf_exempt"}


@dataclass(frozen=True)
class Breach:
    """One line against one of the rules."""

    where: str
    line: int
    rule: str

    def __str__(self) -> str:
        return f"{self.where}:{self.line}: {self.rule}: {REMEDIES[self.rule]}"


def main(arguments: list[str]) -> int:
    folder = Path(arguments[0]).absolute() if arguments else WEB
    exceptions = tomllib.loads(EXCEPTIONS.read_text(encoding="utf-8"))["exception"]
    complaints, idle = [], list(exceptions)
    for breach in breaches_below(folder):
        reasons = [e for e in exceptions if e["rule"] == breach.rule and fnmatch(breach.where, e["where"])]
        idle = [exception for exception in idle if exception not in reasons]
        if not reasons:
            complaints.append(str(breach))
    if not arguments:
        complaints += [f"{e['where']}: its exception for {e['rule']} is not needed" for e in idle]
    print("\n".join([*complaints, f"one door: {len(complaints)} complaints"]))
    return 1 if complaints else 0


def breaches_below(folder: Path) -> Iterator[Breach]:
    """All breaches in the sources and templates of a folder; names are relative to it."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.suffix == ".py" and "migrations" not in path.parts:
            yield from breaches_in_source(path.read_text(encoding="utf-8"), name)
        elif path.suffix in (".html", ".svg") and "templates" in path.parts:
            yield from breaches_in_template(path.read_text(encoding="utf-8"), name)


def breaches_in_source(source: str, name: str) -> Iterator[Breach]:
    for node in ast.walk(ast.parse(source)):
        for rule in _rules_broken(node):
            yield Breach(name, getattr(node, "lineno", 1), rule)


def breaches_in_template(text: str, name: str) -> Iterator[Breach]:
    for rule, pattern in IN_TEMPLATES.items():
        for match in pattern.finditer(text):
            yield Breach(name, text.count("\n", 0, match.start()) + 1, rule)


def _rules_broken(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Attribute):
        if node.attr in ("unscoped", "with_trash", "_base_manager", "_default_manager"):
            yield "unscoped"
        if (_last_name(node.value), node.attr) in CLOCKS:
            yield "clock"
    if isinstance(node, ast.Call) and _last_name(node.func) == "SafeString":
        yield "safe"
    if _asks_the_database_for_the_time(node):
        yield "clock"
    if isinstance(node, ast.ImportFrom):
        yield from _rules_broken_by_import(node)


def _asks_the_database_for_the_time(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        return _last_name(node.func) == "Now" or bool({word.arg for word in node.keywords} & AUTOMATIC_CLOCKS)
    return (
        isinstance(node, ast.Constant) and isinstance(node.value, str) and bool(SQL_CLOCK.search(node.value))
    )


def _rules_broken_by_import(node: ast.ImportFrom) -> Iterator[str]:
    imported = {alias.name for alias in node.names}
    if imported & SAFE_NAMES:
        yield "safe"
    if imported & CSRF_NAMES:
        yield "csrf"
    if any((_module_word(node), name) in CLOCKS for name in imported - {"timezone"}):
        yield "clock"


def _last_name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _module_word(node: ast.ImportFrom) -> str:
    return (node.module or "").rpartition(".")[2]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
