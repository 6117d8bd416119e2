"""Entries on a Redis or Valkey server, shared by every process and host that reaches it.

Each entry is one string, as in ``_value``, so that a reader never sees half of a write and a server that evicts takes all
of it or nothing. Its head is read by GETRANGE, without the body. Beside the entries ``prefix:name`` each scope (a name's first component)
has a hash ``prefix:sizes:scope`` of what is in it, for listings and sums, and a sorted set ``prefix:order:scope`` for
eviction. They are changed in one transaction with the entry, and where the server has evicted one, what can still be
found decides. Nothing expires by itself but locks: freshness is the policy's business.

Words are times of the server in microseconds, made at the first look: whoever finds none, since the server lost it or
evicted it, gets one later than all before, so that what was cleared never comes back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import islice
from typing import Any
from urllib.parse import urlsplit

from .._abilities import headed, is_result
from ..errors import OptionError
from ..model import Buffer, Item, Record
from ._lease import Leases
from ._redis_scripts import FREE, INDEX, REMOVE, RENEW, TAKE, WORD
from ._value import ABOUT, START, head_of, record_of, value_of

_PAGE = 500  #: names asked for at once in listings
_PENDING = 100  #: ranks kept until they are written together
_CHUNK = 8 << 20  #: bytes sent at once: the time-out is for each
_LARGEST = 512 << 20  #: bytes of a string, of Redis's own

_UNRANKED = -float(2**53)  #: plus the microsecond of its writing is the order of what was never ranked
_LOWEST = -1e15  #: ranks are above, what was never ranked is below


class _MadeOnce:
    """As ``functools.cached_property``, but for the lock that it has in Python 3.11: a child of a fork would wait for it."""

    def __init__(self, make: Callable[[Any], Any]) -> None:
        self._make = make

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, one: Any, owner: type) -> Any:
        if one is None:
            return self
        made = one.__dict__[self._name] = self._make(one)
        return made


class Redis:
    """Entries of a server, from Redis 5 or any Valkey on; every key begins with ``prefix`` and a colon.

    Args:
        url: redis://, rediss://, valkey://, valkeys:// or unix://, as redis-py takes it; its password is shown nowhere.
        timeout: seconds to wait for a connection, and for each answer, then redis-py's TimeoutError.
        prefix: two places on one server have two. Not for Redis Cluster, unless the prefix is ``{in braces}``.
        lease: seconds for which a lock outlives a holder that died.

    Nothing is connected to before the first use. redis-py's errors pass; a body and head above 512 MB together, which no
    string of Redis holds, raise ValueError. The server should not evict (``maxmemory-policy noeviction``, the default), or
    among all keys: what it takes is computed again.

    Raises:
        OptionError: for another URL.
        ImportError: redis-py is not installed.
    """

    def __init__(self, url: str, *, timeout: float = 2.0, prefix: str = "memo", lease: float = 15.0) -> None:
        self.url, self.timeout, self.prefix, self.lease = url, timeout, prefix, lease
        scheme, found, rest = url.partition("://")
        scheme = {"valkey": "redis", "valkeys": "rediss"}.get(scheme, scheme)
        if not found or scheme not in ("redis", "rediss", "unix") or not _has_port(url):
            raise OptionError(f"{self!r} is no URL of a Redis server, such as redis://host:6379/0 or unix:///path")
        self._url = f"{scheme}://{rest}"
        self._pending: dict[str, float] = {}
        self._unkept = 0  # the word of every scope for which the server takes none
        self.lock: Callable[[str, float], AbstractContextManager[bool]]
        self.lock = Leases(lease, self._take, self._renew, self._free).lock

        from importlib.util import find_spec

        if find_spec("redis") is None:
            raise ImportError('redis:// needs redis-py: pip install "memo-persist[redis]"')

    def __reduce__(self) -> tuple[Callable[..., Redis], tuple[str, float, str, float]]:
        return _redis, (self.url, self.timeout, self.prefix, self.lease)

    def __repr__(self) -> str:
        scheme, slashes, rest = self.url.partition("://")
        return f"Redis('{scheme}{slashes}{rest.partition('?')[0].rpartition('@')[2]}')"  # nobody's name or password

    @_MadeOnce
    def _client(self) -> Any:
        """Of redis-py: it keeps a pool of connections for threads, and another one in a forked child."""
        from redis import Redis as Client
        from redis import SSLConnection, UnixDomainSocketConnection
        from redis.backoff import NoBackoff
        from redis.connection import Connection, ConnectionPool, parse_url
        from redis.retry import Retry

        patience = {"socket_timeout": self.timeout, "socket_connect_timeout": self.timeout}
        # its own retries would make a bounded wait a multiple of it; a connection that the server has closed since its
        # last use is opened again all the same
        ours = {"decode_responses": False, "protocol": 2, "retry": Retry(NoBackoff(), 0)}
        options = {**patience, **parse_url(self._url), **ours}
        kind = options.get("connection_class", Connection)
        if kind is UnixDomainSocketConnection:
            del options["socket_connect_timeout"]
        assert kind in (Connection, SSLConnection, UnixDomainSocketConnection)
        return Client(connection_pool=ConnectionPool(**options))

    @_MadeOnce
    def down(self) -> Callable[[Exception], bool]:
        """Whether an error means that the server can't be reached, and not that it refuses something."""
        from redis.exceptions import ConnectionError, TimeoutError

        return lambda error: isinstance(error, (ConnectionError, TimeoutError, OSError))

    # -- the four verbs

    def read(self, name: str, /) -> Record | None:
        value = self._client.get(self._key(name))
        return None if value is None else record_of(name, value)

    def write(
        self,
        name: str,
        parts: Iterable[Buffer],
        head: Callable[[], bytes],
        /,
        *,
        size: int,
        mark: int,
        suffix: str = "",
    ) -> None:
        value = value_of(parts, head, size, mark)
        whole = len(value[0]) + size
        if whole > _LARGEST:
            raise ValueError(f"an entry of {whole:,} bytes is more than the {_LARGEST:,} that a string of Redis holds")
        key, (scope, rest) = self._key(name), _split(name)
        with self._client.pipeline(transaction=True) as pipe:
            if whole <= _CHUNK:
                pipe.set(key, b"".join(value))
            else:
                pipe.delete(key)
                for start, chunk in reversed(list(_chunks(value))):
                    pipe.setrange(key, start, chunk)  # the last one first: it makes room for all
            arguments = (rest, whole - ABOUT.size, scope, int(is_result(name)), _LOWEST)
            pipe.eval(INDEX, 3, *self._index(scope), self._special("scopes"), *arguments)
            try:
                pipe.execute()
            except Exception as error:
                raise _plain(error)

    def remove(self, name: str, /) -> None:
        scope, rest = _split(name)
        self._remove(scope, [(rest, b"")])

    def _remove(self, scope: str, pairs: Iterable[tuple[str, bytes]]) -> int:
        flat = [value for pair in pairs for value in pair]
        removed: int = self._client.eval(REMOVE, 2, *self._index(scope), self._key(scope) + "/", *flat)
        return removed

    def scan(self, prefix: str = "", /) -> Iterator[Item]:
        names = self._names(prefix) if prefix else self._all_names()
        seen: set[str] = set()  # a server that makes room for its keys meanwhile lists some of them twice
        while page := list(islice(names, _PAGE)):
            page = [name for name in dict.fromkeys(page) if name not in seen]
            seen.update(page)
            yield from self._items(page).values()

    def _names(self, prefix: str) -> Iterator[str]:
        """From the hash of the scope."""
        scope, _, rest = prefix.partition("/")
        under = rest and rest + "/"
        for field in self._client.hscan_iter(self._index(scope)[0], count=_PAGE):
            found = field[0].decode()
            if found and found.startswith(under):
                yield f"{scope}/{found}"

    def _all_names(self) -> Iterator[str]:
        """From the entries themselves, whatever else is on the server: hashes may have been evicted."""
        start = len(self._key(""))
        for key in self._client.scan_iter(match=_escaped(self._key("")) + "*/*", count=_PAGE):
            name = key[start:].decode()
            if ":" not in name:  # those of words and locks have one more
                yield name

    def _items(self, names: Sequence[str]) -> dict[str, Item]:
        """Of those that are there."""
        with self._client.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.getrange(self._key(name), 0, START - 1)
                pipe.strlen(self._key(name))
            found = iter(pipe.execute())
        items = {}
        for name, start, size in zip(names, found, found, strict=True):
            if start:
                about = head_of(name, start) or self.head(name)  # a long one costs a trip more
                if about is not None:
                    items[name] = Item(name, size - ABOUT.size, about[1], about[0])
        return items

    # -- what it does better than a fall-back could

    def head(self, name: str, /) -> tuple[bytes, int] | None:
        end = START
        while start := self._client.getrange(self._key(name), 0, end - 1):
            found = head_of(name, start)
            if found is not None:
                return found
            end = ABOUT.size + ABOUT.unpack_from(start)[0]
            if len(start) >= end:
                break
        return None

    def read_many(self, names: Sequence[str], /) -> Mapping[str, Record]:
        if not names:
            return {}
        found = self._client.mget([self._key(name) for name in names])
        return {name: record_of(name, value) for name, value in zip(names, found, strict=True) if value is not None}

    def word(self, scope: str, /) -> int:
        key = self._special("word", scope)
        found = self._client.get(key)
        if found is None:
            from redis.exceptions import ResponseError

            try:
                found = self._client.eval(WORD, 1, key, 0)
            except ResponseError:  # out of memory, or only to be read: then one that nothing has been stored under
                import time

                found = self._unkept = self._unkept or time.time_ns() // 1000
        return int(found)

    def look(self, name: str, scopes: Sequence[str], whole: bool, /) -> tuple[Record | None, Sequence[int]]:
        key, keys = self._key(name), [self._special("word", scope) for scope in scopes]
        if whole:
            *found, value = self._client.mget([*keys, key])
        else:
            with self._client.pipeline(transaction=False) as pipe:
                found, value = pipe.mget(keys).getrange(key, 0, START - 1).execute()
        words = [self.word(scope) if word is None else int(word) for scope, word in zip(scopes, found, strict=True)]
        if None in found:  # those were made after what was read, which counts as older
            return (self.read(name) if whole else headed(self.head(name))), words
        if not value:
            return None, words
        return (record_of(name, value) if whole else headed(head_of(name, value) or self.head(name))), words

    def bump(self, scope: str, /) -> int:
        return int(self._client.eval(WORD, 1, self._special("word", scope), 1))

    def watch(self, scope: str, /) -> Sequence[int] | None:
        return None

    def totals(self, scope: str, /) -> tuple[int, int]:
        with self._client.pipeline(transaction=False) as pipe:
            for each in self._scopes(scope):
                sizes, order = self._index(each)
                pipe.zcard(order)
                pipe.hget(sizes, "")
            found = pipe.execute()
        counts = list(zip(found[::2], found[1::2], strict=True))
        return sum(count for count, _ in counts), sum(int(size or 0) for count, size in counts if count)

    def rank(self, ranks: Mapping[str, float], /) -> None:
        """Kept in this process and written in batches: a process that is killed loses its last ones."""
        self._pending.update(ranks)
        if len(self._pending) >= _PENDING:
            self._rank()

    def _rank(self) -> None:
        pending, self._pending = self._pending, {}
        if not pending:
            return
        with self._client.pipeline(transaction=False) as pipe:
            for name, rank in pending.items():
                scope, rest = _split(name)
                pipe.zadd(self._index(scope)[1], {rest: max(rank, _LOWEST)}, xx=True)
            pipe.execute()

    def lowest(self, scope: str, n: int, /) -> list[Item]:
        return [item for _, _, item in self.ranked(scope, n)]

    def ranked(self, scope: str, n: int, /) -> list[tuple[float, float, Item]]:
        """The lowest with their ranks (-inf: never ranked) and times of writing in seconds, for storages over this one."""
        from heapq import nsmallest

        self._rank()
        scopes = self._scopes(scope)
        while True:
            with self._client.pipeline(transaction=False) as pipe:
                for each in scopes:
                    pipe.zrange(self._index(each)[1], 0, n - 1, withscores=True)
                found = pipe.execute()
            flat = [
                (score, f"{each}/{rest.decode()}")
                for each, line in zip(scopes, found, strict=True)
                for rest, score in line
            ]
            lowest = nsmallest(n, flat)
            items = self._items([name for _, name in lowest])
            gone = [name for _, name in lowest if name not in items]
            if not gone:
                return [(*_rank_and_time(score), items[name]) for score, name in lowest]
            for name in gone:  # evicted by the server
                self.remove(name)

    def purge(self, scope: str, below_mark: int, limit: int, /) -> int:
        removed, names = 0, (name for name in self._names(scope) if is_result(name))
        while removed < limit and (page := list(islice(names, _PAGE))):
            with self._client.pipeline(transaction=False) as pipe:
                for name in page:
                    pipe.getrange(self._key(name), 0, ABOUT.size - 1)
                starts = pipe.execute()
            dead = [
                (_split(name)[1], start)
                for name, start in zip(page, starts, strict=True)
                if len(start) == ABOUT.size and ABOUT.unpack(start)[1] < below_mark
            ]
            if dead:
                removed += self._remove(scope, dead[: limit - removed])
        return removed

    # -- locks

    def _take(self, name: str, token: str) -> bool | None:
        from redis.exceptions import ResponseError

        try:
            return bool(self._client.eval(TAKE, 1, self._special("lock", name), token, int(self.lease * 1000)))
        except ResponseError:
            return None  # full, or only to be read: the store will say so

    def _renew(self, name: str, token: str) -> None:
        self._client.eval(RENEW, 1, self._special("lock", name), token, int(self.lease * 1000))

    def _free(self, name: str, token: str) -> None:
        self._client.eval(FREE, 1, self._special("lock", name), token)

    # -- upkeep

    def close(self) -> None:
        """Lets go of all connections; the next use opens others."""
        self._rank()
        self._client.connection_pool.disconnect()

    # -- keys

    def _key(self, name: str) -> str:
        return f"{self.prefix}:{name}"

    def _special(self, *what: str) -> str:
        return ":".join((self.prefix, *what))  # names have no colon

    def _index(self, scope: str) -> tuple[str, str]:
        return self._special("sizes", scope), self._special("order", scope)

    def _scopes(self, scope: str) -> list[str]:
        return [scope] if scope else sorted(each.decode() for each in self._client.smembers(self._special("scopes")))


