"""The storage on SQLAlchemy with a real PostgreSQL: the suites, what only servers can do wrong, and how it heals."""

from __future__ import annotations

import os
import pickle
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
from blake3 import blake3

from memo import Cache
from memo.protocols import Batch, Heads, Locks, Purge, Ranks, Words
from memo.storages.sql import Sql
from memo.testing import StorageSuite, agree

NAME = "f-01/v1/00"
SECRET = "a secret of the test"
HANG = 20.0  # seconds: ten times what a call may wait


def table_of(folder):
    return f"memo_{blake3(str(folder).encode()).hexdigest(8)}"


@pytest.fixture
def url(postgres_server, tmp_path):
    """A database of this test alone."""
    name = table_of(tmp_path)
    postgres_server.query(f"CREATE DATABASE {name}")
    yield postgres_server.url_of(name)
    postgres_server.revive()
    postgres_server.query(f"DROP DATABASE {name} WITH (FORCE)")


def put(storage, name=NAME, body=b"body", mark=0):
    storage.write(name, [body], lambda: b"head", size=len(body), mark=mark)


def python(code, *arguments, folder, **how):
    """Another host, as far as memo can tell: another process with folders of its own."""
    home = folder / f"home-{random.randrange(1 << 60):x}"
    home.mkdir()
    environment = {
        **os.environ,
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    program = home / "program.py"
    program.write_text(code)
    command = [sys.executable, str(program), *map(str, arguments)]
    return subprocess.Popen(command, cwd=home, env=environment, stdout=subprocess.PIPE, text=True, **how)


# -- as every storage


class TestPostgresql(StorageSuite):
    @pytest.fixture(autouse=True)
    def _server(self, url):
        self.url = url

    def make(self, tmp_path):
        return Sql(self.url, table=table_of(tmp_path), timeout=10)


def test_a_stream_of_random_commands(url):
    agree(Sql(url, timeout=10), count=1000)


# -- the storage itself


def test_has_every_ability_itself(url):
    storage = Sql(url)
    assert all(isinstance(storage, ability) for ability in (Heads, Batch, Words, Ranks, Locks, Purge))


def test_nothing_is_made_by_reading(url, postgres_server):
    storage = Sql(url)
    assert storage.read(NAME) is None
    assert list(storage.scan()) == [] == storage.lowest("", 5)
    assert storage.word("f") == 0
    storage.remove(NAME)
    assert postgres_server.query("SELECT 1 FROM pg_tables WHERE schemaname = 'public'", url) == []


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_a_url_without_a_driver_takes_psycopg_3(url, scheme):
    storage = Sql(url.replace("postgresql", scheme, 1))
    put(storage)
    assert storage.read(NAME).body == b"body"
    assert repr(pickle.loads(pickle.dumps(storage))) == repr(Sql(url))


def test_an_engine_of_ones_own(url):
    import sqlalchemy

    engine = sqlalchemy.create_engine(url.replace("postgresql", "postgresql+psycopg", 1), pool_size=2)
    storage = Sql(engine)
    put(storage, body=b"x" * 1_000_000)
    assert storage.read(NAME).body == b"x" * 1_000_000
    assert engine.pool.checkedin() == 1
    assert pickle.loads(pickle.dumps(storage)).read(NAME).body == b"x" * 1_000_000


def test_no_name_gets_into_the_sql(url, postgres_server):
    for table in ('a"b', "a; DROP TABLE memo; --", "a'b", "Größe"):
        storage = Sql(url, table=table)
        put(storage)
        assert storage.read(NAME).body == b"body"
        assert storage.bump("f") == storage.word("f")
        assert len(storage.lowest("", 5)) == 1
    storage = Sql(url)
    for name in ("a'b/c/d", 'a"b/c/d', "%s/%s/%s", "a;b/c/d", "\\/c/d"):
        put(storage, name)
        assert storage.read(name).body == b"body"
        storage.remove(name)
        assert storage.read(name) is None


def test_threads_share_a_bounded_number_of_connections(url, postgres_server):
    storage, wrong = Sql(url, timeout=10), []
    put(storage)

    def work():
        try:
            for _ in range(10):
                assert storage.read(NAME).body == b"body"
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=work) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    ((found,),) = postgres_server.query("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()", url)
    assert 1 <= found - 1 <= 16


