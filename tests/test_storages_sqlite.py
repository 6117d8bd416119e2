"""What only the SQLite storage promises: many processes, forks, damage, folders that vanish or can't be written."""

import itertools
import os
import pickle
import signal
import sqlite3
import subprocess
import sys
import threading
import time

import pytest

from memo.errors import PlaceError
from memo.model import Record
from memo.storages import _ahead, _database, open_storage
from memo.storages._spill import Spill
from memo.storages.files import Files
from memo.storages.sqlite import Sqlite

NAME = "f-01/v1/" + "ab" * 20


def put(storage, name=NAME, body=b"body", head=b"head", mark=0):
    storage.write(name, [body], lambda: head, size=len(body), mark=mark)


def child(storage, code):
    prelude = f"import pickle, sys\nstorage = pickle.loads({pickle.dumps(storage)!r})\n"
    return subprocess.Popen([sys.executable, "-c", prelude + code], stdout=subprocess.PIPE, stdin=subprocess.PIPE)


def forked(work):
    """The exit status of a forked child: 0 where ``work`` raised nothing."""
    pid = os.fork()
    if not pid:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return pid


def names(count, scope="f-01"):
    import hashlib

    return [f"{scope}/v1/{hashlib.sha1(b'%d' % number).hexdigest()}" for number in range(count)]


def test_makes_nothing_before_the_first_write(tmp_path):
    storage = Sqlite(tmp_path / "place")
    assert storage.read(NAME) is None
    assert storage.head(NAME) is None
    assert storage.word("f") == 0
    assert storage.watch("f") is None
    assert storage.totals("") == (0, 0)
    assert storage.lowest("", 3) == []
    assert storage.purge("", 9, 9) == 0
    storage.rank({NAME: 1.0})
    storage.compact()
    storage.close()
    assert not (tmp_path / "place").exists()


@pytest.mark.parametrize("umask", [0o000, 0o077, 0o777])
def test_is_private_whatever_the_umask(tmp_path, umask):
    before = os.umask(umask)
    try:
        storage = Sqlite(tmp_path / "above" / "place")
        put(storage)
        storage.bump("f")
        storage.watch("f")
    finally:
        os.umask(before)
    for folder, _, files in os.walk(tmp_path / "above"):
        assert os.stat(folder).st_mode & 0o077 == 0
        for file in files:
            assert os.stat(os.path.join(folder, file)).st_mode & 0o177 == 0, file


def test_many_processes_make_one_store_at_once(tmp_path):
    storage = Sqlite(tmp_path / "place")
    work = """
import itertools
import os
read, write = os.pipe()
children = []
for child in range(16):
    pid = os.fork()
    if not pid:
        os.close(write)
        os.read(read, 1)  # all begin at once
        for number in range(5):
            name = f"f-01/v1/{child * 10 + number:040x}"
            storage.write(name, [b"x"], lambda: b"head", size=1, mark=0)
            assert storage.read(name) is not None
        os._exit(0)
    children.append(pid)
os.close(write)
sys.exit(any(os.waitpid(pid, 0)[1] for pid in children))
"""
    makers = [child(storage, work) for _ in range(2)]
    assert [maker.wait() for maker in makers] == [0, 0]
    assert len(list(storage.scan())) == 80
    assert not [file for file in os.listdir(tmp_path / "place") if ".new" in file]


def test_writers_of_many_processes_lose_nothing(tmp_path):
    storage = Sqlite(tmp_path)
    first = storage.bump("f")
    code = """
for number in range(150):
    storage.write(f"f-01/v1/{CHILD * 1000 + number:040x}", [b"x" * 500], lambda: b"head", size=500, mark=0)
    storage.bump("f")
"""
    children = [child(storage, code.replace("CHILD", str(number))) for number in range(4)]
    assert [one.wait() for one in children] == [0] * 4
    assert len(list(storage.scan("f-01"))) == 600
    assert storage.word("f") >= first + 600
    assert storage._database.rows("PRAGMA integrity_check") == [("ok",)]


def test_names_that_share_a_key_never_give_each_others_entry(tmp_path):
    storage = Sqlite(tmp_path)
    one, two = ("f-01/v1/" + start * 24 + "ab" * 8 for start in "cd")
    put(storage, one, b"one")
    assert storage.read(two) is None
    assert storage.head(two) is None
    storage.remove(two)
    assert bytes(storage.read(one).body) == b"one"
    put(storage, two, b"two")
    assert storage.read(one) is None
    assert bytes(storage.read(two).body) == b"two"
    assert [item.name for item in storage.scan()] == [two]


