"""The storage on a real Redis server: the contract, what the server may do to entries, and what may happen to the server."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from memo import Cache, OptionError, persist
from memo.errors import DamagedError
from memo.model import Item
from memo.storages._patient import FIRST, LONGEST, Patient
from memo.storages.redis import Redis
from memo.testing import StorageSuite

NAME = "f-01/v1/00112233445566778899aabbccddeeff00112233"
OTHER = "f-01/v1/00112233445566778899aabbccddeeff00112234"


class TestRedis(StorageSuite):
    @pytest.fixture(autouse=True)
    def _server(self, redis_server):
        self.server, self.places = redis_server, 0

    def make(self, tmp_path):
        self.places += 1  # a test may ask for several, each new and empty
        return Redis(self.server.url, prefix=f"memo{self.places}")


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


def put(storage, name, body=b"body", mark=0):
    storage.write(name, [body], lambda: b"head", size=len(body), mark=mark)


def asked(server):
    """How often each command was asked."""
    stats = server.client().info("commandstats")
    return {name.removeprefix("cmdstat_"): line["calls"] for name, line in stats.items()}


# ------------------------------------------------------------------------------------------------ how it does it


def test_heads_never_fetch_a_body(redis_server):
    storage, client = Redis(redis_server.url), redis_server.client()
    put(storage, NAME, bytes(5_000_000))
    before = client.info("stats")["total_net_output_bytes"]
    assert storage.head(NAME) == (b"head", 0)
    assert list(storage.scan()) == list(storage.scan("f-01")) == [Item(NAME, 5_000_004, 0, b"head")]
    assert client.info("stats")["total_net_output_bytes"] - before < 100_000


def test_many_are_read_in_one_trip_and_keys_is_never_asked(redis_server):
    storage = Redis(redis_server.url)
    names = [f"f/v/{number:040x}" for number in range(700)]
    for name in names:
        put(storage, name)
    assert set(storage.read_many(names)) == set(names)
    assert {item.name for item in storage.scan()} == {item.name for item in storage.scan("f")} == set(names)
    assert storage.purge("f", 1, 1000) == 700
    commands = asked(redis_server)
    assert commands["mget"] == 1
    assert "keys" not in commands


def test_a_large_body_goes_in_pieces_and_comes_back_whole(redis_server):
    storage = Redis(redis_server.url)
    pieces = [os.urandom(9_000_000), b"", os.urandom(17), os.urandom(11_000_000)]
    for body in (pieces, [b"short"], pieces):
        storage.write(NAME, body, lambda: b"head", size=sum(map(len, body)), mark=3)
        record = storage.read(NAME)
        assert (record.head, record.mark) == (b"head", 3)
        assert record.body == b"".join(body)
    assert asked(redis_server)["setrange"] == 2 * 6


def test_more_than_a_string_holds_is_refused(redis_server):
    storage, part = Redis(redis_server.url), bytes(1 << 20)
    put(storage, NAME)
    with pytest.raises(ValueError, match="536,870,912"):
        storage.write(NAME, [part] * 512, lambda: b"head", size=512 << 20, mark=0)
    assert storage.read(NAME).body == b"body"


def test_two_prefixes_are_two_places(redis_server):
    one, other = Redis(redis_server.url, prefix="a*"), Redis(redis_server.url, prefix="ab")
    put(one, NAME)
    put(other, OTHER)
    assert [item.name for item in one.scan()] == [NAME]
    assert [item.name for item in other.scan()] == [OTHER]
    assert one.totals("") == other.totals("") == (1, 8)
    assert one.bump("f") == one.word("f") != other.word("f")


def test_what_others_put_there_is_damage_and_no_entry(redis_server):
    storage, client = Redis(redis_server.url), redis_server.client()
    client.set("memo:" + NAME, b"short")
    client.set("memo:" + OTHER, b"\0\0\xff\xff" + bytes(100))
    for name in (NAME, OTHER):
        with pytest.raises(DamagedError):
            storage.read(name)


def test_unix_sockets_and_names_of_the_scheme(redis_server, tmp_path):
    redis_server.restart("--unixsocket", str(tmp_path / "socket"))
    for url in (f"unix://{tmp_path}/socket", redis_server.url.replace("redis://", "valkey://")):
        put(Redis(url), NAME)
        assert Redis(url).read(NAME).body == b"body"


@pytest.mark.parametrize(
    "url", ["redis:host", "http://me:secret@host", "redis://:se/cret@host:1", "redis://:secret@h:x"]
)
def test_urls_that_can_not_be_right(url):
    with pytest.raises(OptionError) as raised:
        Redis(url)
    assert "cret" not in str(raised.value)


def test_the_password_is_shown_nowhere(redis_server, told):
    redis_server.restart("--requirepass", "right-secret")
    url = redis_server.url.replace("//", "//:right-secret@")
    put(Redis(url), NAME)
    assert pickle.loads(pickle.dumps(Redis(url))).read(NAME).body == b"body"
    wrong = url.replace("right-secret", "wrong-secret")
    cache = Cache(wrong, sign="0123456789abcdef")

    @cache.persist
    def f(x):
        return x

    assert f(1) == f(1) == 1
    (text,) = told()
    assert "invalid username-password pair" in text
    for shown in (text, repr(Redis(url)), repr(cache), repr(cache.storage)):
        assert "secret" not in shown


# ------------------------------------------------------------------------------------ what a server may take away


@pytest.mark.parametrize("what", ["sizes:f-01", "order:f-01", "scopes", "f-01/v1/" + NAME[-40:]])
def test_what_the_server_evicts_is_a_clean_miss(redis_server, what):
    storage, client = Redis(redis_server.url), redis_server.client()
    for number in range(5):
        put(storage, NAME[:-1] + str(number))
    assert client.delete("memo:" + what) == 1
    left = {NAME[:-1] + str(number) for number in range(5)} - ({NAME} if NAME.endswith(what[-40:]) else set())
    assert set(storage.read_many([NAME[:-1] + str(number) for number in range(5)])) == left
    assert {item.name for item in storage.scan()} == left
    assert {item.name for item in storage.lowest("f-01", 10)} <= left
    for number in range(5, 8):
        put(storage, NAME[:-1] + str(number), b"x" * number)
    for name in left:
        storage.remove(name)
    assert storage.totals("f-01") == storage.totals("") == (3, 4 * 3 + 5 + 6 + 7)
    assert len(storage.lowest("", 10)) == len(storage.lowest("f-01", 10)) == 3
    storage.purge("f-01", 1, 100)
    if not what.startswith("sizes"):
        assert storage.totals("") == (0, 0)


def test_an_evicted_word_brings_nothing_back_that_was_cleared(redis_server):
    runs = []

    @persist(location=redis_server.url, code="off", version=1, ignore=["runs"])
    def f(x, runs):
        runs.append(x)
        return x

    f(1, runs)
    f(1, runs)
    f.cache_clear()
    client = redis_server.client()
    words = list(client.scan_iter("memo:word:*"))
    assert len(words) == 2
    client.delete(*words)
    assert not f.is_cached(1, runs)
    f(1, runs)
    f(1, runs)
    assert runs == [1, 1]


def test_words_go_on_after_the_server_has_lost_all(redis_server):
    storage = Redis(redis_server.url)
    seen = [storage.word("f"), storage.bump("f"), storage.bump("f")]
    redis_server.restart()
    seen += [storage.word("f"), storage.bump("f")]
    assert seen == sorted(set(seen))


def test_eviction_by_the_server_breaks_nothing(redis_server):
    redis_server.restart("--maxmemory", "4mb", "--maxmemory-policy", "allkeys-lru")
    storage = Redis(redis_server.url)
    names = [f"f/v/{number:040x}" for number in range(400)]
    for name in names:
        put(storage, name, name.encode() * 1000)
    found = {name: storage.read(name) for name in names}
    assert 0 < sum(record is not None for record in found.values()) < 400
    assert all(record is None or record.body == name.encode() * 1000 for name, record in found.items())
    listed = {item.name for item in storage.scan()}
    assert listed <= set(names)
    assert {item.name for item in storage.lowest("f", 500)} <= set(names)


# ------------------------------------------------------------------------------------------------------- locks


def test_a_lock_is_kept_as_long_as_its_holder_lives(redis_server):
    one, other = Redis(redis_server.url, lease=3.0), Redis(redis_server.url, lease=3.0)
    with one.lock(NAME, 0) as had:
        assert had
        with other.lock(NAME, 4.5) as too:
            assert not too
        with other.lock(OTHER, 0) as another:
            assert another
    with other.lock(NAME, 0) as had:
        assert had
    assert list(redis_server.client().scan_iter("memo:lock:*")) == []


def test_a_lock_of_a_dead_holder_runs_out(redis_server):
    program = f"""
