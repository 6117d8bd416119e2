"""Policies: what is fresh, until when, and what a stale one says. Time is handed in."""

from __future__ import annotations

import math
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memo.errors import OptionError
from memo.model import Call, Fresh, Head, Stale
from memo.policies import Forever, Ttl, Version, all_of, any_of, lru
from memo.testing._policy import CREATED, PolicySuite

CALL = Call("shop.price", "price-0/0/0", (), ())


class Positive:
    """A policy as a third party writes it: it stores positive results only, and asks at every call."""

    def begin(self, call):
        return call.key

    def seal(self, token, outcome):
        assert token, "the token of begin() comes back"
        return b"+" if outcome > 0 else None

    def fresh(self, stamp, head, call, now):
        if head.created > now + 60:
            return Stale("from the future")
        return Fresh(0.0) if stamp == b"+" else Stale("not known to be positive")

    def rank(self, head, uses):
        return -head.created


class TestForever(PolicySuite):
    def make(self):
        return Forever()


class TestTtl(PolicySuite):
    def make(self):
        return Ttl("1h")


class TestVersion(PolicySuite):
    def make(self):
        return Version("2")


class TestThirdParty(PolicySuite):
    declined = (-1, 0)

    def make(self):
        return Positive()


class TestAllOf(PolicySuite):
    declined = (-1,)

    def make(self):
        return all_of(Ttl("1h"), Version("2"), Positive())


class TestAnyOf(PolicySuite):
    def make(self):
        return any_of(Ttl("1h"), Version("2"), Positive())


class TestNested(PolicySuite):
    declined = (-1,)

    def make(self):
        return all_of(Positive(), any_of(Ttl(5), all_of(Version(1), Ttl("2d"))))


def head_of(policy, outcome=1, created=CREATED):
    stamp = policy.seal(policy.begin(CALL), outcome)
    return Head("shop.price", created, 1.0, "pickle", (), 10, stamp, b"")


def ask(policy, head, age=0.0):
    return policy.fresh(head.stamp, head, CALL, head.created + age)


def test_forever():
    assert ask(Forever(), head_of(Forever()), 1e9) == Fresh(math.inf)


def test_a_ttl_ends_exactly_and_says_when():
    policy, head = Ttl(60), head_of(Ttl(60))
    assert ask(policy, head, 59.999) == Fresh(CREATED + 60)
    assert ask(policy, head, 60) == Stale("expired 0 s ago (ttl 60 s)")
    assert ask(policy, head, 63) == Stale("expired 3 s ago (ttl 60 s)")
    assert ask(Ttl("7d"), head, 8 * 86400) == Stale("expired 24 h ago (ttl 7 d)")


def test_a_ttl_changed_in_code_applies_to_what_is_stored():
    head = head_of(Ttl("1h"))
    assert isinstance(ask(Ttl("1m"), head, 120), Stale)
    assert isinstance(ask(Ttl("1d"), head, 7200), Fresh)
    assert isinstance(ask(Forever(), head, 7200), Fresh), "a ttl taken away"
    assert isinstance(ask(Ttl("1m"), head_of(Forever()), 120), Stale), "a ttl added"


@given(st.floats(min_value=0, max_value=1e9), st.floats(min_value=0, max_value=1e9))
def test_fresh_if_and_only_if_younger_than_the_ttl(ttl, age):
    verdict = ask(Ttl(ttl), head_of(Ttl(ttl)), age)
    assert isinstance(verdict, Fresh) == (CREATED + age < CREATED + ttl)


def test_another_version_is_stale_and_named():
    assert ask(Version("2"), head_of(Version("1"))) == Stale("version '1' is not '2'")
    assert ask(Version("2"), head_of(Version(2))) == Fresh(math.inf)
    assert ask(Version("2"), head_of(Forever())) == Stale("stored under another policy, not under version '2'")
    assert isinstance(ask(Forever(), head_of(Version("2"))), Stale)


