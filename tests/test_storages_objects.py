"""Objects in memory and on the disk; tests/servers/test_s3.py has those in a bucket."""

import importlib.util
import pickle
import shutil
import stat
import uuid

import pytest

from memo import Cache, persist
from memo.errors import DamagedError, OptionError
from memo.storages import Files, Objects, Tiered, open_url
from memo.testing import StorageSuite, agree
from memo.testing._storage import NAME, get, put


class TestFile(StorageSuite):
    many = 400

    def make(self, tmp_path):
        return Objects(f"file://{tmp_path}/objects")


class TestMemory(StorageSuite):
    kept = False
    many = 300

    def make(self, tmp_path):
        return Objects(f"memory://{uuid.uuid4()}")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["file", "memory"])
def test_agrees_with_all_storages(kind, tmp_path):
    url = f"file://{tmp_path}/x" if kind == "file" else f"memory://{uuid.uuid4()}"
    agree(Objects(url), count=2000, kept=kind == "file")


def test_a_url_is_a_location(tmp_path):
    url = f"file://{tmp_path}/place"

    def square(x):
        return x * x

    for misses in (1, 0):
        f = Cache(url, trust_folder=True).persist(square)
        assert f(3) == 9
        assert f.cache_info()[:4] == (1 - misses, misses, None, 1)
    assert persist(location=f"memory://{uuid.uuid4()}", serializer="json")(square).__wrapped__ is square


def test_an_object_is_the_file_that_files_would_write(tmp_path):
    """A bucket can be copied to a folder of ``files``' payloads, and a pickle in it be read by whatever reads pickles."""
    objects, files = Objects(f"file://{tmp_path}/objects"), Files(tmp_path / "files")
    body = pickle.dumps({"a": list(range(1000))})
    for storage in (objects, files):
        put(storage, NAME, body, head=b"the head", mark=7, suffix=".pkl")
    (one,) = [path for path in (tmp_path / "objects").rglob("*") if path.is_file()]
    (other,) = (tmp_path / "files").rglob("*.pkl")
    at = len(body) + len(b"the head") + 12  # of the time of writing
    here, there = one.read_bytes(), other.read_bytes()
    assert (here[:at], here[at + 8 :]) == (there[:at], there[at + 8 :])
    with one.open("rb") as file:
        assert pickle.load(file) == {"a": list(range(1000))}


def test_words_that_are_lost_bring_nothing_back(tmp_path):
    """Emptied by hand, or by a rule of the bucket that removes what is old: neither is a way to what was cleared."""
    far = tmp_path / "far"

    def square(x):
        return [x * x]

    functions = [Cache(storage=Tiered(tmp_path / name, Objects(f"file://{far}"))).persist(square) for name in "ab"]
    one, other = functions
    one(3), other(3)
    one.cache_clear()
    for path in (far / "words").iterdir():
        path.unlink()
    assert not one.is_cached(3)
    assert not other.is_cached(3)
    shutil.rmtree(far)
    other(3)
    shutil.rmtree(far)
    assert not other.is_cached(3)


def test_what_is_no_entry_is_damaged_or_not_listed(tmp_path):
    storage = Objects(f"file://{tmp_path}/x")
    put(storage, NAME, b"body" * 1000)
    (path,) = [path for path in (tmp_path / "x").rglob("*") if path.is_file()]
    whole = path.read_bytes()
    (tmp_path / "x" / "README").write_text("somebody's")
    # a listing looks at the end alone, which is there where the beginning is lost
    for ruined, listed in ((b"", 0), (whole[:-1], 0), (whole + b"x", 0), (b"x" * 10, 0), (whole[1:], 1)):
        path.write_bytes(ruined)
        with pytest.raises(DamagedError):
            storage.read(NAME)
        assert len(list(storage.scan())) == listed
    put(storage, NAME, b"anew")
    assert get(storage, NAME) == (b"head", 0, b"anew")
    assert [item.name for item in storage.scan()] == [NAME]


def test_others_can_not_look_into_a_folder(tmp_path):
    put(Objects(f"file://{tmp_path}/x"), NAME, b"body")
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o700


def test_a_name_leads_nowhere_else(tmp_path):
    storage = Objects(f"file://{tmp_path}/x")
    for name in ("../a/b", "a/../b", "a/B", "a/_b", "/a/b", "a//b"):
        with pytest.raises(ValueError):
            storage.read(name)
        with pytest.raises(ValueError):
            put(storage, name, b"body")
    assert not list(tmp_path.iterdir())


def test_credentials_are_not_shown():
    storage = open_url("memory://me:secret@host/x", key="KEY", secret="SECRET")
    for text in (repr(storage), str(storage), f"{Cache(storage=storage)!r}"):
        assert "secret" not in text.lower()
        assert "KEY" not in text
    assert "host/x" in repr(storage)


def test_errors_are_for_strangers(monkeypatch):
    with pytest.raises(OptionError, match="s3://bucket/prefix"):
        Objects("bucket/prefix")
    find = importlib.util.find_spec
    monkeypatch.setattr("memo.storages.objects.find_spec", lambda name: None if name == "s3fs" else find(name))
    with pytest.raises(ImportError, match=r'pip install "memo-persist\[s3\]"'):
        Objects("s3://bucket/x")
    monkeypatch.setattr("memo.storages.objects.find_spec", lambda name: None if name == "fsspec" else find(name))
    with pytest.raises(ImportError, match=r'pip install "memo-persist\[s3\]"'):
        Objects("s3://bucket/x")
    with pytest.raises(ImportError, match=r'pip install "memo-persist\[fsspec\]"'):
        Objects("memory://x")
