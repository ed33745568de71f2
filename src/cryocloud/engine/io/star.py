"""STAR files as RELION writes them: blocks of name-value pairs or of one loop.

The reader is line-based as RELION's own, so that it takes what the field writes (RELION 3.0 to 5,
cryoDRGN, Topaz, pyem) and never changes a value: a column becomes numeric only if each of its values is a
plain number; "007", "1_0" and names stay text. The writer keeps each value: numbers are read back bit for
bit.

STAR is Hall 1991, J. Chem. Inf. Comput. Sci. 31:326. Text blocks between lines of ";" and several loops in
a block are part of it, but not of what RELION writes, and are not read.
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
from cryocloud.engine.io.text import read_lines

VERSION_COMMENT = "# version 30001"

# Labels that hold text whatever their values look like (an optics group named "1", a file named "003").
_TEXT_LABEL = re.compile(
    r"rln.*(Name|Names|Label|FileName|File|Variable|Symmetry|SymmetryGroup)$|rlnJobOptionValue$"
)
_TOKEN_START = re.compile(r"\S")
_BARE_TOKEN = re.compile(r"\S+")
_CLOSING_QUOTE = {mark: re.compile(mark + r"(?=\s|$)") for mark in "\"'"}
_NUMBER_START = frozenset("0123456789+-.nNiI")

# RELION knows about 300 labels and a table a class or group. Beyond these a file is made to cost time.
COLUMNS_MAX = 4096
TABLES_MAX = 10_000

# Tokens of Python take ten times the bytes of their text; a chunk of rows bounds that.
_ROWS_A_CHUNK = 1 << 16


@dataclass
class _Block:
    """A data_ block as text: the values of its pairs, or the lines of its loop.

    ``labels`` keep their order (a dict serves as an ordered set); ``row_numbers`` are lines of the file,
    for messages.
    """

    name: str
    line_number: int
    labels: dict[str, None] = field(default_factory=dict)
    values: list[str] = field(default_factory=list)
    rows: list[str] = field(default_factory=list)
    row_numbers: list[int] = field(default_factory=list)
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
        or column names, more than `COLUMNS_MAX` columns or `TABLES_MAX` tables. The message holds file and line.
    """
    path = Path(path)
    lines = read_lines(path, needed="a STAR file")
    tables: dict[str, pd.DataFrame] = {}
    for block in _blocks(lines, path):
        if block.name in tables:
            raise InputError(
                f"{path}, line {block.line_number}: second block data_{block.name}; rename one of them"
            )
        if len(tables) == TABLES_MAX:
            raise InputError(
                f"{path}, line {block.line_number}: more than {TABLES_MAX:,} tables; split the file into several"
            )
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
    parts: list[bytes | memoryview] = []
    for name, table in blocks.items():
        parts.append(f"\n{VERSION_COMMENT}\n\ndata_{name}\n\n".encode())
        as_pairs = table.attrs.get("loop") is False and len(table) == 1
        parts += _pairs(table, path) if as_pairs else _loop(table, path)
    with replaced_when_complete(path) as temporary, temporary.open("wb") as stream:
        stream.writelines(parts)


def _blocks(lines: list[str], path: Path) -> Iterator[_Block]:
    block: _Block | None = None
    for number, line in enumerate(lines, start=1):
        stripped = line.strip()
        if not stripped or stripped[0] == "#":
            continue
        if stripped.startswith("data_") and len(_tokens(stripped)) == 1:
            if block is not None:
                yield block
            block = _Block(_tokens(stripped)[0][5:], number)
        elif block is None:
            raise InputError(
                f"{path}, line {number}: {stripped[:40]!r} before the first data_ block; not a STAR file"
            )
        else:
            _add_line(block, stripped, number, path)
    if block is not None:
        yield block


def _add_line(block: _Block, line: str, number: int, path: Path) -> None:
    if line.startswith("loop_") and _tokens(line) == ["loop_"]:
        if block.labels:
            raise InputError(
                f"{path}, line {number}: second table in data_{block.name}; give each its own block"
            )
        block.is_loop = True
    elif line[0] == "_" and not block.rows:
        _add_label(block, line, number, path)
    elif block.is_loop:
        block.rows.append(line)
        block.row_numbers.append(number)
    else:
        raise InputError(
            f"{path}, line {number}: {line[:40]!r} in data_{block.name} is neither label nor loop_; mend it"
        )


def _add_label(block: _Block, line: str, number: int, path: Path) -> None:
    tokens = _tokens(line)
    label = tokens[0][1:]
    if label in block.labels:
        raise InputError(f"{path}, line {number}: column _{label} twice in data_{block.name}; remove one")
    if len(block.labels) == COLUMNS_MAX:
        raise InputError(
            f"{path}, line {number}: data_{block.name} has more than {COLUMNS_MAX:,} columns; "
            "remove those that nobody reads"
        )
    block.labels[label] = None
    if block.is_loop:
        return
    if len(tokens) != 2:
        raise InputError(
            f"{path}, line {number}: _{label} has {len(tokens) - 1} values, not 1; quote a value with spaces"
        )
    block.values.append(tokens[1])


