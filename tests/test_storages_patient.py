"""A storage that is down is left alone: one failure speaks for all that follow, one caller tries again, one warning."""

from __future__ import annotations

import pickle
import threading

import pytest

from memo import Cache
from memo.errors import DamagedError, UnreachableError, UnstorableError
from memo.protocols import Batch, Heads, Locks, Purge, Ranks, Storage, Words
from memo.storages._patient import FIRST, LONGEST, Patient
from memo.storages.memory import Memory
from memo.storages.sqlite import Sqlite
from memo.testing import StorageSuite, agree

NAME = "f-01/v1/00"


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


class Flaky(Memory):
    """Raises ``error`` while there is one, and takes ``seconds`` of the clock for every trip."""

    def __init__(self, clock=None):
        super().__init__()
        self.error, self.trips, self.seconds, self.clock = None, 0, 0.0, clock

    def trip(self):
        self.trips += 1
        if self.seconds:
            self.clock.now += self.seconds
        if self.error is not None:
            raise self.error

    def read(self, name):
        self.trip()
        return super().read(name)

    def write(self, name, parts, head, **about):
        self.trip()
        super().write(name, parts, head, **about)

    def word(self, scope):
        self.trip()
        return super().word(scope)

    def bump(self, scope):
        self.trip()
        return super().bump(scope)

    def watch(self, scope):
        return None


class Verbs:
    """The four verbs, and nothing more."""

    def __init__(self, inner):
        self.read, self.write, self.remove, self.scan = inner.read, inner.write, inner.remove, inner.scan


@pytest.fixture
def flaky():
    clock = Clock()
    inner = Flaky(clock)
    return inner, Patient(inner, clock=clock), clock


def fails(patient):
    with pytest.raises(UnreachableError) as raised:
        patient.read(NAME)
    return raised.value


class TestPatientMemory(StorageSuite):
    kept = False

    def make(self, tmp_path):
        return Patient(Memory())


class TestPatientSqlite(StorageSuite):
    def make(self, tmp_path):
        return Patient(Sqlite(tmp_path))


@pytest.mark.slow
def test_agrees(tmp_path):
    agree(Patient(Sqlite(tmp_path)), count=500)


@pytest.mark.parametrize("inner", [Verbs(Memory()), Memory(), Sqlite("nowhere")], ids=["verbs", "memory", "sqlite"])
def test_it_has_the_abilities_of_what_is_below(inner):
    patient = Patient(inner)
    for ability in (Storage, Heads, Batch, Words, Ranks, Locks, Purge):
        assert isinstance(patient, ability) == isinstance(inner, ability), ability
    for hook in ("ruined", "reset", "close", "compact", "ranked"):
        assert hasattr(patient, hook) == hasattr(inner, hook)


def test_after_a_failure_no_verb_makes_a_trip_until_the_pause_is_over(flaky):
    inner, patient, clock = flaky
    inner.error = ConnectionRefusedError(111, "nobody listens")
    first = fails(patient)
    assert (first.kind, first.cause) == ("ConnectionRefusedError", "[Errno 111] nobody listens")
    assert first.__cause__ is inner.error
    inner.error = TimeoutError("another one")
    for attempt in (
        lambda: patient.write(NAME, [b""], bytes, size=0, mark=0),
        lambda: patient.remove(NAME),
        lambda: list(patient.scan()),
        lambda: patient.word("f"),
        lambda: patient.bump("f"),
        lambda: patient.totals(""),
    ):
        with pytest.raises(UnreachableError, match="nobody listens"):
            attempt()
    assert inner.trips == 1
    clock.now += FIRST
    assert "nobody listens" in str(fails(patient)), "what came first is what is told"
    assert inner.trips == 2


def test_the_pause_doubles_up_to_its_limit_and_begins_anew_when_it_has_healed(flaky):
    inner, patient, clock = flaky
    inner.error = OSError("down")
    pauses = []
    for _ in range(10):
        fails(patient)
        began = clock.now
        while patient.outage.until > clock.now:
            clock.now += 0.25
        pauses.append(clock.now - began)
    assert pauses == [1, 2, 4, 8, 16, 32, LONGEST, LONGEST, LONGEST, LONGEST]
    inner.error = None
    assert patient.read(NAME) is None
    assert patient.outage is None
    assert patient.read(NAME) is None
    inner.error = OSError("down again")
    assert "down again" in str(fails(patient))
    assert patient.outage.pause == FIRST


def test_one_caller_tries_again_and_the_others_go_on(flaky):
    inner, patient, clock = flaky
    inner.error = OSError("down")
    fails(patient)
    clock.now += FIRST
    asked, answer = threading.Event(), threading.Event()
    found = []

    class Hanging:
        def __call__(self, name):
            inner.trips += 1
            asked.set()
            assert answer.wait(10)

    inner.read = Hanging()
    thread = threading.Thread(target=lambda: found.append(patient.read(NAME)))
    thread.start()
    assert asked.wait(10)
    for _ in range(5):
        fails(patient)
    assert inner.trips == 2
    answer.set()
    thread.join()
    assert found == [None]
    assert patient.read(NAME) is None


