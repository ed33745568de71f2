"""STAR files as RELION writes them: blocks of name-value pairs or of one loop.

The reader is line-based as RELION's own, so that it takes what the field writes (RELION 3.0 to 5, cryoDRGN,
Topaz, pyem) and never changes a value: a column becomes numeric only if each of its values is a plain number;
"007", "1_0" and names stay text. The writer keeps each value: numbers are read back bit for bit.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cryocloud.engine.errors import InputError
from cryocloud.engine.io.atomic_write import replaced_when_complete
from cryocloud.engine.io.star_fields import number_fields, text_fields

VERSION_COMMENT = "# version 30001"

# Labels that hold text whatever their values look like (an optics group named "1", a file named "003").
_TEXT_LABEL = re.compile(r"rln.*(Name|Names|Label|FileName|File|Variable|Symmetry|SymmetryGroup)$|rlnJobOptionValue$")
_TOKEN = re.compile(r"""("(?:[^"]|"(?=\S))*"|'(?:[^']|'(?=\S))*')(?=\s|$)|(\S+)""")
_NUMBER_START = frozenset("0123456789+-.nNiI")


@dataclass
class _Block:
    name: str
    line_number: int
    labels: list[str] = field(default_factory=list)
    values: list[str] = field(default_factory=list)
    is_loop: bool = False


def read_star(path: Path | str) -> dict[str, pd.DataFrame]:
    """Read all blocks of a STAR file.

    Parameters
    ----------
    path
        A STAR file of any RELION version. mmCIF models are read by `atomic_model`, not here.

    Returns
    -------
    dict
        Block name without ``data_`` -> table; column names without the leading underscore. A block of
        name-value pairs is a table of one row with ``attrs["loop"] = False``. Empty loops give tables
        without rows. Whole numbers are int64, other numbers float64, everything else text.

    Raises
    ------
    InputError
        Missing file, no ``data_`` block, a row with too few or too many values (cut off file), doubled block
        or column names. The message holds file and line.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot be opened ({error.strerror}); check the path") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not text (byte {error.start}); a STAR file is needed") from error
    tables: dict[str, pd.DataFrame] = {}
    for block in _blocks(text, path):
        if block.name in tables:
            raise InputError(f"{path}, line {block.line_number}: second block data_{block.name}; rename one of them")
        tables[block.name] = _table(block, path)
    if not tables:
        raise InputError(f"{path}: holds no data_ block; a STAR file is needed")
    return tables


def write_star(path: Path | str, blocks: Mapping[str, pd.DataFrame]) -> None:
    """Write blocks in the layout of RELION 3.1 and later; the file appears when complete.

    A table with ``attrs["loop"] = False`` and one row is written as name-value pairs, any other as a loop.
    Numbers have six decimals where that is exact, otherwise as many as reading them back needs.

    Raises
    ------
    InputError
        A text value that a STAR file cannot hold (line break, or both kinds of quotes).
    """
    path = Path(path)
    parts: list[bytes] = []
    for name, table in blocks.items():
        parts.append(f"\n{VERSION_COMMENT}\n\ndata_{name}\n\n".encode())
        as_pairs = table.attrs.get("loop") is False and len(table) == 1
        parts.append(_pairs(table, path) if as_pairs else _loop(table, path))
    with replaced_when_complete(path) as temporary:
        temporary.write_bytes(b"".join(parts))


def _blocks(text: str, path: Path) -> Iterator[_Block]:
    block: _Block | None = None
    in_header = False
    rows: list[str] = []
    first_row_number = 0
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if not stripped or stripped[0] == "#":
            continue
        if stripped.startswith("data_") and " " not in stripped and "\t" not in stripped:
            if block is not None:
                _add_rows(block, rows, first_row_number, path)
                yield block
            block, in_header, rows = _Block(stripped[5:], number), False, []
        elif block is None:
            raise InputError(f"{path}, line {number}: {stripped[:40]!r} before the first data_ block; not a STAR file")
        elif stripped == "loop_":
            if block.labels:
                raise InputError(f"{path}, line {number}: second table in data_{block.name}; give each its own block")
            block.is_loop = in_header = True
        elif stripped[0] == "_" and (in_header or not block.is_loop):
            _add_label(block, stripped, number, path)
        elif not block.is_loop:
            raise InputError(f"{path}, line {number}: {stripped[:40]!r} is neither a label nor loop_ in data_{block.name}")
        else:
            if in_header:
                in_header, first_row_number = False, number
            rows.append(line)
    if block is not None:
        _add_rows(block, rows, first_row_number, path)
        yield block


