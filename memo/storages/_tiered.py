"""A storage near at hand in front of one that is far away and shared: a disk before a server or a bucket.

The far tier is the truth: its words, its listing, its locks, its ranks. The near tier holds copies of results, bit for
bit, each with the far tier's ``edits`` word of that function, read *before* the copy was made, in 8 bytes behind its
head. The one rule: **a copy is served while that word is still the same.** Every machine moves it after it cleared the
function, and before and after it deleted, set or refreshed one of its keys. So whatever another machine does by hand
shows here with the next look at the word, and no copy can be older than its word says, whoever is killed in between.
When the word has moved, a copy whose head is still the far one's is good again under the new word; any other is read anew.
What is overwritten without moving the word is another result of the same computation, as good as the copy; a copy that
the engine finds stale is compared with the far head as soon as that is asked for, and goes if it differs.

The word is the one that was last asked for (the engine asks before every look-up, unless it was given time by
``front_ttl``), and is asked anew where that was more than a second ago or the far tier's watch shows a change.

Writes go to the far tier first. A kill between the two leaves the near one with an older copy or none. The threads of a
process take turns on a name, so each sees what the last one wrote or removed. Memo's own small records (names of two
components) are changed in place and read from the far tier.

A far tier that fails is one warning. What the near tier has is served by the words that this machine knew last, which
lie in the near tier as well, so that a clear that this machine could know of holds; results are kept near, to be served
here. A clear, delete or remove raises: it can't be promised.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext

from .. import _abilities, events
from .._abilities import headed, is_result
from .._tuples import NamedTuple
from ..errors import PlaceError, UnreachableError
from ..model import Buffer, Item, Record
from ._disk import distrusted
from ._lock import Turns
from ._patient import Patient

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..protocols import Storage

_ASKED = 1.0  # seconds for which a word that was asked for counts, where there is no watch
_STAMP = 8  # bytes behind the head of a copy


class _Word(NamedTuple):
    value: int
    seen: int | None  # the far watch, read before; None: there is none
    when: float  # time.monotonic()


class Tiered:
    """``near`` holds copies of what was read from or written to ``far``, which counts, and is left alone while it is down.

    Args:
        near: a storage of this machine alone, or a folder for one (SQLite, bodies above 64 KB as files).
        far: the storage that is shared, or its URL.

    Either may be ``"kind:folder"`` as well. Raises PlaceError for a folder that other users may write to: what lies
    there is unpickled.
    """

    def __init__(self, near: Storage | str | os.PathLike[str], far: Storage | str | os.PathLike[str]) -> None:
        self.near = _storage(near) if isinstance(near, (str, os.PathLike)) else near
        far = _storage(far) if isinstance(far, (str, os.PathLike)) else far
        self.far = far if isinstance(far, Patient) else Patient(far)
        self.url: str = getattr(self.far.storage, "url", "")  # what the engine takes the place to be
        self._near_heads, self._far_heads = _abilities.heads(self.near), _abilities.heads(self.far)
        self._near_batch, self._far_batch = _abilities.batch(self.near), _abilities.batch(self.far)
        self._near_purge, self._far_purge = _abilities.purge(self.near), _abilities.purge(self.far)
        self._words = _abilities.words(self.far)
        self._asked: dict[str, _Word] = {}
        self._noted: dict[str, int] = {}
        self._pending: dict[str, int] = {}  # words to be noted with the first copy: who only looks makes nothing
        self._turns, self._keeping = Turns(), Turns()  # by name, by function
        self._purged = 0
        self.watch = self._words.watch
        ranks = _abilities.ranks(self.far)
        self.rank, self.lowest, self.totals = ranks.rank, ranks.lowest, ranks.totals
        if _abilities.has_locks(self.far):  # a fall-back here would hide that there are none beyond this process
            self.lock = self.far.lock
        if _abilities.has_look(self.far):
            self._far_look = self.far.look
            self.look = self._look

    def __reduce__(self) -> tuple[type[Tiered], tuple[Storage, Storage]]:
        return Tiered, (self.near, self.far)

    def __repr__(self) -> str:
        return f"Tiered({self.near!r}, {self.far!r})"

    # -- the four verbs

    def read(self, name: str, /) -> Record | None:
        if not is_result(name):
            return self._read_small(name)
        word = self._edits(name)  # before anything that is read under it
        copy = self._copy(name)
        if copy is not None and copy[1] == word:
            return copy[0]
        with self._turns[name]:
            copy = self._copy(name)  # another thread may have been there
            return copy[0] if copy is not None and copy[1] == word else self._fetch(name, copy and copy[0], word)

    def _fetch(self, name: str, old: Record | None, word: int | None) -> Record | None:
        """From the far tier, or ``old`` where that is what it has still."""
        purged = self._purged
        try:
            same = old is not None and self._far_heads.head(name) == old[:2]  # a head seals its body
            record = old if same else self.far.read(name)
        except Exception as error:
            self._lost(error)
            return None
        if record is not None:
            self._keep(name, record, word, purged)
        elif old is not None:
            self._drop(name)
        return record

    def _read_small(self, name: str) -> Record | None:
        try:
            return self.far.read(name)
        except Exception as error:
            self._lost(error)
        copy = self._copy(name)
        return None if copy is None else copy[0]

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
        word = self._edits(name)
        parts = list(parts)  # for two storages; the buffers themselves are not copied
        sealed: list[bytes] = []

        def seal() -> bytes:
            if not sealed:
                sealed.append(head())
            return sealed[0]

        with self._turns[name]:
            failure = None
            try:
                self.far.write(name, parts, seal, size=size, mark=mark, suffix=suffix)
            except Exception as error:
                failure = error
            try:
                self.near.write(name, parts, lambda: seal() + _packed(word), size=size, mark=mark, suffix=suffix)
                self._note_pending()
            except Exception as error:
                if failure is not None:  # the value's fault, or nobody has it
                    raise failure
                self._near_failed(error)
                self._drop(name)
        if failure is not None:
            self._lost(failure)

    def remove(self, name: str, /) -> None:
        with self._turns[name]:
            self._drop(name)
            self.far.remove(name)

    def scan(self, prefix: str = "", /) -> Iterator[Item]:
        return self.far.scan(prefix)

    # -- the abilities

    def head(self, name: str, /) -> tuple[bytes, int] | None:
        try:
            found = self._far_heads.head(name)
        except Exception as error:
            self._lost(error)
            copy = self._copy(name)
            good = copy is not None and (not is_result(name) or copy[1] == self._edits(name))
            return copy[0][:2] if copy is not None and good else None
        self._compare(name, found)
        return found

    def _compare(self, name: str, found: tuple[bytes, int] | None) -> None:
        """A copy of something else than what the far tier has goes."""
        try:
            near = self._near_heads.head(name)
        except Exception as error:
            self._near_failed(error)
        else:
            if near is not None and (near[0][:-_STAMP], near[1]) != found:
                self._drop(name)

    def read_many(self, names: Sequence[str], /) -> Mapping[str, Record]:
        found: dict[str, Record] = {}
        words = {name: self._edits(name) for name in names}
        try:
            for name, stored in self._near_batch.read_many([name for name in names if is_result(name)]).items():
                copy, word = _unstamped(stored)
                if word == words[name]:
                    found[name] = copy
        except Exception as error:
            self._near_failed(error)
        purged = self._purged
        try:
            far = self._far_batch.read_many([name for name in names if name not in found])
        except Exception as error:
            self._lost(error)
            return found
        for name, record in far.items():
            if is_result(name):
                self._keep(name, record, words[name], purged)
        return {**found, **far}

    def word(self, scope: str, /) -> int:
        try:
            watch = self.watch(scope)
            seen = None if watch is None else watch[0]
            value = self._words.word(scope)
        except Exception as error:
            known = self._known(scope)
            if known is None:
                raise
            self._lost(error)
            return known
        self._heard(scope, value, seen)
        return value

    def _heard(self, scope: str, value: int, seen: int | None) -> None:
        self._asked[scope] = _Word(value, seen, time.monotonic())
        if self._noted.get(scope, self._pending.get(scope)) != value:
            if self._noted_by_others(scope) is None:
                self._pending[scope] = value
            else:
                self._note(scope, value)

    def _look(self, name: str, scopes: Sequence[str], whole: bool, /) -> tuple[Record | None, Sequence[int]]:
        """One far trip: with the words comes the entry where there is no copy of it, else only its head."""
        whole_far = whole and (not is_result(name) or self._copy(name) is None)
        with self._turns[name] if whole_far else nullcontext():
            purged = self._purged
            try:
                record, words = self._far_look(name, scopes, whole_far)
            except Exception:  # each says by itself what of it can be had without the far tier
                words = [self.word(scope) for scope in scopes]
                return (self.read(name) if whole else headed(self.head(name))), words
            for scope, word in zip(scopes, words, strict=True):
                self._heard(scope, word, None)
            if whole_far and record is not None and is_result(name):
                self._keep(name, record, self._edits(name), purged)
        if not whole:
            self._compare(name, None if record is None else record[:2])
        return (self.read(name) if whole and not whole_far else record), words

    def bump(self, scope: str, /) -> int:
        # forgotten first: whatever happens now, nobody here goes on by the word as it was
        self._asked.pop(scope, None)
        self._noted.pop(scope, None)
        self._pending.pop(scope, None)
        self._drop(_note_of(scope))
        word = self._words.bump(scope)
        self._note(scope, word)
        return word

    def purge(self, scope: str, below_mark: int, limit: int, /) -> int:
        count = self._far_purge.purge(scope, below_mark, limit)
        with self._keeping[scope]:  # who has read before may not keep it afterwards
            self._purged += 1
            try:
                self._near_purge.purge(scope, below_mark, limit)
            except Exception as error:
                self._near_failed(error)
        return count

    # -- upkeep: what the two have of it

    def ruined(self, error: Exception, /) -> bool:
        own = getattr(self.far, "ruined", None)
        return own is not None and own(error)

    def reset(self) -> None:
        if own := getattr(self.far, "reset", None):
            own()

    def close(self) -> None:
        self._each("close")

    def compact(self) -> None:
        self._each("compact")

    def sweep(self, orphaned: Callable[[str], bool] | None = None, /) -> None:
        self._each("sweep")

    def _each(self, method: str) -> None:
        for storage in (self.near, self.far):
            if own := getattr(storage, method, None):
                own()

    # -- copies

    def _copy(self, name: str) -> tuple[Record, int] | None:
        """What the near tier has, and the word that it was copied under."""
        try:
            record = self.near.read(name)
        except Exception as error:
            self._near_failed(error)
            return None
        return None if record is None else _unstamped(record)

    def _keep(self, name: str, record: Record, word: int | None, purged: int) -> None:
        head, mark, body, _ = record
        size = memoryview(body).nbytes
        with self._keeping[name.partition("/")[0]]:
            if purged != self._purged:
                return
            try:
                self.near.write(name, (body,), lambda: head + _packed(word), size=size, mark=mark)
                self._note_pending()
            except Exception as error:
                self._near_failed(error)

    def _drop(self, name: str) -> None:
        try:
            self.near.remove(name)
        except Exception as error:
            self._near_failed(error)

    # -- words

    def _edits(self, name: str) -> int | None:
        """The word that copies of this function's results must carry; None, which none carries, where it is unknown."""
        scope = name.partition("/")[0] + ".edits"
        asked = self._asked.get(scope)
        try:
            if asked is not None:
                watch = self.watch(scope)
                if time.monotonic() < asked.when + _ASKED if watch is None else watch[0] == asked.seen:
                    return asked.value
            return self.word(scope)
        except Exception as error:
            self._lost(error)
            return None

    def _known(self, scope: str) -> int | None:
        """The word as this machine last saw it."""
        asked = self._asked.get(scope)
        known = [word for word in (asked and asked.value, self._noted_by_others(scope)) if word is not None]
        return max(known, default=None)  # words only grow

    def _noted_by_others(self, scope: str) -> int | None:
        try:
            found = self._near_heads.head(_note_of(scope))
        except Exception as error:
            self._near_failed(error)
            return None
        return None if found is None else found[1]

    def _note(self, scope: str, word: int) -> None:
        if self._noted.get(scope) == word:
            return
        try:
            self.near.write(_note_of(scope), (), bytes, size=0, mark=word)
            self._noted[scope] = word
        except Exception as error:
            self._near_failed(error)

    def _note_pending(self) -> None:
        """What copies are served by must be known to this machine when the far tier is down."""
        while self._pending:
            try:
                self._note(*self._pending.popitem())
            except KeyError:  # another thread was there
                return

    # -- failures

    def _lost(self, error: Exception) -> None:
        kind = getattr(error, "kind", type(error).__name__)
        events.warn_once(
            f"{self!r}:{kind}",  # as the engine calls it where that is who notices it
            f"the far tier {self.far!r} failed ({_text(error)}); the near tier {self.near!r} goes on without it",
        )

    def _near_failed(self, error: Exception) -> None:
        events.warn_once(
            f"{self.near!r}:near:{type(error).__name__}:{getattr(error, 'errno', '')}",
            f"the near tier {self.near!r} failed ({_text(error)}); the far tier {self.far!r} serves without it",
        )
        ruined, reset = getattr(self.near, "ruined", None), getattr(self.near, "reset", None)
        try:
            if ruined is not None and reset is not None and ruined(error):
                reset()
                self._noted.clear()
        except Exception:
            pass  # it has been said that it failed


def _note_of(scope: str) -> str:
    return f"known/{scope}"


def _packed(word: int | None) -> bytes:
    return (-1 if word is None else word).to_bytes(_STAMP, "little", signed=True)


def _unstamped(record: Record) -> tuple[Record, int]:
    head = record.head
    return record._replace(head=head[:-_STAMP]), int.from_bytes(head[-_STAMP:], "little", signed=True)


def _storage(where: str | os.PathLike[str]) -> Storage:
    """A URL's, that of ``kind:folder``, or the default one in a folder."""
    from . import open_storage, open_url

    place = os.fspath(where)
    kind, colon, rest = place.partition(":")
    if rest.startswith("//"):
        return open_url(place)
    if not colon or len(kind) == 1:  # a drive's letter
        kind, rest = "sqlite", place
    folder = os.path.abspath(os.path.expanduser(rest))
    if why := distrusted(folder):
        raise PlaceError(f"{folder} can't be a tier: {why}")
    return open_storage(kind, folder)


def _text(error: Exception) -> str:
    if isinstance(error, UnreachableError):
        return str(error)
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
