"""One stream of random commands gives the same answers from every storage, whoever else is reading.

The dictionary of ``storages.memory`` is what is right. Two others read the same entries all the while, a thread and,
where other processes see them, a process: head, mark and body that they find are always those of one write.
"""

from __future__ import annotations

import os
import pickle
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .. import _abilities
from .._tuples import NamedTuple
from ..model import Buffer, Record
from ..protocols import Storage
from ..storages.memory import Memory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SIZES = (0, 1, 15, 15, 15, 100, 3_999, 5_000, 65_536, 65_537, 300_000)
SUFFIXES = (".pkl", "", ".json")
VERBS = ("write", "fail", "read", "head", "remove", "scan", "many", "bump", "purge", "totals")
WEIGHTS = (35, 3, 35, 10, 8, 2, 2, 3, 1, 1)


class Command(NamedTuple):
    number: int
    verb: str
    name: str
    size: int
    mark: int
    suffix: str


def names_of(seed: int) -> list[str]:
    rng = random.Random(seed)
    digests = [rng.randbytes(20).hex() for _ in range(6)]
    functions = [(scope, version) for scope in ("f-01", "g-02") for version in ("v1", "v2")]
    return [f"{scope}/{version}/{digest}" for scope, version in functions for digest in digests] + [
        "f-01/v1",
        "names/f-01",
    ]


def commands(seed: int, count: int) -> Iterator[Command]:
    rng, names = random.Random(seed), names_of(seed)
    for number in range(count):
        (verb,) = rng.choices(VERBS, WEIGHTS)
        yield Command(number, verb, rng.choice(names), rng.choice(SIZES), rng.randrange(4), rng.choice(SUFFIXES))


def agree(storage: Storage, *, count: int = 2000, seed: int = 7, kept: bool = True) -> None:
    """AssertionError where ``storage``, new and empty, answers one of ``count`` commands otherwise than it must.

    ``kept``: whether another process that gets it pickled sees the same entries.
    """
    expected = answers(Memory(), seed, count)
    with reading(storage, seed, kept) as wrong:
        for command, right, answer in zip(commands(seed, count), expected, answers(storage, seed, count), strict=True):
            assert answer == right, f"{command}: {answer!r:.300} instead of {right!r:.300}"
    assert not wrong, f"somebody who read meanwhile found {wrong[0]}"


def answers(storage: Storage, seed: int, count: int) -> Iterator[object]:
    """What each command of the stream is answered."""
    words, heads, batch = _abilities.words(storage), _abilities.heads(storage), _abilities.batch(storage)
    ranks, purge = _abilities.ranks(storage), _abilities.purge(storage)
    names = names_of(seed)
    bumps: dict[str, int] = {}
    for number, verb, name, size, mark, suffix in commands(seed, count):
        scope = name.partition("/")[0]
        if verb == "write":
            parts, head = written(number, size)
            storage.write(name, parts, head, size=size, mark=mark, suffix=suffix)
            yield None
        elif verb == "fail":
            parts, _ = written(number, size)
            try:
                storage.write(name, parts, _refuse, size=size, mark=mark, suffix=suffix)
            except ZeroDivisionError:
                yield "failed"
            else:
                yield "went through although its head could not be made"
        elif verb == "read":
            record = storage.read(name)
            yield record and (record.head, record.mark, bytes(record.body))
        elif verb == "head":
            yield heads.head(name)
        elif verb == "remove":
            storage.remove(name)
            yield None
        elif verb == "scan":
            prefix = ("", scope, f"{scope}/v1")[number % 3]
            yield sorted(item for item in storage.scan(prefix) if not item.name.startswith("words/"))
        elif verb == "many":
            found = batch.read_many(names[number % 5 :: 3])
            yield {name: (record.head, record.mark, bytes(record.body)) for name, record in found.items()}
        elif verb == "bump":  # the words themselves differ; that they change is what counts
            before = words.word(scope)
            after = words.bump(scope)
            yield before == bumps.get(scope, before), after > before, words.word(scope) == after
            bumps[scope] = after
        elif verb == "purge":
            dead = sum(item.mark < mark and item.name.count("/") == 2 for item in storage.scan(scope))
            yield dead, purge.purge(scope, mark, 1000)
        else:
            yield ranks.totals(""), ranks.totals(scope)


def written(number: int, size: int) -> tuple[Iterator[Buffer], Callable[[], bytes]]:
    """A body of one digit, in one part or in many, and a head that says which."""
    digit, head = b"%d" % (number % 10), b"%d " % number * (number % 70)
    step = size if number % 2 else 997
    return (digit * min(step, size - at) for at in range(0, size, step or 1)), lambda: head


def _refuse() -> bytes:
    raise ZeroDivisionError


def mixed(record: Record | None) -> bool:
    """Whether head and body can't be of one write."""
    if record is None:
        return False
    digits, numbers = set(bytes(record.body)), set(record.head.split())
    return len(digits) > 1 or len(numbers) > 1 or bool(digits and numbers and {numbers.pop()[-1]} != digits)


@contextmanager
def reading(storage: Storage, seed: int, kept: bool) -> Iterator[list[object]]:
    """Others read while this goes on; what they found that can't be is in the list afterwards."""
    stop, wrong = threading.Event(), []
    thread = threading.Thread(target=lambda: wrong.extend(look(storage, seed, lambda: stop.wait(0.002))))
    process = _process(storage, seed) if kept else None
    thread.start()
    try:
        if process is not None and process.stdout is not None:
            process.stdout.readline()  # it has read once
        yield wrong
    finally:
        stop.set()
        thread.join()
        if process is not None:
            said, _ = process.communicate()
            if process.returncode:
                wrong.append(said.decode() or f"nothing more: the reading process ended with {process.returncode}")


def look(storage: Storage, seed: int, done: Callable[[], bool]) -> list[object]:
    rng, names = random.Random(1), names_of(seed)
    found: list[object] = []
    try:
        while not done() and len(found) < 3:
            record = storage.read(rng.choice(names))
            if mixed(record):
                found.append(record)
    except BaseException as error:
        found.append(error)
    return found


def _process(storage: Storage, seed: int) -> subprocess.Popen[bytes]:
    code = (
        "import pickle, sys; from memo.testing import _agreement;"
        f"_agreement.look_from_outside(pickle.loads(bytes.fromhex(sys.argv[1])), {seed})"
    )
    paths = os.pathsep.join(path for path in sys.path if path)
    return subprocess.Popen(
        [sys.executable, "-c", code, pickle.dumps(storage).hex()],
        env={**os.environ, "PYTHONPATH": paths},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def look_from_outside(storage: Any, seed: int) -> None:
    """Reads until its standard input is closed."""
    done = threading.Event()

    def wait() -> None:
        sys.stdin.read()
        done.set()

    threading.Thread(target=wait, daemon=True).start()
    storage.read(names_of(seed)[0])
    print("reading", flush=True)
    found = look(storage, seed, lambda: done.wait(0.002))
    print(*found, sep="\n", flush=True)
    sys.exit(bool(found))
