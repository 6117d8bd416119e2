"""The suite for serializers: subclass it in a test, override ``make()`` and perhaps ``zoo()``, run it with pytest.

Values are compared by type as well, and floats to the bit, because a result that comes back as an equal value of
another type is a wrong result.
"""

from __future__ import annotations

import mmap
import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

from memo.errors import UnstorableError
from memo.protocols import Serializer


class SerializerSuite:
    """What any serializer must keep. Override ``make()``, and ``zoo()`` if it is not for all plain values."""

    #: values that ``dump`` must refuse with UnstorableError
    refused: tuple[Any, ...] = ()
    #: False for formats that have no end of their own (text, bytes): only the cache's digest tells that one was cut off
    tells_its_end = True
    _samples: list[tuple[Any, bytes]]

    def make(self) -> Serializer:
        raise NotImplementedError("override make() to return your serializer")

    def zoo(self) -> list[Any]:
        """Values that must come back equal and of the same type; new ones at each call."""
        return [
            *(None, True, False, 0, -1, 2**70, 1.5, -0.0, 1e-300, "", "text", "ü\n\0 ", "\ud800", "x" * 200_000),
            *([], {}, [1, [2.5, None]], {"a": [1, {"b": "c"}], "": {}}, list(range(5000)), [[]] * 3),
        ]

    def same(self, one: Any, other: Any) -> bool:
        """Equal and of the same type, all the way down. Extend it for types of your own."""
        if type(one) is not type(other):
            return False
        if isinstance(one, float):
            return bool(one.hex() == other.hex())
        if isinstance(one, dict):
            return len(one) == len(other) and all(map(self.same, (*one, *one.values()), (*other, *other.values())))
        if isinstance(one, (list, tuple)):
            return len(one) == len(other) and all(map(self.same, one, other))
        if hasattr(one, "dtype") and hasattr(one, "tobytes"):
            if one.dtype != other.dtype or one.shape != other.shape:
                return False
            if one.dtype.hasobject or one.dtype.names:  # not the bytes between fields
                return self.same(one.tolist(), other.tolist())
            return bool(one.tobytes() == other.tobytes())
        if callable(getattr(one, "equals", None)):  # frames of pandas, polars and pyarrow
            return bool(one.equals(other))
        return bool(one == other)

    def stored(self, value: Any) -> bytes:
        return b"".join(self.make().dump(value))

    def samples(self) -> list[tuple[Any, bytes]]:
        """Each value of the zoo with its bytes, made once for all tests, which change neither."""
        kind = type(self)
        if "_samples" not in vars(kind):
            kind._samples = [(value, self.stored(value)) for value in self.zoo()]
        return kind._samples

    def test_is_a_serializer(self) -> None:
        serializer = self.make()
        assert isinstance(serializer, Serializer)
        assert isinstance(serializer.name, str), "its name is written into each head"
        assert serializer.name
        assert "," not in serializer.name
        suffix = getattr(serializer, "suffix", "")
        assert suffix == "" or (suffix.startswith(".") and suffix[1:].isalnum() and suffix.islower()), suffix

    def test_gives_back_equal_values_of_the_same_type_from_every_kind_of_memory(self) -> None:
        for value, data in self.samples():
            for kind, view in _views(data):
                back = self.make().load(view)
                assert self.same(value, back), f"{_short(value)} from {kind} came back as {_short(back)}"
                for array in _arrays(back):
                    assert array.flags.writeable, f"a read-only array in {_short(value)}, loaded from {kind}"

    def test_parts_are_buffers_of_bytes(self) -> None:
        for value in self.zoo():
            for part in self.make().dump(value):
                with memoryview(part) as view:
                    assert view.c_contiguous, "storages write parts as they are"
                    assert len(view) == view.nbytes, "len() of a part is its length in bytes: cast the view to 'B'"

    def test_dumping_changes_nothing(self) -> None:
        for (value, data), twin in zip(self.samples(), self.zoo(), strict=True):
            again = self.stored(value)
            assert self.same(value, twin), f"{_short(twin)} was changed by dump()"
            assert again == data or self.same(twin, self.make().load(memoryview(again)))

    def test_later_changes_of_the_input_do_not_show(self) -> None:
        values = self.zoo()
        stored = [self.stored(value) for value in values]
        for value in values:
            _change(value)
        for (twin, data), after in zip(self.samples(), stored, strict=True):
            back = twin if after == data else self.make().load(memoryview(after))
            assert self.same(twin, back), f"{_short(twin)} changed after it was stored"

    def test_changes_of_a_loaded_value_do_not_show_in_the_next(self) -> None:
        for value, data in self.samples():
            view = memoryview(data)  # read-only: what a front or a database hands out again and again
            _change(self.make().load(view))
            assert self.same(value, self.make().load(view)), f"{_short(value)} was changed by its receiver"

    def test_refuses_what_would_not_come_back(self) -> None:
        for value in self.refused:
            try:
                parts = self.make().dump(value)
            except UnstorableError as error:
                reason = str(error)
            else:
                back = self.make().load(memoryview(b"".join(parts)))
                raise AssertionError(f"{_short(value)} was stored, and would come back as {_short(back)}")
            assert reason, "UnstorableError says what and where"

    def test_what_was_cut_off_never_comes_back_as_another_value(self) -> None:
        if not self.tells_its_end:
            return
        for value, data in self.samples():
            for length in _lengths(len(data)):
                try:
                    back = self.make().load(memoryview(data)[:length])
                except Exception:
                    continue
                assert self.same(value, back), f"{_short(value)}: {length} of {len(data)} bytes gave {_short(back)}"


def _views(data: bytes) -> Iterator[tuple[str, memoryview]]:
    """The memory that storages hand over: a database's bytes, memory of one's own, a file mapped copy-on-write."""
    yield "bytes", memoryview(data)
    yield "a bytearray", memoryview(bytearray(data))
    yield "a slice", memoryview(b"head" + data + b"tail")[4 : 4 + len(data)]
    if data:  # an empty file can't be mapped
        with tempfile.TemporaryFile() as file:
            file.write(data)
            file.flush()
            yield "a mapped file", memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))


def _lengths(length: int) -> list[int]:
    """Some lengths below ``length``: the ends, and others by chance, the same in every run."""
    chance = random.Random(length)
    near = {0, 1, 2, 3, 8, 24, length // 2, length - 9, length - 2, length - 1}
    near |= {chance.randrange(length) for _ in range(10) if length}
    return sorted(end for end in near if 0 <= end < length)


def _arrays(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from _arrays(item)
    elif type(value).__module__ == "numpy" and hasattr(value, "flags") and value.ndim > 0:
        yield value


def _change(value: Any) -> None:
    """Change in place whatever can be."""
    for array in _arrays(value):
        array[-1:] = sys.modules["numpy"].zeros((), array.dtype)
    changes: dict[type, Callable[[Any], Any]] = {
        list: lambda value: value.append("changed"),
        dict: lambda value: value.update(changed=True),
        set: lambda value: value.add("changed"),
        bytearray: lambda value: value.append(7),
    }
    if type(value) in changes:
        changes[type(value)](value)


def _short(value: Any) -> str:
    try:
        text = f"{type(value).__name__} {value!r}"
    except Exception:  # a message must not fail on a value's __repr__
        text = type(value).__name__
    return text if len(text) <= 100 else text[:99] + "…"
