"""What only the storage of files promises: payloads that others open, mapped bodies, no litter, nobody else's files."""

import contextlib
import errno
import gc
import json
import os
import pickle
import stat
import subprocess
import sys
import threading

import pytest

from memo import _aside
from memo.errors import DamagedError
from memo.storages import _lock
from memo.storages.files import Files

NAME = "f-01/v1/" + "ab" * 20
BIG = 300_000


def put(storage, body, suffix="", name=NAME, head=b"head", mark=0):
    storage.write(name, [body], lambda: head, size=len(body), mark=mark, suffix=suffix)


def tree(folder):
    return sorted(
        os.path.relpath(os.path.join(above, file), folder)
        for above, _, files in os.walk(folder)
        if not above.endswith("_locks")
        for file in files
    )


def only_file(folder, suffix):
    (found,) = [os.path.join(folder, file) for file in tree(folder) if file.endswith(suffix)]
    return found


@pytest.mark.parametrize("suffix", [".json", ".txt", ".npy", ".parquet", ".h5", ".tar.gz"])
def test_a_payload_is_byte_for_byte_the_file(tmp_path, suffix):
    storage = Files(tmp_path)
    body = json.dumps({"a": [1, 2.5, None]}).encode()
    for _ in range(2):
        put(storage, body, suffix)
        with open(only_file(tmp_path, suffix), "rb") as file:
            assert file.read() == body
        assert len(tree(tmp_path)) == 2
    put(storage, b"now in one file", ".pkl")
    assert len(tree(tmp_path)) == 1
    storage.remove(NAME)
    assert tree(tmp_path) == []


def test_a_pickle_is_one_file_that_pickle_opens(tmp_path):
    storage = Files(tmp_path)
    put(storage, pickle.dumps({"a": 1}), ".pkl")
    with open(only_file(tmp_path, ".pkl"), "rb") as file:
        assert pickle.load(file) == {"a": 1}
    assert len(tree(tmp_path)) == 1


def test_numpy_opens_what_numpy_wrote(tmp_path):
    np = pytest.importorskip("numpy")
    import io

    written = io.BytesIO()
    np.save(written, np.arange(1000.0))
    put(Files(tmp_path), written.getvalue(), ".npy")
    mapped = np.load(only_file(tmp_path, ".npy"), mmap_mode="r")
    assert mapped.sum() == np.arange(1000.0).sum()


def test_paths_are_short_lower_case_and_readable(tmp_path):
    put(Files(tmp_path), b"", ".json")
    entry, payload = tree(tmp_path)
    assert entry == f"f-01/v1/_ab/{'ab' * 20}"
    assert payload.startswith(entry + "-")
    assert payload.endswith(".json")
    assert payload == payload.lower()


@pytest.mark.parametrize("suffix", ["json", "/x", ".j/s", ".JSON", "..", ".a" * 9, ".\0"])
def test_a_suffix_that_could_lead_elsewhere_is_refused(tmp_path, suffix):
    with pytest.raises(ValueError, match="suffix"):
        put(Files(tmp_path), b"x", suffix)
    assert tree(tmp_path) == []


@pytest.mark.parametrize("name", ["../x", "a/../b", "/a/b", "a/", "a//b", "a/.b", "a/B", "a/b\0", "a/_b", "ä/b"])
def test_a_name_that_could_lead_elsewhere_is_refused(tmp_path, name):
    storage = Files(tmp_path / "place")
    for attempt in (lambda: put(storage, b"x", name=name), lambda: storage.read(name), lambda: storage.remove(name)):
        with pytest.raises(ValueError, match="part of a name"):
            attempt()
    assert tree(tmp_path) == []


@pytest.mark.parametrize("suffix", ["", ".pkl", ".json"])
def test_a_big_body_is_mapped_from_the_beginning_of_a_page(tmp_path, suffix):
    storage = Files(tmp_path)
    put(storage, b"x" * BIG, suffix)
    body = storage.read(NAME).body
    assert isinstance(body, memoryview)
    assert not body.readonly
    assert body.nbytes == BIG
    np = pytest.importorskip("numpy")
    assert np.frombuffer(body, "u1").ctypes.data % 4096 == 0


