"""Objects in a bucket behind real HTTP, alone and as the far tier of several machines; and all that can go wrong there."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import textwrap
import time
import tracemalloc

import pytest

from memo import Cache
from memo.storages import Objects, Patient, Tiered
from memo.storages._patient import LONGEST
from memo.testing import StorageSuite, agree
from memo.testing._storage import NAME, get, put

_numbers = itertools.count()


def new_url(server):
    """A store of its own in the server."""
    return f"s3://{server.bucket(f'bucket-{next(_numbers)}')}/results"


class TestS3(StorageSuite):
    many = 300
    ordered = False  # S3 knows the second in which an object was written

    @pytest.fixture(autouse=True)
    def _server(self, s3_server):
        self.server = s3_server

    def make(self, tmp_path):
        return Objects(new_url(self.server), timeout=20)


class TestTieredS3(StorageSuite):
    many = 300
    ordered = False

    @pytest.fixture(autouse=True)
    def _server(self, s3_server):
        self.server = s3_server

    def make(self, tmp_path):
        return Tiered(tmp_path / "near", Patient(Objects(new_url(self.server), timeout=20), timeout=20))

    def test_answers_random_commands_as_it_must(self, tmp_path):  # in one process: see test_storages_tiered.py
        agree(self.make(tmp_path), count=300, seed=11, kept=False)


@pytest.mark.timeout(300)
def test_agrees(s3_server):
    agree(Objects(new_url(s3_server), timeout=20))


# ------------------------------------------------------------------------------------------------ how it does it


class Asked:
    """What a storage asks the server for, by the method of S3."""

    def __init__(self, storage):
        self.asked = []
        events = storage._system()[0].s3.meta.events
        events.register("before-call.s3", self.note)

    def note(self, model, params, **_):
        self.asked.append((model.name, params["headers"].get("Range")))

    def since(self):
        asked, self.asked[:] = [name for name, _ in self.asked], []
        return asked


def test_a_look_up_is_one_trip_and_lists_nothing(s3_server):
    storage = Objects(new_url(s3_server), timeout=20)
    put(storage, NAME, b"x" * 1000)
    asked = Asked(storage)
    assert storage.read(NAME) is not None
    assert asked.since() == ["GetObject"]
    assert storage.head(NAME) == (b"head", 0)
    assert asked.since() == ["GetObject"]
    assert storage.read(NAME[:-1] + "a") is None
    assert asked.since() == ["GetObject"]
    put(storage, NAME, b"y" * 1000)
    assert asked.since() == ["PutObject"]
    put(storage, NAME, b"x" * 1_000_000)
    asked.since()
    assert storage.read(NAME) is not None
    assert asked.since() == ["GetObject", "GetObject"]  # the end, and then the whole


def test_a_head_comes_without_its_body(s3_server):
    storage = Objects(new_url(s3_server), timeout=20)
    put(storage, NAME, b"x" * 5_000_000)
    asked = Asked(storage)
    assert storage.head(NAME) == (b"head", 0)
    assert next(storage.scan())[:3] == (NAME, 5_000_004, 0)
    assert storage.totals("") == (1, 5_000_004)
    assert [range for name, range in asked.asked if name == "GetObject"] == ["bytes=-4096"] * 2


def test_a_large_body_goes_up_in_parts_without_a_second_copy(s3_server):
    storage = Objects(new_url(s3_server), timeout=20)
    put(storage, NAME, b"first")  # everything is loaded
    asked = Asked(storage)
    body = [os.urandom(50 << 20), os.urandom(1000), os.urandom(30 << 20)]
    size = sum(map(len, body))
    tracemalloc.start()
    try:
        storage.write(NAME, body, lambda: b"made on the way", size=size, mark=7)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < size
    names = asked.since()
    assert names.count("UploadPart") == 10
    assert names.count("CompleteMultipartUpload") == 1
    tracemalloc.start()
    try:
        record = storage.read(NAME)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1.9 * size
    assert (record.head, record.mark, bytes(record.body)) == (b"made on the way", 7, b"".join(body))


def test_a_large_entry_that_is_overwritten_while_it_is_read_is_one_of_the_two(s3_server, monkeypatch):
    storage, other = (Objects(url, timeout=20) for url in [new_url(s3_server)] * 2)
    bodies = [bytes([number]) * ((20 << 20) - number) for number in range(3)]
    put(storage, NAME, bodies[0])
    ask, left = storage._ask, [1]

    def asked(verb, *arguments, **options):
        answer = ask(verb, *arguments, **options)
        if verb == "cat_ranges" and left:
            put(other, NAME, bodies[left.pop()])
        return answer

    monkeypatch.setattr(storage, "_ask", asked)
    assert get(storage, NAME)[2] == bodies[1]
    assert not left


def test_an_upload_that_fails_leaves_no_parts(s3_server):
    storage = Objects(new_url(s3_server), timeout=20)
    put(storage, NAME, b"old")

    def parts():
        yield b"x" * (20 << 20)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        storage.write(NAME, parts(), lambda: b"", size=30 << 20, mark=0)
    assert get(storage, NAME) == (b"head", 0, b"old")
    bucket = storage.url.split("/")[2]
    assert "Uploads" not in s3_server.client().list_multipart_uploads(Bucket=bucket)


def test_words_bumped_at_once_by_two_machines_are_never_the_same(s3_server):
    from threading import Thread

    from memo import _abilities

    url = new_url(s3_server)
    words = [_abilities.words(Objects(url, timeout=20)) for _ in range(2)]
    seen = []
    threads = [Thread(target=lambda one=one: seen.extend(one.bump("f") for _ in range(20))) for one in words]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(seen)) == 40
    assert words[0].word("f") == words[1].word("f") in seen


def test_the_first_word_is_the_same_for_all(s3_server):
    """Made by a conditional write: who comes second takes what is there."""
    one, other = (Objects(url, timeout=20) for url in [new_url(s3_server)] * 2)
    head, taken = one.head, []

    def late(name):
        found = head(name)
        if not taken:
            taken.append(other.word("f"))
        return found

    one.head = late
    assert one.word("f") == other.word("f") == taken[0] > 0


# ------------------------------------------------------------------------------------ what may happen to a server


class Client:
    """A persisted function on a bucket, alone or behind a near tier, with the clock of its back-off in hand."""

    def __init__(self, url, near=None, timeout=4.0, **options):
        self.now, self.runs, self.during = 1000.0, [], lambda: None
        far = Patient(Objects(url, timeout=timeout, **options), timeout=1.0, clock=lambda: self.now)
        self.storage = far if near is None else Tiered(near, far)
        self.tiered = near is not None

        @Cache(storage=self.storage).persist(code="off", version=1, ignore=["client"])
        def double(x, client):
            client.runs.append(x)
            client.during()
            return [x, x]

        self.function = double

    def __call__(self, *xs):
        for x in xs:
            began = time.monotonic()
            assert self.function(x, self) == [x, x]
            assert time.monotonic() - began < 40, "4 s are meant"

    def ran(self):
        """What was computed since the last time."""
        ran, self.runs[:] = list(self.runs), []
        return ran

    def heals(self):
        """After the longest pause it is as if nothing had been."""
        self.now += LONGEST
        self.ran()
        self("healed", "healed")
        assert self.ran() == ["healed"]


@pytest.fixture(params=["bucket alone", "behind a folder"])
def client(request, s3_server, tmp_path, told):
    def client(url=None, **options):
        near = None if request.param == "bucket alone" else tmp_path / "near"
        return Client(url or new_url(s3_server), near, **options)

    return client


def bucket_of(client, server):
    """The server came back without it."""
    far = client.storage.far if client.tiered else client.storage
    server.bucket(far.storage.url.split("/")[2])


@pytest.mark.parametrize("when", ["between", "computing"])
@pytest.mark.parametrize("how", ["kill", "stop"])
def test_dies_or_hangs_and_is_back(s3_server, client, told, how, when):
    client = client()
    client(1, 1)
    assert client.ran() == [1]
    if when == "between":
        getattr(s3_server, how)()
    else:
        client.during = getattr(s3_server, how)
        client(2)
        assert client.ran() == [2]
        client.during = lambda: None
    began = time.monotonic()
    client(1, 3, 3, 3)
    assert time.monotonic() - began < 40, "one wait of 4 s for all of them"
    # what the folder has is served, by the words last known; without one nothing can be
    assert client.ran() == ([3] if client.tiered else [1, 3, 3, 3])
    if how == "stop":
        s3_server.cont()
    else:
        s3_server.start()
        bucket_of(client, s3_server)
    client.heals()
    (text,) = told()
    assert ("TimeoutError" if how == "stop" else "Could not connect") in text
    # what came back empty has words of its own: copies from before are not served any more
    assert client.function.is_cached(1, client) == (how == "stop")


def test_hangs_in_the_middle_of_an_upload(s3_server, client, told):
    client = client()
    client(1)
    told_before = len(told())

    @Cache(storage=client.storage).persist(code="off", version=1, ignore=["client"])
    def large(client):
        client.during()
        return b"x" * (40 << 20)

    client.during = s3_server.stop
    began = time.monotonic()
    assert len(large(client)) == 40 << 20
    assert time.monotonic() - began < 100, "12 s are meant: 4, and 1 for each MB of a part"
    s3_server.cont()
    client.during = lambda: None
    client.heals()
    assert len(told()) - told_before == 1
    assert "did not answer within" in told()[-1]


def test_never_there(s3_server, client, told):
    url = new_url(s3_server)
    s3_server.kill()
    client = client(url)
    client(*[1] * 20)
    assert client.ran() == [1] * 20
    s3_server.start()
    bucket_of(client, s3_server)
    client.heals()
    (text,) = told()
    assert "Could not connect" in text


def test_restarted_between_calls_is_nothing_to_talk_of(s3_server, client, told):
    client = client()
    client(1)
    s3_server.restart()
    bucket_of(client, s3_server)
    client(2, 2)
    assert client.ran() == [1, 2]
    assert told() == []


def test_the_bucket_is_missing(s3_server, client, told):
    client = client("s3://not-there/results")
    client(1, 1, 2)
    assert client.ran() == [1, 1, 2]
    (text,) = told()
    assert "FileNotFoundError: The specified bucket does not exist" in text
    bucket_of(client, s3_server)
    client.heals()
    assert len(told()) == 1
    s3_server.restart()  # the other tests' bucket of that name


def test_access_is_denied(s3_server, client, told):
    s3_server.denying = True
    try:
        s3_server.restart()
        url = new_url(s3_server)
        client = client(url, key="WRONG-KEY", secret="WRONG-SECRET")
        client(1, 1, 2)
        assert client.ran() == [1, 1, 2]
        (text,) = told()
        assert "PermissionError" in text
        for shown in (text, repr(client.storage)):
            assert "WRONG" not in shown
    finally:
        s3_server.denying = False
        s3_server.restart()
    bucket_of(client, s3_server)
    client.heals()
    assert len(told()) == 1


def test_no_credentials_at_all(s3_server, client, told, monkeypatch):
    url = new_url(s3_server)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    client = client(url)
    client(1, 1)
    assert client.ran() == [1, 1]
    (text,) = told()
    assert "NoCredentialsError" in text


def test_slow(s3_server, client, told, delayed, monkeypatch):
    url = new_url(s3_server)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{delayed(s3_server.port, 0.12)}")
    client = client(url, timeout=20)
    (client.storage.far if client.tiered else client.storage).clock = time.monotonic
    began = time.monotonic()
    client(*range(10))
    assert time.monotonic() - began < 60
    (text,) = told()
    assert "too slowly" in text


def test_goes_on_in_a_forked_child_and_ends_at_once(s3_server):
    program = """
        import os, sys, time
        from memo.storages import Objects
        from memo.testing._storage import NAME, get, put
        storage = Objects(sys.argv[1], timeout=20)
        put(storage, NAME, b"of the parent")
        if os.fork() == 0:
            put(storage, NAME, get(storage, NAME)[2] + b" and the child")
            sys.exit()
        os.wait()
        print(get(storage, NAME)[2].decode())
    """
    command = [sys.executable, "-c", textwrap.dedent(program), new_url(s3_server)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout, done.stderr, done.returncode) == ("of the parent and the child\n", "", 0)


# ------------------------------------------------------------------------------------------------- two machines

PROGRAM = """
    import sys
    from memo import persist
    from memo.storages import Tiered

    @persist(storage=Tiered(sys.argv[1], sys.argv[2]), name="shared.double")
    def double(x):
        print("computed", end=" ")
        return [x, x]

    for line in sys.stdin:
        verb, _, x = line.strip().partition(" ")
        answers = {
            "call": lambda: double(int(x)), "clear": lambda: double.cache_clear(), "delete": lambda: double.delete(int(x)),
            "cached": lambda: double.is_cached(int(x)),
        }
        print(answers[verb](), flush=True)