def test_a_body_of_many_pieces_is_of_one_write(url):
    storage, other, wrong = Sql(url, timeout=10), Sql(url, timeout=10), []
    size, stop = 40_000_000, threading.Event()
    put(storage, body=b"0" * size)

    def write():
        try:
            for number in range(1, 8):
                put(other, body=b"%d" % number * size)
        except BaseException as error:
            wrong.append(error)
        stop.set()

    thread = threading.Thread(target=write)
    thread.start()
    seen = set()
    while not stop.is_set():
        body = storage.read(NAME).body
        assert len(body) == size
        assert body.count(body[:1]) == size
        seen.add(bytes(body[:1]))
    thread.join()
    assert not wrong
    assert storage.read(NAME).body[:1] == b"7"


def test_200_mb(url):
    storage = Sql(url)
    body = random.Random(1).randbytes(1 << 20) * 200
    put(storage, body=body)
    assert storage.read(NAME).body == body
    assert storage.head(NAME) == (b"head", 0)
    assert storage.totals("") == (1, len(body) + 4)


def test_more_than_a_gigabyte_says_so(url):
    with pytest.raises(ValueError, match=r"more than PostgreSQL takes as one value \(1 GB\)"):
        Sql(url).write(NAME, iter([]), lambda: b"head", size=1 << 30, mark=0)


def test_locked_by_somebody_else_is_an_error_in_time(url):
    import psycopg

    storage = Sql(url)
    put(storage)
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE memo SET mark = 1")
        began = time.monotonic()
        with pytest.raises(psycopg.errors.LockNotAvailable) as caught:
            put(storage)
        assert time.monotonic() - began < HANG
        assert storage.down(caught.value)
        connection.rollback()
    put(storage)


def test_a_restarted_server_is_not_even_noticed(url, postgres_server):
    storage = Sql(url)
    put(storage)
    with storage.lock(NAME, 0) as mine:
        assert mine
    postgres_server.restart()
    with storage.lock(NAME, 0) as mine:
        assert mine
    postgres_server.restart()
    assert storage.read(NAME).body == b"body"
    postgres_server.restart()
    put(storage, body=b"new")
    assert storage.read(NAME).body == b"new"


@pytest.mark.parametrize("fault", ["stop", "kill"])
def test_every_verb_ends_in_time_while_it_hangs_or_is_gone(url, postgres_server, fault):
    import psycopg

    storage = Sql(url)
    put(storage)
    getattr(postgres_server, fault)()

    def lock():
        with storage.lock(NAME, -1):
            raise AssertionError("a lock was had")

    verbs = [
        lambda: storage.read(NAME),
        lambda: put(storage),
        lambda: put(storage, body=b"x" * 30_000_000),
        lambda: storage.head(NAME),
        lambda: storage.word("f"),
        lambda: storage.bump("f"),
        lambda: list(storage.scan()),
        lambda: storage.totals(""),
        lock,
    ]
    wrong = []

    def check(verb):
        try:
            began = time.monotonic()
            with pytest.raises(
                psycopg.OperationalError, match=r"refused|did not answer within 2 s|timeout|closed the connection"
            ) as caught:
                verb()
            assert storage.down(caught.value)
            assert time.monotonic() - began < HANG
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=check, args=(verb,)) for verb in verbs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    postgres_server.cont()
    if fault == "kill":
        postgres_server.start()
    assert storage.read(NAME) is not None
    with storage.lock(NAME, 0) as mine:
        assert mine


# -- locks

HOLDER = """
import os, sys, time
from memo.storages.sql import Sql

with Sql(sys.argv[1]).lock("f/v/a", -1) as mine:
    if sys.argv[2] == "fork" and os.fork() == 0:
        time.sleep(300)
    print(mine, flush=True)
    time.sleep(300)
"""


@pytest.mark.parametrize("how", ["alone", "fork"])
def test_a_lock_dies_with_its_holder(url, tmp_path, how):
    """Even where a child that the holder forked lives on."""
    storage = Sql(url)
    holder = python(HOLDER, url, how, folder=tmp_path, start_new_session=True)
    try:
        assert holder.stdout.readline() == "True\n"
        with storage.lock("f/v/a", 0.2) as mine:
            assert not mine
        with storage.lock("f/v/b", 0) as mine:
            assert mine
        holder.kill()
        with storage.lock("f/v/a", HANG) as mine:
            assert mine
    finally:
        os.killpg(holder.pid, signal.SIGKILL)
        holder.wait()
        holder.stdout.close()


