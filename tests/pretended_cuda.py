"""A pretended CUDA device on the CPU, strict about devices as a real one is.

Its tensors say ``cuda:0`` and compute on the CPU. An operation that mixes them with tensors of the CPU, hands them to
numpy or draws them from a generator of the CPU fails as it would on the device. What it cannot show: kernels that CUDA
lacks for a type, memory, and rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

_CUDA = torch.device("cuda:0")
_MOVES = {"aten._to_copy", "aten.copy_", "aten.lift_fresh"}
_TAKE_CPU_INDICES = {"aten.index", "aten.index_put_", "aten._index_put_impl_", "aten.index_put"}


class _CudaTensor(Tensor):
    """A tensor that says it lies on the device; ``held`` are its values."""

    @staticmethod
    def __new__(cls, held: Tensor) -> _CudaTensor:
        return Tensor._make_wrapper_subclass(  # type: ignore[attr-defined, no-any-return]
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=_CUDA,
        )

    def __init__(self, held: Tensor) -> None:
        self.held = held

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        # Indexing in brackets asks the driver for the device before any mode sees it.
        if function is Tensor.__getitem__ or function is Tensor.__setitem__:
            return _bracket(function, *args)
        with torch._C.DisableTorchFunctionSubclass():
            return function(*args, **kwargs or {})

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(function, args, kwargs or {})

    # These ask the driver for the device as well, or refuse subclasses.
    def tolist(self) -> Any:
        return self.held.tolist()

    def copy_(self, source: Tensor) -> Tensor:
        self.held.copy_(_held(source))
        return self

    def new_tensor(self, values: Any) -> Tensor:
        return _CudaTensor(self.held.new_tensor(values))

    def __matmul__(self, other: Tensor) -> Tensor:
        # Of a row torch makes a matrix, and of the product a row again in place, which a wrapper cannot follow.
        return torch.matmul(self[None], other)[0] if self.dim() == 1 else torch.matmul(self, other)

    def __invert__(self) -> Tensor:
        return _CudaTensor(~self.held)

    def nonzero(self) -> Tensor:
        return _CudaTensor(self.held.nonzero())

    def contiguous(self) -> Tensor:
        return self if self.is_contiguous() else _CudaTensor(self.held.contiguous())

    def item(self) -> Any:
        return self.held.item()

    def __float__(self) -> float:
        return float(self.held)

    def __int__(self) -> int:
        return int(self.held)

    def __bool__(self) -> bool:
        return bool(self.held)

    def __index__(self) -> int:
        return int(self.held)

    def __repr__(self) -> str:
        return f"pretended cuda {self.held!r}"


class _Device(TorchDispatchMode):
    """Answers operations that name the device."""

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(function, args, kwargs or {})


@contextmanager
def pretended_cuda() -> Iterator[None]:
    """Within it, ``device="cuda"`` works on a machine that has none."""
    with ExitStack() as stack:
        for name, value in (
            ("_lazy_init", lambda: None),
            ("is_available", lambda: True),
            ("get_device_capability", lambda device=None: (8, 0)),
            ("synchronize", lambda device=None: None),
        ):
            stack.enter_context(mock.patch.object(torch.cuda, name, value))
        stack.enter_context(mock.patch.object(torch, "tensor", _tensor))
        stack.enter_context(mock.patch.object(Tensor, "to", _to))
        stack.enter_context(_Device())
        yield


_tensor_of_cpu, _to_numbered = torch.tensor, Tensor.to


def _tensor(values: Any, *, device: torch.device | str = "cpu", **options: Any) -> Tensor:
    """``torch.tensor``, whose own way to a device goes past all modes."""
    return _tensor_of_cpu(values, **options).to(device)


def _to(tensor: Tensor, *where: Any, **options: Any) -> Tensor:
    """``Tensor.to``, which asks the driver for the number of a device that is named without one."""
    named = [_CUDA if str(word) == "cuda" else word for word in where]
    return _to_numbered(tensor, *named, **options)


def _bracket(function: Any, tensor: Tensor, *rest: Any) -> Any:
    if not isinstance(tensor, _CudaTensor):
        raise RuntimeError("brackets: a tensor of the CPU is indexed or filled with one on cuda:0")
    if function is Tensor.__setitem__ and isinstance(rest[1], Tensor):
        _refuse_mixtures("brackets", [tensor, rest[1]])
    result = function(*tree_map(_held, (tensor, *rest)))
    return None if result is None else _CudaTensor(result)


def _run(function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    name = str(function.overloadpacket)
    given = [value for value in tree_flatten((args, kwargs))[0] if isinstance(value, Tensor)]
    asked, generator = kwargs.get("device"), kwargs.get("generator")
    on_device = any(isinstance(t, _CudaTensor) for t in given)
    if name not in _MOVES and not (name in _TAKE_CPU_INDICES and isinstance(args[0], _CudaTensor)):
        _refuse_mixtures(name, given)
    if asked is not None:
        on_device = torch.device(asked).type == "cuda"
        kwargs = {**kwargs, "device": torch.device("cpu")}
    if on_device and generator is not None and generator.device.type == "cpu":
        raise RuntimeError(f"{name}: expected a generator of cuda but found one of the CPU")
    if name == "aten.copy_":
        on_device = isinstance(args[0], _CudaTensor)
    result = function(*tree_map(_held, args), **tree_map(_held, kwargs))
    own = {id(t.held): t for t in given if isinstance(t, _CudaTensor)}
    return tree_map(lambda value: _returned(value, own) if on_device else value, result)


def _held(value: Any) -> Any:
    return value.held if isinstance(value, _CudaTensor) else value


def _returned(value: Any, own: dict[int, _CudaTensor]) -> Any:
    if not isinstance(value, Tensor):
        return value
    if id(value) in own:
        return own[id(value)]
    return _CudaTensor(value.resolve_conj().resolve_neg())


def _refuse_mixtures(name: str, given: list[Tensor]) -> None:
    """Only numbers (tensors without axes) of the CPU go together with tensors on the device."""
    places = {isinstance(t, _CudaTensor) for t in given if t.dim() > 0}
    numbers = any(isinstance(t, _CudaTensor) for t in given if t.dim() == 0)
    if len(places) > 1 or (False in places and numbers):
        raise RuntimeError(f"{name}: expected all tensors to be on the same device, found cuda:0 and cpu")
