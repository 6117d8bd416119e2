"""Anything, by pickle protocol 5; large buffers lie where a mapped file *is* the loaded arrays.

A value without large buffers is a plain pickle and nothing else: that is the hot path. With them, the body is still a
pickle that any program loads, in which each buffer lies at a multiple of 64 bytes, of 4096 from 1 MB on. It begins with
an index, which plain pickle reads as a text that it drops, and memo loads by that alone:

    PROTO 5 | NONE POP | BINBYTES index POP | the pickle, up to its first buffer | BINBYTES zeros POP | BYTEARRAY8 buffer | ...

The index, all numbers little-endian, offsets counted from the start of the body:

    b"mbuf" | u32 bytecode | u64 buffers | u64 length of the stream | per buffer: u64 offset, u64 length | stream

``stream`` is the pickle with its buffers left out. ``bytecode`` is 0, or the number of the bytecode that a pickled lambda
or local function is made of; another Python could crash on it. Where a buffer stands in a stream of many frames
is not looked for: such a body begins with the index itself, and the buffers follow, for memo alone.
Protocol 5 and out-of-band buffers: PEP 574; opcodes: pickletools.
"""

from __future__ import annotations

import copyreg
import gc
import sys
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pickle import PickleBuffer, Pickler, PicklingError, Unpickler, dumps, loads
from struct import Struct, pack, unpack_from

from memo.errors import DamagedError, UnstorableError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar

    from memo.model import Buffer

_HEAD = Struct("<4sIQQ")
_MAGIC = b"mbuf"
_INDEXED = b"\x80\x05N0B"  # no pickler begins with a NONE that it drops
_NEXT_BUFFER = b"\x97"
_FRAME = 0x95
_SMALL = 1000  # bytes; a pickle below is one frame
_IN_BAND = 16 * 1024  # below, copying a buffer into the stream is cheaper than a hole to align it
_LARGE = 1024 * 1024  # from here on, start on a page
_LONG = 100_000  # bytes of pickle from which the collector's walks cost more than pausing it
_TEXTS = (str, bytes, bytearray)
_PLAIN = frozenset({type(None), bool, int, float, complex, *_TEXTS})


class Pickle:
    """pickle protocol 5; lambdas and local classes, which pickle refuses, by cloudpickle.

    Arrays come back without a copy where the data is writable (a private mapping), else as a copy: writable either way,
    unless the stored one was not. Raises UnstorableError for what can't be pickled.
    """

    name = "pickle"
    suffix = ".pkl"

    def dump(self, value: Any, /) -> list[Buffer]:
        plain = type(value) in _PLAIN
        if plain and (type(value) not in _TEXTS or len(value) < _LONG):
            return [_frameless(dumps(value, 5))]
        buffers: list[memoryview] = []
        try:
            if plain or "polars" in sys.modules or "torch" in sys.modules:
                stream = _stream(Pickler, value, buffers)
            else:
                whole = dumps(value, 5, buffer_callback=_keep_large(buffers))
                if not buffers:
                    return [_frameless(whole)]
                stream = [whole]
        except (PicklingError, AttributeError, TypeError):
            return dump_by_value(value, _cloudpickler(main_by_name=True))
        return _framed(stream, buffers) if buffers else stream

    def load(self, data: memoryview, /) -> Any:
        if data[0] == 0x80 and len(data) < _LONG and (data[2] != 78 or data[3] != 48):
            try:
                return loads(data)
            except ModuleNotFoundError as error:
                return _load_from_worker(data, (), error)
        return load_large(data)


def _frameless(data: bytes) -> bytes:
    """A small pickle without the 9 bytes that tell who reads from a file how many follow: some 6 % of a small entry."""
    return data[:2] + data[11:] if data[2] == _FRAME and len(data) < _SMALL else data


class Cloudpickle:
    """Everything by value: also classes and functions of ``__main__``, which pickle stores by name.

    Read back only by the same version of Python. Raises UnstorableError for what can't be pickled.
    """

    name = "cloudpickle"
    suffix = ".pkl"

    def dump(self, value: Any, /) -> list[Buffer]:
        return dump_by_value(value, _cloudpickler(main_by_name=False))

    def load(self, data: memoryview, /) -> Any:
        return load_large(data)


