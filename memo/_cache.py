"""Cache: a storage with serializer, codecs and policy; ``lookup()`` and ``store()`` are the whole flow of an entry.

The one place where the failures of storages and serializers end: whatever they raise becomes a miss or an unstored
result, and one warning per cause. A cache may forget, must not lie, and must not break the call.
"""

from __future__ import annotations

import os
import sys
from _thread import RLock
from errno import EACCES
from time import monotonic, time

from . import _entry, events
from ._body import Bodies
from ._location import DEFAULT, Default, checked_location
from ._opened import Opened, open_place
from ._place import absolute, is_url, shown
from .errors import OptionError, UnreachableError, UnstorableError
from .model import Call, Fresh, Head, Hit, Miss, Raised, Record, Stale

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import timedelta
    from typing import Any

    from ._front import Front
    from ._limits import Limits, Room
    from .protocols import CachePersist, Codec, Policy, Serializer, Storage

_RETRY = 2.0  #: seconds for which a place that could not be opened is left alone
_SMALL = 1 << 16  #: bytes; the bodies of rows, verified and unpacked in one step
_HEAD = 80  #: bytes, what a head takes at most besides stamp and notes
_VERIFIED = 10_000  #: identities of bodies remembered as verified


_opening = RLock()
_new = tuple.__new__


