"""memo verify and memo doctor: what is wrong is found, said, and taken away only where it is certainly worth nothing."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from memo import Cache, events
from memo.cli import main
from memo.storages.files import Files


@pytest.fixture(autouse=True)
def warned_anew() -> None:
    events._warned.clear()


def filled(folder: Path, kind: str = "sqlite", **options: Any) -> tuple[Cache, Any]:
    cache = Cache(folder, storage=kind, **options)
    f = cache.persist(lambda x, size: bytes([x]) * size, name="shop.f", code="off", version=1)
    for x in range(4):
        f(x, 10)
    f(9, 100_000)
    return cache, f


def spoil(cache: Cache, key: str, content: bytes | None = None) -> None:
    """One bit of an entry's body is another one."""
    record = cache.storage.read(key)
    assert record is not None
    body = bytearray(record.body) if content is None else bytearray(content)
    body[0] ^= 1
    cache.storage.write(key, [bytes(body)], lambda: record.head, size=len(body), mark=record.mark)


def old(path: Path, hours: float = 2) -> Path:
    os.utime(path, (path.stat().st_atime, path.stat().st_mtime - hours * 3600))
    return path


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    code = main([str(argument) for argument in arguments])
    told = capsys.readouterr()
    return code, told.out + told.err


@pytest.mark.parametrize("kind", ["sqlite", "files", "shelve", "memory"])
def test_every_entry_is_read(tmp_path: Path, kind: str) -> None:
    cache, f = filled(tmp_path / "place", kind)
    entries, size, findings = cache.verify()
    assert (entries, findings) == (5, ())
    assert size > 100_000
    for key in (f.cache_key(1, 10), f.cache_key(9, 100_000)):
        spoil(cache, key)
    assert [(one.kind, one.function, one.repaired) for one in cache.verify("shop.*").findings] == [
        ("damaged", "shop.f", False)
    ] * 2
    assert all("digest does not fit" in one.why for one in cache.verify().findings)
    assert cache.verify("other.*") == (0, 0, ())
    assert all(one.repaired for one in cache.verify(repair=True).findings)
    assert cache.verify()[::2] == (3, ())
    assert f(1, 10) == b"\1" * 10


def test_what_is_only_signed_by_others_or_newer_stays(tmp_path: Path) -> None:
    place = tmp_path / "place"
    filled(place, sign="a secret of this test alone")
    stranger = Cache(place)
    found = stranger.verify(repair=True)
    assert {(one.kind, one.repaired) for one in found.findings} == {("unknown", False)}
    assert Cache(place, sign="a secret of this test alone").verify()[::2] == (5, ())
    cache, f = filled(tmp_path / "newer")
    key = f.cache_key(1, 10)
    record = cache.storage.read(key)
    assert record is not None
    newer = record.head[:2] + b"\x09" + record.head[3:]
    cache.storage.write(key, [record.body], lambda: newer, size=len(record.body), mark=record.mark)
    (one,) = cache.verify(repair=True).findings
    assert (one.kind, one.repaired) == ("unknown", False)
    signing = Cache(tmp_path / "newer", sign="a secret of this test alone")
    assert {one.kind for one in signing.verify().findings} == {"unknown"}, "not signed, and whole"
    spoil(cache, f.cache_key(2, 10))
    assert sorted(one.kind for one in signing.verify().findings) == ["damaged"] + ["unknown"] * 4


def test_litter_of_the_killed_is_found_after_an_hour_and_taken_away(tmp_path: Path) -> None:
    place = tmp_path / "place"
    cache, _ = filled(place)
    marker = place / ".memo-0123456789abcdef.tmp"
    aside = place / "files" / "_new" / "0123456789abcdef"
    for path in (marker, aside):
        path.write_bytes(b"half")
    ruined = place / "entries.db.damaged-1"
    big = Files(place / "files")
    big.write("a/b/orphan", [b"x" * 100], lambda: b"head", size=100, mark=0)
    assert [one.what for one in cache.verify().findings] == [], "somebody may just be writing these"
    old(marker), old(aside)
    ruined.write_bytes(b"ruined")
    findings = cache.verify(repair=True).findings
    assert {Path(one.what).name for one in findings} == {marker.name, aside.name, ruined.name}
    assert {one.kind for one in findings} == {"litter"}
    assert not any(path.exists() for path in (marker, aside, ruined))
    assert cache.verify()[::2] == (5, ())


