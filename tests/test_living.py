"""The objects of a kind that are alive, listed while others come and go."""

from __future__ import annotations

from pathlib import Path

import memo
from memo._living import Living


class Thing:
    pass


def test_what_is_made_during_a_visit_does_not_disturb_it() -> None:
    things, living = [Thing() for _ in range(5)], Living[Thing]()
    for thing in things:
        living.add(thing)
        living.add(thing)
    seen = []
    for thing in living:  # a WeakSet would raise here
        seen.append(thing)
        things.append(Thing())
        living.add(things[-1])
    assert {*seen} == {*things[:5]}
    assert {*living} == {*things}


def test_what_is_gone_is_not_visited() -> None:
    living = Living[Thing]()
    one, other = Thing(), Thing()
    living.add(one)
    living.add(other)
    visit = iter(living)
    first = next(visit)
    if first is one:
        del other
    else:
        del one
    assert list(visit) == []
    del first
    assert len(list(living)) == 1


def test_nothing_of_memo_keeps_a_weakset() -> None:
    """Threads that persisted functions at the same moment failed by one: its visitors mind what others add."""
    sources = Path(memo.__file__).parent.rglob("*.py")
    assert [path.name for path in sources if "WeakSet(" in path.read_text("utf-8")] == []