def _after_fork() -> None:
    global _opening
    _opening = RLock()  # the thread that held it is not there to let go


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class Cache:
    """What ``@persist`` stores into. Nothing is opened or created before the first call.

    Args:
        location: a folder, "kind:path" ("files:results") or a URL ("redis://host"); None for no caching at all; by default
            the place that ``memo where`` shows.
        storage: "sqlite", "files", "shelve", "memory", or an object with the four verbs of ``memo.protocols.Storage``.
            By default what the place was made with; for a new one sqlite, on a network disk files.
        serializer: "pickle" (default; with the storages "hdf5" and "pytables" the one of that name for what it takes), "json", "auto", ... or an object with ``name``, ``dump`` and ``load``.
        policy: what decides how long an entry is good, for all functions of this cache; see ``memo.policies``.
        max_size: bytes, or text such as "2 GB": what all entries of the place may take together. Written in the place.
        max_entries: how many entries the place may hold.
        evict: which go first then: "lru", those not used for longest; "cost", those that save the fewest seconds a byte.
        compress: "zlib", "zstd", "lz4", a codec, or a list of these, applied in order. What gains under 10 % is left out.
        checksum: "first" verifies a large body once per process and file, "always" at every load.
        front_ttl: seconds, text or timedelta for which a process serves repeated hits from memory, and may not see what others
            cleared or deleted, where the storage can't be watched without a trip (servers, object stores); 0 by default.
        on_unkeyable: "raise" an UnkeyableError for an argument without a canonical value, or "bypass" the cache.
        sign: a secret of at least 16 characters or bytes, or several: entries are signed with the first and taken only if
            one of them signed them, which is checked before anything is decoded. By default those in the environment
            variable MEMO_SIGNING_KEY, separated by blanks. Pickled with the cache, so that workers have it too.
        trust: "pickle"; "restricted": of pickles only what is on a list of harmless types is loaded and stored, see
            ``memo.serializers.Restricted``; or "data": entries whose loading could run code (pickles) are neither made nor
            read, and the default serializer is then "auto", without its pickles.
        shared_group: the group (name or number) of people who share a folder: what is made there is theirs too (folders 2770,
            files 0660 or less), and what any of them stored is loaded. A place keeps what it was made with.
        trust_folder: load pickles from a folder that other users own or may write to, and without a warning from a URL.
        spot_check: share of the hits (0.01: one in a hundred) that is computed again and compared; a difference is reported, once
            per function, and the stored result dropped. Not for generators.
        durable: a result is on the disk before the call returns, so that not even a power cut loses it; storages "sqlite" and
            "files". By default the last moments may be lost then, and are computed again; nothing is ever half there.
        detect_mutation: look at the arguments once more after each computation: a function that changed one of them is
            reported, and its result not stored.
        strict: raise what goes wrong in the cache instead of warning and computing.

    Raises:
        OptionError: for options that can't be right.
    """

    def __init__(
        self,
        location: str | os.PathLike[str] | Default | None = DEFAULT,
        *,
        storage: str | Storage | None = None,
        serializer: str | Serializer | None = None,
        policy: Policy | None = None,
        max_size: int | str | None = None,
        max_entries: int | None = None,
        evict: str = "lru",
        compress: str | Codec | Sequence[str | Codec] | None = None,
        checksum: str = "first",
        front_ttl: float | str | timedelta = 0,
        on_unkeyable: str = "raise",
        sign: str | bytes | Sequence[str | bytes] | None = None,
        trust: str = "pickle",
        shared_group: str | int | None = None,
        trust_folder: bool = False,
        durable: bool = False,
        spot_check: float = 0,
        detect_mutation: bool = False,
        strict: bool = False,
        **unknown: object,
    ) -> None:
        from . import _contradictions, _units, codecs, policies, serializers

        if unknown:
            from ._peers import unknown_option

            raise OptionError(unknown_option("Cache", next(iter(unknown))))
        _one_of("checksum", checksum, ("first", "always"))
        _one_of("on_unkeyable", on_unkeyable, ("raise", "bypass"))
        self.location, storage = checked_location(location, storage)
        self.codecs: tuple[Codec, ...] = codecs.chain(compress)
        _one_of("trust", trust, ("pickle", "restricted", "data"))
        self.trust, data_only = trust, trust != "pickle"
        if trust == "restricted" and serializer in (None, "pickle") and storage not in ("hdf5", "pytables"):
            serializer = serializers.Restricted()
        if serializer is None and storage in ("hdf5", "pytables"):
            serializer = serializers.Auto(pickle=not data_only, first=(storage,))
        elif data_only and (serializer is None or serializer == "auto"):
            serializer = serializers.Auto(pickle=False)
        self.serializer = serializers.serializer("pickle" if serializer is None else serializer)
        if data_only and not serializers.is_safe(self.serializer):
            raise OptionError(
                f"serializer={self.serializer.name!r} may run code when it loads, which trust={trust!r} rules out:"
                f" leave it out, or take one of data alone, such as 'json' or 'numpy'"
            )
        self.bodies = Bodies(self.serializer, self.codecs, data_only=data_only)
        self.policy: Policy = policies.Forever() if policy is None else checked_policy(policy)
        self.checksum, self.on_unkeyable = checksum, on_unkeyable
        self.limits = _limits(max_size, max_entries, evict)
        _contradictions.of_cache(
            limited=self.limits is not None, evict=evict, trust=trust, trust_folder=bool(trust_folder)
        )
        self.shared_group = _checked_group(shared_group)
        self.front_ttl = _units.seconds(front_ttl, "front_ttl")
        self.trust_folder, self.strict, self.durable = trust_folder, strict, bool(durable)
        if self.durable and storage not in (None, "sqlite", "files"):
            raise OptionError(
                f"durable=True is for the storages 'sqlite' and 'files', not {storage!r}; a storage object takes it itself"
            )
        self._secrets = _secrets(sign)
        self._keys: tuple[bytes, ...] = ()  #: made of the secrets when the place is opened; the first one signs
        self._asked = storage
        self._opened: Opened | None = None
        self._left_alone_until = 0.0
        self._verified: dict[str, object] = {}
        if isinstance(spot_check, bool) or not isinstance(spot_check, (int, float)) or not 0 <= spot_check <= 1:
            raise OptionError(f"spot_check is a share from 0 to 1, such as 0.01, not {spot_check!r}")
        self.spot_check = spot_check
        self.detect_mutation = bool(detect_mutation)
        self.clock = time  #: seconds since the epoch; handed to policies, replaced in tests

    def __reduce__(self) -> tuple[Callable[..., Cache], tuple[dict[str, Any]]]:
        asked = self._asked
        return _rebuild, (
            {
                "location": self.location,
                "storage": asked,
                "serializer": self.serializer,
                "policy": self.policy,
                **(self.limits.kept() if self.limits is not None else {}),
                "compress": self.codecs,
                "checksum": self.checksum,
                "front_ttl": self.front_ttl,
                "on_unkeyable": self.on_unkeyable,
                "sign": self._secrets,
                "trust": self.trust,
                "shared_group": self.shared_group,
                "trust_folder": self.trust_folder,
                "durable": self.durable,
                "spot_check": self.spot_check,
                "detect_mutation": self.detect_mutation,
                "strict": self.strict,
            },
        )

    def __repr__(self) -> str:
        kind = self._asked if isinstance(self._asked, str) or self._asked is None else type(self._asked).__name__
        return f"Cache({self._shown!r}" + (f", storage={kind!r})" if kind else ")")

    # ------------------------------------------------------------------------------------------- for users

    @property
    def _shown(self) -> Any:
        return shown(self.location) if isinstance(self.location, str) else self.location

    @property
    def needs_no_folder(self) -> bool:
        """Whether the storage is memory, or an object that has its own place."""
        return self._asked == "memory" or not (self._asked is None or isinstance(self._asked, str))

    @property
    def storage(self) -> Storage:
        """The open storage. Raises PlaceError, or what opening it raises, where a call would only warn."""
        return self._open().storage

    @property
    def persist(self) -> CachePersist:
        """``@cache.persist`` and ``@cache.persist(...)``: ``memo.persist`` with ``cache=self``."""
        from functools import partial

        from ._persist import persist

        bound: Any = partial(persist, cache=self)
        return bound  # type: ignore[no-any-return]

    cache = persist  # as joblib.Memory spells it: Pipeline(memory=Cache(...)) of scikit-learn calls it

    def clear(
        self,
        function: str = "*",
        *,
        tag: str | None = None,
        older_than: Any = None,
        larger_than: Any = None,
        expired: bool = False,
        stale_code: bool = False,
        where: Callable[[Any], bool] | None = None,
        dry_run: bool = False,
    ) -> Any:
        """Remove entries: all, or those of the functions that match ``function``, older or larger than a limit.

        With ``tag`` alone it takes no longer for a million entries than for one: they are misses from now on, in every
        process, and their room is freed by a later ``prune``.

        Args:
            function: pattern on full names, such as ``"shop.*"``.
            older_than: seconds, text ("7d") or timedelta.
            larger_than: bytes or text ("2 MB").
            tag: only entries with this tag, whatever others they have.
            expired: only what is not good any more, by the ``ttl`` and ``idle_ttl`` with which its function was used last.
            stale_code: only what was made by other code than that which its function used last.
            where: only entries of which this function says True; it gets each as one with ``function``, ``key``, ``size`` (bytes)
                and ``head`` (``created``, ``seconds``, ...; None where it can't be read).
            dry_run: only say what would go.

        Returns:
            what was removed: ``(entries, bytes, functions)``.
        """
        from . import _units, _upkeep

        opened = self._open()
        try:
            if tag is not None and (function, older_than, larger_than, expired, stale_code, where, dry_run) == (
                "*",
                None,
                None,
                False,
                False,
                None,
                False,
            ):
                _upkeep.clear_tag(opened.storage, tag)
                return _upkeep.Cleared(0, 0, (), 0)
            return _upkeep.clear(
                opened.storage,
                functions=function,
                tag=tag,
                expired=expired,
                stale_code=stale_code,
                where=where,
                older_than=None if older_than is None else _units.seconds(older_than),
                larger_than=None if larger_than is None else _units.size_bytes(larger_than),
                now=self.clock(),
                dry_run=dry_run,
            )
        finally:
            opened.look_again()

    def prune(self, function: str = "*", *, dry_run: bool = False) -> Any:
        """Remove what nobody will be served any more: ``expired``, ``stale_code`` and what was cleared; as `clear` does."""
        from . import _upkeep

        opened = self._open()
        try:
            return _upkeep.prune(opened.storage, filters=_upkeep.Filters(function), now=self.clock(), dry_run=dry_run)
        finally:
            opened.look_again()

    # ------------------------------------------------------------------------------------- with other places

    def verify(self, function: str = "*", *, repair: bool = False) -> Any:
        """Read every entry and hold it against its digest, and look for what is no entry. Nothing is decoded.

        Args:
            function: pattern on full names; with another than "*" only entries are looked at.
            repair: take away what is not as it was written, and what killed processes left behind over an hour ago.

        Returns:
            ``(entries, bytes, findings)``: how many entries are as they were written; each finding has ``kind`` ("damaged",
            "litter", or "unknown" for what can't be judged here), ``what``, ``why``, ``function`` and ``repaired``.
        """
        from . import _verify

        opened = self._open()
        folder = opened.place if opened.place and os.path.isdir(opened.place) else ""
        try:
            return _verify.verify(opened.storage, folder, self._keys, function, repair=repair)
        finally:
            if repair:
                opened.look_again()

    def export(self, path: str | os.PathLike[str], function: str = "*", **filters: Any) -> Any:
        """Put entries into one file, which ``Cache(path)`` reads in place and ``import_`` takes over.

        Args:
            path: a name that ends in ``.memo``. An export that is there is replaced, whole.
            function: pattern on full names.
            filters: ``tag``, ``older_than``, ``larger_than``, ``expired`` and ``stale_code``, as `clear` has them.

        Returns:
            what was copied: ``(entries, bytes, functions, same, damaged, left_out)``. Where there is nothing to copy, no
            file is made.

        Raises:
            PlaceError: there is another file of that name.
        """
        from . import _upkeep, sharing

        chosen = _upkeep.filters(function, self.clock(), **filters)
        return sharing.export(self._open().storage, path, chosen, keys=self._keys)

    def import_(self, path: str | os.PathLike[str], function: str = "*", *, trust: bool = False, **filters: Any) -> Any:
        """Take over the entries of a file that `export` made, unless newer ones are here; as `export`.

        Args:
            trust: also take what runs code when it is loaded (pickles) without being signed by a key known here.

        Raises:
            PlaceError: it is no such file, or not whole, or ``trust`` would be needed. Then nothing is changed.
        """
        return self.pull(path, function, trust=trust, **filters)

    def push(self, place: str | os.PathLike[str], function: str = "*", **filters: Any) -> Any:
        """Give another place (a folder, a URL) what it lacks, within its limits; it is made if it is not there. As `export`."""
        from . import _upkeep, sharing

        chosen = _upkeep.filters(function, self.clock(), **filters)
        return sharing.give(self._open(), place, chosen, keys=self._keys)

    def pull(self, place: str | os.PathLike[str], function: str = "*", *, trust: bool = False, **filters: Any) -> Any:
        """Take from another place what is lacking here, within this one's limits; as `import_`."""
        from . import _upkeep, sharing

        chosen = _upkeep.filters(function, self.clock(), **filters)
        opened = self._open()
        try:
            return sharing.take(opened, place, chosen, keys=self._keys, trusted=trust)
        finally:
            opened.look_again()

    # ------------------------------------------------------------------------------------------ the two steps

    def lookup(
        self,
        call: Call,
        mark: int,
        now: float,
        policy: Policy,
        since: float,
        front: Front | None,
        front_key: bytes,
        grace: float = 0.0,
        read: Callable[[str], Record | None] | None = None,
    ) -> Hit | Miss:
        """The stored result of ``call``, verified, fresh and loaded, or why there is none. Fills ``front``.

        What was stored before ``since`` (seconds since the epoch) is stale: mode refresh. What expired less than ``grace``
        seconds ago comes with the Miss. ``read``: instead of the storage's, one that reads ahead; ask again without it where
        something was found and is no hit, since it may have been replaced.

        Raises nothing (or anything, when strict).
        """
        name = call.key
        try:
            record = (read or (self._opened or self._open()).storage.read)(name)
        except Exception as error:
            return Miss(call, self.trouble("read", error))
        if record is None:
            return Miss(call, "never seen")
        packed, marked, body, identity = record
        if marked != mark:
            return Miss(call, "cleared")
        if not packed:
            return Miss(call, "deleted")
        try:
            if identity is None and len(body) < _SMALL and not self._keys:
                head = _entry.verified(name, packed, body, call.function)
            else:
                self._verify(name, record)
                head = _entry.unpack(packed, call.function)
        except Exception as error:  # DamagedError; and in a foreign database anything may stand in a column
            return Miss(call, self.trouble("read", error, "damaged: "))
        if head.created < since:
            return Miss(call, "mode refresh")
        idle = getattr(policy, "idle", 0.0)
        try:
            if idle:
                head = head._replace(used=self._open().used(call))
            fresh = policy.fresh(head.stamp, head, call, now)
        except Exception as error:
            return Miss(call, self.trouble(f"ask the policy of {call.function}", error))
        late = 0.0
        if isinstance(fresh, Stale):
            late = now - (head.created if fresh.since is None else fresh.since)
            if not 0 <= late < grace:
                return Miss(call, fresh.why)
        bodies = self.bodies
        try:
            load = bodies.load if head.serializer == bodies.plain and not head.codecs else bodies.loader(head)
            if isinstance(load, str):
                return Miss(call, load)
            value = load(body)
        except Exception as error:
            return Miss(call, self.trouble("load", error, "could not be loaded: "))
        if isinstance(fresh, Stale):
            return Miss(call, fresh.why, Hit(head, value), late)
        if front is not None:
            if type(value) is Raised:
                front.drop(front_key, call.values)
            else:
                front.put(front_key, value, head, fresh.until, load, body, call.values)
        if idle and now - max(head.used, head.created) > idle / 20:
            self._open().use(call, now)
        if (room := self._opened.room) is not None:  # type: ignore[union-attr]
            self._note(room, call, head, now)
        return _new(Hit, (head, value))

    def store(
        self,
        call: Call,
        value: Any,
        seconds: float,
        mark: int,
        stamp: bytes,
        policy: Policy,
        front: Front | None,
        front_key: bytes,
        notes: bytes = b"",
    ) -> Head | None:
        """Store a result; None, and one warning, when that could not be done. Fills ``front``."""
        try:
            opened = self._opened or self._open()
            if opened.gone():
                opened = self._reopen(opened)
            parts, serializer, codecs, suffix = self.bodies.dump(value, call.function)
            size = len(parts[0]) if len(parts) == 1 else sum(memoryview(part).nbytes for part in parts)
            head = _new(Head, (call.function, self.clock(), seconds, serializer, codecs, size, stamp, notes, 0.0))
            seal = _entry.sealing(call.key, parts, head, self._keys[0] if self._keys else None)
            if opened.room is None:
                opened.storage.write(call.key, parts, seal, size=size, mark=mark, suffix=suffix)
            else:
                with opened.room.taken(call.key, size + _HEAD + len(stamp) + len(notes)) as fits:
                    if not fits:
                        self._too_large(call, size)
                        return None
                    opened.storage.write(call.key, parts, seal, size=size, mark=mark, suffix=suffix)
                opened.room.stored(call.key, head)
            opened.name(call)
            if monotonic() >= opened.sweep_at:
                opened.sweep()
        except Exception as error:
            self.trouble("store", error, call=call)
            return None
        if front is None:
            return head
        if len(parts) == 1 and type(value) is not Raised:
            try:
                fresh = policy.fresh(stamp, head, call, head.created)
            except Exception:  # the next look-up says what is wrong
                fresh = None
            bodies = self.bodies
            load = bodies.load if codecs == () and serializer == bodies.plain else bodies.loader(head)
            if isinstance(fresh, Fresh) and not isinstance(load, str):
                front.put(front_key, value, head, fresh.until, load, parts[0], call.values)
                return head
        front.drop(front_key, call.values)  # what it had of that call is not what is stored now
        return head

    # ------------------------------------------------------------------------------------------------ inside

    def _limits_of(self, kept: dict[str, Any]) -> Limits | None:
        """Those of the place, which count for all who use it."""
        from ._limits import limits_of

        there = limits_of(kept)
        self._compare(there, "Its limits stand in memo.json; clear the place and delete that file to give it others")
        return there

    def _compare(self, there: Limits | None, more: str) -> None:
        if self.limits is not None and there is not None and self.limits != there:
            events.warn_once(
                f"{self._shown}:limits",
                f"the place {self._shown} has {there}, which counts; {self.limits} was asked for. {more}",
            )

    def _note(self, room: Room, call: Call, head: Head, now: float) -> None:
        try:
            room.used(call.key, head, now)
        except Exception as error:
            self.trouble("note uses", error)

    def _too_large(self, call: Call, size: int) -> None:
        events.warn_once(
            f"{call.function}:too large",
            f"a result of {call.function} has {size:,} bytes, more than the place {self._shown} may hold ({self.limits});"
            f" it was returned, not stored",
        )

    def ready(self) -> Opened | None:
        """The open place, or None (after one warning) when calls have to do without."""
        if self._opened is not None:
            return self._opened
        if self.location is None or time() < self._left_alone_until:
            return None
        try:
            return self._open()
        except Exception as error:
            self._left_alone_until = time() + _RETRY
            self.trouble("open", error)
            return None

    def alive(self) -> Opened | None:
        """As ready(), for what changes something: a folder that was deleted meanwhile is made anew first."""
        opened = self.ready()
        if opened is not None and opened.gone():
            try:
                return self._reopen(opened)
            except Exception as error:
                self.trouble("open", error)
                return None
        return opened

    def _reopen(self, gone: Opened) -> Opened:
        with _opening:
            if self._opened is gone:
                gone.retire()
                self._opened = None
            return self._open()

    def _open(self) -> Opened:
        with _opening:  # two threads at once would have two places, and share no flights
            if self._opened is None:
                storage, place, trusted, limits = self._asked, "", True, self.limits
                if storage == "memory":
                    from .storages.memory import Memory

                    storage = Memory()
                elif storage is None or isinstance(storage, str):
                    place = absolute(str(self.location))
                    trusted = self.trust_folder or self.trust != "pickle"
                    storage, marker = open_place(
                        place,
                        kind=storage,
                        create=True,
                        trust=trusted,
                        limits=self.limits.kept() if self.limits else None,
                        group=self.shared_group,
                        durable=self.durable,
                    )
                    limits = self._limits_of(marker.limits)
                else:
                    place = getattr(storage, "url", "")
                secrets = self._secrets or _secrets(os.environ.get("MEMO_SIGNING_KEY", "").split(), "MEMO_SIGNING_KEY")
                self._keys = tuple(map(_entry.signing_key, secrets))
                if (is_url(place) or os.path.isfile(place)) and not self._keys and not trusted:
                    events.warn_once(
                        f"{place}:unsigned",
                        f"results at {self._shown} are not signed, and loading a pickle runs what is in it: who can write there"
                        f" can run code here. Give sign= or MEMO_SIGNING_KEY, or trust='data', or, if nobody else can"
                        f" write there, trust_folder=True",
                    )
                self._opened = Opened(storage, place, limits)
                if (room := self._opened.room) is not None and room.limits is not limits:
                    self._compare(room.limits, "Another Cache of this process gave them to it")
            return self._opened

    def _verify(self, name: str, record: Record) -> None:
        if record.identity is None or self.checksum == "always":
            _entry.verify(name, record, self._keys)
        elif self._verified.get(name) != (record.identity, record.head):
            _entry.verify(name, record, self._keys)
            if len(self._verified) >= _VERIFIED:
                self._verified.clear()
            self._verified[name] = (record.identity, record.head)

    def trouble(self, doing: str, error: Exception, prefix: str = "", call: Call | None = None) -> str:
        """Every failure of the cache ends here: what went wrong, in words, after one warning per cause."""
        if self.strict:
            raise error
        what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        where = self._shown if self._asked is None or isinstance(self._asked, str) else self._asked
        if isinstance(error, UnstorableError) or (doing == "store" and self.serializer_failed(error)):
            of = call.function if call else ""
            text = f"a result of {of} can't be stored by {self.serializer.name!r} ({what}); it was returned, not kept"
            cause = f"{of}:{self.serializer.name}:{type(error).__name__}"
        elif isinstance(error, UnreachableError):  # one warning, whichever step noticed it first
            text = f"the cache at {where} can't be reached ({error}); functions run without it until it answers again"
            cause = f"{where}:{error.kind}"
        elif isinstance(error, PermissionError) and doing == "store":
            text = (
                f"the cache at {where} can only be read here ({error}): what it has is served, what it lacks is computed"
                f" and not stored"
            )
            cause = f"{where}:{EACCES}"
        else:
            text = f"the cache at {where} could not {doing} ({what}); the function runs without it"
            code = getattr(error, "errno", None)  # a disk that fails is one cause, whichever step noticed it first
            cause = f"{where}:{doing}:{type(error).__name__}" if code is None else f"{where}:{code}"
        events.warn_once(cause, text)
        if self._opened is not None:
            self._opened.heal(error)
        return f"{prefix}{error if prefix else what}"

    def serializer_failed(self, error: Exception) -> bool:
        """Whether the failure of a store lies in the value: then the place is not to blame and must not be named."""
        pickle = sys.modules.get("pickle")
        return pickle is not None and isinstance(
            error, (pickle.PicklingError, TypeError, AttributeError, RecursionError)
        )