def _add_label(block: _Block, line: str, number: int, path: Path) -> None:
    tokens = _tokens(line)
    label = tokens[0][1:]
    if label in block.labels:
        raise InputError(f"{path}, line {number}: column _{label} twice in data_{block.name}; remove one")
    block.labels.append(label)
    if not block.is_loop:
        if len(tokens) != 2:
            raise InputError(f"{path}, line {number}: _{label} needs one value, has {len(tokens) - 1}; quote values with spaces")
        block.values.append(tokens[1])


def _add_rows(block: _Block, rows: list[str], first_row_number: int, path: Path) -> None:
    if not block.is_loop or not rows:
        return
    width = len(block.labels)
    joined = "\n".join(rows)
    plain = not any(mark in joined for mark in "\"'#")
    values = joined.split() if plain else [token for row in rows for token in _tokens(row)]
    widths = {len(row.split()) if plain else len(_tokens(row)) for row in rows} if len(values) != width * len(rows) else {width}
    if widths != {width}:
        for offset, row in enumerate(rows):
            found = len(_tokens(row))
            if found != width:
                raise InputError(
                    f"{path}, about line {first_row_number + offset}: data_{block.name} has {width} columns, this row "
                    f"{found} values; the file is cut off or a value with spaces lacks quotes"
                )
    block.values = values


def _tokens(line: str) -> list[str]:
    if "#" not in line and '"' not in line and "'" not in line:
        return line.split()
    tokens: list[str] = []
    for quoted, bare in _TOKEN.findall(line):
        if bare.startswith("#"):
            break
        tokens.append(quoted[1:-1] if quoted else bare)
    return tokens


def _table(block: _Block, path: Path) -> pd.DataFrame:
    width = len(block.labels)
    columns = {
        label: _column(label, block.values[position::width], is_loop=block.is_loop)
        for position, label in enumerate(block.labels)
    }
    table = pd.DataFrame(columns)
    table.attrs["loop"] = block.is_loop
    return table


def _column(label: str, values: list[str], *, is_loop: bool) -> pd.Series:
    if _TEXT_LABEL.match(label):
        return pd.Series(values, dtype="str")
    numbers = _numbers(values)
    return pd.Series(values, dtype="str") if numbers is None else pd.Series(numbers)


def _numbers(values: list[str]) -> NDArray[np.int64] | NDArray[np.float64] | None:
    """The values as numbers, or None where that would lose a character that matters."""
    if not values or values[0][:1] not in _NUMBER_START:
        return None
    try:
        whole = list(map(int, values))
    except ValueError:
        return _decimals(values)
    # "007", "+7", "1_0" are names: a number must be written back as it was.
    if list(map(str, whole)) != values:
        return None
    try:
        return np.array(whole, dtype=np.int64)
    except OverflowError:
        return None


def _decimals(values: list[str]) -> NDArray[np.float64] | None:
    try:
        numbers = np.fromiter(map(float, values), dtype=np.float64, count=len(values))
    except ValueError:
        return None
    # Python accepts 1_0.5 as a number.
    return None if any("_" in value for value in values) else numbers


def _loop(table: pd.DataFrame, path: Path) -> bytes:
    header = ["loop_"] + [f"_{label} #{number}" for number, label in enumerate(table.columns, start=1)]
    lines = "\n".join(header).encode() + b"\n"
    if len(table) == 0:
        return lines + b"\n"
    fields = [_fields(table[label], path) for label in table.columns]
    space = np.full((len(table), 1), ord(" "), dtype=np.uint8)
    newline = np.full((len(table), 1), ord("\n"), dtype=np.uint8)
    pieces = [piece for column in fields for piece in (column, space)]
    return lines + np.hstack([*pieces[:-1], newline]).tobytes() + b"\n"


def _pairs(table: pd.DataFrame, path: Path) -> bytes:
    width = max((len(label) for label in table.columns), default=0)
    lines = [
        f"_{label:<{width}} ".encode() + _fields(table[label], path).tobytes().strip() for label in table.columns
    ]
    return b"\n".join(lines) + b"\n\n"


def _fields(column: pd.Series, path: Path) -> NDArray[np.uint8]:
    if column.dtype.kind in "iufb":
        return number_fields(column.to_numpy())
    try:
        return text_fields([str(value) for value in column])
    except ValueError as error:
        raise InputError(f"{path}: column {column.name}: {error}") from error