import time
from memo.storages.redis import Redis
with Redis({redis_server.url!r}, lease=1.0).lock({NAME!r}, 0) as had:
    print(had, flush=True)
    time.sleep(100)
"""
    paths = os.pathsep.join(path for path in sys.path if path)
    holder = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": paths}
    )
    assert holder.stdout.readline() == b"True\n"
    storage = Redis(redis_server.url)
    with storage.lock(NAME, 2.0) as had:
        assert not had, "it lives"
    holder.kill()
    holder.wait()
    with storage.lock(NAME, 20) as had:
        assert had


def test_who_comes_late_frees_nobody_elses_lock(redis_server):
    storage, client = Redis(redis_server.url, lease=0.2), redis_server.client()
    with storage.lock(NAME, 0):
        client.set("memo:lock:" + NAME, "of somebody else")
    assert client.get("memo:lock:" + NAME) == b"of somebody else"
    assert client.pttl("memo:lock:" + NAME) == -1, "and renews it neither"


@pytest.mark.parametrize("when", ["taking", "letting go"])
def test_what_a_hung_server_may_still_hold_is_not_waited_for(redis_server, when):
    storage = Redis(redis_server.url, timeout=0.3)
    lock = storage.lock(NAME, 0)
    if when == "letting go":
        assert lock.__enter__()
    redis_server.stop()
    with pytest.raises(Exception, match="Timeout"):
        lock.__exit__(None, None, None) if when == "letting go" else lock.__enter__()
    redis_server.cont()
    for _ in range(2):
        with storage.lock(NAME, 0) as had:
            assert had
    with storage.lock(NAME, 0), storage.lock(NAME, 0) as had:
        assert not had


def test_a_forked_child_frees_nothing(redis_server):
    storage = Redis(redis_server.url, lease=5.0)
    lock = storage.lock(NAME, 0)
    assert lock.__enter__()
    child = os.fork()
    if not child:
        try:
            lock.__exit__(None, None, None)
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    with Redis(redis_server.url).lock(NAME, 0) as had:
        assert not had
    lock.__exit__(None, None, None)
    with Redis(redis_server.url).lock(NAME, 0) as had:
        assert had


# ------------------------------------------------------------------------------------ what may happen to a server


class Client:
    """A persisted function on a server, with the clock of its back-off in hand."""

    def __init__(self, url, timeout=1.0):
        self.clock, self.runs, self.during = Clock(), [], lambda: None
        self.storage = Patient(Redis(url, timeout=timeout), timeout=timeout, clock=self.clock)
        cache = Cache(storage=self.storage)

        @cache.persist(code="off", version=1, ignore=["client"])
        def double(x, client):
            client.runs.append(x)
            client.during()
            return [x, x]

        self.function = double

    def __call__(self, x):
        began = time.monotonic()
        assert self.function(x, self) == [x, x]
        assert time.monotonic() - began < 20, "2 s are meant"

    def heals(self):
        """After the longest pause it is as if nothing had been."""
        self.clock.now += LONGEST
        for x in ("healed", "healed"):
            self(x)
        assert self.runs.count("healed") == 1


def test_killed_and_back(redis_server, told):
    client = Client(redis_server.url)
    client(1)
    client(1)
    redis_server.kill()
    for x in (1, 2, 2, 3):
        client(x)
    client.clock.now += FIRST
    client(1)
    assert client.runs == [1, 1, 2, 2, 3, 1]
    redis_server.start()
    client.heals()
    (text,) = told()
    assert "can't be reached (ConnectionError: " in text
    assert "refused" in text or "closed" in text


def test_killed_while_it_computes(redis_server, told):
    client = Client(redis_server.url)
    client.during = redis_server.kill
    client(1)
    client.during = lambda: None
    client(1)
    client(2)
    redis_server.start()
    client.heals()
    assert client.runs[:3] == [1, 1, 2]
    assert len(told()) == 1


def test_never_there(redis_server, told):
    redis_server.kill()
    client = Client(redis_server.url)
    for _ in range(20):
        client(1)
    redis_server.start()
    client.heals()
    (text,) = told()
    assert "refused" in text


@pytest.mark.parametrize("when", ["between", "computing"])
def test_hung(redis_server, told, when):
    client = Client(redis_server.url, timeout=0.5)
    client(0)
    if when == "between":
        redis_server.stop()
    else:
        client.during = redis_server.stop
    began = time.monotonic()
    for x in range(1, 40):
        client(x)
        client.during = lambda: None
    client.function.cache_clear()
    assert not client.function.is_cached(0, client)
    assert time.monotonic() - began < 20, "one wait for all of them, of half a second"
    redis_server.cont()
    client.heals()
    (text,) = told()
    assert "Timeout" in text


def test_many_threads_of_a_hung_server_wait_once(redis_server, told):
    client = Client(redis_server.url, timeout=0.5)
    client("first")
    redis_server.stop()
    threads = [threading.Thread(target=lambda x=x: [client(10 * x + y) for y in range(10)]) for x in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    redis_server.cont()
    client.heals()
    assert len(told()) == 1


def test_restarted_between_calls_is_nothing_to_talk_of(redis_server, told):
    client = Client(redis_server.url)
    client(1)
    redis_server.restart()
    client(1)
    client(1)
    assert client.runs == [1, 1], "it came back empty"
    assert told() == []


def test_out_of_memory(redis_server, told):
    redis_server.restart("--maxmemory-policy", "noeviction")
    client = Client(redis_server.url)
    client(1)
    redis_server.client().config_set("maxmemory", 1)
    for x in (1, 2, 2, 3):
        client(x)
    assert client.runs == [1, 2, 2, 3], "what is stored is found all the while"
    (text,) = told()
    assert "could not store (OutOfMemoryError: " in text
    assert "maxmemory" in text
    assert "Command #" not in text
    redis_server.client().config_set("maxmemory", 0)
    client.heals()
    assert len(told()) == 1


def test_full_from_the_beginning(redis_server, told):
    redis_server.restart("--maxmemory", "1", "--maxmemory-policy", "noeviction")
    client = Client(redis_server.url)
    client(1)
    client(1)
    assert client.runs == [1, 1]
    assert len(told()) == 1
    redis_server.client().config_set("maxmemory", 0)
    client.heals()


def test_a_replica_that_only_reads_is_read(redis_server, told):
    client = Client(redis_server.url)
    client(1)
    redis_server.client().execute_command("REPLICAOF", "127.0.0.1", "1")
    redis_server.client().config_set("replica-serve-stale-data", "yes")
    for x in (1, 2, 2):
        client(x)
    assert client.runs == [1, 2, 2]
    (text,) = told()
    assert "ReadOnlyError" in text


def test_slow(redis_server, told, delayed):
    client = Client(f"redis://127.0.0.1:{delayed(redis_server.port, 0.15)}/0", timeout=0.5)
    client.storage.clock = time.monotonic
    began = time.monotonic()
    for x in range(30):
        client(x)
    assert time.monotonic() - began < 30, "some thirty calls of some seven trips each would take that long"
    (text,) = told()
    assert "too slowly" in text


# --------------------------------------------------------------------------------------------------- many clients

PROGRAM = """
    import sys, time
    import redis
    from memo import Cache

    url, name = sys.argv[1:]
    server = redis.Redis.from_url(url)
    cache = Cache(url)

    @cache.persist(name="shared.slow", tags=["slow"])
    def slow(x):
        import redis, sys
        redis.Redis.from_url(sys.argv[1]).incr(f"runs-{x}")
        time.sleep(1)
        return x * 2

    server.incr("ready")
    while int(server.get("ready")) % 2:
        time.sleep(0.01)
    print(slow(1), flush=True)
    for line in sys.stdin:
        if line.strip() == "clear":
            slow.cache_clear()
        elif line.strip() == "untag":
            cache.clear(tag="slow")
        elif line.strip() == "cached":
            print(slow.is_cached(1), flush=True)
        else:
            print(slow(int(line)), flush=True)