def test_a_child_that_is_forked_under_a_lock_does_not_let_go_of_it(url):
    storage, other = Sql(url), Sql(url)
    with storage.lock("f/v/a", 0) as mine:
        assert mine
        child = os.fork()
        if not child:
            status = 1
            try:
                with storage.lock("f/v/a", 0) as again:
                    status = 2 if again else 0
            finally:
                os._exit(status)
        assert os.waitpid(child, 0)[1] == 0
        with other.lock("f/v/a", 0) as theirs:
            assert not theirs
    with other.lock("f/v/a", 0) as theirs:
        assert theirs


def test_locks_use_no_connection_while_there_are_none(url):
    storage = Sql(url)
    for _ in range(3):
        with storage.lock("f/v/a", 0), storage.lock("f/v/b", 0):
            assert storage._database.engine.pool.checkedout() == 1
    assert storage._database.engine.pool.checkedout() == 0


# -- two hosts

SLOW = """
import sys, time
from memo import Cache

cache = Cache(sys.argv[1], sign="a secret of the test")

@cache.persist(name="slow")
def slow(x):
    open(sys.argv[2], "a").write("once\\n")
    time.sleep(1)
    return x * 2

print("ready", flush=True)
for line in sys.stdin:
    print(eval(line), flush=True)
"""


class Client:
    def __init__(self, url, log, folder):
        self.process = python(SLOW, url, log, folder=folder, stdin=subprocess.PIPE)
        assert self.process.stdout.readline() == "ready\n"

    def ask(self, code):
        self.process.stdin.write(code + "\n")
        self.process.stdin.flush()

    def answer(self):
        return self.process.stdout.readline().strip()

    def close(self):
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()


def test_two_hosts_share_flights_and_clears(url, tmp_path):
    log = tmp_path / "log"
    clients = [Client(url, log, tmp_path) for _ in range(2)]
    try:
        for client in clients:
            client.ask("slow(4)")
        assert [client.answer() for client in clients] == ["8", "8"]
        assert log.read_text() == "once\n"
        clients[0].ask("slow.cache_clear()")
        assert clients[0].answer() == "None"
        clients[1].ask("slow.is_cached(4)")
        assert clients[1].answer() == "False"
        clients[1].ask("slow(4)")
        assert clients[1].answer() == "8"
        clients[0].ask("slow(4), slow.cache_info().hits")
        assert clients[0].answer().startswith("(8, ")
        assert log.read_text() == "once\n" * 2
        clients[0].ask("slow.delete(4)")
        assert clients[0].answer() == "True"
        clients[1].ask("slow.is_cached(4)")
        assert clients[1].answer() == "False"
    finally:
        for client in clients:
            client.close()


# -- failures, as a user meets them


def square_on(url):
    @Cache(url, sign=SECRET).persist(name="square")
    def square(x):
        return x * x

    return square


def until_stored(square, x):
    """Calls again and again, as a user would, until it is a hit."""
    until = time.monotonic() + 6 * HANG
    while not square.is_cached(x):
        assert time.monotonic() < until, "the store was not taken up again"
        square(x)
        time.sleep(0.1)


def break_and_heal(postgres_server, fault):
    """What breaks the server, what mends it, and what the warning must say."""
    return {
        "killed": (postgres_server.kill, postgres_server.start, "refused"),
        "hanging": (postgres_server.stop, postgres_server.cont, "did not answer|timeout"),
    }[fault]


@pytest.mark.parametrize("fault", ["killed", "hanging"])
def test_a_broken_server_costs_one_warning_and_a_bounded_wait(url, postgres_server, fault, told):
    square = square_on(url)
    assert (square(2), square(2)) == (4, 4)
    break_it, mend_it, said = break_and_heal(postgres_server, fault)
    break_it()
    for x in range(2, 10):
        began = time.monotonic()
        assert square(x) == x * x
        assert time.monotonic() - began < HANG
    assert len(told()) == 1, told()
    assert any(part in told()[0] for part in said.split("|")), told()
    mend_it()
    until_stored(square, 5)
    before = square.cache_info().misses
    assert (square(5), square(2)) == (25, 4)
    assert square.cache_info().misses == before
    assert len(told()) == 1, told()


