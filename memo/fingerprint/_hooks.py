"""What users tell memo about keys: types of their own, arguments that do not count or count by something else, files."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from ..errors import OptionError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping

T = TypeVar("T")
Function = TypeVar("Function", bound="Callable[[Any], Any]")

HASHERS: dict[type, Callable[[Any], Any]] = {}


def hasher(cls: type) -> Callable[[Function], Function]:
    """Teaches memo what counts of a type, and of its subclasses: the decorated function gets a value of that type and
    returns anything that can be keyed.

    >>> class Session:
    ...     def __init__(self, url):
    ...         self.url, self.connection = url, object()
    >>> @hasher(Session)
    ... def _(session):
    ...     return session.url
    >>> from memo.fingerprint import fingerprint
    >>> fingerprint(Session("a")) == fingerprint(Session("a"))
    True

    The class itself counts besides. A class of your own can have a method ``__memo_fingerprint__`` instead. Raises
    OptionError for the builtin types that memo reads at the speed of C.
    """
    from . import _values

    if not isinstance(cls, type):
        raise OptionError(f"hasher takes a class, such as @memo.hasher(Session); this is {cls!r}")
    if cls in _values.PLAIN or cls in (object, list, tuple, dict, set, frozenset):
        raise OptionError(
            f"memo.hasher can't be given {cls.__name__}: use @persist(key={{parameter: function}}) instead"
        )

    def register(function: Function) -> Function:
        HASHERS[cls] = function
        _values.LEAVES.clear()
        return function

    return register


if TYPE_CHECKING:
    NoHash = Annotated[T, "not part of the key"]
else:

    class NoHash:
        """Annotation of a parameter that is no part of the key: ``session: NoHash[Session]``."""

        def __class_getitem__(cls, item: Any) -> Any:
            return Annotated[item, cls]


class HashBy:
    """Annotation of a parameter that counts by what a function says of it: ``Annotated[Model, HashBy[version_of]]``.

    The function gets the argument and returns anything that can be keyed.
    """

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function

    def __class_getitem__(cls, function: Callable[[Any], Any]) -> HashBy:
        if not callable(function):
            raise OptionError(f"HashBy takes a function of the argument, such as HashBy[len]; this is {function!r}")
        return cls(function)

    def __call__(self, value: Any) -> Any:
        return self.function(value)


def marks(annotations: Mapping[str, Any], names: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """{parameter: NoHash or function} for the parameters that are so annotated.

    ``names`` is what annotations that are text (``from __future__ import annotations``) are evaluated with: the
    function's globals. A text that can't be evaluated is no mark, unless it names NoHash itself.
    """
    found = {}
    for parameter, annotation in annotations.items():
        if parameter == "return":
            continue
        if isinstance(annotation, str):
            text = annotation
            try:
                annotation = eval(text, dict(names or {}))
            except Exception:  # names that only type checkers see
                if text.startswith(("NoHash[", "memo.NoHash[")):
                    annotation = NoHash
        for mark in (annotation, *getattr(annotation, "__metadata__", ())):
            if mark is NoHash:
                found[parameter] = NoHash
            elif isinstance(mark, HashBy):
                found[parameter] = mark.function
    return found


class File:
    """An argument that counts by its content: ``load(File("data.csv"))``.

    It is an ``os.PathLike``: open it as any path. Where the file lies and what it is called is no part of the key.
    """

    __module__ = "memo"  # where everybody finds it; this name is in keys

    def __init__(self, path: str | os.PathLike[str]) -> None:
        import os

        self.path = os.fspath(path)

    def __fspath__(self) -> str:
        return self.path

    def __repr__(self) -> str:
        return f"File({self.path!r})"

    def __str__(self) -> str:
        return self.path

    def __memo_fingerprint__(self) -> bytes:
        from ._digest import digest_file

        return digest_file(self.path)
