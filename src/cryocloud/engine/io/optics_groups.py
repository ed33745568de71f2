"""Optics groups made from the optics of single images."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray


def optics_groups(rows: pd.DataFrame) -> tuple[pd.DataFrame, NDArray[np.int64]]:
    """Images with the same optics form a group.

    Parameters
    ----------
    rows
        Optics columns with a row for each image.

    Returns
    -------
    optics, group
        ``rows`` without repetitions, in order of appearance, with ``rlnOpticsGroup`` (from 1) and
        ``rlnOpticsGroupName`` in front; and the group of each image [n].
    """
    grouped = rows.groupby(list(rows.columns), sort=False, dropna=False)
    group = np.asarray(grouped.ngroup(), dtype=np.int64) + 1
    first_row = np.unique(group, return_index=True)[1]
    optics = rows.iloc[first_row].reset_index(drop=True)
    names = [f"opticsGroup{number}" for number in range(1, len(optics) + 1)]
    optics.insert(0, "rlnOpticsGroup", range(1, len(optics) + 1))
    optics.insert(1, "rlnOpticsGroupName", pd.Series(names, dtype="str"))
    return optics, group