def checked_policy(policy: Any) -> Policy:
    from .policies import is_policy

    if not is_policy(policy):
        raise OptionError(f"policy must have begin, seal, fresh and rank (see memo.policies); got {policy!r}")
    return policy


def _checked_group(group: Any) -> int | None:
    if group is None:
        return None
    from . import _group

    try:
        return _group.number(group)
    except (ImportError, KeyError, TypeError, ValueError):
        raise OptionError(
            f"shared_group must be the name or number of a group of this machine; got {group!r}"
        ) from None


def _secrets(sign: Any, option: str = "sign") -> tuple[str | bytes, ...]:
    secrets = () if sign is None else tuple(sign) if isinstance(sign, (list, tuple)) else (sign,)
    for secret in secrets:
        if not isinstance(secret, (str, bytes)) or len(secret) < 16:  # never shown, not even a wrong one
            raise OptionError(f"{option} takes secrets of at least 16 characters or bytes, such as secrets.token_hex()")
    return secrets


def _limits(max_size: Any, max_entries: Any, evict: str) -> Limits | None:
    from ._limits import Limits
    from ._units import size_bytes

    _one_of("evict", evict, ("lru", "cost"))
    if max_entries is not None and (
        isinstance(max_entries, bool) or not isinstance(max_entries, int) or max_entries < 1
    ):
        raise OptionError(f"max_entries must be a whole number from 1 on, not {max_entries!r}")
    if max_size is not None and (max_size := size_bytes(max_size, "max_size")) < 1:
        raise OptionError("max_size must be at least one byte; location=None switches caching off")
    return Limits(max_size, max_entries, evict) if max_size is not None or max_entries is not None else None


def _one_of(option: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise OptionError(f"{option} must be {' or '.join(map(repr, allowed))}, not {value!r}")


def _rebuild(options: dict[str, Any]) -> Cache:
    return Cache(**options)
