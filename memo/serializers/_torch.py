"""torch's CPU tensors pickled as the memory that they are, instead of as a file of torch inside the stream.

What is replaced is how a *storage* is pickled, the memory under tensors. So views of one storage go on sharing it,
parameters, strides and hooks are torch's own business, and a small view brings its whole storage, as with torch.save.
Storages of other devices, and all of them without numpy, are left to torch.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pickle import PickleBuffer
from typing import Any


def reducers() -> dict[type, Callable[[Any], Any]]:
    """For a pickler's dispatch table, in a process that has imported torch."""
    torch = sys.modules["torch"]
    return {torch.UntypedStorage: _untyped, torch.storage.TypedStorage: _typed, torch.Tensor: _tensor}


def storage_of(buffer: Any) -> Any:
    """The storage that lies in a writable buffer. Its name is in stored results: it stays."""
    import torch

    if not len(buffer):
        return torch.UntypedStorage(0)
    return torch.frombuffer(buffer, dtype=torch.uint8).untyped_storage()


def seen_as(tensor: Any, dtype: Any) -> Any:
    """The tensor's memory as another type of the same size. Its name is in stored results: it stays."""
    return tensor.view(dtype)


def _tensor(tensor: Any) -> Any:
    """As torch does it, but for the types whose pickles torch can't load itself."""
    torch = sys.modules["torch"]
    if tensor.dtype not in getattr(torch.storage, "_new_dtypes", set)():
        return tensor.__reduce_ex__(5)
    if tensor.layout is not torch.strided or tensor.requires_grad or tensor.__dict__:
        raise TypeError(f"cannot pickle a tensor of {tensor.dtype} with a gradient, attributes or another layout")
    plain = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[tensor.element_size()]
    return seen_as, (tensor.view(plain), tensor.dtype)


def _untyped(storage: Any) -> Any:
    torch = sys.modules["torch"]
    if storage.device.type == "cpu":
        try:
            memory = torch.empty(0, dtype=torch.uint8).set_(storage).numpy()
        except RuntimeError:  # numpy is not installed
            return storage.__reduce_ex__(5)
        return storage_of, (PickleBuffer(memory),)
    return storage.__reduce_ex__(5)


def _typed(storage: Any) -> Any:
    memory = storage._untyped_storage
    kind: Callable[..., Any] = type(storage)
    if memory.device.type == "cpu":
        return partial(kind, wrap_storage=memory, dtype=storage.dtype, _internal=True), ()
    return storage.__reduce_ex__(5)
