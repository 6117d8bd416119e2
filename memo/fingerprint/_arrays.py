"""numpy: arrays by dtype, shape and the bytes in C order, hashed where they lie.

A memory map is the array that it shows. Fields are read one by one where a structure has padding, whose bytes mean
nothing; objects and numpy's own strings are read as lists. Views and other memory orders go through the hash in
blocks of a megabyte, so that no copy of the whole is made.
"""

from __future__ import annotations

import sys
from itertools import pairwise
from marshal import dumps

from ._digest import digest, digest_parts
from ._node import BARE, FIELDS, Node, leaf, node
from ._objects import by_name, class_head

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from ._node import Described, Handler

BLOCK = 1 << 20  #: bytes


def handler(cls: type, name: str) -> Handler | None:
    numpy = sys.modules["numpy"]
    if cls is numpy.ndarray or cls is numpy.memmap:
        return array
    if cls.__qualname__ == "MaskedArray" and cls.__module__.startswith("numpy.ma"):
        return _masked
    if issubclass(cls, numpy.ndarray) and cls.__module__.partition(".")[0] == "numpy":
        head = class_head(cls)  # matrix, recarray, chararray
        return lambda value: Node(b">" + dumps(("ndarray of",), 2) + head, (_plain(value),), BARE)
    if issubclass(cls, numpy.generic):
        return _scalar
    if issubclass(cls, numpy.dtype):
        return lambda value: leaf("numpy.dtype", _dtype(value), _nulls(value))
    if cls is numpy.ufunc:
        return _ufunc
    if cls is numpy.vectorize:
        return _vectorized
    return _RANDOM.get(cls.__qualname__) if cls.__module__.startswith("numpy.random") else None


def array(value: Any) -> Described:
    """Of any kind; also what the other families hand their buffers to."""
    dtype = value.dtype
    if dtype.hasobject or not _has_plain_bytes(dtype):
        return _by_items(value)
    shape = value.shape
    return leaf("ndarray", _dtype(dtype), shape, content(value))


def content(value: Any) -> bytes:
    """The digest of an array's bytes in C order."""
    numpy = sys.modules["numpy"]
    if not value.nbytes:
        return digest(b"")
    if value.dtype.char in "gG" and numpy.finfo(value.dtype).nmant == 63:
        return digest_parts(map(_extended, _blocks(value)))
    if value.flags.c_contiguous:
        return digest(numpy.asarray(value).reshape(-1).view("u1"))
    return digest_parts(_blocks(value))


def _blocks(value: Any) -> Iterator[Any]:
    """The array's bytes in C order, piece by piece."""
    numpy = sys.modules["numpy"]
    if value.nbytes <= BLOCK or value.ndim == 0:
        yield numpy.ascontiguousarray(value).reshape(-1).view("u1")
    elif value.shape[0] == 1:
        yield from _blocks(value[0])
    else:
        rows = max(1, BLOCK * value.shape[0] // value.nbytes)
        for start in range(0, value.shape[0], rows):
            yield from _blocks(value[start : start + rows])


def _extended(block: Any) -> Any:
    """80-bit numbers fill 16 bytes, of which six mean nothing."""
    block = block.copy().reshape(-1, 16)
    block[:, 10:] = 0
    return block.reshape(-1)


def _has_plain_bytes(dtype: Any) -> bool:
    """Whether equal items have equal bytes and the other way round."""
    if dtype.subdtype is not None:
        return _has_plain_bytes(dtype.subdtype[0])
    if dtype.fields is None:
        return bool(dtype.char != "T")  # strings that live elsewhere
    fields = list(dtype.fields.values())
    ends = sorted((field[1], field[1] + field[0].itemsize) for field in fields)
    apart = all(end <= start for (_, end), (start, _) in pairwise(ends))  # a field with a title is there twice
    full = sum(field[0].itemsize for field in fields) == dtype.itemsize
    return apart and full and all(_has_plain_bytes(field[0]) and field[0].char not in "gG" for field in fields)


def _by_items(value: Any) -> Described:
    dtype = value.dtype
    name = ("ndarray", _dtype(dtype), value.shape)
    if dtype.names is not None:
        return node("ndarray", [_plain(value)[field] for field in dtype.names], FIELDS, dtype.names, name)
    if dtype.char == "T":
        return node("ndarray", (_nulls(dtype), value.ravel().tolist()), content=name)
    items = value.ravel().tolist()
    return node("ndarray", (items,), content=name)


def _dtype(dtype: Any) -> tuple[Any, ...]:
    """What plain values say of a dtype; equal for equal dtypes only."""
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return "sub", _dtype(base), shape
    if dtype.names is not None:
        fields = tuple((name, _dtype(dtype.fields[name][0]), dtype.fields[name][1:]) for name in dtype.names)
        return "fields", fields, dtype.itemsize
    if dtype.char == "T":
        return "StringDType", dtype.coerce
    if dtype.kind == "V" or dtype.isbuiltin == 2:  # types that others added, such as bfloat16, share their text
        return dtype.str, dtype.type.__module__, dtype.type.__qualname__
    return (dtype.str,)


def _nulls(dtype: Any) -> Any:
    """What stands for a missing string, as text: NaN, None or nothing at all."""
    if not hasattr(dtype, "na_object"):
        return ""
    return type(dtype.na_object).__qualname__ + (dtype.na_object if type(dtype.na_object) is str else "")


def _plain(value: Any) -> Any:
    return value.view(sys.modules["numpy"].ndarray)


def _masked(value: Any) -> Described:
    numpy = sys.modules["numpy"]
    names = ("data", "mask", "fill_value", "hard_mask")
    return node(
        "MaskedArray",
        (_plain(value.data), numpy.ma.getmaskarray(value), value.fill_value, bool(value.hardmask)),
        FIELDS,
        names,
    )


def _scalar(value: Any) -> Described:
    dtype = value.dtype
    if dtype.hasobject or dtype.char in "gG" or not _has_plain_bytes(dtype):
        return node("numpy.scalar", (sys.modules["numpy"].asarray(value),))
    return leaf("numpy.scalar", _dtype(dtype), value.tobytes())


def _ufunc(value: Any) -> Described:
    """One of ``frompyfunc`` is the Python function in it, which only the garbage collector is told of."""
    from gc import get_referents

    functions = [found for found in get_referents(value) if callable(found)]
    if not functions:
        return by_name(value, value.__name__, class_head(type(value)))
    return node("ufunc of", functions, content=(value.nin, value.nout, ascii(value.identity)))


def _vectorized(value: Any) -> Described:
    names = ("pyfunc", "otypes", "excluded", "signature", "cache")  # the rest is made from these when it is called
    return node("vectorize", [getattr(value, name) for name in names], FIELDS, names)


def _bit_generator(value: Any) -> Described:
    return node("BitGenerator", (value.state, getattr(value, "seed_seq", None)), FIELDS, ("state", "seed_seq"))


_RANDOM: dict[str, Handler] = {
    "RandomState": lambda value: node("RandomState", (value.get_state(legacy=False),)),
    "Generator": lambda value: node("numpy.Generator", (value.bit_generator,)),
    "SeedSequence": lambda value: node("SeedSequence", (value.state,)),
    **dict.fromkeys(("MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64"), _bit_generator),
}