def _redis(url: str, timeout: float, prefix: str, lease: float) -> Redis:
    return Redis(url, timeout=timeout, prefix=prefix, lease=lease)


def _has_port(url: str) -> bool:
    try:
        return urlsplit(url).port != 0
    except ValueError:
        return False


def _split(name: str) -> tuple[str, str]:
    scope, _, rest = name.partition("/")
    return scope, rest


def _chunks(views: Iterable[memoryview]) -> Iterator[tuple[int, memoryview]]:
    """(where it begins in the whole, chunk) of at most ``_CHUNK`` bytes each."""
    at = 0
    for view in views:
        for start in range(0, len(view), _CHUNK):
            chunk = view[start : start + _CHUNK]
            yield at, chunk
            at += len(chunk)


def _rank_and_time(score: float) -> tuple[float, float]:
    return (float("-inf"), (score - _UNRANKED) / 1e6) if score < _LOWEST else (score, 0.0)


def _escaped(text: str) -> str:
    """For a pattern of SCAN."""
    return "".join(f"\\{character}" if character in "*?[]\\^-" else character for character in text)


def _plain(error: Exception) -> Exception:
    """Without the command that redis-py puts in front of it, which has a part of the body."""
    said = str(error).rpartition(" of pipeline caused error: ")[2]
    return error if said == str(error) else type(error)(said)
