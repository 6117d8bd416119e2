"""Whatever lies on the disk: every file of a place, damaged in every way. Never a wrong value, never an exception, healed.

Damage is done between two processes (everything is closed and opened again), and for some kinds under an open cache.
"""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from places import KINDS, SIZES, Persisted, forget, persisted, value, watched

from memo import MemoWarning

Anew = Callable[[str, str, str], Path]


def again(folder: Path, kind: str, size: str) -> tuple[Persisted, list[str]]:
    """Another process asks for what is stored: right, whatever lies there."""
    one = persisted(folder, kind, SIZES[size])
    result, texts = watched(lambda: one.f(0), raising=False)
    assert result == value(0, SIZES[size])
    return one, texts


def healed(folder: Path, kind: str, size: str, about: str) -> int:
    """Right and without an exception now, and a hit at the call after next. How often it had to compute."""
    first, texts = again(folder, kind, size)
    assert len(texts) <= 1, f"{about}: {texts}"
    absent = about.endswith(("gone", "link", "folder"))  # what is no file is no entry
    assert texts or not first.calls or absent, f"{about}: computed without a word"
    forget(first)
    second, texts = again(folder, kind, size)
    forget(second)
    third, texts = again(folder, kind, size)
    assert (third.calls, texts) == ([], []), f"{about}: not healed: {texts}"
    third.f(7)
    forget(third)
    fourth = persisted(folder, kind, SIZES[size])
    fourth.f(7)
    assert fourth.calls == [], f"{about}: stores no more"
    forget(fourth)
    return len(first.calls) + len(second.calls)


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def put(path: Path, content: bytes) -> None:
    """In place of what is there, which may be mapped: another file."""
    path.unlink()
    path.write_bytes(content)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "something").write_bytes(b"of somebody else")


def _link(path: Path) -> None:
    target = path.parent.parent / "target"
    target.write_bytes(path.read_bytes())
    path.unlink()
    path.symlink_to(target)


def _dangling(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.parent.parent / "nothing")