def test_a_stopped_writer_costs_a_bounded_wait(tmp_path):
    storage = Sqlite(tmp_path, timeout=0.2)
    put(storage)
    holder = child(
        storage,
        "with storage._database.queue:\n    print('held', flush=True)\n    sys.stdin.readline()\n",
    )
    try:
        holder.stdout.readline()
        assert storage.read(NAME) is not None  # readers never wait
        assert Sqlite(tmp_path).read(NAME) is not None
        with pytest.raises(TimeoutError, match="locked"):
            put(storage)
        assert storage._database.queue._impatient_until > 0, "the next ones do not wait for as long again"
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        put(storage, body=b"after its death")
        assert bytes(storage.read(NAME).body) == b"after its death"
    finally:
        holder.kill()
        holder.communicate()


def test_fork_while_other_threads_read_and_write(tmp_path):
    storage = Sqlite(tmp_path)
    some = names(50)
    for name in some:
        put(storage, name, name.encode())
    stop, wrong = threading.Event(), []

    def read():
        try:
            while not stop.is_set():
                for name in some:
                    assert bytes(storage.read(name).body) == name.encode()
        except BaseException as error:
            wrong.append(error)

    def write():
        try:
            while not stop.is_set():
                for name in some:
                    put(storage, name, name.encode())
        except BaseException as error:
            wrong.append(error)

    def in_child():
        signal.alarm(30)
        for name in some:
            assert bytes(storage.read(name).body) == name.encode()
        put(storage, f"g-01/v1/{os.getpid():040x}")
        again = threading.Thread(target=put, args=(storage, f"g-02/v1/{os.getpid():040x}"))
        again.start()
        again.join()

    threads = [threading.Thread(target=target) for target in (read, read, write)]
    for thread in threads:
        thread.start()
    try:
        children = []
        for _ in range(6):
            children.append(forked(in_child))
        assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * 6
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not wrong, wrong[:2]
    assert len(list(storage.scan("g-01"))) == len(list(storage.scan("g-02"))) == 6
    assert storage._database.rows("PRAGMA integrity_check") == [("ok",)]


def test_a_child_outlives_its_parents_connections(tmp_path):
    """Closing the last connection of the parent deletes SQLite's log: not under a child that still writes to it."""
    storage = Sqlite(tmp_path)
    put(storage, body=b"parent")
    inside, outside = os.pipe()

    def in_child():
        put(storage, "f-01/v1/first")
        os.read(inside, 1)
        put(storage, "f-01/v1/second")

    pid = forked(in_child)
    for _ in range(3):
        storage.close()
        put(storage, body=b"parent again")
    storage.close()
    os.write(outside, b"x")
    assert os.waitpid(pid, 0)[1] == 0
    again = Sqlite(tmp_path)
    assert {item.name for item in again.scan()} == {NAME, "f-01/v1/first", "f-01/v1/second"}
    os.close(inside)
    os.close(outside)


def test_a_deleted_folder_is_noticed_by_the_next_miss(tmp_path):
    import shutil

    storage = Sqlite(tmp_path / "place")
    put(storage)
    word, watch = storage.bump("f"), storage.watch("f")
    before = watch[0]
    shutil.rmtree(tmp_path / "place")
    assert storage.read("f-01/v1/" + "cd" * 20) is None
    assert watch[0] != before
    put(storage)
    assert storage.read(NAME) is not None
    assert Sqlite(tmp_path / "place").read(NAME) is not None
    assert storage.bump("f") > word
    before = storage.watch("f")[0]
    Sqlite(tmp_path / "place").bump("f")
    assert storage.watch("f")[0] != before


def test_a_replaced_database_is_noticed_by_the_next_miss(tmp_path):
    storage, other = Sqlite(tmp_path / "place"), Sqlite(tmp_path / "other")
    put(storage, "f-01/v1/old")
    put(other, body=b"of the other")
    other.close()
    storage.read("f-01/v1/old")
    for rest in ("", "-wal", "-shm"):
        (tmp_path / "place" / f"entries.db{rest}").unlink(missing_ok=True)
    os.rename(tmp_path / "other" / "entries.db", tmp_path / "place" / "entries.db")
    assert bytes(storage.read(NAME).body) == b"of the other"


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b"no database at all" * 1000),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:100] + b"\xff" * 20_000),
        lambda path: os.truncate(path, 5000),
    ],
)
def test_a_ruined_database_is_set_aside(tmp_path, damage):
    storage = Sqlite(tmp_path)
    for name in names(300):
        put(storage, name, name.encode())
    storage.close()
    damage(tmp_path / "entries.db")

    def use():
        for name in names(300):
            put(storage, name, b"again")
        list(storage.scan())

    with pytest.raises(sqlite3.Error) as raised:
        use()
    assert storage.ruined(raised.value)
    storage.reset()
    assert storage.read(NAME) is None
    put(storage)
    assert bytes(storage.read(NAME).body) == b"body"
    assert [file for file in os.listdir(tmp_path) if "damaged" in file] == ["entries.db.damaged-1"]


