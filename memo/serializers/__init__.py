"""The socket of serializers: value <-> buffers. Names are looked up here; a plug is imported when it is asked for.

A serializer is any object with ``name``, ``dump(value) -> buffers`` and ``load(memoryview) -> value``, and perhaps a
``suffix`` for storages whose files people open; see ``memo.protocols.Serializer``. Three more it may have: ``safe = True``
if loading never runs code that the data choose, ``bind(function) -> serializer`` if the function's annotations count, and
``pick(value) -> (serializer, buffers)`` if it leaves each value to another one, which the head then names. Those of other packages are found by
the entry point group ``memo.serializers`` (an instance, or something that makes one when called without arguments),
which is read only for a name that memo does not know.
"""

from __future__ import annotations

from importlib import import_module

from memo.errors import OptionError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from memo.protocols import Serializer

    from ._arrow import Arrow as Arrow
    from ._arrow import Parquet as Parquet
    from ._auto import Auto as Auto
    from ._hdf5 import Hdf5 as Hdf5
    from ._hdf5 import Pytables as Pytables
    from ._joblib import Joblib as Joblib
    from ._json import Json as Json
    from ._numpy import Numpy as Numpy
    from ._pickle import Cloudpickle as Cloudpickle
    from ._pickle import Pickle as Pickle
    from ._raw import Bytes as Bytes
    from ._raw import Text as Text
    from ._restricted import Restricted as Restricted

#: class -> its module; the name of a serializer is its class's in lower case
_HOMES = {
    "Arrow": "_arrow",
    "Auto": "_auto",
    "Bytes": "_raw",
    "Cloudpickle": "_pickle",
    "Hdf5": "_hdf5",
    "Joblib": "_joblib",
    "Json": "_json",
    "Numpy": "_numpy",
    "Parquet": "_arrow",
    "Pickle": "_pickle",
    "Pytables": "_hdf5",
    "Raised": "_raised",
    "Restricted": "_restricted",
    "Text": "_raw",
}
#: those that are chosen by name; Restricted writes what "pickle" writes, and is asked for by trust="restricted"
_CLASSES = {name.lower(): name for name in _HOMES if name != "Restricted"}
_made: dict[str, Serializer] = {}


def serializer(choice: str | Serializer, /) -> Serializer:
    """The serializer of that name (one instance a process), or the object itself if it is one.

    Raises OptionError for anything else.

    >>> serializer("json").load(memoryview(b"[1, 2]\\n"))
    [1, 2]
    """
    if not isinstance(choice, str):
        return _checked(choice)
    if choice not in _made:
        if choice in _CLASSES:
            _made[choice] = __getattr__(_CLASSES[choice])()
        else:
            _made[choice] = _foreign(choice)
    return _made[choice]


def is_safe(plug: Serializer, /) -> bool:
    """Whether loading by it can't run code that the data choose: it says so itself by ``safe = True``."""
    return getattr(plug, "safe", False) is True


def _foreign(name: str) -> Serializer:
    from importlib.metadata import entry_points

    for point in entry_points(group="memo.serializers", name=name):
        made = point.load()
        if isinstance(made, type) or not hasattr(made, "dump"):
            made = made()
        if _checked(made).name != name:  # an entry is read back by the name in its head
            raise OptionError(f"{point.value} is registered as serializer {name!r}, but its name is {made.name!r}")
        return _checked(made)
    known = ", ".join(sorted(_CLASSES))
    raise OptionError(
        f"there is no serializer {name!r}: expected one of {known}, the name of an installed entry point of the group"
        f" memo.serializers, or an object with name, dump and load"
    )


def _checked(plug: Any) -> Serializer:
    if isinstance(plug, type):
        raise OptionError(f"serializer must be an instance, not a class: write {plug.__name__}()")
    missing = [verb for verb in ("dump", "load") if not callable(getattr(plug, verb, None))]
    name = getattr(plug, "name", None)
    if missing or not isinstance(name, str):
        raise OptionError(
            f"serializer must be a name or an object with name, dump and load; got a {type(plug).__name__}"
            f" without {' and '.join(missing) or 'a name'}"
        )
    if not name.isprintable() or "," in name or not 0 < len(name) <= 40:
        raise OptionError(f"a serializer's name must be 1 to 40 printable characters without a comma; got {name!r}")
    checked: Serializer = plug
    return checked


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module("." + _HOMES[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
