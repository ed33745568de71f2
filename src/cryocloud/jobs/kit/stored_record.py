"""The state of an iterative job as the content of a checkpoint, and back."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from cryocloud.jobs.kit.checkpoint import Checkpoint

_ROOT = "state"
_ARRAY = "array"  # the only key of what stands for a tensor


def record_content(record: object) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """What `save_checkpoint` takes of a dataclass: its tensors as arrays, and everything else as JSON.

    Fields may be tensors, JSON values, and tuples and dataclasses of these. Arrays have dotted names such as
    ``state.sums.weight``.
    """
    arrays: dict[str, NDArray[Any]] = {}

    def plain(value: Any, name: str) -> Any:
        if isinstance(value, Tensor):
            arrays[name] = value.cpu().numpy()
            return {_ARRAY: name}
        if isinstance(value, tuple):
            return [plain(item, f"{name}.{index}") for index, item in enumerate(value)]
        if is_dataclass(value):
            return {f.name: plain(getattr(value, f.name), f"{name}.{f.name}") for f in fields(value)}
        return value

    return arrays, plain(record, _ROOT)


def record_fields(stored: Checkpoint, *, device: str, on_cpu: Collection[str]) -> dict[str, Any]:
    """The fields of the dataclass that `record_content` took apart; dataclasses in it come back as their fields.

    Tensors go to ``device``, those of fields named in ``on_cpu`` stay on the CPU.
    """

    def value(plain: Any) -> Any:
        if isinstance(plain, list):
            return tuple(value(item) for item in plain)
        if isinstance(plain, dict) and plain.keys() == {_ARRAY}:
            name = plain[_ARRAY]
            tensor = torch.from_numpy(stored.arrays[name])
            return tensor if name.rpartition(".")[2] in on_cpu else tensor.to(device)
        if isinstance(plain, dict):
            return {name: value(item) for name, item in plain.items()}
        return plain

    return {name: value(plain) for name, plain in stored.state.items()}
