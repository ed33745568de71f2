import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

CHECKS = Path(__file__).parents[2] / "checks"
spec = importlib.util.spec_from_file_location("one_door", CHECKS / "one_door.py")
one_door = importlib.util.module_from_spec(spec)
sys.modules["one_door"] = one_door
spec.loader.exec_module(one_door)


@pytest.mark.parametrize(("source", "expected"), [
    ("Project.unscoped.all()", ["unscoped"]),
    ("models.Project.unscoped", ["unscoped"]),
    ("Project._base_manager.all()", ["unscoped"]),
    ("unscoped = models.Manager()", []),
    ("from datetime import datetime\ndatetime.now(UTC)", ["clock"]),
    ("import time\ntime.time()", ["clock"]),
    ("from time import time", ["clock"]),
    ("from django.utils import timezone\ntimezone.now()", ["clock"]),
    ("from django.utils.timezone import now", ["clock"]),
    ("from django.db.models.functions import Now\nrows.update(at=Now())", ["clock"]),
    ("functions.Now()", ["clock"]),
    ('cursor.execute("SELECT CURRENT_TIMESTAMP")', ["clock"]),
    ("models.DateTimeField(auto_now_add=True)", ["clock"]),
    ("import time\ntime.monotonic()", []),
    ("from cryocloud.web.core.clock import now\nnow()", []),
    ("from django.utils.safestring import mark_safe", ["safe"]),
    ("SafeString(text)", ["safe"]),
    ("from django.utils.html import format_html", []),
    ("from django.views.decorators.csrf import csrf_exempt", ["csrf"]),
])  # fmt: skip
def test_rules_for_sources(source: str, expected: list[str]) -> None:
    assert [breach.rule for breach in one_door.breaches_in_source(source, "a.py")] == expected


@pytest.mark.parametrize(("text", "expected"), [
    ("{{ name|safe }}", ["safe"]),
    ("{{ names | safeseq }}", ["safe"]),
    ("{% autoescape off %}", ["safe"]),
    ("{{ name|escape }}", []),
    ("<script>alert(1)</script>", ["inline"]),
    ('<script type="module" src="{% static \'islands/page.js\' %}"></script>', []),
    ('<script type="application/json">{"ids": {}}</script>', []),
    ('<p style="color: red">', ["inline"]),
    ("<style>p {}</style>", ["inline"]),
    ('<button onclick="go()">', ["inline"]),
    ('<a href="javascript:go()">', ["inline"]),
    ('<button hx-on="x" data-on="y">', []),
    ('<link rel="stylesheet" href="/static/a.css">', []),
    ('<script src="https://cdn.example/x.js"></script>', ["foreign"]),
    ('<img src="//tracker.example/x.gif">', ["foreign"]),
    ('<a href="https://www.example.org/">', []),
])  # fmt: skip
def test_rules_for_templates(text: str, expected: list[str]) -> None:
    assert [breach.rule for breach in one_door.breaches_in_template(text, "a.html")] == expected


def test_command_names_line_rule_and_remedy(tmp_path: Path) -> None:
    (tmp_path / "views.py").write_text("\n\nProject.unscoped.get(pk=1)\n")
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "page.html").write_text("<p>\n{{ notes|safe }}\n")
    run = subprocess.run(
        [sys.executable, CHECKS / "one_door.py", tmp_path], capture_output=True, text=True, check=False
    )
    assert run.returncode == 1
    assert "views.py:3: unscoped: tenant rows are reached through organizations.access" in run.stdout
    assert "templates/page.html:2: safe" in run.stdout