DAMAGES: dict[str, Callable[[Path], Any]] = {
    "gone": lambda path: path.unlink(),
    "emptied": lambda path: put(path, b""),
    "zeroed": lambda path: put(path, bytes(path.stat().st_size)),
    "noise": lambda path: put(path, os.urandom(path.stat().st_size)),
    "half": lambda path: put(path, path.read_bytes()[: path.stat().st_size // 2]),
    "one byte less": lambda path: put(path, path.read_bytes()[:-1]),
    "one byte more": lambda path: put(path, path.read_bytes() + b"x"),
    "extended": lambda path: put(path, path.read_bytes() * 2),
    "a folder": _folder,
    "a link": _link,
    "a dangling link": _dangling,
}


#: between them a place has every file that there can be; in the others there are no more
EVERY_FILE = [("sqlite", "large"), ("files", "small")]
#: each is met by other code: nothing, less than a head or a page, another content, another kind of file
QUICK = ["gone", "emptied", "noise", "half", "a folder", "a link"]


@pytest.mark.parametrize("how", [how if how in QUICK else pytest.param(how, marks=pytest.mark.slow) for how in DAMAGES])
@pytest.mark.parametrize(("kind", "size"), EVERY_FILE)
def test_each_file_of_a_place(place: Anew, kind: str, size: str, how: str) -> None:
    damaged(place, kind, size, how)


@pytest.mark.slow
@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize(("kind", "size"), [("sqlite", "small"), ("files", "large")])
def test_each_file_of_other_places(place: Anew, kind: str, size: str, how: str) -> None:
    damaged(place, kind, size, how)


def damaged(place: Anew, kind: str, size: str, how: str) -> None:
    names = [str(path.relative_to(folder)) for folder in [place("a load", kind, size)] for path in files(folder)]
    assert len(names) >= 5
    for name in names:
        folder = place("a load", kind, size)
        target = folder.parent / "target"
        DAMAGES[how](folder / name)
        about = f"{name} is {how}"
        if name == "memo.json" and how in ("a folder", "a link", "a dangling link"):
            # somebody did that, and where the cache is to be is not for them to say: refused until a person looks
            one, texts = again(folder, kind, size)
            assert [one.calls, len(texts)] == [[0], 1]
            assert "memo.json can't be read" in texts[0]
            continue
        before = target.read_bytes() if target.exists() else b""
        computed = healed(folder, kind, size, about)
        assert computed <= (2 if name == "entries.db" else 1), about  # it is set aside at the first call
        if target.exists():
            assert target.read_bytes() == before, "what a link leads to is not written"
            target.unlink()
        assert not (folder.parent / "nothing").exists()
        shutil.rmtree(folder)


def flips(content: bytes, step: int, start: int) -> list[tuple[int, bytes]]:
    found = []
    for at in range(start, len(content), step):
        changed = bytearray(content)
        changed[at] ^= 1 << (at & 7)
        found.append((at, bytes(changed)))
    return found


REFUSALS = ("this memo reads up to format", "was made by a newer memo", "there is no storage", "was made with storage=")


def changed_bytes(place: Anew, kind: str, size: str, step: int) -> None:
    """One bit of each ``step``-th byte; then the file cut off there."""
    folder = place("a load", kind, size)
    for path in files(folder):
        content = path.read_bytes()
        if path.name in ("words.map", "_words.map", ".gitignore"):
            continue  # any content is right
        for number, (at, changed) in enumerate(flips(content, step, 0)):
            put(path, changed if number & 1 else content[:at])
            first, texts = again(folder, kind, size)
            assert len(texts) <= 1, f"{path.name} at {at}: {texts}"
            forget(first)
            second, _ = again(folder, kind, size)
            forget(second)
            third, texts = again(folder, kind, size)
            forget(third)
            if third.calls and path.name in ("memo.json", "entries.db"):
                # what is whole and says that it is of a newer memo, or of a storage nobody knows, is refused, not replaced
                assert len(texts) == 1, f"{path.name} at {at}: {texts}"
                assert any(said in texts[0] for said in REFUSALS), f"{path.name} at {at}: {texts}"
            else:
                assert third.calls == [], f"{path.name} at {at}: not healed: {texts}"
            if first.calls:  # set aside or rewritten: begin with a good one
                shutil.rmtree(folder)
                folder_anew = place("a load", kind, size)
                os.rename(folder_anew, folder)
            else:
                put(path, content)


@pytest.mark.parametrize("kind", KINDS)
def test_bits_and_lengths_at_places_all_over_each_file(place: Anew, kind: str) -> None:
    changed_bytes(place, kind, "small", 1499 if kind == "sqlite" else 61)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("kind", "size", "step"), [("sqlite", "small", 7), ("files", "small", 1), ("files", "large", 997)]
)
def test_bits_and_lengths_everywhere(place: Anew, kind: str, size: str, step: int) -> None:
    changed_bytes(place, kind, size, step)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", SIZES)
def test_entries_that_were_swapped(place: Anew, kind: str, size: str) -> None:
    """Whole and valid entries, each under the other's name."""
    folder = place("a load", kind, size)
    one = persisted(folder, kind, SIZES[size])
    one.f(1)
    storage, names = one.cache.storage, [one.f.cache_key(0), one.f.cache_key(1)]
    records = [storage.read(name) for name in names]
    bodies = [bytes(record.body) for record in records if record is not None]
    for name, record, body in zip(names, reversed(records), reversed(bodies), strict=True):
        assert record is not None
        storage.write(name, [body], lambda record=record: record.head, size=len(body), mark=record.mark)
    forget(one)
    two = persisted(folder, kind, SIZES[size])
    for x in (0, 1):
        result, texts = watched(lambda x=x: two.f(x), raising=False)
        assert result == value(x, SIZES[size])
        assert "digest does not fit" in texts[0]
    assert two.calls == [0, 1]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("what", ["deleted", "moved", "emptied", "replaced by another", "replaced by a file"])
def test_a_folder_that_goes_while_it_is_used(place: Anew, kind: str, what: str) -> None:
    folder = place("a load", kind, "large")
    one = persisted(folder, kind, SIZES["large"])
    one.f(0), one.f(1)
    if what == "moved":
        folder.rename(folder.parent / "elsewhere")
    elif what == "emptied":
        for path in folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    else:
        shutil.rmtree(folder)
        if what == "replaced by another":
            place("a load", kind, "large").rename(folder)
        elif what == "replaced by a file":
            folder.write_bytes(b"in the way")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MemoWarning)
        for x in range(12):
            assert one.f(x) == value(x, SIZES["large"])
        if what == "replaced by a file":
            folder.unlink()
            for x in range(12, 24):
                assert one.f(x) == value(x, SIZES["large"])
    forget(one)
    two = persisted(folder, kind, SIZES["large"])
    start = 12 if what == "replaced by a file" else 0
    for x in range(start, start + 12):
        assert two.f(x) == value(x, SIZES["large"])
    assert len(two.calls) <= 3, "at least 9 of 10 are kept, and what the process had in memory is not written"
    forget(two)


def test_a_lost_log_of_the_database_is_what_is_lost(place: Anew) -> None:
    """A process is killed with entries in the write-ahead log alone; then the log is lost, or damaged in the middle."""
    for how in ("gone", "half", "noise", "emptied", "zeroed"):
        folder = place("a load", "sqlite", "small")
        child = os.fork()
        if not child:
            one = persisted(folder, "sqlite", SIZES["small"])
            for x in range(40):
                one.f(x)
            os._exit(0)  # nothing is closed
        os.waitpid(child, 0)
        log = folder / "entries.db-wal"
        assert log.stat().st_size > 4096
        DAMAGES[how](log)
        one = persisted(folder, "sqlite", SIZES["small"])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MemoWarning)
            for x in range(40):
                assert one.f(x) == value(x, SIZES["small"]), how
            forget(one)
            two = persisted(folder, "sqlite", SIZES["small"])
            for x in range(40):
                assert two.f(x) == value(x, SIZES["small"]), how
        assert len(two.calls) <= 1, how
        forget(two)
