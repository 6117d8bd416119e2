"""Signed entries: only who has the key makes what is taken, and nothing else is ever decoded."""

from __future__ import annotations

import os
import pickle
import subprocess
from pathlib import Path

import pytest

from memo import Cache, MemoWarning, OptionError, _entry, events
from memo.model import Head

KEY, OTHER = "a secret of this test alone", b"another secret of this test"


class Planted:
    """What an attacker stores: unpickling it leaves a mark."""

    def __reduce__(self) -> object:
        return os.putenv, ("MEMO_PLANTED", "1")


def persisted(cache: Cache) -> tuple[object, list[int]]:
    calls: list[int] = []

    def f(x: int, calls: list[int]) -> list[int]:
        calls.append(x)
        return [x] * 3

    return cache.persist(f, name="signed.f", code="off", version=1, ignore=["calls"]), calls


def asked(cache: Cache, x: int = 1) -> list[int]:
    """What it computed anew for two calls; each fresh, as in another process."""
    f, calls = persisted(cache)
    assert f(x, calls) == [x] * 3  # type: ignore[operator]
    return calls


@pytest.fixture(autouse=True)
def warned_anew() -> None:
    events._warned.clear()


@pytest.mark.parametrize("storage", ["sqlite", "files", "shelve"])
def test_with_the_key_a_hit_without_it_a_miss(tmp_path: Path, storage: str) -> None:
    def cache(sign: object) -> Cache:
        events._warned.clear()  # as another process
        return Cache(tmp_path / "place", storage=storage, sign=sign)

    assert asked(cache(KEY)) == [1]
    assert asked(cache(KEY)) == []
    with pytest.warns(MemoWarning, match="it is signed, and this cache has no key"):
        assert asked(cache(None)) == [1]
    with pytest.warns(MemoWarning, match="it is not signed"):
        assert asked(cache(KEY)) == [1]
    with pytest.warns(MemoWarning, match="signed with another key"):
        assert asked(cache(OTHER)) == [1]


def test_keys_are_rotated_the_first_signs_the_others_are_taken(tmp_path: Path) -> None:
    assert asked(Cache(tmp_path / "place", sign=KEY), 1) == [1]
    both = [OTHER, KEY]
    assert asked(Cache(tmp_path / "place", sign=both), 1) == []
    assert asked(Cache(tmp_path / "place", sign=both), 2) == [2]
    assert asked(Cache(tmp_path / "place", sign=OTHER), 2) == []


def test_the_environment_has_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = Cache(tmp_path / "place")  # made before the key is there: what counts is the first call
    monkeypatch.setenv("MEMO_SIGNING_KEY", f"{KEY.replace(' ', '-')} {OTHER.decode().replace(' ', '-')}")
    assert asked(cache) == [1]
    assert asked(Cache(tmp_path / "place", sign=KEY.replace(" ", "-"))) == []
    monkeypatch.delenv("MEMO_SIGNING_KEY")
    with pytest.warns(MemoWarning, match="it is signed"):
        assert asked(Cache(tmp_path / "place")) == [1]


@pytest.mark.parametrize("size", [10, 200_000, 9_000_000])
def test_large_and_small_results_are_signed_alike(tmp_path: Path, size: int) -> None:
    def f(size: int) -> bytes:
        return os.urandom(8) * (size // 8)

    def made(sign: object) -> object:
        return Cache(tmp_path / "place", sign=sign).persist(f, name="signed.large", code="off", version=1)

    first = made(KEY)(size)  # type: ignore[operator]
    assert made(KEY)(size) == first  # type: ignore[operator]
    with pytest.warns(MemoWarning, match="signed with another key"):
        assert made(OTHER)(size) != first  # type: ignore[operator]


@pytest.mark.parametrize("storage", ["sqlite", "files", "shelve"])
def test_what_somebody_else_planted_is_never_decoded(tmp_path: Path, storage: str) -> None:
    """A whole entry, right in all but the key: the digest that anybody can make does not help."""
    cache = Cache(tmp_path / "place", storage=storage, sign=KEY)
    f, calls = persisted(cache)
    f(1, calls)  # type: ignore[operator]
    name = f.cache_key(1, calls)  # type: ignore[attr-defined]
    there = cache.storage.read(name)
    assert there is not None
    body = pickle.dumps(Planted())
    for key in (None, _entry.signing_key(OTHER)):
        head = Head("signed.f", 1.7e9, 1.0, "pickle", (), len(body), b"", b"")
        cache.storage.write(name, [body], _entry.sealing(name, [body], head, key), size=len(body), mark=there.mark)
        events._warned.clear()
        with pytest.warns(MemoWarning, match=r"not signed|another key"):
            assert asked(Cache(tmp_path / "place", storage=storage, sign=KEY)) == [1]
        assert asked(Cache(tmp_path / "place", storage=storage, sign=KEY)) == []  # healed
        assert subprocess.run(["printenv", "MEMO_PLANTED"], capture_output=True).returncode == 1


def test_a_signed_entry_of_another_name_is_not_taken(tmp_path: Path) -> None:
    """Who can write but not sign can't answer one call with the result of another."""
    cache = Cache(tmp_path / "place", sign=KEY)
    f, calls = persisted(cache)
    f(1, calls), f(2, calls)  # type: ignore[operator]
    one, two = f.cache_key(1, calls), f.cache_key(2, calls)  # type: ignore[attr-defined]
    record = cache.storage.read(two)
    assert record is not None
    cache.storage.write(one, [record.body], lambda: record.head, size=len(record.body), mark=record.mark)
    with pytest.warns(MemoWarning, match="its signature does not fit"):
        assert asked(Cache(tmp_path / "place", sign=KEY)) == [1]


def test_the_layout_of_a_signed_head_is_that_of_format_1() -> None:
    head = Head("", 1.7e9, 0.5, "pickle", (), 4, b"stamp", b"note")
    packed = _entry.sealing("a/b/c", [b"body"], head, _entry.signing_key(KEY))()
    assert packed.hex() == (
        "936d010100000040fc54d9410000003f04000000000000000605007069636b6c657374616d706e6f7465" + packed[-16:].hex()
    )
    assert packed[-16:].hex() == "4329c4ade860d65d94a80c856e1d7459"
    assert _entry.unpack(packed) == head


@pytest.mark.parametrize("sign", ["short", b"short", ["a secret that is long enough", "short"], [7], 7])
def test_a_short_secret_is_refused_and_not_shown(tmp_path: Path, sign: object) -> None:
    with pytest.raises(OptionError, match="at least 16") as raised:
        Cache(tmp_path / "place", sign=sign)  # type: ignore[arg-type]
    assert "short" not in str(raised.value)


def test_workers_have_the_secret_and_nobody_sees_it(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "place", sign=KEY)
    assert KEY not in repr(cache)
    assert asked(cache) == [1]
    assert asked(pickle.loads(pickle.dumps(cache))) == []
