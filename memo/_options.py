"""What ``@persist`` was told about one function, validated; it pickles with the function."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ._cache import Cache
    from .protocols import Policy


class Options:
    """One attribute an option; the defaults are _persist's."""

    __slots__ = (
        "cache",
        "code",
        "exceptions",
        "ignore",
        "key",
        "mode",
        "name",
        "packages",
        "policy",
        "stale_if_error",
        "stale_while_revalidate",
        "version",
        "wait",
    )

    cache: Cache
    code: str
    exceptions: tuple[type[Exception], ...]  #: those that are stored
    ignore: tuple[str, ...]
    key: Callable[[Any], Any] | dict[str, Callable[[Any], Any]] | None
    mode: str | None
    name: str | None
    packages: str
    policy: Policy | None
    stale_if_error: float  #: seconds
    stale_while_revalidate: float  #: seconds
    version: str | None
    wait: float | None

    def __init__(self, **values: Any) -> None:
        for name in self.__slots__:
            setattr(self, name, values[name])

    def __reduce__(self) -> tuple[Callable[..., Options], tuple[dict[str, Any]]]:
        return _options, ({name: getattr(self, name) for name in self.__slots__},)


def _options(values: dict[str, Any]) -> Options:
    return Options(**values)