def dump_by_value(value: Any, pickler: Callable[..., Pickler]) -> list[Buffer]:
    buffers: list[memoryview] = []
    try:
        stream = _stream(pickler, value, buffers)
    except Exception as error:
        raise UnstorableError(f"a {type(value).__name__} can't be pickled: {error}") from error
    return _framed(stream, buffers, _bytecode())


def load_large(data: memoryview, load: Callable[[Any, Any], Any] | None = None) -> Any:
    """``load(stream, buffers)`` is what unpickles: by default all that Python can."""
    load = load or _load_stream
    paused = gc.isenabled()
    try:
        gc.disable()
        indexed = data[:4] == _MAGIC or data[:5] == _INDEXED
        return _unframed(data, load) if indexed else load(data, ())
    finally:
        if paused:
            gc.enable()


def _keep_large(buffers: list[memoryview]) -> Callable[[PickleBuffer], bool]:
    """Collects the large buffers; its answer tells pickle to keep the others in its stream."""

    def in_stream(buffer: PickleBuffer) -> bool:
        raw = buffer.raw()
        if raw.nbytes < _IN_BAND:
            return True
        buffers.append(raw)
        return False

    return in_stream


class _Parts(list["Buffer"]):
    """A file that keeps what is written: long texts and bytes as they are, without a second copy."""

    write = list.append


def _stream(pickler: Callable[..., Pickler], value: Any, buffers: list[memoryview]) -> list[Buffer]:
    parts = _Parts()
    writer = pickler(parts, 5, buffer_callback=_keep_large(buffers))
    if libraries := tuple(name for name, last in _LIBRARIES if hasattr(sys.modules.get(name), last)):
        own = getattr(writer, "dispatch_table", None)
        table = _with_reducers(len(copyreg.dispatch_table), libraries)
        # a plain assignment would miss what the pickler reads where its class has a table, as cloudpickle's
        vars(Pickler)["dispatch_table"].__set__(writer, table if own is None else {**table, **own})
    writer.dump(value)
    return parts


#: libraries whose values have reducers of ours, and what they import last: they may be half imported in another thread
_LIBRARIES = (("polars", "Series"), ("torch", "compiler"))


@cache
def _with_reducers(registered: int, libraries: tuple[str, ...]) -> dict[type, Callable[[Any], Any]]:
    """``copyreg``'s table and ours: a plain dict, since pickle asks it for every object. Made anew when theirs grows."""
    table = dict(copyreg.dispatch_table)
    for name in libraries:
        table |= import_module(f"._{name}", __package__).reducers()
    return table


def _framed(stream: list[Buffer], buffers: list[memoryview], bytecode: int = 0) -> list[Buffer]:
    whole = stream[0] if len(stream) == 1 else b"".join(stream)
    pieces = _pieces(bytes(whole), len(buffers))
    if not buffers and pieces:
        index = _HEAD.pack(_MAGIC, bytecode, 0, 0)
        return [b"".join((_INDEXED, pack("<I", len(index)), index, b"0")), *pieces]
    at = _HEAD.size + 16 * len(buffers) + len(whole)
    if pieces:
        start = pack("<5sI", _INDEXED, at)
        at += len(start) + 1
    else:
        pieces, start = [b""] * (len(buffers) + 1), b""
    table: list[int] = []
    aligned: list[Buffer] = []
    for piece, buffer in zip(pieces, buffers, strict=False):
        at += len(piece)
        step = 4096 if buffer.nbytes >= _LARGE else 64
        if start:
            hole = -(at + 15) % step
            between = b"".join((piece, b"B", pack("<I", hole), bytes(hole), b"0\x96", pack("<Q", buffer.nbytes)))
            at += len(between) - len(piece)
        else:
            between = bytes(-at % step)
            at += len(between)
        aligned += (between, buffer)
        table += (at, buffer.nbytes)
        at += buffer.nbytes
    index = _HEAD.pack(_MAGIC, bytecode, len(buffers), len(whole)) + pack(f"<{len(table)}Q", *table)
    return [b"".join((start, index, whole, b"0" if start else b"")), *aligned, pieces[-1]]


