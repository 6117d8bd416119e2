"""What type checkers make of the face. Checked by mypy and pyright, never run."""

from typing import assert_type

import memo
from memo import Cache, CacheInfo, persist


@persist
def plain(n: int, scale: float = 1.0) -> list[float]:
    return [n * scale]


@persist(location="place", ttl="1h", ignore=["verbose"])
def with_options(name: str, *, verbose: bool = False) -> dict[str, int]:
    return {name: int(verbose)}


class Model:
    @persist
    def predict(self, x: int) -> str:
        return str(x)

    @staticmethod
    @persist
    def static(x: int) -> bytes:
        return bytes(x)


assert_type(plain(1), list[float])
assert_type(plain(1, scale=2.0), list[float])
assert_type(plain.cache_info(), CacheInfo)
assert_type(plain.get(1), list[float])
assert_type(plain.get_or(None, 1), list[float] | None)
assert_type(plain.refresh(1, 2.0), list[float])
assert_type(plain.is_cached(3), bool)
assert_type(with_options("a", verbose=True), dict[str, int])
assert_type(Model().predict(3), str)
assert_type(Model().predict.refresh(3), str)
assert_type(Model.predict(Model(), 3), str)
assert_type(Model.static(3), bytes)

plain("text")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
plain()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
plain.refresh("text")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Model().predict("text")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

cache = Cache("place", serializer="json", strict=True)
with memo.mode("refresh"):
    plain(1)
