"""The body of an entry: who writes it, and who reads it. Writing is the cache's choice, reading goes by the head.

So a cache whose serializer or codec was changed goes on reading what is stored: by the serializer that the head names,
if memo knows it and it is allowed here. Whatever can't be read so is a reason in words, for a miss: never a guess.
"""

from __future__ import annotations

from _weakref import ref
from functools import partial

from ._items import NAME, Replay, Tape
from .errors import OptionError, UnstorableError
from .model import Head, Raised

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FunctionType
    from typing import Any

    from .model import Buffer
    from .protocols import Codec, Serializer

    Load = Callable[[Any], Any]


class Bodies:
    """``load`` reads what ``plain`` wrote without a codec: the hot path. ``data_only``: nothing that could run code."""

    def __init__(self, serializer: Serializer, codecs: Sequence[Codec] = (), *, data_only: bool = False) -> None:
        self.serializer, self.codecs, self.data_only = serializer, codecs, data_only
        #: "" where it depends on the function who reads
        self.plain = "" if hasattr(serializer, "bind") else serializer.name
        self.load = _load(serializer)
        #: ``plain`` writes without a codec, and never leaves a value to another
        self._alone = bool(self.plain) and not self.codecs and not hasattr(serializer, "pick")
        self._suffix = getattr(serializer, "suffix", "")
        self._functions: dict[str, ref[FunctionType]] = {}
        self._bound: dict[tuple[str, str], Serializer] = {}

    def bind(self, name: str, function: FunctionType) -> None:
        """The function of that name, for serializers that look at its annotations. Once, before its first call."""
        self._functions[name] = ref(function)
        for key in [key for key in list(self._bound) if key[1] == name]:
            self._bound.pop(key, None)  # another thread may be at the same

    def dump(self, value: Any, function: str) -> tuple[Sequence[Buffer], str, tuple[str, ...], str]:
        """The parts of a result's body, the names of the serializer and of the codecs that made them, and the suffix."""
        kind = type(value)
        if self._alone and kind is not Tape and kind is not Raised:
            return self.serializer.dump(value), self.plain, (), self._suffix
        if kind is Tape:  # a generator's items, serialized already
            parts: Sequence[Buffer] = value.parts()
            name, suffix = NAME, ""
        else:
            serializer = self.serializer if self.plain else self._of(self.serializer, function)
            if kind is Raised:
                from .serializers import serializer as named

                serializer = named("raised")
            pick = getattr(serializer, "pick", None)
            serializer, parts = pick(value) if pick is not None else (serializer, serializer.dump(value))
            name, suffix = serializer.name, getattr(serializer, "suffix", "")
        if self.codecs:
            from .codecs import encode

            parts, names = encode(self.codecs, parts)
            if names:  # what is compressed is no file of that kind any more
                return parts, name, names, ""
        return parts, name, (), suffix

    def dump_item(self, item: Any) -> tuple[bytes, Sequence[Buffer]]:
        """One item of a recorded sequence: the serializer's name, and the parts. Annotations of the function don't count."""
        pick = getattr(self.serializer, "pick", None)
        serializer, parts = pick(item) if pick is not None else (self.serializer, self.serializer.dump(item))
        return serializer.name.encode(), parts

    def load_item(self, name: str, data: memoryview) -> Any:
        if name == self.serializer.name:
            return self.serializer.load(data)
        serializer = self._reader(Head("", 0.0, 0.0, name, (), 0, b"", b""))
        if isinstance(serializer, str):
            raise UnstorableError(serializer)
        return serializer.load(data)

    def loader(self, head: Head) -> Load | str:
        """What loads the bodies of such a head, or why they can't be loaded."""
        if head.serializer == NAME:
            load: Load = partial(_replay, self.load_item)
        else:
            serializer = self._reader(head)
            if isinstance(serializer, str):
                return serializer
            load = self.load if serializer is self.serializer else _load(serializer)
        if not head.codecs:
            return load
        from .codecs import codec

        own = {each.name: each for each in self.codecs}
        try:
            decoders = [(own.get(name) or codec(name)).decode for name in reversed(head.codecs)]
        except (OptionError, ImportError) as error:
            return f"stored by {head.serializer!r} through {', '.join(head.codecs)}: {error}"

        def decode_and_load(body: Any) -> Any:
            view = memoryview(body)
            for decode in decoders:
                view = decode(view)
            return load(view)

        return decode_and_load

    def _reader(self, head: Head) -> Serializer | str:
        from .serializers import is_safe, serializer

        name = head.serializer
        found = self._of(self.serializer, head.function)
        if found.name != name:
            try:
                found = self._of(serializer(name.partition(":")[0]), head.function)
            except OptionError:
                return f"stored by {name!r}, a serializer that is not installed here; this one is {found.name!r}"
            except ImportError as error:
                return f"stored by {name!r}: {error}"
        if self.data_only and not is_safe(found):
            return f"stored by {name!r}, which may run code when it is loaded; this cache loads data only"
        if found.name != name:
            return f"stored by {name!r}, as another type than the function is annotated with now ({found.name!r})"
        return found

    def _of(self, serializer: Serializer, function: str) -> Serializer:
        """The serializer for this function."""
        bind = getattr(serializer, "bind", None)
        if bind is None:
            return serializer
        key = serializer.name, function
        found = self._bound.get(key)
        if found is None:
            known = self._functions.get(function)
            there = known() if known is not None else None
            found = self._bound[key] = serializer if there is None else bind(there)
        return found


def _replay(load_item: Callable[[str, memoryview], Any], body: Any) -> Replay:
    return Replay(memoryview(body), load_item)


def _load(serializer: Serializer) -> Load:
    load = serializer.load
    return lambda body: load(memoryview(body))
