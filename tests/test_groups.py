"""Places that a group of people share, and those of somebody else that may only be read."""

from __future__ import annotations

import json
import os
import pickle
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from memo import Cache, MemoWarning
from memo.errors import OptionError, PlaceError

LAB, ANNE, BOB, EVE = 54321, 54001, 54002, 54003  # a group, two of its members, and somebody else

ROOT = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become other users, who are needed here"
)

PROGRAM = """
import json, os, sys, warnings
from memo import Cache

def use(place, kind, options):
    calls = []
    cache = Cache(place, storage=kind, **options)
    f = cache.persist(name="f", version=1, code="off")(lambda n: calls.append(n) or "x" * n)
    for n in json.loads(sys.argv[4]):
        assert f(n) == f(n) == "x" * n
    return calls

place, kind, options, _, user, group, spare = sys.argv[1:]
options = json.loads(options)
for _ in range(2):  # imports now what could not be read later
    use(spare, kind, {})
os.umask(0o077)
os.setgroups([int(group)])
os.setgid(int(user)); os.setuid(int(user))
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    calls = use(place, kind, options)
print(json.dumps([calls, [str(one.message) for one in caught if "Memo" in one.category.__name__]]))
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where everybody may make folders; pytest's own are private."""
    with tempfile.TemporaryDirectory() as made:
        os.chmod(made, 0o1777)
        yield Path(made)


def use(
    place: Path, kind: str, numbers: list[int], user: int, group: int = LAB, **options: Any
) -> tuple[list[int], list[str]]:
    """What a person had to compute, and what memo warned of."""
    spare = place.parent / f"spare-{user}-{len(os.listdir(place.parent))}"
    command = [sys.executable, "-c", PROGRAM, place, kind, json.dumps(options), json.dumps(numbers), user, group, spare]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=60, cwd=place.parent)
    assert done.returncode == 0, done.stderr
    calls, warned = json.loads(done.stdout)
    return calls, warned


@ROOT
@pytest.mark.parametrize("kind", ["sqlite", "files"])
def test_members_of_a_group_use_each_others_results_and_nobody_else_does(kind: str, folder: Path) -> None:
    place, sizes = folder / "place", [1, 100_000]
    assert use(place, kind, sizes, ANNE, shared_group=LAB) == (sizes * 1, [])
    for path in [place, *place.rglob("*")]:
        status = path.stat()
        assert status.st_gid == LAB, path
        mode = stat.S_IMODE(status.st_mode)
        assert not mode & 0o007, path
        assert mode & 0o070 == (mode & 0o700) >> 3, (path, oct(mode))
    assert stat.S_IMODE(place.stat().st_mode) == 0o2770
    assert use(place, kind, [*sizes, 2, 200_000], BOB, shared_group=LAB) == ([2, 200_000], [])
    assert use(place, kind, [*sizes, 2, 200_000], ANNE, shared_group=LAB) == ([], [])
    calls, (warned,) = use(place, kind, [1], BOB)  # who does not say that he trusts the group
    assert (calls, "not trusted" in warned) == ([1, 1], True)
    calls, warnings = use(place, kind, [1], EVE, group=EVE, shared_group=LAB)
    assert (calls, bool(warnings)) == ([1, 1], True)


@ROOT
def test_a_group_does_not_trust_what_everybody_may_write_to(folder: Path) -> None:
    use(folder / "place", "files", [1], ANNE, shared_group=LAB)
    (folder / "place").chmod(0o2777)
    calls, (warned,) = use(folder / "place", "files", [1], BOB, shared_group=LAB)
    assert (calls, "by everybody" in warned) == ([1, 1], True)


@ROOT
@pytest.mark.parametrize("kind", ["sqlite", "files"])
def test_what_somebody_else_lets_read_serves_hits_and_says_once_that_it_does_not_store(kind: str, folder: Path) -> None:
    place, sizes = folder / "place", [1, 100_000]
    assert use(place, kind, sizes, ANNE)[0] == sizes
    for path in [place, *place.rglob("*")]:
        path.chmod(path.stat().st_mode | (0o055 if path.is_dir() else 0o044))
    calls, (warned,) = use(place, kind, [*sizes, 2, 3], BOB, trust_folder=True)
    assert (calls, "only be read" in warned) == ([2, 2, 3, 3], True)
    assert use(place, kind, sizes, BOB, trust_folder=True) == ([], [])


def test_a_private_place_is_not_opened_to_a_group(tmp_path: Path) -> None:
    Cache(tmp_path / "place").persist(name="f", version=1, code="off")(lambda n: n)(1)
    shared = Cache(tmp_path / "place", shared_group=os.getgid())
    with pytest.raises(PlaceError, match="for one person alone"):
        _ = shared.storage
    assert stat.S_IMODE((tmp_path / "place").stat().st_mode) == 0o700
    with pytest.warns(MemoWarning, match="for one person alone"):
        assert shared.persist(name="f", version=1, code="off")(lambda n: n)(1) == 1


def test_the_group_goes_to_workers_and_must_be_one() -> None:
    assert pickle.loads(pickle.dumps(Cache("x", shared_group=os.getgid()))).shared_group == os.getgid()
    for wrong in ("no such group", -1, True, 1.5, ["lab"]):
        with pytest.raises(OptionError, match="shared_group must be"):
            Cache("x", shared_group=wrong)  # type: ignore[arg-type]
