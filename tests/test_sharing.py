"""Results that go from place to place: in one file, by push and pull, and in a folder that is copied."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memo import Cache, MemoWarning, _upkeep, sharing
from memo._entry import sealing
from memo._upkeep import Filters
from memo.errors import OptionError, PlaceError
from memo.model import Head
from memo.storages import Memory
from memo.storages.archive import _ROW, Archive, _hash

SECRET = "a secret of the people of one group"


def functions(cache: Cache, calls: list[Any]) -> tuple[Callable[[int], Any], Callable[[int], Any]]:
    """Two functions that note their computations; the same ones for every cache."""

    @cache.persist(name="shop.price", version=1, code="off", tags=["prices"])
    def price(n: int) -> int:
        calls.append(n)
        return n * 2

    @cache.persist(name="shop.text", version=1, code="off")
    def text(n: int) -> str:
        calls.append(n)
        return "x" * n

    return price, text


SIZES = (1, 5_000, 300_000)  # in a row; in a file; mapped


def fill(cache: Cache) -> list[Any]:
    """What had to be computed for the same calls, whatever the cache."""
    calls: list[Any] = []
    price, text = functions(cache, calls)
    assert [price(n) for n in range(3)] == [0, 2, 4]
    assert [text(n) for n in SIZES] == ["x" * n for n in SIZES]
    return calls


ALL = [0, 1, 2, *SIZES]


def held(cache: Cache) -> set[str]:
    return {one.key for one in _upkeep.entries(cache.storage) if one.live}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    cache = Cache(tmp_path / "origin")
    assert fill(cache) == ALL
    assert cache.export(tmp_path / "results.memo").entries == 6
    return tmp_path / "results.memo"


# ------------------------------------------------------------------------------------------------------ one file


@pytest.mark.parametrize("kind", ["sqlite", "files", "shelve", "memory"])
def test_a_file_goes_from_any_storage_to_any_other(kind: str, tmp_path: Path) -> None:
    origin = Cache(tmp_path / "origin", storage=kind)
    fill(origin)
    copied = origin.export(tmp_path / "results.memo")
    assert (copied.entries, copied.functions) == (6, ("shop.price", "shop.text"))
    for other in ("sqlite", "files", "shelve", "memory"):
        receiver = Cache(tmp_path / f"to-{other}", storage=other)
        assert receiver.import_(tmp_path / "results.memo", trust=True) == copied
        assert fill(receiver) == []
    if kind != "memory":
        assert list((tmp_path / "origin").iterdir())  # no new neighbours
    assert {one.name for one in tmp_path.iterdir()} <= {"origin", "results.memo", "to-sqlite", "to-files", "to-shelve"}


def test_a_file_is_read_in_place_and_says_once_that_nothing_is_stored(file: Path) -> None:
    before = file.read_bytes()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        cache = Cache(file, trust_folder=True)
        assert fill(cache) == []
        calls: list[int] = []
        price, text = functions(cache, calls)
        assert (price(7), price(7), text(7)) == (14, 14, "x" * 7)
    assert calls == [7, 7, 7]
    (told,) = [str(one.message) for one in caught if isinstance(one.message, MemoWarning)]
    assert "only be read" in told
    assert (file.read_bytes(), os.listdir(file.parent)) == (before, os.listdir(file.parent))


def test_unsigned_pickles_in_a_file_are_read_in_place_with_a_warning(file: Path) -> None:
    with pytest.warns(MemoWarning, match="not signed"):
        assert fill(Cache(file)) == []


def test_arrays_of_a_file_are_mapped_and_nobody_changes_what_others_get(tmp_path: Path) -> None:
    numpy = pytest.importorskip("numpy")

    def zeros(cache: Cache) -> Any:
        return cache.persist(name="zeros", version=1, code="off")(lambda n: numpy.zeros(n))

    origin = Cache(tmp_path / "origin")
    zeros(origin)(100_000)
    origin.export(tmp_path / "results.memo")
    again = zeros(Cache(tmp_path / "results.memo", trust_folder=True))
    first = again.get(100_000)
    assert first.ctypes.data % 64 == 0
    try:
        first[0] = 1.0
    except ValueError:  # read-only: just as well
        pass
    assert again.get(100_000)[0] == 0.0


def test_importing_pickles_needs_trust_and_changes_nothing_without(file: Path, tmp_path: Path) -> None:
    receiver = Cache(tmp_path / "receiver")
    with pytest.raises(PlaceError, match=r"6 of 6 entries run code.*--trust"):
        receiver.import_(file)
    assert list(receiver.storage.scan()) == []
    assert receiver.import_(file, "shop.text", trust=True).entries == 3
    assert fill(receiver) == [0, 1, 2]


def test_data_needs_no_trust(tmp_path: Path) -> None:
    fill(origin := Cache(tmp_path / "origin", serializer="json"))
    origin.export(tmp_path / "results.memo")
    receiver = Cache(tmp_path / "receiver", serializer="json")
    assert receiver.import_(tmp_path / "results.memo").entries == 6
    assert fill(receiver) == []


def test_what_is_signed_with_a_known_key_needs_no_trust(tmp_path: Path) -> None:
    fill(origin := Cache(tmp_path / "origin", sign=SECRET))
    origin.export(tmp_path / "results.memo")
    receiver = Cache(tmp_path / "receiver", sign=SECRET)
    receiver.clear()
    assert receiver.import_(tmp_path / "results.memo").entries == 6
    assert fill(receiver) == []
    other = Cache(tmp_path / "other", sign="another secret of other people")
    assert other.import_(tmp_path / "results.memo")[0::4] == (0, 6)  # none; all six count as damaged
    with pytest.raises(PlaceError, match="6 of 6"):
        Cache(tmp_path / "keyless").import_(tmp_path / "results.memo")


def test_what_is_imported_is_a_hit_after_clears_on_either_side(tmp_path: Path) -> None:
    origin, receiver = Cache(tmp_path / "origin"), Cache(tmp_path / "receiver")
    for cache in (origin, receiver, receiver):  # words that differ
        fill(cache)
        cache.clear()
        cache.clear(tag="prices")
    fill(origin)
    origin.export(tmp_path / "results.memo")
    fill(Cache(tmp_path / "receiver"))  # the functions' words as a running program knows them
    receiver.clear()
    receiver.clear(tag="prices")
    assert receiver.import_(tmp_path / "results.memo", trust=True).entries == 6
    assert fill(receiver) == []
    receiver.clear(tag="prices")
    assert fill(Cache(tmp_path / "receiver")) == [0, 1, 2]


def test_what_was_cleared_is_not_sent_along(tmp_path: Path) -> None:
    fill(origin := Cache(tmp_path / "origin"))
    origin.clear(tag="prices")
    assert origin.export(tmp_path / "results.memo").functions == ("shop.text",)
    origin.clear()
    assert origin.export(tmp_path / "none.memo").entries == 0
    assert not (tmp_path / "none.memo").exists()


def test_a_file_that_is_not_whole_is_refused_and_nothing_is_changed(file: Path, tmp_path: Path) -> None:
    whole = file.read_bytes()
    receiver = Cache(tmp_path / "receiver")
    for length in [0, 1, 30, 100, *range(200, len(whole), len(whole) // 20), len(whole) - 1]:
        file.write_bytes(whole[:length])
        with pytest.raises(PlaceError):
            receiver.import_(file, trust=True)
    assert list(receiver.storage.scan()) == []
    with pytest.warns(MemoWarning, match="could not open"):  # in place: a call never fails for it
        assert len(fill(Cache(file))) == 6


def test_no_changed_byte_makes_a_wrong_value(file: Path, tmp_path: Path) -> None:
    whole = file.read_bytes()
    for at in [*range(0, 2000, 41), *range(len(whole) - 1500, len(whole), 17)]:
        file.write_bytes(whole[:at] + bytes((whole[at] ^ 0x41,)) + whole[at + 1 :])
        receiver = Cache(tmp_path / f"receiver{at}", storage="memory")
        try:
            copied = receiver.import_(file, trust=True)
        except PlaceError:
            assert list(receiver.storage.scan()) == []
        else:
            assert (copied.entries + copied.damaged, copied.damaged) in ((6, 0), (6, 1))
            assert len(fill(receiver)) == copied.damaged


def test_no_space_for_an_export_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(cache := Cache(tmp_path / "cache"))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        cache.export(tmp_path / "results.memo")
    assert os.listdir(tmp_path) == ["cache"]


def crafted(file: Path, name: str, offset: int = 0) -> None:
    head = sealing(name, [b"x"], Head("f", 1.0, 1.0, "json", (), 1, b"", b""))()
    index = _ROW.pack(len(name), len(head), offset, 1, bytes(16)) + name.encode() + head
    with zipfile.ZipFile(file, "w") as made:
        made.writestr("bodies", b"x")
        made.writestr("index", index)
        made.writestr("memo.json", json.dumps({"format": 1, "made_by": "x", "index": _hash(index).hex()}))


@pytest.mark.parametrize(
    "name", ["../../x", "a/../x", "/etc/x", "a/b/c/d", "a//x", "A/b", "a/b\0c", "a", ".a/b", "a\\b/c"]
)
def test_names_in_a_file_are_no_paths(name: str, tmp_path: Path) -> None:
    crafted(tmp_path / "evil.memo", name)
    with pytest.raises(PlaceError, match="impossible"):
        Cache(tmp_path / "receiver", storage="files").import_(tmp_path / "evil.memo", trust=True)
    crafted(tmp_path / "evil.memo", "a/b/c", offset=9)
    with pytest.raises(PlaceError, match="impossible"):
        Archive(tmp_path / "evil.memo").manifest()


def test_foreign_files_are_refused_and_never_replaced(tmp_path: Path) -> None:
    thesis = tmp_path / "thesis.memo"
    with zipfile.ZipFile(thesis, "w") as made:
        made.writestr("thesis.txt", "three years")
    before = thesis.read_bytes()
    fill(cache := Cache(tmp_path / "cache"))
    for refused in (cache.export, cache.import_):
        with pytest.raises(PlaceError, match="no export of memo"):
            refused(thesis)
    assert thesis.read_bytes() == before
    with pytest.raises(PlaceError, match="there is no file"):
        cache.import_(tmp_path / "gone.memo")
    with pytest.raises(PlaceError, match="there is no file"):
        _ = Cache(tmp_path / "gone.memo").storage
    assert sorted(one.name for one in tmp_path.iterdir()) == ["cache", "thesis.memo"]


def test_a_file_of_a_newer_memo_says_so(file: Path) -> None:
    with zipfile.ZipFile(file) as made:
        manifest = {**json.loads(made.read("memo.json")), "format": 9}
        index, bodies = made.read("index"), made.read("bodies")
    with zipfile.ZipFile(file, "w") as made:
        for name, data in (("memo.json", json.dumps(manifest)), ("index", index), ("bodies", bodies)):
            made.writestr(name, data)
    with pytest.raises(PlaceError, match=r"format 9.*Upgrade"):
        Archive(file).manifest()


def test_an_export_that_is_broken_off_leaves_the_old_one(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = file.read_bytes()
    cache = Cache(file.parent / "origin")

    def broken(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sharing.export(cache.storage, file, Filters(), progress=broken)
    assert (file.read_bytes(), sorted(os.listdir(file.parent))) == (before, ["origin", "results.memo"])


# -------------------------------------------------------------------------------------------- from place to place


def test_push_and_pull_make_the_union_and_transfer_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(Cache(tmp_path / "one"))
    _, text = functions(two := Cache(tmp_path / "two", storage="files"), [])
    for n in (5_000, 7, 8):
        text(n)
    assert two.pull(tmp_path / "one", trust=True)[0::3] == (5, 1)  # the one computed last wins, so 5,000 stays theirs
    assert fill(two) == []
    before = {one: one.stat() for one in tmp_path.rglob("*") if one.is_file()}
    writes: list[str] = []
    cache = Cache(tmp_path / "one")
    monkeypatch.setattr("memo.storages.files.Files.write", lambda self, name, *_, **__: writes.append(name))
    assert cache.push(tmp_path / "two") == (0, 0, (), 6, 0, 0)
    assert writes == []
    assert all(before[one].st_mtime_ns == one.stat().st_mtime_ns for one in (tmp_path / "two").rglob("*.pkl"))


def test_the_one_computed_last_wins_in_either_direction(tmp_path: Path) -> None:
    def at(when: float, value: str) -> Cache:
        cache = Cache(tmp_path / value)
        cache.clock = lambda: when
        cache.persist(name="f", version=1, code="off")(lambda n: value)(1)
        return cache

    def held_by(cache: Cache) -> Any:
        return Cache(cache.location).persist(name="f", version=1, code="off")(lambda n: "computed")(1)

    old, new = at(1e9, "old"), at(1.7e9, "new")
    assert old.push(new.location).same == 1
    assert held_by(new) == "new"
    old.clock = time.time
    held_by_front = old.persist(name="f", version=1, code="off")(lambda n: "computed")
    assert (held_by_front(1), held_by_front(1)) == ("old", "old")
    assert new.push(old.location).entries == 1
    assert held_by(old) == "new"
    assert held_by_front(1) == "new"  # fronts of running programs look again


@given(st.dictionaries(st.integers(0, 5), st.integers(1, 9)), st.dictionaries(st.integers(0, 5), st.integers(1, 9)))
def test_a_copy_is_the_union_of_the_newest(here: dict[int, int], there: dict[int, int]) -> None:
    def storage(entries: dict[int, int]) -> Memory:
        made = Memory()
        for key, created in entries.items():
            body, name = b"%d" % created, f"f-1/v/a{key}"
            made.write(
                name, [body], sealing(name, [body], Head("f", created, 0.0, "json", (), 1, b"", b"")), size=1, mark=0
            )
        return made

    source, target = storage(here), storage(there)
    for again in (False, True):
        copied = sharing.copy(source, target, Filters())
        found = {int(item.name[-1]): int(bytes(target.read(item.name).body)) for item in target.scan("f-1")}  # type: ignore[union-attr]
        assert found == {key: max(here.get(key, 0), there.get(key, 0)) for key in here | there}
        newer = {key for key in here if here[key] > there.get(key, 0)}
        assert copied.entries == (0 if again else len(newer))


def test_a_copy_that_was_broken_off_is_taken_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing._copy, "_TOGETHER", 1)
    fill(source := Cache(tmp_path / "source"))
    target = sharing.reach(str(tmp_path / "target"), create=True)

    def broken(done: int, of: int, size: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sharing.copy(source.storage, target.storage, Filters(), progress=broken)
    assert len(held(Cache(tmp_path / "target"))) == 4
    seen: list[tuple[int, int]] = []
    copied = sharing.copy(source.storage, target.storage, Filters(), progress=lambda *at: seen.append(at[:2]))
    assert (copied.entries, copied.same, seen) == (2, 4, [(1, 2), (2, 2)])
    assert fill(Cache(tmp_path / "target")) == []


@pytest.mark.parametrize("kind", ["sqlite", "files"])
def test_limits_of_the_receiver_hold(kind: str, tmp_path: Path) -> None:
    fill(source := Cache(tmp_path / "source"))
    target = Cache(tmp_path / "target", storage=kind, max_size=150_000)
    copied = target.pull(tmp_path / "source", trust=True)
    assert (copied.entries, copied.left_out) == (5, 1)
    assert len(held(Cache(tmp_path / "target"))) == 5
    Cache(tmp_path / "few", storage=kind, max_entries=2).pull(tmp_path / "source", trust=True)
    assert len(held(Cache(tmp_path / "few"))) == 2
    source.push(tmp_path / "few")
    assert len(held(Cache(tmp_path / "few"))) == 2


@pytest.mark.parametrize("kind", ["sqlite", "files"])
def test_concurrent_pushers_lose_nothing(kind: str, tmp_path: Path) -> None:
    sources = []
    for number in range(4):
        cache = Cache(tmp_path / f"source{number}", storage="memory")
        text = cache.persist(name="f", version=1, code="off")(lambda n: n)
        for n in range(number * 10, number * 10 + 20):
            text(n)
        sources.append(cache)
    Cache(tmp_path / "target", storage=kind).storage.word("x")  # type: ignore[attr-defined]
    threads = [threading.Thread(target=one.push, args=(tmp_path / "target",)) for one in sources]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    found = Cache(tmp_path / "target")
    assert len(held(found)) == 50
    text = found.persist(name="f", version=1, code="off")(lambda n: -1)
    assert [text(n) for n in range(50)] == list(range(50))


def test_entries_are_chosen_by_the_filters_of_clear(tmp_path: Path) -> None:
    fill(source := Cache(tmp_path / "source"))
    assert source.push(tmp_path / "a", "*.price").functions == ("shop.price",)
    assert source.push(tmp_path / "b", tag="prices").functions == ("shop.price",)
    assert source.push(tmp_path / "c", larger_than="4 kB").entries == 2
    assert source.push(tmp_path / "d", older_than="1h").entries == 0


def test_a_place_is_not_copied_into_itself(tmp_path: Path) -> None:
    fill(cache := Cache(tmp_path / "cache"))
    for same in (tmp_path / "cache", f"sqlite:{tmp_path}/x/../cache"):
        with pytest.raises(OptionError, match="this place itself"):
            cache.push(same)


def test_damaged_entries_stay_where_they_are(tmp_path: Path) -> None:
    fill(cache := Cache(tmp_path / "cache", storage="files"))
    for one in (tmp_path / "cache" / "files").rglob("*.pkl"):
        if one.stat().st_size > 4000:
            one.chmod(0o600)
            content = one.read_bytes()
            one.write_bytes(content[:50] + b"?" + content[51:])
    copied = cache.push(tmp_path / "other")
    assert (copied.entries, copied.damaged) == (4, 2)
    assert fill(Cache(tmp_path / "other")) == [5_000, 300_000]


def test_how_long_results_are_good_goes_with_them(tmp_path: Path) -> None:
    def used(cache: Cache) -> Any:
        return cache.persist(name="f", version=1, code="off", idle_ttl="1h")(lambda n: calls.append(n))

    calls: list[int] = []
    source = Cache(tmp_path / "source")
    source.clock = lambda: 1e9
    used(source)(1)
    source.clock = lambda: 1e9 + 3000
    used(source)(1)
    source.push(tmp_path / "target")
    assert Cache(tmp_path / "target").storage.read(next(iter(held(source))).partition("/")[0] + "/current")
    target = Cache(tmp_path / "target")
    target.clock = lambda: 1e9 + 6000  # an hour after it was made, not after it was used
    used(target)(1)
    assert calls == [1]


# --------------------------------------------------------------------------------- a folder that is just copied

PROGRAM = """
import sys, shop
for n in range(3):
    shop.price(n, {"b": n, "a": {"x", "y", "zz", n}})
