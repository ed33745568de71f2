"""A checkpoint comes back bit for bit, and a failed write leaves the former one."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from cryocloud.jobs.kit import checkpoint
from cryocloud.jobs.kit.checkpoint import load_checkpoint, save_checkpoint
from cryocloud.jobs.kit.stored_record import record_content, record_fields


@dataclass(frozen=True)
class Inner:
    weight: Tensor
    pairs: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Outer:
    phase: str
    pose: Tensor
    inner: Inner
    finished: tuple[Inner, ...]
    gain: float | None


def test_arrays_and_state_come_back_bit_for_bit(tmp_path):
    generator = np.random.default_rng(3)
    arrays = {
        "volume": generator.standard_normal((4, 4, 4)).astype(np.complex64),
        "class": np.arange(5),
        "scalar": np.array(0.1),
    }
    state = {"sigma": 0.1 + 0.2, "names": ["a", "é"], "nested": {"step": 3}, "generator": [2**63, 1]}
    save_checkpoint(tmp_path / "c", 7, arrays, state)
    loaded = load_checkpoint(tmp_path / "c")
    assert loaded.step == 7
    assert loaded.state == state
    assert loaded.arrays.keys() == arrays.keys()
    for name, array in arrays.items():
        assert loaded.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(loaded.arrays[name], array)


def test_none_where_nothing_was_saved(tmp_path):
    assert load_checkpoint(tmp_path) is None


def test_last_one_wins(tmp_path):
    for step in (1, 2):
        save_checkpoint(tmp_path, step, {"a": np.full(3, step)}, {})
    assert load_checkpoint(tmp_path).step == 2
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.npz"]


def test_failed_write_keeps_the_former_one(tmp_path, monkeypatch):
    save_checkpoint(tmp_path, 1, {"a": np.zeros(3)}, {})

    def no_space(*_args, **_arrays):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint.np, "savez", no_space)
    with pytest.raises(OSError, match="No space"):
        save_checkpoint(tmp_path, 2, {"a": np.ones(3)}, {})
    assert load_checkpoint(tmp_path).step == 1
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.npz"]


def test_checkpoint_of_another_format_is_not_used(tmp_path, monkeypatch):
    save_checkpoint(tmp_path, 1, {}, {})
    monkeypatch.setattr(checkpoint, "FORMAT_VERSION", checkpoint.FORMAT_VERSION + 1)
    assert load_checkpoint(tmp_path) is None


def test_record_comes_back_with_its_tensors_types_and_nested_records(tmp_path):
    inner = Inner(torch.tensor([1 + 2j, 0.1], dtype=torch.complex64), ((0, 1), (1, 2)))
    finished = (Inner(torch.tensor(3), ()), Inner(torch.tensor([4, 5]), ((7, 8),)))
    save_checkpoint(
        tmp_path, 1, *record_content(Outer("search", torch.tensor([0.5]), inner, finished, 0.1 + 0.2))
    )
    values = record_fields(load_checkpoint(tmp_path), device="meta", on_cpu=("weight",))
    assert values["pose"].is_meta, "goes to the device"
    assert (values["phase"], values["gain"]) == ("search", 0.1 + 0.2)
    for was, now in zip((inner, *finished), (values["inner"], *values["finished"]), strict=True):
        assert now["pairs"] == was.pairs
        assert now["weight"].dtype == was.weight.dtype
        assert torch.equal(now["weight"], was.weight)
