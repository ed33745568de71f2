import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

CHECKS = Path(__file__).parents[2] / "checks"
spec = importlib.util.spec_from_file_location("size_limits", CHECKS / "size_limits.py")
size_limits = importlib.util.module_from_spec(spec)
sys.modules["size_limits"] = size_limits
spec.loader.exec_module(size_limits)


def limits(source: str, name: str = "src/a.py") -> list[str]:
    return [excess.limit for excess in size_limits.excesses_in(source, name)]


def function_of(lines: int) -> str:
    return "def f():\n" + "    x = 1\n" * (lines - 1)


@pytest.mark.parametrize(("source", "expected"), [
    (function_of(60), []),
    (function_of(61), ["length"]),
    ('def f():\n    """Text.\n' + "\n" * 70 + '    """\n' + "    # why\n" * 70 + "    return 1\n", []),
    ("def f(a, b, c, d, e, f, g): ...\n", []),
    ("def f(a, b, c, d, e, f, *, g, h): ...\n", ["parameters"]),
    ("class C:\n    def f(self, a, b, c, d, e, f, g): ...\n", []),
    ("def f(x):\n" + "    if x and x: pass\n" * 9, []),
    ("def f(x):\n" + "    if x: pass\n" * 10, ["complexity"]),
    ("def f(x):\n    def g():\n" + "        if x: pass\n" * 9 + "    if x: pass\n", []),
    ("x = 1\n" * 400, []),
    ("x = 1\n" * 401, ["lines"]),
])  # fmt: skip
def test_each_limit_holds_at_its_bound(source: str, expected: list[str]) -> None:
    assert limits(source) == expected


@pytest.mark.parametrize("name", ["src/utils.py", "src/common/base.py", "src/web/helpers.py"])
def test_names_without_a_noun_are_refused(name: str) -> None:
    assert limits("x = 1\n", name) == ["name"]


def test_command_reports_and_fails(tmp_path: Path) -> None:
    (tmp_path / "long.py").write_text(function_of(80))
    run = subprocess.run(
        [sys.executable, CHECKS / "size_limits.py", tmp_path], capture_output=True, text=True, check=False
    )
    assert run.returncode == 1
    assert "long.py::f: 80 code lines, at most 60" in run.stdout
