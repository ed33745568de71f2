"""Image names ("000012@folder/stack.mrcs") and the stacks behind them.

The number counts from 1, the section of an array from 0.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cryocloud.engine.errors import InputError
from cryocloud.engine.io.mrc import open_mrc, read_mrc_header
from cryocloud.engine.io.name_gate import NAME_CHARACTERS_MAX, is_readable_file, named_file

_OPEN_STACKS = 128
_SECTION_DIGITS_MAX = 10


@dataclass(frozen=True)
class SplitImageNames:
    """``prefixes`` ("000012@" or ""), 0-based ``sections`` and ``files`` of n image names."""

    prefixes: list[str]
    sections: NDArray[np.int64]
    files: list[str]


def split_image_names(names: pd.Series) -> SplitImageNames:
    """Split image names at their first "@"; a name without one means the first section.

    Raises
    ------
    InputError
        What stands before "@" is no positive whole number, or a name is longer than a file name can be.
    """
    prefixes: list[str] = []
    files: list[str] = []
    sections = np.zeros(len(names), dtype=np.int64)
    for row, name in enumerate(names.tolist()):
        if len(name) > NAME_CHARACTERS_MAX + len("@") + _SECTION_DIGITS_MAX:
            raise InputError(
                f"{names.name} in row {row + 1} has {len(name):,} characters, which no file name has; repair the table"
            )
        number, at, file = name.partition("@")
        prefixes.append(number + at if at else "")
        files.append(file if at else name)
        if at:
            is_number = number.isdecimal() and len(number) <= _SECTION_DIGITS_MAX
            sections[row] = int(number) - 1 if is_number else -1
    if (sections < 0).any():
        first = names.iloc[int(np.argmax(sections < 0))]
        raise InputError(
            f"image name {first!r}: what stands before @ must be a number from 1; repair the table"
        )
    return SplitImageNames(prefixes, sections, files)


class ImageStacks:
    """Reads images by row from memory-mapped stacks; at most 128 stacks are open at a time.

    All headers are checked at the start, so that a missing or cut-off stack is known before hours of work.
    Pixels are read when asked for: the images of a table need not fit into memory.

    Parameters
    ----------
    names
        Image names as they stand in a table in ``folder`` under ``label``; their index counts its rows
        from 0, for messages. Row i below means the i-th of these names.

    Raises
    ------
    InputError
        Missing or damaged stacks, names that lead outside the inputs, boxes that are not square or differ,
        image numbers beyond the end.
    """

    def __init__(self, names: pd.Series, folder: Path, *, label: str) -> None:
        split = split_image_names(names)
        self._sections = split.sections
        files, first_row, self._file_of_row = np.unique(
            np.array(split.files, dtype=object).astype(str), return_index=True, return_inverse=True
        )
        self._paths = [
            named_file(folder, str(name), label=label, row=int(names.index[row]) + 1)
            for name, row in zip(files, first_row, strict=True)
        ]
        self._open: OrderedDict[int, NDArray[Any]] = OrderedDict()
        self.box_size_px = self._checked_box_size()

    def read(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Images of the rows [b] as float32 [b, D, D], in the order asked for."""
        images = np.empty((len(rows), self.box_size_px, self.box_size_px), dtype=np.float32)
        file_of_row = self._file_of_row[rows]
        for file in np.unique(file_of_row):
            places = np.flatnonzero(file_of_row == file)
            stack = self._stack(int(file))
            # Reading in file order keeps the disk sequential.
            places = places[np.argsort(self._sections[rows[places]], kind="stable")]
            for place in places:
                images[place] = stack[self._sections[rows[place]]]
        return images

    def _stack(self, file: int) -> NDArray[Any]:
        if file in self._open:
            self._open.move_to_end(file)
        else:
            self._open[file] = open_mrc(self._paths[file])
            if len(self._open) > _OPEN_STACKS:
                self._open.popitem(last=False)
        return self._open[file]

    def _checked_box_size(self) -> int:
        missing = [path for path in self._paths if not is_readable_file(path)]
        if missing:
            raise InputError(
                f"{len(missing)} of {len(self._paths)} image stacks are missing, the first is {missing[0]}; "
                "put them there or correct the names in the table"
            )
        headers = [read_mrc_header(path) for path in self._paths]
        boxes = {header.shape_zyx[1:] for header in headers}
        height, width = min(boxes)
        if len(boxes) > 1:
            raise InputError(
                f"images have sizes {sorted(boxes)}; particles need one box size, extract them again"
            )
        if height != width:
            raise InputError(
                f"images are {width} x {height} px; particles need a square box, extract them again"
            )
        last_section = np.full(len(headers), -1, dtype=np.int64)
        np.maximum.at(last_section, self._file_of_row, self._sections)
        for path, header, last in zip(self._paths, headers, last_section.tolist(), strict=True):
            if last >= header.shape_zyx[0]:
                count = header.shape_zyx[0]
                raise InputError(
                    f"{path}: image {last + 1} is asked for, the stack has {count}; mend the table"
                )
        return height