"""
MODULE = """
import sys
from memo import persist

def twice(n):
    return n * RATE

RATE = 2

@persist
def price(n, options):
    print("computing", n, file=sys.stderr)
    return twice(n)
"""


def run(folder: Path, cwd: Path, place: Path, seed: str) -> int:
    """How many results the program computes."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MEMO_", "XDG_"))}
    done = subprocess.run(
        [sys.executable, folder / "program.py"],
        cwd=cwd,
        env={**kept, "MEMO_DIR": str(place), "PYTHONHASHSEED": seed, "HOME": str(cwd), "USER": f"user{seed}"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr.count("computing")


def test_a_copied_folder_hits_from_another_path_working_directory_and_hash_seed(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "else" / "where"
    here.mkdir()
    (here / "pyproject.toml").touch()
    (here / "program.py").write_text(PROGRAM, encoding="utf-8")
    (here / "shop.py").write_text(MODULE, encoding="utf-8")
    assert run(here, here, here / "place", "1") == 3
    shutil.copytree(here, there, copy_function=shutil.copy)  # with times of its own, as a checkout has them
    shutil.rmtree(here)
    assert run(there, tmp_path, there / "place", "77") == 0


def test_the_benchmark_of_sharing_runs(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent))
    from benchmarks import sharing as benchmark

    benchmark.main(["--entries", "50", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert {"import", "push unchanged", "export"} <= set(found)
