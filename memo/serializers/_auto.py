"""The safest serializer that gives the result back equal and of the same type, chosen for each result by its type.

The choice is told by the head, which names the serializer that wrote the body, and not by anything inside the body: so
each body is a plain file of its kind with the right suffix, and is read by whatever cache, not only by one of "auto".
Only where there is no head, in ``dump`` and ``load`` themselves, 64 bytes with that name go before the body.
"""

from __future__ import annotations

import sys
from typing import Any

from memo.errors import DamagedError, UnstorableError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FunctionType

    from memo.model import Buffer
    from memo.protocols import Serializer

_NAME = 64  #: bytes before the body, so that what is aligned in it stays so


class Auto:
    """bytes and text as they are; arrays as .npy and .npz; tables of pandas, polars and pyarrow as Arrow; what JSON gives
    back (by the function's annotation, as `Json` does) as JSON; everything else as a pickle.

    ``first`` are names of serializers that are tried before all of these, such as "hdf5". With ``pickle=False`` never a pickle: ``dump`` raises UnstorableError for what only a pickle could hold. Nothing that
    is loaded then runs code.
    """

    name = "auto"

    def __init__(self, *, pickle: bool = True, first: Sequence[str] = ()) -> None:
        from . import serializer

        self.pickle, self.first = pickle, tuple(first)
        self._json = serializer("json")

    def __repr__(self) -> str:
        return f"Auto(pickle={self.pickle!r}" + (f", first={self.first!r})" if self.first else ")")

    @property
    def safe(self) -> bool:
        return not self.pickle

    def bind(self, function: FunctionType, /) -> Auto:
        """The serializer for what this function is annotated to return."""
        from . import Json

        bound = Auto(pickle=self.pickle, first=self.first)
        bound._json = Json().bind(function)
        return bound

    def pick(self, value: Any, /) -> tuple[Serializer, Sequence[Buffer]]:
        """The serializer for this value, and what it made of it. Raises UnstorableError if none takes it."""
        from . import serializer

        refused = []
        for name in (*self.first, *_kinds(value), "json", *(["pickle"] if self.pickle else [])):
            try:
                plug = self._json if name == "json" else serializer(name)
                return plug, plug.dump(value)
            except (UnstorableError, ImportError) as error:
                refused.append(f"{name}: {error}")
        raise UnstorableError(f"no serializer takes this {type(value).__qualname__}. {'. '.join(refused)}")

    def dump(self, value: Any, /) -> Sequence[Buffer]:
        plug, parts = self.pick(value)
        return [plug.name.encode().ljust(_NAME), *parts]

    def load(self, data: memoryview, /) -> Any:
        from . import is_safe, serializer

        name = str(data[:_NAME], "ascii", "replace").rstrip()
        if len(data) < _NAME or not name:
            raise DamagedError("a body that was cut off within the name of its serializer")
        plug = self._json if name == self._json.name else serializer(name)
        if not (self.pickle or is_safe(plug)):
            raise DamagedError(f"a body of {name!r}, which {self!r} never writes")
        return plug.load(data[_NAME:])


def _kinds(value: Any) -> tuple[str, ...]:
    """The serializers made for values of that type."""
    kind = type(value)
    if kind is bytes:
        return ("bytes",)
    if kind is str:
        return ("text",)
    library = kind.__module__.partition(".")[0]
    if library in ("pandas", "polars", "pyarrow"):
        return ("arrow",)
    array = getattr(sys.modules.get("numpy"), "ndarray", None)
    items = value.values() if kind is dict else value if kind in (list, tuple) else (value,)
    if array is not None and items and all(type(item) is array for item in items):
        return ("numpy",)
    return ()