def test_only_one_process_sets_a_ruined_database_aside(tmp_path):
    storages = [Sqlite(tmp_path) for _ in range(3)]
    put(storages[0])
    for storage in storages:
        assert storage.read(NAME)
    with open(tmp_path / "entries.db", "r+b") as file:
        file.write(b"ruined" * 20)
    storages[0].reset()
    put(storages[0], body=b"new")
    for storage in storages[1:]:
        storage.reset()
        assert bytes(storage.read(NAME).body) == b"new"
    with open(tmp_path / "entries.db", "r+b") as file:
        file.write(b"ruined again" * 20)
    storages[0].reset()
    assert [
        file for file in os.listdir(tmp_path) if "damaged" in file and "-wal" not in file and "-shm" not in file
    ] == ["entries.db.damaged-2"]


def test_only_damage_is_a_reason_to_set_aside(tmp_path):
    storage = Sqlite(tmp_path)
    for error in (sqlite3.OperationalError("database is locked"), OSError(28, "full"), ValueError(), TimeoutError()):
        assert not storage.ruined(error)
    assert storage.ruined(sqlite3.DatabaseError("database disk image is malformed"))
    assert storage.ruined(sqlite3.OperationalError("no such table: entries"))


def test_a_store_of_a_newer_memo_is_refused_and_kept(tmp_path):
    storage = Sqlite(tmp_path)
    put(storage)
    storage.close()
    db = sqlite3.connect(tmp_path / "entries.db")
    db.execute("PRAGMA user_version=99")
    db.close()
    for attempt in (lambda: storage.read(NAME), lambda: put(storage)):
        with pytest.raises(PlaceError, match="newer memo") as raised:
            attempt()
        assert not storage.ruined(raised.value)


