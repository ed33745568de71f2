"""Coordinates of particles as other programs write them: STAR, .cs, EMAN .box, text.

Positions (x, y) are in pixels of the micrograph, pixel centers at whole numbers from 0, row 0 of the file at y = 0.
"""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from cryocloud.engine.errors import InputError
from cryocloud.engine.io.cryosparc import LOCATION_LABELS, read_cs_locations
from cryocloud.engine.io.star import read_star
from cryocloud.engine.io.tables import float_column
from cryocloud.engine.io.text import read_lines

COORDINATE_SUFFIXES = (".star", ".cs", ".box", ".txt", ".csv", ".tsv")
SCORE_LABEL = "rlnAutopickFigureOfMerit"
_NAME, _X, _Y = LOCATION_LABELS
_TEXT_NAMES = {"image_name": _NAME, "x_coord": _X, "y_coord": _Y, "score": SCORE_LABEL}
_BLANKS = re.compile(r"[\s,;]+")


def read_coordinates(path: Path) -> pd.DataFrame:
    """Positions of one file.

    Parameters
    ----------
    path
        Its suffix tells the format: ``.star`` (the first table with both coordinates), ``.cs`` (fractions
        of the micrograph), ``.box`` (EMAN), otherwise text.

    Returns
    -------
    DataFrame
        ``rlnMicrographName`` (the name of the file itself where it names no micrographs),
        ``rlnCoordinateX`` and ``rlnCoordinateY``, and ``rlnAutopickFigureOfMerit`` where scores are known.
        Positions are those of the particles' centers; no format's y is flipped.

    Raises
    ------
    InputError
        A file without coordinates, or of another kind.
    """
    readers = {".star": _read_star, ".cs": read_cs_locations, ".box": _read_box}
    if path.suffix.lower() not in COORDINATE_SUFFIXES:
        raise InputError(
            f"{path}: has none of the endings {', '.join(COORDINATE_SUFFIXES)}; name it after its format"
        )
    table = readers.get(path.suffix.lower(), _read_text)(path)
    if _NAME not in table:
        table = table.assign(**{_NAME: path.name})
    kept = [*LOCATION_LABELS, *([SCORE_LABEL] if SCORE_LABEL in table else [])]
    numbers = {label: float_column(table, label) for label in kept if label != _NAME}
    return table[kept].assign(**numbers).reset_index(drop=True)


def _read_star(path: Path) -> pd.DataFrame:
    table = next((table for table in read_star(path).values() if _X in table and _Y in table), None)
    if table is None:
        raise InputError(f"{path}: no table has the columns _{_X} and _{_Y}; give a file of coordinates")
    return table


def _read_box(path: Path) -> pd.DataFrame:
    """EMAN: corner x and y, width and height, and more that is not needed; in pixels.

    The center is the corner plus half the size, which is pixel D//2 of the box.
    """
    rows = _number_rows(path, read_lines(path, needed="an EMAN box file"), least=4)
    centers = [(row[0] + row[2] / 2, row[1] + row[3] / 2) for row in rows]
    return pd.DataFrame(centers, columns=[_X, _Y], dtype="float64")


def _read_text(path: Path) -> pd.DataFrame:
    """X and y of the center in each line; or columns of any order under the names that Topaz gives them.

    Topaz names them image_name, x_coord, y_coord and score in the first line. Its coordinates are those of
    the images that it saw: of downsampled micrographs they must be scaled up before. Values are parted by
    blanks, commas or semicolons; without names a "#" begins a comment.
    """
    lines = read_lines(path, needed="a text file of coordinates")
    names = _BLANKS.split(lines[0].strip().lower())
    if not {"x_coord", "y_coord"} <= set(names):
        return pd.DataFrame(
            [row[:2] for row in _number_rows(path, lines, least=2)], columns=[_X, _Y], dtype="float64"
        )
    rows = [_BLANKS.split(line.strip()) for line in lines[1:] if line.strip()]
    for number, row in enumerate(rows, 2):
        if len(row) != len(names):
            raise InputError(
                f"{path}, line {number}: {len(row)} values for {len(names)} columns; mend the line"
            )
    table = pd.DataFrame(rows, columns=names, dtype="str")
    return table.rename(columns=_TEXT_NAMES)


def _number_rows(path: Path, lines: list[str], *, least: int) -> list[list[float]]:
    rows = []
    for number, line in enumerate(lines, 1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        try:
            row = [float(value) for value in _BLANKS.split(text)]
        except ValueError:
            row = []
        if len(row) < least:
            raise InputError(
                f"{path}, line {number}: {text[:40]!r} is not {least} or more numbers; mend the line"
            )
        rows.append(row)
    return rows
