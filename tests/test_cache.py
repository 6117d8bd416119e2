"""Whatever lies in a storage, a call returns the right value, nothing raises, and the next call after is a hit again."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import time
from pathlib import Path

import pytest
import warm
from hypothesis import given
from hypothesis import strategies as st

from memo import Cache, DamagedError, MemoWarning, _entry, mode
from memo.model import Head, Record

KINDS = ("sqlite", "files", "shelve", "memory")


def make(tmp_path: Path, kind: str, name: str = "f"):
    cache = Cache(storage="memory") if kind == "memory" else Cache(tmp_path / "place", storage=kind)
    calls: list[int] = []

    def f(x, calls=calls):
        calls.append(x)
        return [x] * 5

    return cache, cache.persist(f, name=name, ignore=["calls"]), calls


def rewrite(storage, name: str, head: bytes, body: bytes, mark: int) -> None:
    storage.write(name, [body], lambda: head, size=len(body), mark=mark)


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes((data[at] ^ 0x40,)) + data[at + 1 :]


@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_a_miss_and_heals(tmp_path: Path, kind: str) -> None:
    cache, f, calls = make(tmp_path, kind)
    f(1)
    name, other = f.cache_key(1), f.cache_key(2)
    f(2)
    good = cache.storage.read(name)
    assert good is not None
    head, body = bytes(good.head), bytes(good.body)
    swapped = cache.storage.read(other)
    damaged = [(flipped(head, at), body) for at in range(0, len(head), 3)]
    damaged += [(head, flipped(body, at)) for at in range(0, len(body), 3)]
    damaged += [(head[:at], body) for at in range(1, len(head), 5)]
    damaged += [(head, body[:at]) for at in range(0, len(body), 5)]
    damaged += [(head + b"x", body), (head, body + b"x"), (b"\0" * len(head), body), (head, b"\0" * len(body))]
    damaged += [(bytes(swapped.head), bytes(swapped.body)), (bytes(swapped.head), body), (body, head), (b"x", b"")]
    with pytest.warns(MemoWarning, match=r"could not (read|load)") as warned:
        for bad_head, bad_body in damaged:
            rewrite(cache.storage, name, bad_head, bad_body, good.mark)
            _, fresh, again = (
                make(tmp_path, kind)
                if kind != "memory"
                else (None, cache.persist(f.__wrapped__, name="f", ignore=["calls"]), calls)
            )
            before = len(again)
            assert fresh.get_or(None, 1) is None
            assert fresh(1) == fresh(1) == [1] * 5
            assert len(again) == before + 1, "computed once, then a hit"
    assert [w.category for w in warned].count(MemoWarning) <= 3, "one a cause"


@given(st.binary(max_size=200))
def test_unpack_raises_nothing_else(data: bytes) -> None:
    for candidate in (data, b"\x93m\x01\x00" + data):
        try:
            _entry.unpack(candidate)
        except DamagedError:
            pass


@given(
    st.floats(0, 4e9), st.floats(0, 1e6, width=32), st.binary(max_size=300), st.binary(max_size=50),
    st.binary(max_size=500), st.lists(st.sampled_from(["zlib", "lz4"]), max_size=2), st.integers(0, 600),
)  # fmt: skip
def test_heads_round_trip(created, seconds, stamp, notes, body, codecs, flip) -> None:
    name = "f-0123456789/" + "ab" * 10 + "/" + "cd" * 20
    head = Head("f", created, seconds, "pickle", tuple(codecs), len(body), stamp, notes)
    data = _entry.sealing(name, [body], head)()
    assert _entry.unpack(data, "f") == head
    _entry.verify(name, Record(data, 0, body))
    with pytest.raises(DamagedError):
        _entry.verify(name[:-1] + "0", Record(data, 0, body))
    whole = bytearray(data + body)
    whole[flip % len(whole)] ^= 1
    with pytest.raises(DamagedError):
        _entry.verify(name, Record(bytes(whole[: len(data)]), 0, bytes(whole[len(data) :])))


def test_a_large_body_is_sealed_the_same_in_parts() -> None:
    parts = [os.urandom(5 << 20), b"", os.urandom(6 << 20)]
    head = Head("f", 1.0, 1.0, "pickle", (), sum(map(len, parts)), b"", b"")
    data = _entry.sealing("a/b/c", parts, head)()
    _entry.verify("a/b/c", Record(data, 0, memoryview(b"".join(parts))))


def test_another_format_is_said(tmp_path: Path) -> None:
    cache, f, _ = make(tmp_path, "sqlite")
    f(1)
    name = f.cache_key(1)
    record = cache.storage.read(name)
    newer = struct.pack("<2sB", b"\x93m", 9) + bytes(record.head)[3:]
    rewrite(cache.storage, name, newer, bytes(record.body), record.mark)
    with pytest.warns(MemoWarning, match="format 9"):
        assert make(tmp_path, "sqlite")[1](1) == [1] * 5


def test_an_entry_of_another_serializer_is_read_by_that_serializer(tmp_path: Path) -> None:
    _, f, calls = make(tmp_path, "sqlite")
    f(1)
    as_json = Cache(tmp_path / "place", serializer="json").persist(f.__wrapped__, name="f", ignore=["calls"])
    assert as_json(1) == [1] * 5
    assert calls == [1]


class Foreign:
    name = "foreign"

    def dump(self, value):
        return [repr(value).encode()]

    def load(self, data):
        return eval(bytes(data))


def test_an_entry_of_an_unknown_serializer_is_a_clean_miss(tmp_path: Path) -> None:
    def f(x):
        return [x] * 5

    Cache(tmp_path / "place", serializer=Foreign()).persist(f, name="f")(1)
    again = Cache(tmp_path / "place").persist(f, name="f")
    assert again.why(1).cause == "serializer"
    assert "stored by 'foreign', a serializer that is not installed here; this one is 'pickle'" in str(again.why(1))
    assert again(1) == [1] * 5
    assert again.is_cached(1), "stored again, by this cache's own"


@pytest.mark.parametrize("kind", ["sqlite", "files", "shelve"])
@pytest.mark.parametrize("how", ["noise", "emptied", "half"])
def test_ruined_files_are_set_aside(tmp_path: Path, kind: str, how: str) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, memo\n"
        "@memo.persist(location=sys.argv[1], storage=sys.argv[2])\n"
        "def f(x):\n    print('computing')\n    return [x] * 5\n"
        "for i in range(3): assert f(i) == [i] * 5\n"
    )

    def run() -> int:
        done = warm.run([script, tmp_path / "place", kind])
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout.count("computing")

    assert run() == 3
    assert run() == 0
    for file in sorted((tmp_path / "place").rglob("*")):
        if file.is_file() and file.name not in ("memo.json", ".gitignore", "CACHEDIR.TAG"):
            content = file.read_bytes()
            file.unlink()
            file.write_bytes(
                {"noise": os.urandom(len(content)), "emptied": b"", "half": content[: len(content) // 2]}[how]
            )
    assert run() <= 3
    assert run() <= 3
    assert run() == 0, "healed at the call after next"


def test_compressed(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "place", compress="zlib")

    def f(x):
        return [x] * 10_000

    assert cache.persist(f)(1) == cache.persist(f)(1) == [1] * 10_000
    (entry,) = cache.persist(f).entries()
    assert entry.head.codecs == ("zlib",)
    assert entry.size < 5_000


@pytest.mark.parametrize("kind", ["sqlite", "files", "shelve"])
def test_a_folder_deleted_while_running_is_made_anew(tmp_path: Path, kind: str) -> None:
    _, f, calls = make(tmp_path, kind)
    for i in range(3):
        f(i)
    shutil.rmtree(tmp_path / "place")
    for i in range(3, 10):
        f(i)
    f.set("set", 77)
    _, again, calls = make(tmp_path, kind)
    assert [again(i) for i in range(3, 10)] == [[i] * 5 for i in range(3, 10)]
    assert again(77) == "set"
    assert calls == []
    again.cache_clear()
    assert f(4) == [4] * 5
    assert calls == [], "f has its own list"
    assert f.cache_info().misses == 11, "the clear of the new place is seen by who had the old one open"


@pytest.mark.parametrize("kind", ["sqlite", "files"])  # a shelf: if its dbm can, and dbm.sqlite3 can't
def test_a_read_only_mount_serves_hits(tmp_path: Path, kind: str) -> None:
    mount = tmp_path / "mount"
    mount.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(mount)], check=False, capture_output=True).returncode:
        pytest.skip("may not mount here")
    try:
        script = (
            "import sys, memo\n"
            "def f(x, calls=()):\n    print('computing')\n    return [x] * 5\n"
            "f = memo.persist(f, location=sys.argv[1], storage=sys.argv[2], name='g')\n"
            "f(1); f(2)\n"
        )
        command = ["-W", "ignore", "-c", script, mount / "place", kind]
        assert warm.run(command, check=True).stdout == "computing\n" * 2
        subprocess.run(["mount", "-o", "remount,ro", str(mount)], check=True)
        assert warm.run(command, check=True).stdout == ""
    finally:
        subprocess.run(["umount", "-l", str(mount)], check=True)


@pytest.mark.parametrize("kind", KINDS)
def test_a_result_that_cannot_be_loaded_any_more_is_computed(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, _, _ = make(tmp_path, kind)

    def build(x, calls):
        calls.append(x)
        return Loading()

    f, calls = cache.persist(build, name="g", ignore=["calls"]), []
    for _ in range(3):
        assert type(f(1, calls)) is Loading
    assert calls == [1]
    monkeypatch.setenv("STATES_OF_LONG_AGO", "1")
    with pytest.warns(MemoWarning, match="could not load"):
        assert type(f(1, calls)) is Loading
    assert type(f(1, calls)) is Loading
    assert calls == [1, 1, 1]


class Loading:
    def __setstate__(self, state):
        if "STATES_OF_LONG_AGO" in os.environ:  # not a captured value: the key must stay as it is
            raise ValueError("a state of long ago")

    def __getstate__(self):
        return {"some": "state"}


def test_what_was_read_ahead_and_replaced_since_is_looked_up_again(tmp_path):
    """Rows read ahead are as old as the front; one that has expired there may have been computed anew elsewhere."""
    computed = []

    def f(x, who):
        computed.append((who, x))
        return [x]

    writer, reader = Cache(tmp_path / "place"), Cache(tmp_path / "place")
    functions = {
        who: cache.persist(f, ttl=100, name="f", code="off", version=1, ignore=["who"])
        for who, cache in (("writer", writer), ("reader", reader))
    }
    for x in range(40):
        functions["writer"](x, "writer")
    for x in range(20):
        assert functions["reader"](x, "reader") == [x]
    later = time.time() + 1000
    writer.clock = reader.clock = lambda: later
    for x in range(20, 40):
        functions["writer"](x, "writer")
    computed.clear()
    with mode("only-cached"):
        for x in range(20, 40):
            assert functions["reader"](x, "reader") == [x]
    assert computed == []
    functions["writer"].cache_clear()
    assert functions["reader"](30, "reader") == [30]
    assert computed == [("reader", 30)]