@given(st.text(max_size=40), st.text(max_size=40))
def test_versions_are_compared_as_texts(one, other):
    assert isinstance(ask(Version(one), head_of(Version(other))), Fresh) == (one == other)


def test_all_of_ends_with_the_first():
    policy = all_of(Ttl(100), Ttl(50), Forever())
    assert ask(policy, head_of(policy)) == Fresh(CREATED + 50)
    assert ask(policy, head_of(policy), 70) == Stale("expired 20 s ago (ttl 50 s)")
    assert ask(all_of(Forever(), Positive()), head_of(all_of(Forever(), Positive()))) == Fresh(0.0)


def test_any_of_ends_with_the_last():
    policy = any_of(Ttl(100), Ttl(50))
    assert ask(policy, head_of(policy), 70) == Fresh(CREATED + 100)
    assert ask(policy, head_of(policy), 120) == Stale("expired 20 s ago (ttl 100 s); expired 70 s ago (ttl 50 s)")


def test_any_of_counts_only_those_that_would_have_stored_it():
    policy = any_of(Positive(), Ttl(50))
    assert ask(policy, head_of(policy, outcome=-1)) == Fresh(CREATED + 50)
    expired = ask(policy, head_of(policy, outcome=-1), 51)
    assert isinstance(expired, Stale)
    assert expired.why.startswith("not stored for")
    assert ask(policy, head_of(policy, outcome=1), 51) == Fresh(0.0)
    assert head_of(any_of(Positive(), Positive()), outcome=-1).stamp is None


@pytest.mark.parametrize(
    "other",
    [
        all_of(Ttl(9), Version("1")),
        all_of(Version("1"), Ttl(9), Ttl(9)),
        any_of(Version("1"), Ttl(9)),
        Version("1"),
        Forever(),
    ],
)
def test_stamps_of_another_shape_are_stale(other):
    assert isinstance(ask(all_of(Version("1"), Ttl(9)), head_of(other)), Stale)


@given(st.binary(max_size=60), st.sampled_from([b"", b"all", b"any", b"all\0\2", b"any\0\2", b"version:"]))
def test_no_stamp_whatsoever_raises(rest, start):
    for policy in (Forever(), Ttl(1), Version("1"), all_of(Ttl(1), Version("1")), any_of(Ttl(1), Version("1"))):
        verdict = ask(policy, head_of(policy)._replace(stamp=start + rest))
        assert isinstance(verdict, (Fresh, Stale))


def test_combining_none_or_one():
    assert repr(all_of()) == repr(any_of()) == "Forever()"
    only = Ttl(5)
    assert all_of(only) is any_of(only) is only


def test_policies_show_what_they_are():
    assert (
        repr(all_of(Ttl("1m"), any_of(Version("a"), Forever()))) == "all_of(Ttl(60), any_of(Version('a'), Forever()))"
    )


def test_lru_ranks_later_and_more_used_entries_higher():
    old, new = head_of(Forever()), head_of(Forever(), created=CREATED + 10)
    assert lru(old, 0) < lru(new, 0) < lru(old, 1) < lru(new, 5)
    assert all_of(Positive(), Forever()).rank(new, 0) == Positive().rank(new, 0), "the first one ranks"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Ttl("soon"), "ttl must be a number of seconds"),
        (lambda: Ttl(timedelta(seconds=-1)), "not negative"),
        (lambda: Version(None), "version must be a str"),
        (lambda: Version("x" * 201), "at most 200"),
        (lambda: Version(True), "version must be a str"),
        (lambda: all_of(Ttl(1), 60), "all_of takes policies .* got 60"),
        (lambda: any_of(Ttl(1), Forever), "any_of takes policies .* got the class Forever"),
    ],
)
def test_what_is_no_policy_is_refused_clearly(make, message):
    with pytest.raises(OptionError, match=message):
        make()