def test_many_that_fail_at_once_are_one_failure(flaky):
    inner, patient, _ = flaky
    gate = threading.Barrier(8)

    def read(name):
        gate.wait(10)
        raise OSError("down")

    inner.read = read
    threads = [threading.Thread(target=fails, args=(patient,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert patient.outage.pause == FIRST


@pytest.mark.parametrize("error", [DamagedError("torn"), UnstorableError("no"), ValueError("sizes"), KeyError("bug")])
def test_what_is_no_outage_passes_as_it_is(flaky, error):
    inner, patient, _ = flaky
    inner.error = error
    for _ in range(2):
        with pytest.raises(type(error)) as raised:
            patient.read(NAME)
        assert raised.value is error
    inner.error = None
    assert patient.read(NAME) is None


def test_the_storage_says_what_is_an_outage(flaky):
    inner, _, clock = flaky
    inner.down = lambda error: isinstance(error, LookupError)
    patient = Patient(inner, clock=clock)
    inner.error = OSError("a full disk, say")
    with pytest.raises(OSError, match="full disk"):
        patient.read(NAME)
    assert patient.outage is None
    inner.error = LookupError("down")
    fails(patient)
    clock.now += FIRST
    inner.error = OSError("it answered, if only with an error")
    with pytest.raises(OSError, match="it answered"):
        patient.read(NAME)
    assert patient.outage is None


def test_one_that_answers_slowly_is_left_alone_too(flaky):
    inner, patient, clock = flaky
    inner.seconds = 5.0
    assert patient.read(NAME) is None, "the first trip loads a library"
    inner.seconds = 0.5
    for _ in range(4):
        assert patient.read(NAME) is None
    assert patient.read(NAME) is None, "what was answered counts"
    assert "too slowly: 2.5 s" in str(fails(patient))
    clock.now += FIRST
    assert patient.read(NAME) is None
    assert patient.outage is None


def test_pauses_between_slow_trips_and_quick_trips_are_no_reason(flaky):
    inner, patient, clock = flaky
    inner.seconds = 0.5
    for _ in range(50):
        patient.read(NAME)
        clock.now += 1
    inner.seconds = 0.01
    for _ in range(500):
        patient.read(NAME)


def test_a_large_body_may_take_its_time(flaky):
    inner, patient, _ = flaky
    inner.seconds = 5.0
    for _ in range(5):
        patient.write(NAME, [bytes(1 << 20)], bytes, size=1 << 20, mark=0)
        assert patient.read(NAME) is not None


class Locking(Flaky):
    def __init__(self, clock=None):
        super().__init__(clock)
        self.ended = []

    def lock(self, name, timeout):
        return _Held(self)


class _Held:
    def __init__(self, storage):
        self.storage = storage

    def __enter__(self):
        self.storage.trip()
        return True

    def __exit__(self, *exception):
        self.storage.ended.append("released")
        self.storage.trip()

    def abandon(self):
        self.storage.ended.append("abandoned")


def test_locks():
    clock = Clock()
    inner = Locking(clock)
    patient = Patient(inner, clock=clock)
    with patient.lock(NAME, -1) as had:
        assert had
    with patient.lock(NAME, -1):
        inner.error = OSError("down")
        fails(patient)
    assert inner.ended == ["released", "abandoned"]
    clock.now += FIRST
    with pytest.raises(UnreachableError), patient.lock(NAME, -1):
        raise AssertionError("never had")


def test_pickles_as_what_is_below(tmp_path):
    again = pickle.loads(pickle.dumps(Patient(Sqlite(tmp_path), timeout=5)))
    assert isinstance(again, Patient)
    assert (again.timeout, again.storage.folder) == (5, str(tmp_path))


# -- seen from a persisted function


@pytest.mark.parametrize("when", ["before", "computing"])
def test_a_call_gets_its_value_with_one_warning_of_the_cause(told, when):
    clock = Clock()
    inner = Locking(clock)
    cache = Cache(storage=Patient(inner, clock=clock))
    calls = []

    @cache.persist(code="off", version="1")
    def f(x):
        calls.append(x)
        if when == "computing" and x == 1:
            inner.error = ConnectionResetError("gone")
        return -x

    assert [f(0), f(0)] == [0, 0]
    if when == "before":
        inner.error = ConnectionResetError("gone")
    assert f(1) == -1
    trips = inner.trips
    inner.error = OSError("still not there")
    assert [f(0), f(1), f(2)] == [0, -1, -2]
    assert inner.trips == trips, "nobody asks during the pause"
    clock.now += FIRST
    f.cache_clear()
    assert f(0) == 0
    assert len(told()) == 1
    assert "can't be reached (ConnectionResetError: gone)" in told()[0]
    inner.error = None
    clock.now += LONGEST
    assert [f(3), f(3)] == [-3, -3]
    assert calls.count(3) == 1
    assert len(told()) == 1