def test_a_body_without_a_stub_and_a_stub_without_a_body(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "place"
    cache, f = filled(place)
    key = f.cache_key(9, 100_000)
    spill: Any = cache.storage
    big = spill.big.read(key)
    spill.small.remove(key)
    assert cache.verify().findings == ()
    monkeypatch.setattr("memo.storages._spill._STALE", -1.0)  # an hour later
    (one,) = cache.verify(repair=True).findings
    assert (one.kind, one.what) == ("litter", key)
    assert spill.big.read(key) is None
    f(9, 100_000)
    assert cache.verify().findings == ()
    spill.big.remove(key)
    (one,) = cache.verify(repair=True).findings
    assert (one.kind, one.what, one.why) == ("damaged", key, "its body is gone")
    assert big is not None
    spill.big.write(key, [big.body], lambda: big.head, size=len(big.body), mark=0)
    cache.storage.compact()
    assert spill.big.read(key) is None, "the next sweep takes it"


@pytest.mark.parametrize("kind", ["sqlite", "files"])
def test_files_that_are_no_entries(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "place"
    cache, _ = filled(place, kind)
    (entry,) = [path for path in (place / "files").rglob("*.pkl") if path.stat().st_size > 50_000]
    entry.chmod(0o600)
    entry.write_bytes(entry.read_bytes()[:-7])
    findings = cache.verify(repair=True).findings
    assert {one.kind for one in findings} == {"damaged"}
    assert cache.verify()[::2] == (4, ())


def test_a_ruined_database_is_set_aside(tmp_path: Path) -> None:
    place = tmp_path / "place"
    cache, f = filled(place)
    cache.storage.close()  # type: ignore[attr-defined]
    database = place / "entries.db"
    content = bytearray(database.read_bytes())
    content[4096:] = os.urandom(len(content) - 4096)
    database.write_bytes(bytes(content))
    found = Cache(place).verify(repair=True).findings
    assert any(one.kind == "damaged" and one.what.endswith("entries.db") for one in found)
    _, f = filled(place)
    assert f(1, 10) == b"\1" * 10
    assert Cache(place).verify()[0] == 5


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = tmp_path / "place"
    cache, f = filled(place)
    code, told = run(capsys, "verify", "-l", place)
    assert (code, "5 results are as written" in told) == (0, True)
    spoil(cache, f.cache_key(1, 10))
    code, told = run(capsys, "verify", "-l", place)
    assert code == 1
    assert "damaged  shop.f" in told
    assert "memo verify --repair" in told
    code, told = run(capsys, "verify", "-l", place, "--json", "--repair")
    assert (code, json.loads(told[: told.rindex("}") + 1])["findings"][0]["repaired"]) == (1, True)
    assert run(capsys, "verify", "-l", place)[0] == 0
    assert run(capsys, "verify", "-l", tmp_path / "none")[0] == 2


def test_the_doctor_finds_nothing_in_a_good_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("memo.cli._doctor._other_packages", lambda here: [])  # where this runs there may be another
    place = tmp_path / "place"
    filled(place)
    code, told = run(capsys, "doctor", "-l", place)
    assert "others may look" not in told
    assert (code, "nothing found that needs you" in told) == (0, True), told


def test_the_doctor_explains(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "place"
    cache, f = filled(place)
    (tmp_path / "path" / "memo").mkdir(parents=True)
    (tmp_path / "path" / "memo" / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path / "path"))
    monkeypatch.setattr("memo._place.is_network", lambda folder: True)
    place.chmod(0o777)
    old_file = place / "files" / "_new" / "0123456789abcdef"
    old_file.write_bytes(b"half")
    old(old_file)
    record = cache.storage.read(f.cache_key(1, 10))
    assert record is not None
    head = record.head.replace(b"pickle", b"nobody")
    cache.storage.write(f.cache_key(1, 10), [record.body], lambda: head, size=len(record.body), mark=record.mark)
    code, told = run(capsys, "doctor", "-l", place)
    assert code == 1
    for part in (
        "another package named memo",
        "network disk",
        "can be written to by everybody",
        "left behind by a writer that was killed",
        "results stored by 'nobody' can't be read here",
    ):
        assert part in told, part
    code, told = run(capsys, "doctor", "-l", place, "--json")
    assert code == 1
    assert len(json.loads(told[: told.rindex("]") + 1])) >= 5
    assert old_file.exists(), "it changes nothing"
    shutil.rmtree(place)
    place.write_bytes(b"in the way")
    code, told = run(capsys, "doctor", "-l", place)
    assert (code, "can't be opened" in told) == (1, True)