def test_identity_is_the_files_own(tmp_path):
    storage = Files(tmp_path)
    put(storage, b"x" * BIG, ".json")
    found = os.stat(only_file(tmp_path, ".json"))
    assert storage.read(NAME).identity == (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size)
    assert stat.S_IMODE(found.st_mode) == 0o400


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENOMEM])
def test_what_cannot_be_mapped_is_read(tmp_path, monkeypatch, code):
    import mmap

    storage = Files(tmp_path)
    put(storage, b"xy" * BIG, ".pkl")

    def refuse(*args, **kwargs):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(mmap, "mmap", refuse)
    body = storage.read(NAME).body
    assert bytes(body) == b"xy" * BIG
    assert not body.readonly


def test_held_bodies_hold_no_descriptors(tmp_path):
    gc.collect()  # what other tests left behind would be closed meanwhile
    storage = Files(tmp_path)
    put(storage, b"x" * BIG)
    storage.read(NAME)
    before = len(os.listdir("/dev/fd"))
    held = [storage.read(NAME) for _ in range(20)]
    more = len(os.listdir("/dev/fd")) - before
    assert more == (0 if sys.version_info >= (3, 13) else len(held))  # before 3.13 Python's mmap keeps one each
    del held
    assert len(os.listdir("/dev/fd")) == before


