"""The suite for policies: subclass it in a test, override ``make()``, run it with pytest.

Every clock is handed in and lies far from today's, so that a policy which looks at a clock of its own fails.
"""

from __future__ import annotations

import math
import pickle
from typing import Any

from memo.model import Call, Fresh, Head, Stale
from memo.protocols import Policy

CREATED = 5_000_000.0  # seconds since the epoch: in February 1970


class PolicySuite:
    """What any policy must keep. Override ``make()``; and, where they apply, ``outcome`` and ``declined``."""

    #: a result that the policy stores
    outcome: Any = 42
    #: results that it refuses to store
    declined: tuple[Any, ...] = ()

    def make(self) -> Policy:
        """The policy: one that stores ``outcome`` and finds it fresh at the moment when it was made."""
        raise NotImplementedError("override make() to return your policy")

    def call(self) -> Call:
        return Call("shop.price", "price-0123456789/0/1", ("item",), ("apple",))

    def head(self, stamp: bytes, created: float = CREATED) -> Head:
        return Head("shop.price", created, 1.5, "pickle", (), 100, stamp, b"")

    def sealed(self) -> tuple[Policy, bytes]:
        policy = self.make()
        stamp = policy.seal(policy.begin(self.call()), self.outcome)
        assert isinstance(stamp, bytes), f"seal() must give bytes for the suite's outcome; got {stamp!r}"
        assert len(stamp) <= 0xFFFF, f"a stamp of {len(stamp)} bytes does not fit into a head"
        return policy, stamp

    def ask(self, policy: Policy, stamp: bytes, now: float, created: float = CREATED) -> Fresh | Stale:
        verdict = policy.fresh(stamp, self.head(stamp, created), self.call(), now)
        assert isinstance(verdict, (Fresh, Stale)), f"fresh() must give Fresh or Stale; got {verdict!r}"
        if isinstance(verdict, Stale):
            assert verdict.why, "Stale must say why, in words"
            assert isinstance(verdict.why, str)
        return verdict

    def test_is_a_policy(self) -> None:
        assert isinstance(self.make(), Policy)
        assert not isinstance(self.make(), type), "make() must return an instance"

    def test_what_was_just_made_is_fresh(self) -> None:
        policy, stamp = self.sealed()
        verdict = self.ask(policy, stamp, CREATED)
        assert isinstance(verdict, Fresh), f"stale at once: {verdict}"
        assert verdict.until == 0 or verdict.until > CREATED, f"until must be 0, inf or later; got {verdict.until}"

    def test_an_equal_policy_reads_it(self) -> None:
        _, stamp = self.sealed()
        assert isinstance(self.ask(self.make(), stamp, CREATED), Fresh), "another run makes the policy anew"

    def test_until_is_a_promise_and_the_end(self) -> None:
        policy, stamp = self.sealed()
        verdict = self.ask(policy, stamp, CREATED)
        assert isinstance(verdict, Fresh)
        if not math.isfinite(verdict.until) or verdict.until == 0:
            return
        for share in (0.0, 0.5, 0.999):
            now = CREATED + (verdict.until - CREATED) * share
            assert isinstance(self.ask(policy, stamp, now), Fresh), f"a front served it until {verdict.until}"
        after = self.ask(policy, stamp, verdict.until)
        assert isinstance(after, Stale) or after.until == 0 or after.until > verdict.until

    def test_the_clock_is_handed_in(self) -> None:
        policy, stamp = self.sealed()
        first = [self.ask(policy, stamp, CREATED + age) for age in (0, 1, 3600, 1e6, 1e8)]
        again = [self.ask(policy, stamp, CREATED + age) for age in (0, 1, 3600, 1e6, 1e8)]
        assert first == again, "the same question must get the same answer"

    def test_an_entry_from_the_future_is_stale(self) -> None:
        policy, stamp = self.sealed()
        for ahead in (61.0, 3600.0, 1e9):
            verdict = self.ask(policy, stamp, CREATED, created=CREATED + ahead)
            assert isinstance(verdict, Stale), f"made {ahead} s in the future, and fresh"
        assert isinstance(self.ask(policy, stamp, CREATED, created=CREATED + 30), Fresh), "clocks differ by seconds"

    def test_foreign_stamps_are_stale(self) -> None:
        policy, stamp = self.sealed()
        foreign = [b"\0", b"foreign", b"\xff" * 8, b"\0" * 300, stamp + b"\0", b"x" + stamp, stamp + stamp]
        foreign += [stamp[:end] for end in range(len(stamp))]
        for other in foreign:
            if other != stamp:
                assert isinstance(self.ask(policy, other, CREATED), Stale), f"fresh under the foreign stamp {other!r}"

    def test_declined_outcomes_are_not_stored(self) -> None:
        policy = self.make()
        for outcome in self.declined:
            stamp = policy.seal(policy.begin(self.call()), outcome)
            assert stamp is None, f"{outcome!r} was to be declined, and got the stamp {stamp!r}"

    def test_overlapping_calls_do_not_mix(self) -> None:
        policy, stamp = self.sealed()
        first, second = policy.begin(self.call()), policy.begin(self.call())
        assert policy.seal(first, self.outcome) == policy.seal(second, self.outcome) == stamp

    def test_rank_is_a_number(self) -> None:
        policy, stamp = self.sealed()
        for uses in (0, 1, 1000):
            rank = policy.rank(self.head(stamp), uses)
            assert isinstance(rank, (int, float)), f"rank() must give a number; got {rank!r}"
            assert not math.isnan(rank)
            assert policy.rank(self.head(stamp), uses) == rank

    def test_survives_pickling(self) -> None:
        policy, stamp = self.sealed()
        copy = pickle.loads(pickle.dumps(policy))
        assert isinstance(self.ask(copy, stamp, CREATED), Fresh), "workers get their policies by pickle"