def _tokens(line: str) -> list[str]:
    """Values of a line: parted by blanks, "#" begins a comment, quotes hold blanks together.

    As in STAR a quote closes only before a blank, so that ``5'-end`` and ``'a'b'`` are single values; a
    quote that never closes is a letter like any other.
    """
    if _is_plain(line):
        return line.split()
    tokens: list[str] = []
    open_marks: set[str] = set()
    position = 0
    while (start := _TOKEN_START.search(line, position)) is not None:
        begin, mark = start.start(), start[0]
        if mark == "#":
            break
        closing = None
        if mark in _CLOSING_QUOTE and mark not in open_marks:
            closing = _CLOSING_QUOTE[mark].search(line, begin + 1)
            if closing is None:
                # There is none further on either; looking again at each quote would cost the square of the line.
                open_marks.add(mark)
        if closing is not None:
            tokens.append(line[begin + 1 : closing.start()])
            position = closing.end()
        else:
            bare = _BARE_TOKEN.match(line, begin)
            assert bare is not None
            tokens.append(bare[0])
            position = bare.end()
    return tokens


def _is_plain(text: str) -> bool:
    return '"' not in text and "'" not in text and "#" not in text


def _table(block: _Block, path: Path) -> pd.DataFrame:
    if block.is_loop:
        columns = _loop_columns(block, path)
    else:
        columns = [_column(label, [value]) for label, value in zip(block.labels, block.values, strict=True)]
    table = pd.DataFrame(dict(zip(block.labels, columns, strict=True)))
    table.attrs["loop"] = block.is_loop
    return table


def _loop_columns(block: _Block, path: Path) -> list[pd.Series]:
    width = len(block.labels)
    chunks: list[list[pd.Series]] = []
    for start in range(0, len(block.rows), _ROWS_A_CHUNK):
        values = _chunk_values(block, slice(start, start + _ROWS_A_CHUNK), path)
        chunks.append(
            [_column(label, values[position::width]) for position, label in enumerate(block.labels)]
        )
    if not chunks:
        return [pd.Series([], dtype="str") for _ in block.labels]
    if len(chunks) == 1:
        return chunks[0]
    return _joined_columns(block, chunks, path)


def _chunk_values(block: _Block, chunk: slice, path: Path) -> list[str]:
    """Values of some rows, row after row; each row has one value a column."""
    rows, width = block.rows[chunk], len(block.labels)
    joined = "\n".join(rows)
    tokens_of_rows = (row.split() for row in rows) if _is_plain(joined) else (_tokens(row) for row in rows)
    values: list[str] = []
    for number, tokens in zip(block.row_numbers[chunk], tokens_of_rows, strict=True):
        if len(tokens) != width:
            raise InputError(
                f"{path}, line {number}: {len(tokens)} values for the {width} columns of data_{block.name}; "
                "the file is cut off, or a value with spaces lacks quotes"
            )
        values += tokens
    return values


def _joined_columns(block: _Block, chunks: list[list[pd.Series]], path: Path) -> list[pd.Series]:
    """Columns of all chunks; one that is text in some chunk is text in all, with every value as it stood."""
    width = len(block.labels)
    parts = [[chunk[position] for chunk in chunks] for position in range(width)]
    mixed = [position for position in range(width) if len({_is_text(part) for part in parts[position]}) == 2]
    texts: dict[int, list[str]] = {position: [] for position in mixed}
    # A name among numbers: the numbers are names too ("1", "2", "2b") and keep their letters.
    for start in range(0, len(block.rows) if mixed else 0, _ROWS_A_CHUNK):
        values = _chunk_values(block, slice(start, start + _ROWS_A_CHUNK), path)
        for position in mixed:
            texts[position] += values[position::width]
    return [
        pd.Series(texts[position], dtype="str")
        if position in texts
        else pd.concat(parts[position], ignore_index=True)
        for position in range(width)
    ]


def _is_text(column: pd.Series) -> bool:
    return column.dtype.kind not in "if"


def _column(label: str, values: list[str]) -> pd.Series:
    numbers = None if _TEXT_LABEL.match(label) else _numbers(values)
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


def _loop(table: pd.DataFrame, path: Path) -> list[bytes | memoryview]:
    labels = [f"_{label} #{number}" for number, label in enumerate(table.columns, start=1)]
    header = "\n".join(["loop_", *labels]).encode() + b"\n"
    if len(table) == 0:
        return [header, b"\n"]
    fields = [_fields(table[label], path) for label in table.columns]
    lines = np.empty((len(table), sum(column.shape[1] + 1 for column in fields)), dtype=np.uint8)
    end = 0
    for column in fields:
        lines[:, end : end + column.shape[1]] = column
        end += column.shape[1] + 1
        lines[:, end - 1] = ord(" ")
    lines[:, -1] = ord("\n")
    return [header, lines.data, b"\n"]


def _pairs(table: pd.DataFrame, path: Path) -> list[bytes | memoryview]:
    width = max((len(label) for label in table.columns), default=0)
    lines = [
        f"_{label:<{width}} ".encode() + _fields(table[label], path).tobytes().strip()
        for label in table.columns
    ]
    return [b"\n".join(lines) + b"\n\n"]


def _fields(column: pd.Series, path: Path) -> NDArray[np.uint8]:
    if column.dtype.kind in "iufb":
        return number_fields(column.to_numpy())
    if column.isna().any():
        raise InputError(f"{path}: column {column.name} has rows without a value; fill them before writing")
    try:
        return text_fields([str(value) for value in column.tolist()])
    except ValueError as error:
        raise InputError(f"{path}: column {column.name}: {error}") from error
