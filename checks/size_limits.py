"""Size budget of the sources: ``python checks/size_limits.py [FOLDER ...]``.

Hard limits: 60 code lines a function, 400 lines a file, 7 parameters, complexity 10. Exceptions stand
in ``size_limits_exceptions.toml`` with a reason; one that is no longer needed is a complaint too.
"""

from __future__ import annotations

import ast
import io
import sys
import tokenize
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from itertools import chain
from pathlib import Path

ROOT = Path(__file__).parents[1]
EXCEPTIONS = Path(__file__).with_name("size_limits_exceptions.toml")
FOLDERS = ("src", "checks", "benchmarks", "tests")

FUNCTION_CODE_LINES = 60
FILE_LINES = 400
PARAMETERS = 7
COMPLEXITY = 10
NAMES_WITHOUT_A_NOUN = frozenset({"utils", "util", "common", "helpers", "helper", "misc", "managers"})

BRANCHES = (ast.If, ast.For, ast.While, ast.ExceptHandler, ast.comprehension, ast.match_case)
NOT_CODE = (
    tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING,
    tokenize.ENDMARKER,
)  # fmt: skip

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Excess:
    """Something above one of the limits; ``where`` is a file or ``file::function``."""

    where: str
    limit: str
    text: str


def main(arguments: list[str]) -> int:
    folders = [Path(argument) for argument in arguments] or [ROOT / folder for folder in FOLDERS]
    exceptions = tomllib.loads(EXCEPTIONS.read_text(encoding="utf-8"))["exception"]
    complaints, idle = [], list(exceptions)
    for excess in chain.from_iterable(excesses_below(folder) for folder in folders):
        reasons = [exception for exception in exceptions if _covers(exception, excess)]
        idle = [exception for exception in idle if exception not in reasons]
        if not reasons:
            complaints.append(f"{excess.where}: {excess.text}")
    if not arguments:
        complaints += [f"{x['where']}: its exception for {x['limit']} is not needed" for x in idle]
    print("\n".join([*complaints, f"size limits: {len(complaints)} complaints"]))
    return 1 if complaints else 0


def _covers(exception: dict[str, str], excess: Excess) -> bool:
    return exception["limit"] == excess.limit and fnmatch(excess.where, exception["where"])


def excesses_below(folder: Path) -> Iterator[Excess]:
    """All excesses in the Python files of a folder."""
    for path in sorted(folder.rglob("*.py")):
        name = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.as_posix()
        yield from excesses_in(path.read_text(encoding="utf-8"), name)


def excesses_in(source: str, name: str) -> Iterator[Excess]:
    """All excesses in one file."""
    if NAMES_WITHOUT_A_NOUN & set(name.removesuffix(".py").split("/")):
        yield Excess(name, "name", "named by kind; name it by what it is about")
    lines = source.count("\n")
    if lines > FILE_LINES:
        yield Excess(name, "lines", f"{lines} lines, at most {FILE_LINES}; split it by noun")
    tree = ast.parse(source)
    code_lines = _code_lines(source, tree)
    for qualified, function in _functions(tree, ""):
        yield from _function_excesses(f"{name}::{qualified}", function, code_lines)


def _function_excesses(key: str, function: Function, code_lines: set[int]) -> Iterator[Excess]:
    length = len(code_lines & set(range(function.lineno, (function.end_lineno or 0) + 1)))
    if length > FUNCTION_CODE_LINES:
        yield Excess(key, "length", f"{length} code lines, at most {FUNCTION_CODE_LINES}; split it by step")
    parameters = _parameter_count(function)
    if parameters > PARAMETERS:
        yield Excess(
            key, "parameters", f"{parameters} parameters, at most {PARAMETERS}; use a frozen dataclass"
        )
    complexity = 1 + sum(isinstance(node, BRANCHES) for node in _own_nodes(function))
    if complexity > COMPLEXITY:
        yield Excess(key, "complexity", f"complexity {complexity}, at most {COMPLEXITY}; name the parts")


def _functions(node: ast.AST, prefix: str) -> Iterator[tuple[str, Function]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Function):
            yield prefix + child.name, child
            yield from _functions(child, f"{prefix}{child.name}.")
        elif isinstance(child, ast.ClassDef):
            yield from _functions(child, f"{prefix}{child.name}.")
        else:
            yield from _functions(child, prefix)


def _own_nodes(function: Function) -> Iterator[ast.AST]:
    """Nodes of a function without those of the functions inside it, which are counted by themselves."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        if not isinstance(node, Function):
            yield node
            waiting.extend(ast.iter_child_nodes(node))


def _parameter_count(function: Function) -> int:
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    if named and named[0].arg in ("self", "cls"):
        named = named[1:]
    return len(named) + (arguments.vararg is not None) + (arguments.kwarg is not None)


def _code_lines(source: str, tree: ast.AST) -> set[int]:
    """Lines that hold code: no blank lines, comments or docstrings."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in NOT_CODE:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            lines.difference_update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return lines


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