def run_read_only(tmp_path, code):
    """As a user who may only read: root is stopped by nothing."""
    script = (
        "import os, sys; sys.path[:0] = sys.argv[2].split(os.pathsep); import blake3, mmap, traceback, linecache\n"
        "from memo.storages.sqlite import Sqlite\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "storage = Sqlite(sys.argv[1])\n"
        f"NAME = {NAME!r}\n{code}"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path), os.pathsep.join(sys.path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("open_elsewhere", [False, True])
def test_is_read_from_a_folder_that_can_only_be_read(tmp_path, open_elsewhere):
    place = tmp_path / "place"
    storage = Sqlite(place)
    put(storage)
    storage.bump("f")
    if not open_elsewhere:
        storage.close()
    for path in (place, *place.iterdir()):
        path.chmod(0o755 if path.is_dir() else 0o644)
    for parent in tmp_path.parents[:-2]:
        parent.chmod(parent.stat().st_mode | 0o055)
    tmp_path.chmod(0o755)
    code = """
assert bytes(storage.read(NAME).body) == b"body"
assert storage.read("f-01/v1/absent") is None
assert len(list(storage.scan())) == 1
assert storage.head(NAME) == (b"head", 0)
assert storage.word("f") > 0
assert storage.totals("") == (1, 8)
assert len(storage.watch("f")) == 1
for attempt in (lambda: storage.write("f/g", [], bytes, size=0, mark=0), lambda: storage.bump("f")):
    try:
        attempt()
    except OSError as error:
        assert "written" in str(error) or "ermission" in str(error), error
    else:
        raise AssertionError("written")
print("done")
"""
    assert run_read_only(place, code) == "done\n"


def test_a_store_that_nobody_limits_pays_for_no_counting(tmp_path):
    storage = Sqlite(tmp_path)
    put(storage)
    storage.rank({NAME: 1.0})
    assert "trigger" not in schema(storage)
    assert storage.totals("") == (1, 8)
    assert "trigger" in schema(storage)


def schema(storage):
    return {kind for (kind,) in storage._database.rows("SELECT type FROM sqlite_master")}


def test_counting_goes_on_in_every_process(tmp_path):
    storage, other = Sqlite(tmp_path), Sqlite(tmp_path)
    put(other, "f-01/v1/a", b"1234")
    assert storage.totals("f-01") == (1, 8)
    put(other, "f-01/v1/b", b"1234")
    put(other, "f-01/v1/a", b"123456")
    assert storage.totals("f-01") == (2, 18)
    other.remove("f-01/v1/a")
    assert storage.totals("") == (1, 8)
    assert [item.name for item in storage.lowest("", 5)] == ["f-01/v1/b"]


def test_what_is_new_is_counted_once_whatever_becomes_of_it(tmp_path):
    """An insert is one row of news, carried over later: what is removed or replaced before that must come out right."""
    storage = Sqlite(tmp_path)
    put(storage, "f-01/v1/a", b"1234")
    assert storage.totals("") == (1, 8)
    for name in "bcd":
        put(storage, f"f-01/v1/{name}", b"1234")
    storage.remove("f-01/v1/b")
    put(storage, "f-01/v1/c", b"123456")
    storage.remove("f-01/v1/d")
    put(storage, "f-01/v1/d", b"12")
    for _ in range(2):
        assert storage.totals("") == (3, 8 + 10 + 6)
        assert [item.name[-1] for item in storage.lowest("", 5)] == ["a", "c", "d"]
    assert storage._database.rows("SELECT count(*) FROM news") == [(0,)]
    storage.rank({"f-01/v1/a": 5.0, "f-01/v1/d": 1.0})
    assert [item.name[-1] for _, _, item in storage.ranked("", 5, timed=True)] == ["d", "a", "c"]
    storage.rank({"f-01/v1/a": time.time() + 60})
    assert [item.name[-1] for _, _, item in storage.ranked("", 5, timed=True)] == ["d", "c", "a"]
    storage.rank({"f-01/v1/a": 5.0})
    briefly = storage.cheapest(5, "f-01/v1/c", False)
    assert [(one.rank, one.size, one.scope) for one in briefly] == [(1.0, 6, "f-01"), (5.0, 8, "f-01")]
    storage.take_out(briefly)
    assert [item.name[-1] for item in storage.scan()] == ["c"]
    assert storage.totals("") == (1, 10)


def test_a_database_that_counts_in_the_way_of_before_counts_on(tmp_path):
    storage = Sqlite(tmp_path)
    put(storage, "f-01/v1/a", b"1234")
    for statement in (
        "CREATE TABLE totals(prefix INTEGER PRIMARY KEY, entries INTEGER NOT NULL, bytes INTEGER NOT NULL)",
        "INSERT INTO totals VALUES(1, 1, 8)",
        "CREATE INDEX lowest ON ranks(rank, written)",
        "CREATE TRIGGER inserted AFTER INSERT ON entries BEGIN UPDATE totals SET entries = entries + 1; END",
    ):
        storage._database.change(statement, ())
    put(storage, "f-01/v1/b", b"1234")
    assert storage.totals("") == (2, 16)
    put(storage, "f-01/v1/c", b"1234")
    assert storage.totals("") == (3, 24)
    assert [item.name[-1] for item in storage.lowest("", 5)] == ["a", "b", "c"]


def test_many_are_removed_at_once_and_big_ones_with_their_bodies(tmp_path):
    spill = Spill(Sqlite(tmp_path / "small"), Files(tmp_path / "big"), above=100)
    for name, body in zip("abcd", [b"", b"x" * 200, b"", b"x" * 200], strict=True):
        put(spill, f"f-01/v1/{name}", body)
    assert spill.totals("f-01")[0] == 4
    spill.remove_many(["f-01/v1/a", "f-01/v1/b", "f-01/v1/none"])
    assert {item.name[-1] for item in spill.scan()} == set("cd")
    assert [item.name[-1] for item in spill.big.scan()] == ["d"]
    assert spill.totals("f-01")[0] == 2


def test_ranks_outlive_the_process(tmp_path):
    storage = Sqlite(tmp_path)
    for name in "abc":
        put(storage, f"f-01/v1/{name}")
    storage.rank({"f-01/v1/a": 3.0, "f-01/v1/b": 2.0})
    storage.close()
    assert [item.name[-1] for item in Sqlite(tmp_path).lowest("", 3)] == ["c", "b", "a"]


def test_compact_gives_the_room_back(tmp_path):
    storage = Sqlite(tmp_path)
    some = names(1000)
    for name in some:
        put(storage, name, os.urandom(1000))
    storage.compact()
    before = os.path.getsize(tmp_path / "entries.db")
    for name in some[:900]:
        storage.remove(name)
    storage.compact()
    total = sum(os.path.getsize(tmp_path / file) for file in os.listdir(tmp_path) if file.startswith("entries.db"))
    assert total < before / 5 + 64 * 1024  # and an empty log's index
    assert all(storage.read(name) for name in some[900:])
    put(storage, "g-01/v1/new")  # its prefix is a new one
    put(storage, some[0])
    assert len(list(storage.scan("f-01/v1"))) == 101


def test_leaves_one_file_behind_when_it_is_closed(tmp_path):
    code = f"storage.write({NAME!r}, [b'body'], bytes, size=4, mark=0)\n"
    assert child(Sqlite(tmp_path), code).wait() == 0
    assert sorted(os.listdir(tmp_path)) == ["entries.db", "entries.lock"]
    assert bytes(Sqlite(tmp_path).read(NAME).body) == b"body"


def test_a_thread_that_ends_closes_nothing_while_another_forks(tmp_path):
    """A child must not be made in the middle of SQLite, and who is collected must not wait."""
    storage = Sqlite(tmp_path)
    put(storage)
    with _database._forking:  # as from before a fork until after it
        # opening waits for the end of a fork, too: it is had from this thread
        connection = _database.Connection(storage._database._first)
        assert storage._database.open(connection)
        held = [connection]
        del connection
        db = held[0].db
        thread = threading.Thread(target=held.clear)
        thread.start()
        thread.join()
        assert db.execute("SELECT 1").fetchone() == (1,)
    storage._database.open(storage._database.enlist())  # what is left is closed with the next
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        db.execute("SELECT 1")


def test_a_thread_that_ends_lets_go_of_its_connection(tmp_path):
    storage = Sqlite(tmp_path)
    put(storage)
    for _ in range(5):
        thread = threading.Thread(target=storage.read, args=(NAME,))
        thread.start()
        thread.join()
    assert len([one for one in storage._database._connections if one.db is not None]) == 1


def test_paths_that_mean_something_in_a_url(tmp_path):
    folder = tmp_path / "a?b#c%20 d'e"
    put(Sqlite(folder))
    assert bytes(Sqlite(folder).read(NAME).body) == b"body"
    assert os.listdir(tmp_path) == ["a?b#c%20 d'e"]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_room_and_time_of_a_million_entries(tmp_path):
    import hashlib

    storage = Sqlite(tmp_path)
    head, body = b"h" * 55, [b"b" * 15]
    for number in range(1_000_000):
        storage.write(f"f-01/v1/{hashlib.sha1(b'%d' % number).hexdigest()}", body, lambda: head, size=15, mark=0)
    storage.close()
    total = sum(os.path.getsize(tmp_path / file) for file in os.listdir(tmp_path))
    assert total / 1_000_000 <= 150


def test_entries_of_one_version_lie_together(tmp_path):
    storage = Sqlite(tmp_path)
    for scope in ("f-01", "g-02", "h-03"):
        for name in names(50, scope):
            put(storage, name)
    order = [prefix for (prefix,) in storage._database.rows("SELECT prefix FROM entries ORDER BY k")]
    assert sum(one != after for one, after in itertools.pairwise(order)) == 2


def asked(storage):
    """The statements of this thread from now on."""
    said = []
    storage.read(NAME)
    storage._database.here.connection.db.set_trace_callback(said.append)
    return said


def test_reading_ahead_gives_what_reading_gives(tmp_path):
    storage = open_storage("sqlite", str(tmp_path))
    some = names(300)
    for number, name in enumerate(some):
        if number % 10:
            put(storage, name, b"%d " % number * (1, 500, 1, 30_000)[number % 4], mark=number % 3)
    said = asked(storage.small)
    read = storage.ahead("f-01/v1")
    for name in [*some, *some, "f-01/v1/no-digest"]:
        there, ahead = storage.read(name), read(name)
        assert (there and bytes(there.body)) == (ahead and bytes(ahead.body))
        assert (there and there[:2]) == (ahead and ahead[:2])
    assert len([one for one in said if "LIMIT" in one]) < 10


def test_reading_ahead_saves_selects_and_stops_where_it_would_not_pay(tmp_path, monkeypatch):
    storage = Sqlite(tmp_path)
    some = names(600)
    for name in some:
        put(storage, name, name.encode())
    said = asked(storage)
    read = storage.ahead("f-01/v1")
    for name in some[:5]:
        assert bytes(read(name).body) == name.encode()
    assert len(said) == 5, "who asks for a few entries gets those"
    for name in some[5:]:
        assert bytes(read(name).body) == name.encode()
    assert len(said) < 200
    monkeypatch.setattr(_ahead, "MOST", 100)
    read = storage.ahead("f-01/v1")
    said.clear()
    for name in some:
        assert bytes(read(name).body) == name.encode()
    assert len([one for one in said if "LIMIT" in one]) <= 2


def test_a_database_of_an_older_format_is_set_aside(tmp_path):
    storage = Sqlite(tmp_path)
    put(storage)
    storage.close()
    db = sqlite3.connect(tmp_path / "entries.db")
    db.execute("PRAGMA user_version=1")
    db.close()
    with pytest.raises(sqlite3.DatabaseError, match="older format") as raised:
        storage.read(NAME)
    assert storage.ruined(raised.value)
    storage.reset()
    put(storage)
    assert bytes(storage.read(NAME).body) == b"body"


def test_many_at_once_are_what_each_is_alone(tmp_path):
    storage, other = Sqlite(tmp_path / "place"), Sqlite(tmp_path / "other")
    assert storage.read_many([NAME]) == {}
    kept = names(1203)
    for number, name in enumerate(kept):
        put(storage, name, body=b"%d" % number, mark=number % 2)
    put(storage, "f-01/v1/no digest")
    asked_for = [*kept, "f-01/v1/no digest", "f-01/v2/absent", NAME, NAME]
    assert storage.read_many(asked_for) == {
        name: record for name in asked_for if (record := storage.read(name)) is not None
    }
    db = sqlite3.connect(tmp_path / "place" / "entries.db")
    db.execute("UPDATE entries SET record=substr(record, 1, 14) WHERE size=(SELECT min(size) FROM entries)")
    db.commit()
    db.close()
    left = storage.read_many(asked_for)
    assert 0 < len(left) < 1204, "what is damaged is left out"
    assert left == {name: left[name] for name in asked_for if name in left}
    put(other, body=b"of the other")
    for place in (storage, other):
        place.close()
    storage.read_many([NAME])
    os.rename(tmp_path / "other" / "entries.db", tmp_path / "place" / "entries.db")
    assert bytes(storage.read_many(asked_for)[NAME].body) == b"of the other"


def test_many_are_written_in_one_go_as_each_alone(tmp_path):
    """Small and big, new and replaced, with and without a mark; a big one that a small one replaces is gone."""
    spill = Spill(Sqlite(tmp_path), Files(tmp_path / "files"), above=1000)
    alone = Spill(Sqlite(tmp_path / "alone"), Files(tmp_path / "alone" / "files"), above=1000)
    head = b"the head of an entry"
    first = [(f"f-01/v{n % 3}/{n:040x}", Record(head, n % 2, bytes(n * 300)), "") for n in range(10)]
    second = [(name, Record(head, 7, bytes(3000 - len(body))), "") for name, (_, _, body, _), _ in first]
    for entries in (first, second):
        spill.write_many(entries)
        for name, record, _ in entries:
            alone.write(name, [record.body], lambda: head, size=len(record.body), mark=record.mark)
        assert sorted(spill.scan()) == sorted(alone.scan())
        for name, record, _ in entries:
            assert bytes(spill.read(name).body) == record.body
            assert spill.read(name)[:2] == record[:2]
    assert {item.name for item in spill.big.scan()} == {name for name, record, _ in second if len(record.body) > 1000}
    spill.write_many([])
    assert len(list(spill.scan())) == 10


def test_what_others_store_after_a_compact_is_listed_and_counted(tmp_path):
    """Connections know the numbers of prefixes: one that nothing had for a moment must not be taken away, or given to another."""
    one, two = Sqlite(tmp_path), Sqlite(tmp_path)
    put(one, "f-01/v1/" + "ab" * 20)
    one.remove("f-01/v1/" + "ab" * 20)
    two.compact()
    put(two, "g-01/v1/" + "ef" * 20)
    put(one, "f-01/v1/" + "cd" * 20)
    assert sorted(item.name for item in two.scan()) == ["f-01/v1/" + "cd" * 20, "g-01/v1/" + "ef" * 20]
    assert two.totals("")[0] == 2
    assert [item.name for item in two.scan("f-01")] == ["f-01/v1/" + "cd" * 20]
