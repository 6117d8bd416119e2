"""Kinds of functions stay what they are for type checkers: coroutines, generators, methods, under any cache."""

from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import Any, assert_type

from memo import AsyncPersisted, Cache, Persisted, Reference, persist

cache = Cache("place")


@persist
async def fetch(url: str, tries: int = 3) -> bytes:
    return url.encode() * tries


@persist(ttl="1h")
async def fetch_for_an_hour(url: str) -> bytes:
    return url.encode()


@cache.persist
async def fetch_into(url: str) -> bytes:
    return url.encode()


@cache.persist(ignore=["n"])
def count(n: int) -> int:
    return n


@persist
def lines(text: str) -> Iterator[str]:
    yield from text.splitlines()


@persist
async def pages(start: int) -> AsyncIterator[bytes]:
    yield b""


class Client:
    @persist
    async def get(self, path: str) -> dict[str, int]:
        return {path: 1}


def takes_async(function: AsyncPersisted[[str], bytes]) -> None: ...
def takes_plain(function: Persisted[[int], int]) -> None: ...


async def main() -> None:
    coroutine: Coroutine[Any, Any, bytes] = fetch("a")
    await coroutine
    assert_type(await fetch("a", tries=2), bytes)
    assert_type(await fetch_for_an_hour("a"), bytes)
    assert_type(await fetch_into("a"), bytes)
    assert_type(await fetch.get("a"), bytes)
    assert_type(await fetch.get_or(None, "a"), bytes | None)
    assert_type(await fetch.refresh("a"), bytes)
    assert_type(await fetch.is_cached("a"), bool)
    assert_type(await fetch.map(["a", "b"]), list[bytes])
    assert_type(await fetch.call_and_shelve("a"), Reference)
    assert_type(await Client().get("a"), dict[str, int])
    assert_type(await Client().get.refresh("a"), dict[str, int])
    async for page in pages(1):
        assert_type(page, bytes)
    takes_async(fetch_for_an_hour)
    takes_plain(count)
    await fetch(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await fetch.refresh(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


assert_type(count(1), int)
assert_type(count.map([1, 2]), list[int])
assert_type(count.call_and_shelve(1), Reference)
for line in lines("a"):
    assert_type(line, str)