"""


class Host:
    """A process with a near folder and a home of its own: it shares nothing with another but the bucket."""

    def __init__(self, folder, url):
        folder.mkdir(exist_ok=True)
        (folder / "program.py").write_text(textwrap.dedent(PROGRAM))
        environment = {key: value for key, value in os.environ.items() if not key.startswith("MEMO_")}
        paths = os.pathsep.join(path for path in sys.path if path)
        self.process = subprocess.Popen(
            [sys.executable, "program.py", str(folder / "near"), url],
            cwd=folder,
            env={**environment, "HOME": str(folder), "XDG_CACHE_HOME": str(folder), "PYTHONPATH": paths},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, text):
        self.process.stdin.write(f"{text}\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.process.stdin.close()
        assert self.process.wait(timeout=30) == 0 or exception[0] is not None


def test_two_hosts_share_results_clears_and_deletes(s3_server, tmp_path):
    url = new_url(s3_server)
    with Host(tmp_path / "one", url) as one, Host(tmp_path / "two", url) as two:
        assert one("call 1") == "computed [1, 1]"
        assert two("call 1") == two("call 1") == one("call 1") == "[1, 1]"
        assert two("call 2") == "computed [2, 2]"
        assert one("call 2") == "[2, 2]"
        assert one("delete 1") == "True"
        assert two("cached 1") == one("cached 1") == "False"
        assert two("cached 2") == "True"
        assert two("call 1") == "computed [1, 1]"
        assert one("call 1") == "[1, 1]"
        assert two("clear") == "None"
        assert one("cached 1") == one("cached 2") == two("cached 1") == "False"
        assert one("call 1") == "computed [1, 1]"
        assert two("call 1") == "[1, 1]"
    with Host(tmp_path / "two", url) as again:
        s3_server.kill()
        assert again("call 1") == "[1, 1]"
