"""One stream of random commands gives the same answers from every storage."""

import random
import threading
from contextlib import contextmanager

import pytest

from memo import _abilities
from memo.storages import open_storage
from memo.storages._spill import Spill
from memo.storages.memory import Memory

SIZES = [0, 1, 15, 15, 15, 100, 3_999, 5_000, 65_536, 65_537, 300_000]


def commands(seed, count):
    rng = random.Random(seed)
    digests = [rng.randbytes(20).hex() for _ in range(6)]
    names = [
        f"{scope}/{version}/{digest}" for scope in ("f-01", "g-02") for version in ("v1", "v2") for digest in digests
    ]
    names += ["f-01/v1", "names/f-01"]
    for _ in range(count):
        verb = rng.choices(
            ("write", "fail", "read", "head", "remove", "scan", "many", "bump", "purge", "totals"),
            (35, 3, 35, 10, 8, 2, 2, 3, 1, 1),
        )[0]
        yield verb, rng.choice(names), rng.choice(SIZES), rng.randrange(4), rng.choice((".pkl", "", ".json")), names


def run(storage, stream):
    """What each command answered."""
    words, heads, batch = _abilities.words(storage), _abilities.heads(storage), _abilities.batch(storage)
    ranks, purge = _abilities.ranks(storage), _abilities.purge(storage)
    bumps = {}
    for number, (verb, name, size, mark, suffix, names) in enumerate(stream):
        scope = name.partition("/")[0]
        head = b"%d" % number * (number % 70)
        if verb == "write":
            digit = b"%d" % (number % 10)
            parts = [digit * size] if number % 2 else (digit * min(997, size - at) for at in range(0, size, 997))
            yield storage.write(name, parts, lambda head=head: head, size=size, mark=mark, suffix=suffix)
        elif verb == "fail":
            with pytest.raises(ZeroDivisionError):
                storage.write(name, [b"x" * size], lambda: 1 // 0, size=size, mark=mark, suffix=suffix)
            yield "failed"
        elif verb == "read":
            record = storage.read(name)
            yield record and (record.head, record.mark, bytes(record.body))
        elif verb == "head":
            yield heads.head(name)
        elif verb == "remove":
            yield storage.remove(name)
        elif verb == "scan":
            prefix = ("", scope, f"{scope}/v1")[number % 3]
            yield sorted(item for item in storage.scan(prefix) if not item.name.startswith("words/"))
        elif verb == "many":
            found = batch.read_many(names[number % 5 :: 3])
            yield {name: (record.mark, bytes(record.body)) for name, record in found.items()}
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


@contextmanager
def reading(storage, wrong):
    """Somebody else looks at the same entries all the while: a body is always of one digit."""
    stop = threading.Event()

    def look():
        rng = random.Random(1)
        names = sorted({name for _, name, *_ in commands(7, 200)})
        try:
            while not stop.wait(0.002):
                record = storage.read(rng.choice(names))
                if record is not None and len(set(bytes(record.body))) > 1:
                    wrong.append(record)
        except BaseException as error:
            wrong.append(error)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


KINDS = {
    "sqlite": lambda folder: open_storage("sqlite", folder),
    "only rows": lambda folder: open_storage("sqlite", folder, above=1 << 30),
    "files": lambda folder: open_storage("files", folder),
    "shelve": lambda folder: open_storage("shelve", folder),
    "spill of memory": lambda folder: Spill(Memory(), Memory(), above=100),
}


@pytest.mark.parametrize("kind", KINDS)
def test_all_storages_agree(kind, tmp_path):
    storage, wrong = KINDS[kind](str(tmp_path)), []
    with reading(storage, wrong):
        for number, (expected, answer) in enumerate(
            zip(run(Memory(), commands(7, 2000)), run(storage, commands(7, 2000)), strict=True)
        ):
            assert answer == expected, f"command {number}"
    assert not wrong