def test_refused_from_the_first_call_on(url, postgres_server, told):
    postgres_server.kill()
    square = square_on(url)
    assert [square(x) for x in range(3)] == [0, 1, 4]
    assert len(told()) == 1, told()
    assert "refused" in told()[0]


@pytest.mark.parametrize("fault", ["killed", "hanging"])
def test_broken_in_the_middle_of_a_call(url, postgres_server, fault, told):
    cache = Cache(url, sign=SECRET)
    break_it, mend_it, said = break_and_heal(postgres_server, fault)

    @cache.persist(name="breaking", ignore=["do"])
    def breaking(x, do=lambda: None):
        do()
        return x + 1

    assert breaking(0) == 1
    began = time.monotonic()
    assert breaking(5, break_it) == 6
    assert time.monotonic() - began < HANG
    assert len(told()) == 1, told()
    assert any(part in told()[0] for part in said.split("|")), told()
    mend_it()
    until_stored(breaking, 5)
    assert breaking.get(0) == 1


def test_restarted_between_calls(url, postgres_server, told):
    square = square_on(url)
    assert square(2) == 4
    postgres_server.restart()
    assert (square(2), square(3), square(3)) == (4, 9, 9)
    assert square.cache_info()[:2] == (2, 2)
    assert not told()


def test_a_slow_server_is_left_alone(url, postgres_server, told):
    """It answers, but only a little of the time."""
    square = square_on(url)
    assert square(1) == 1
    done = threading.Event()

    def slow_it():
        while not done.is_set():
            postgres_server.stop()
            done.wait(1.2)
            postgres_server.cont()
            done.wait(0.01)

    thread = threading.Thread(target=slow_it)
    thread.start()
    try:
        for x in range(2, 5000):
            began = time.monotonic()
            assert square(x) == x * x
            assert time.monotonic() - began < HANG
            if told():
                break
    finally:
        done.set()
        thread.join()
        postgres_server.cont()
    assert len(told()) == 1, told()
    assert "too slowly" in told()[0] or "did not answer" in told()[0]
    until_stored(square, 5000)


def test_a_big_value_that_does_not_fit_is_returned_with_one_warning(url, told, monkeypatch):
    from memo.storages import _postgresql

    monkeypatch.setattr(_postgresql, "MOST", 1_000_000)
    cache = Cache(url, sign=SECRET)

    @cache.persist(name="big")
    def big(size):
        return b"x" * size

    assert len(big(2_000_000)) == len(big(2_000_000)) == 2_000_000
    assert len(told()) == 1, told()
    assert "more than PostgreSQL takes" in told()[0]
    assert big(10) == b"x" * 10
    assert big.is_cached(10)


@pytest.fixture
def small_postgres(postgres_server):
    """A server of its own whose data lie on a disk of 140 MB."""
    disk = Path(tempfile.mkdtemp(prefix="memo-disk-"))
    disk.chmod(0o755)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=140m", "tmpfs", disk], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"a small disk can't be mounted here: {mounted.stderr.strip()}")
    server = type(postgres_server)(disk / "data")
    try:
        server.start()
        yield server
    finally:
        server.remove()
        subprocess.run(["umount", "-l", disk], check=True)
        disk.rmdir()


@pytest.mark.slow
def test_no_space_left(small_postgres, told):
    square = square_on(small_postgres.url)
    cache = Cache(small_postgres.url, sign=SECRET)

    @cache.persist(name="filling")
    def filling(x):
        return random.Random(x).randbytes(4_000_000)

    assert square(3) == 9
    for x in range(40):
        assert filling(x) == random.Random(x).randbytes(4_000_000)
        if told():
            break
    assert len(told()) == 1, told()
    assert "No space left" in told()[0]
    assert square(4) == 16
    assert filling(0) == random.Random(0).randbytes(4_000_000)


def test_limits_hold_with_two_clients(url):
    """What was used last stays, whichever of them used it."""
    caches = [Cache(url, sign=SECRET, max_entries=10) for _ in range(2)]
    one, two = (cache.persist(name="square")(lambda x: x * x) for cache in caches)
    for x in range(40):
        assert (one, two)[x % 2](x) == x * x
        assert caches[0].storage.totals("")[0] <= 10
    assert one.is_cached(39)
    assert not one.is_cached(0)