def _pieces(stream: bytes, count: int) -> list[bytes]:
    """The pickle between its buffers, without PROTO and FRAME; empty where that can't be told."""
    if stream[:3] == b"\x80\x05\x95" and int.from_bytes(stream[3:11], "little") == len(stream) - 11:
        stream = stream[11:]
    elif not count:
        return [stream[2:]]
    else:
        return []
    if stream.count(_NEXT_BUFFER) == count:  # each byte of that value is the opcode
        return stream.split(_NEXT_BUFFER)
    from pickletools import genops

    pieces, start = [], 0
    for opcode, _, at in genops(stream):
        if opcode.name == "NEXT_BUFFER" and at is not None:
            pieces.append(stream[start:at])
            start = at + 1
    return [*pieces, stream[start:]]


def _unframed(data: memoryview, load: Callable[[Any, Any], Any]) -> Any:
    begin = 9 if data[0] == 0x80 else 0
    _, bytecode, count, length = _HEAD.unpack_from(data, begin)
    if bytecode and bytecode != _bytecode():
        raise DamagedError("it holds functions or classes by value, pickled by another version of Python")
    if not count and begin:
        return load(data, ())
    start = begin + _HEAD.size + 16 * count
    table = unpack_from(f"<{2 * count}Q", data, begin + _HEAD.size)
    buffers: list[Buffer] = []
    for offset, size in zip(table[::2], table[1::2], strict=True):
        if offset + size > len(data):  # a slice would be short without a word
            raise DamagedError(f"a buffer of {size} bytes at {offset} was cut off: there are {len(data)} in all")
        buffer = data[offset : offset + size]
        buffers.append(bytearray(buffer) if data.readonly else buffer)
    return load(data[start : start + length], buffers)


def _load_stream(stream: memoryview, buffers: list[Buffer] | tuple[()]) -> Any:
    try:
        return loads(stream, buffers=buffers)
    except ModuleNotFoundError as error:
        return _load_from_worker(stream, buffers, error)


def _load_from_worker(stream: memoryview, buffers: list[Buffer] | tuple[()], error: ModuleNotFoundError) -> Any:
    """In workers that multiprocessing spawned, the script's classes are ``__mp_main__``'s: here they are ``__main__``'s."""
    if error.name != "__mp_main__":
        raise error
    from io import BytesIO

    class FromWorker(Unpickler):
        def find_class(self, module: str, name: str, /) -> Any:
            return super().find_class("__main__" if module == "__mp_main__" else module, name)

    return FromWorker(BytesIO(stream), buffers=buffers).load()


@cache
def _bytecode() -> int:
    from importlib.util import MAGIC_NUMBER

    return int.from_bytes(MAGIC_NUMBER[:2], "little")


@cache
def _cloudpickler(*, main_by_name: bool) -> Callable[..., Pickler]:
    from collections import ChainMap
    from io import TextIOWrapper

    import cloudpickle

    class ByValue(cloudpickle.Pickler):  # type: ignore[misc]
        dispatch_table: ClassVar[Any] = ChainMap(
            dict.fromkeys((TextIOWrapper, memoryview), _refuse),  # cloudpickle would make a StringIO and bytes of them
            cloudpickle.Pickler.dispatch_table,
        )

        def reducer_override(self, thing: Any) -> Any:
            # by value only what has no name: an instance of a copy of __main__.A would be no A in the next run
            if main_by_name and getattr(thing, "__module__", None) == "__main__" and _has_name(thing):
                return NotImplemented
            return super().reducer_override(thing)

    return ByValue


def _refuse(thing: Any) -> Any:
    raise TypeError(f"cannot pickle {type(thing).__qualname__!r} object")


def _has_name(thing: Any) -> bool:
    found: Any = sys.modules["__main__"]
    for name in getattr(thing, "__qualname__", "?").split("."):
        found = getattr(found, name, None)
    return found is thing
