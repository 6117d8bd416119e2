"""Mutated entries, some dozens or a thousand per storage: a miss or the right value, never anything else. Seeded, so that a failure comes again."""

from __future__ import annotations

import importlib.util
import pickle
import random
import warnings
from pathlib import Path
from typing import Any

import pytest
from parsers import parse
from places import forget

from memo import Cache, MemoWarning, events
from memo.model import Call, Hit
from memo.policies import Forever

QUICK = ["sqlite", "files", "memory", "diskcache"]
KINDS = [
    *((kind, 80) for kind in QUICK),
    *(pytest.param(kind, 1000, marks=pytest.mark.slow) for kind in (*QUICK, "shelve", "hdf5")),
]
NEEDS = {"hdf5": "h5py", "diskcache": "diskcache"}
NUMBERS = [0, 1, 127, 128, 255, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 0x7FFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF]
RUN = []


class Ran:
    """What no mutation may ever get unpickled."""

    def __reduce__(self) -> Any:
        return RUN.append, (1,)


def mutated(rng: random.Random, data: bytes, other: bytes) -> bytes:
    """One to three changes, as fuzzers make them."""
    content = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        at = rng.randint(0, len(content))
        match rng.randrange(9):
            case 0:
                content[at : at + 1] = bytes([rng.randrange(256)])
            case 1 if content:
                content[at % len(content)] ^= 1 << rng.randrange(8)
            case 2:
                del content[at : at + rng.randint(1, 20)]
            case 3:
                content[at:at] = rng.randbytes(rng.randint(1, 20))
            case 4:
                del content[at:]
            case 5:
                size = rng.choice([1, 2, 4, 8])
                content[at : at + size] = (rng.choice(NUMBERS) & ((1 << 8 * size) - 1)).to_bytes(size, "little")
            case 6:
                content[at : at + rng.randint(1, 30)] = other[at : at + rng.randint(1, 30)]
            case 7:
                content[at:at] = content[: rng.randint(0, len(content))]
            case 8:
                content = bytearray(other[:at] + bytes(content[at:]))
    return bytes(content)


@pytest.mark.parametrize(("kind", "trials"), KINDS)
def test_mutated_entries(memory: Path, kind: str, trials: int) -> None:
    if kind in NEEDS and importlib.util.find_spec(NEEDS[kind]) is None:
        pytest.skip(f"{NEEDS[kind]} is not installed")
    rng = random.Random(f"memo {kind}")
    cache = Cache(memory / "place", storage=kind, serializer="pickle")
    f = cache.persist(lambda x: {"of": x, "text": "x" * 50}, name="fuzz.f", code="off", version=1)
    right = [f(0), f(1)]
    call = Call("fuzz.f", f.cache_key(0), ("x",), (0,))
    storage, other = cache.storage, cache.storage.read(f.cache_key(1))
    good = storage.read(call.key)
    assert good is not None
    assert other is not None
    head, body = bytes(good.head), bytes(good.body)
    evil = pickle.dumps(Ran())
    hits = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MemoWarning)
        for trial in range(trials):
            new_head, new_body, mark = head, body, good.mark
            what = rng.randrange(4)
            if what in (0, 2):
                new_head = mutated(rng, head, bytes(other.head))
            if what in (1, 2):
                new_body = evil if rng.random() < 0.1 else mutated(rng, body, bytes(other.body))
            if what == 3:
                mark = rng.choice(NUMBERS)
            storage.write(
                call.key, [new_body], lambda h=new_head: h, size=len(new_body), mark=mark & 0x7FFFFFFFFFFFFFFF
            )
            events._warned.clear()
            outcome = cache.lookup(call, good.mark, 1e9 * 3, Forever(), 0.0, None, b"")
            same = (new_head, new_body, mark) == (head, body, good.mark)
            assert isinstance(outcome, Hit) <= same, f"trial {trial}: {new_head!r} {new_body!r}"
            if isinstance(outcome, Hit):
                hits += 1
                assert outcome.value == right[0]
            list(storage.scan())
            if trial % 100 == 0:
                again = Cache(storage=storage) if kind == "memory" else Cache(memory / "place", storage=kind)
                g = again.persist(lambda x: right[x], name="fuzz.f", code="off", version=1)
                assert g(0) == right[0]
        assert RUN == []
        assert hits < trials / 20
    forget(type("One", (), {"cache": cache}))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("seed", "trials"), [(0, 1500), *(pytest.param(seed, 5000, marks=pytest.mark.slow) for seed in range(1, 4))]
)
def test_heads_from_anywhere(seed: int, trials: int) -> None:
    """What the target for atheris does (``python tests/faults/parsers.py``), on mutations of a real head."""
    rng = random.Random(seed)
    from memo import _entry
    from memo.model import Head

    head = _entry.sealing("a/b/c", [b"body"], Head("", 1.7e9, 0.5, "pickle", ("zlib",), 4, b"stamp", b"notes"))()
    for _ in range(trials):
        parse(mutated(rng, head, rng.randbytes(60)))