def test_writes_that_the_system_takes_in_pieces(tmp_path, monkeypatch):
    whole, calls = os.writev, []

    def some(file, views):
        calls.append(len(views))
        first = memoryview(views[0])
        return whole(file, [first[: max(1, first.nbytes // 2)]])

    monkeypatch.setattr(os, "writev", some)
    storage = Files(tmp_path)
    parts = [b"%d," % number for number in range(300)]
    storage.write(NAME, parts, lambda: b"head", size=sum(map(len, parts)), mark=0)
    assert bytes(storage.read(NAME).body) == b"".join(parts)
    assert max(calls) <= 1024


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_is_private_whatever_the_umask(tmp_path, umask):
    before = os.umask(umask)
    try:
        storage = Files(tmp_path / "above" / "place")
        for suffix in ("", ".json"):
            put(storage, b"x", suffix)
        storage.bump("f")
    finally:
        os.umask(before)
    for folder, _, files in os.walk(tmp_path / "above"):
        assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
        for file in files:
            assert os.stat(os.path.join(folder, file)).st_mode & 0o177 == 0


@pytest.mark.parametrize("suffix", ["", ".pkl"])
def test_links_and_pipes_are_no_entries(tmp_path, suffix):
    storage = Files(tmp_path / "place")
    put(storage, b"x", suffix)
    (file,) = (tmp_path / "place" / path for path in tree(tmp_path / "place"))
    outside = tmp_path / "outside"
    os.rename(file, outside)
    contents = outside.read_bytes()
    for make in (lambda: os.symlink(outside, file), lambda: os.mkfifo(file)):
        make()
        assert storage.read(NAME) is None
        assert list(storage.scan()) == []
        put(storage, b"new", suffix)
        assert bytes(storage.read(NAME).body) == b"new"
        assert outside.read_bytes() == contents
        os.unlink(file)


@pytest.mark.parametrize("suffix", ["", ".pkl", ".json"])
def test_damage_is_told_and_healed_by_the_next_write(tmp_path, suffix):
    damages = [
        lambda data: b"",
        lambda data: data[: len(data) // 2],
        lambda data: data[:-1],
        lambda data: data + b"more",
        lambda data: b"x" * len(data),  # a payload of the right length is for the engine, which has its digest
    ]
    for number, damage in enumerate([*damages, *damages[:-1]] if suffix == ".json" else damages):
        place = tmp_path / str(number)
        storage, which = Files(place), number // len(damages)
        put(storage, b"body" * 100, suffix)
        path = place / tree(place)[which]
        data = path.read_bytes()
        path.chmod(0o600)
        path.write_bytes(damage(data))
        with pytest.raises(DamagedError):
            storage.read(NAME)
        list(storage.scan())
        put(storage, b"healed", suffix)
        assert bytes(storage.read(NAME).body) == b"healed"


def test_a_lost_payload_is_told(tmp_path):
    storage = Files(tmp_path)
    put(storage, b"x", ".json")
    os.unlink(only_file(tmp_path, ".json"))
    with pytest.raises(DamagedError, match="lost its payload"):
        storage.read(NAME)


@pytest.mark.parametrize("failing", ["replace", "writev", "posix_fallocate"])
def test_a_disk_that_fails_leaves_no_litter_and_the_old_entry(tmp_path, monkeypatch, failing):
    storage = Files(tmp_path)
    for suffix in (".pkl", ".json", ""):
        put(storage, b"old" * 10, suffix)
        before = tree(tmp_path)
        real = getattr(os, failing)
        for nth in range(4):
            calls = iter(range(100))

            def fail(*args, calls=calls, nth=nth, real=real):
                if next(calls) == nth:
                    raise OSError(errno.ENOSPC, "no space left")
                return real(*args)

            with monkeypatch.context() as patch:
                patch.setattr(os, failing, fail)
                try:
                    put(storage, b"new" * 1_000_000, suffix)
                except OSError:
                    assert bytes(storage.read(NAME).body) == b"old" * 10
                    assert tree(tmp_path) == before
                else:
                    break
        else:
            raise AssertionError("never came through")
        assert bytes(storage.read(NAME).body) == b"new" * 1_000_000


def test_litter_of_killed_writers_is_swept(tmp_path):
    new = tmp_path / "_new"
    new.mkdir()
    for name, age in (("old", 7200), ("fresh", 10)):
        (new / name).write_bytes(b"x")
        when = os.stat(new / name).st_mtime - age
        os.utime(new / name, (when, when))
    put(Files(tmp_path), b"x")
    assert os.listdir(new) == ["fresh"]


def test_compact_removes_what_nobody_names(tmp_path):
    storage = Files(tmp_path)
    put(storage, b"kept", ".json")
    put(storage, b"removed", ".json", name="f-01/v2/" + "cd" * 20)
    storage.remove("f-01/v2/" + "cd" * 20)
    folder = os.path.dirname(only_file(tmp_path, ".json"))
    orphan = os.path.join(folder, "ab" * 20 + "-01234567.json")
    for path in (orphan, orphan.replace("0123", "4567")):
        with open(path, "wb") as file:
            file.write(b"of a killed writer")
    os.utime(orphan, (0, 0))
    os.utime(only_file(tmp_path / "f-01" / "v1", "ab"), (0, 0))
    storage.compact()
    assert not os.path.exists(orphan)
    assert os.path.exists(orphan.replace("0123", "4567")), "perhaps somebody is just writing it"
    assert not (tmp_path / "f-01" / "v2").exists()
    assert bytes(storage.read(NAME).body) == b"kept"


def test_is_right_where_locks_do_nothing(tmp_path, monkeypatch):
    class Nothing:
        def __enter__(self):
            return self

        def __exit__(self, *exception):
            return None

    monkeypatch.setattr(_lock.Turns, "__getitem__", lambda self, name: Nothing())
    monkeypatch.setattr(_lock.NameLocks, "__call__", lambda self, name: contextlib.nullcontext(False))
    storage, wrong = Files(tmp_path), []

    def work(seed):
        try:
            for number in range(40):
                digit = b"%d" % ((number + seed) % 10)
                put(storage, digit * 50_000, ".json", head=digit)
                record = storage.read(NAME)
                if record is not None and set(bytes(record.body)) != set(record.head):
                    wrong.append(record.head)
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong, wrong[:3]
    assert storage.read(NAME) is not None


REMOVER = """
import os, pickle, sys
from memo.storages import files

class Gates:  # os, but before and after each step that looks at, moves or removes a file it waits for a line
    def __getattr__(self, name):
        real = getattr(os, name)
        return gated(name, real) if name in ("lstat", "rename", "unlink") else real

def gated(name, real):
    def step(*arguments):
        done = real(*arguments)
        print(name, flush=True)
        sys.stdin.readline()
        return done
    return step

files.os = Gates()
pickle.loads(bytes.fromhex(sys.argv[1])).remove(sys.argv[2])
"""


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_kill_in_a_removal_loses_nothing_of_others(tmp_path, steps):
    """Another process writes the name once the remover has looked at it; killed after each of its steps."""
    storage = Files(tmp_path)
    put(storage, b"old")
    command = [sys.executable, "-c", REMOVER, pickle.dumps(storage).hex(), NAME]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as remover:
        assert remover.stdout.readline() == "lstat\n"
        writer = threading.Thread(target=put, args=(storage, b"new"))
        writer.start()
        writer.join(0.3)  # who does not wait for the remover is done by then
        for _ in range(steps - 1):
            remover.stdin.write("go on\n")
            remover.stdin.flush()
            remover.stdout.readline()
        remover.kill()
    writer.join(30)
    assert bytes(storage.read(NAME).body) == b"new"


def test_a_writer_does_not_wait_for_ever_for_one_that_was_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(_lock, "PATIENCE", 0.05)
    storage, stopped = Files(tmp_path), Files(tmp_path)
    with stopped._locks(NAME) as alone:
        assert alone
        put(storage, b"x")
        storage.remove(NAME)
        put(storage, b"y")
    assert bytes(storage.read(NAME).body) == b"y"


def test_the_locks_of_a_deleted_folder_are_taken_anew(tmp_path, monkeypatch):
    import shutil

    monkeypatch.setattr(_lock, "PATIENCE", 0.05)
    storage = Files(tmp_path / "place")
    put(storage, b"x")
    shutil.rmtree(tmp_path / "place")
    put(storage, b"y")
    with storage._locks(NAME) as alone, Files(tmp_path / "place")._locks(NAME) as other:
        assert (alone, other) == (True, False)


def test_a_deleted_folder_is_made_again(tmp_path):
    import shutil

    storage = Files(tmp_path / "place")
    put(storage, b"x", ".json")
    watch = storage.watch("f")
    before = watch[0]
    shutil.rmtree(tmp_path / "place")
    assert storage.read(NAME) is None
    assert watch[0] != before
    put(storage, b"again", ".json")
    assert bytes(storage.read(NAME).body) == b"again"


def test_durable_reaches_the_disk_before_it_returns(tmp_path, monkeypatch):
    synced, real = [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(stat.S_ISDIR(os.fstat(file).st_mode)) or real(file))
    put(Files(tmp_path, durable=True), b"x", ".json")
    assert synced[:2] == [False, False]
    assert True in synced
    assert all(synced[2:]), "then the folder, and those above it"
    before = len(synced)
    put(Files(tmp_path), b"x")
    assert len(synced) == before


def test_parts_are_written_without_a_copy(tmp_path, monkeypatch):
    seen, real = [], os.writev
    monkeypatch.setattr(os, "writev", lambda file, views: seen.extend(views) or real(file, views))
    body = bytearray(5_000_000)
    Files(tmp_path).write(NAME, [body], lambda: b"head", size=len(body), mark=0)
    assert any(view.obj is body for view in seen if isinstance(view, memoryview))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_body_above_two_gigabytes(tmp_path):
    storage, piece = Files(tmp_path), os.urandom(1 << 20)
    count = 2200
    storage.write(NAME, (piece for _ in range(count)), lambda: b"head", size=count << 20, mark=0)
    body = storage.read(NAME).body
    assert body.nbytes == count << 20
    assert body[-(1 << 20) :] == piece
    put(storage, b"")
    assert _aside.age(only_file(tmp_path, "ab")) < 600