"""


def host(url, tmp_path, name):
    """A process that shares nothing with another but the server."""
    home = tmp_path / name
    home.mkdir()
    (home / "program.py").write_text(textwrap.dedent(PROGRAM))
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MEMO_")}
    paths = os.pathsep.join(path for path in sys.path if path)
    return subprocess.Popen(
        [sys.executable, "program.py", url, name],
        cwd=home,
        env={**environment, "HOME": str(home), "XDG_CACHE_HOME": str(home), "PYTHONPATH": paths},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("clear", ["clear", "untag"])
def test_two_hosts_share_flights_results_clears_and_tags(redis_server, tmp_path, clear):
    one, two = (host(redis_server.url, tmp_path, name) for name in ("one", "two"))

    def ask(process, text):
        process.stdin.write(f"{text}\n")
        process.stdin.flush()

    try:
        assert [process.stdout.readline() for process in (one, two)] == ["2\n", "2\n"]
        client = redis_server.client()
        assert client.get("runs-1") == b"1", "one computed, the other waited for it"
        ask(one, 5)
        assert one.stdout.readline() == "10\n"
        ask(two, 5)
        assert two.stdout.readline() == "10\n"
        assert client.get("runs-5") == b"1"
        ask(one, clear)
        ask(one, "cached")
        assert one.stdout.readline() == "False\n"
        ask(two, "cached")
        assert two.stdout.readline() == "False\n"
        ask(two, 1)
        assert two.stdout.readline() == "2\n"
        assert client.get("runs-1") == b"2"
    finally:
        for process in (one, two):
            process.stdin.close()
            process.wait(20)


def test_who_waits_for_a_host_that_dies_computes(redis_server, tmp_path):
    one = host(redis_server.url, tmp_path, "one")
    client = redis_server.client()
    client.incr("ready")
    until = time.monotonic() + 20
    while not client.get("runs-1") and time.monotonic() < until:
        time.sleep(0.01)
    one.send_signal(signal.SIGKILL)
    one.wait()
    client.pexpire(next(client.scan_iter("memo:lock:*")), 1)  # the 15 seconds that it is kept have gone by
    client.set("ready", 1)
    two = host(redis_server.url, tmp_path, "two")
    try:
        assert two.stdout.readline() == "2\n"
        assert client.get("runs-1") == b"2"
    finally:
        two.stdin.close()
        two.wait(20)


def test_sixteen_threads(redis_server):
    runs = []

    @persist(location=redis_server.url, code="off", version=1, ignore=["runs"])
    def f(x, runs):
        runs.append(x)
        return bytes([x % 256]) * (x * 100)

    wrong = []

    def work(seed):
        try:
            for number in range(60):
                x = number * (seed + 1) % 97
                if f(x, runs) != bytes([x % 256]) * (x * 100):
                    wrong.append(x)
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong, wrong[:3]
    assert sorted(runs) == sorted(set(runs)), "each was computed once"
