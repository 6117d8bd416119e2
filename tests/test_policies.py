"""Policies: what is fresh, until when, and what a stale one says. Time is handed in."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memo._dependencies import Env
from memo._tag import ALL, digest, scope_of
from memo.errors import OptionError
from memo.model import Call, Fresh, Head, Raised, Stale
from memo.policies import (
    Depends,
    Exceptions,
    Forever,
    IdleTtl,
    SlowerThan,
    StoreIf,
    Tags,
    Ttl,
    Validate,
    Version,
    all_of,
    any_of,
    lru,
)  # fmt: skip
from memo.storages import Memory
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


class TestTtlUntil(PolicySuite):
    def make(self):
        return Ttl(datetime.fromtimestamp(CREATED + 3600))


def for_hours(value):
    return f"{value} h" if value > 0 else 0


class TestTtlOfTheValue(PolicySuite):
    declined = (0, -1)

    def make(self):
        return Ttl(for_hours)


class TestIdleTtl(PolicySuite):
    def make(self):
        return IdleTtl("1h")


def of_this_century(head):
    return head.created > 0


class TestValidate(PolicySuite):
    def make(self):
        return Validate(of_this_century)


def is_positive(value):
    return value > 0


class TestStoreIf(PolicySuite):
    declined = (-1, 0)

    def make(self):
        return StoreIf(is_positive)


class TestSlowerThan(PolicySuite):
    def make(self):
        return SlowerThan(0)


class TestDepends(PolicySuite):
    def make(self):
        return Depends(Env("PATH"), Env("MEMO_NOT_SET"))


class TestExceptions(PolicySuite):
    declined = (Raised(ValueError("x"), ""), Raised(OSError(), ""))

    def make(self):
        return Exceptions({LookupError: "1h"})


WORDS = Memory()  # of this process: copies of a policy find the same words


def words():
    return WORDS


class InMemory(Tags):
    def __reduce__(self):
        return InMemory, (self.tags, words)


class TestTags(PolicySuite):
    def make(self):
        return InMemory(["red", "blue"], words)


def tags_of(arguments, result):
    return [f"result-{result}", *arguments]


class TestTagsOfTheResult(PolicySuite):
    def make(self):
        return InMemory(tags_of, words)


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
    verdict = policy.fresh(head.stamp, head, CALL, head.created + age)
    return verdict._replace(since=None) if isinstance(verdict, Stale) else verdict


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


# ---------------------------------------------------------------------------------------------- what each is for


def test_a_moment_ends_whatever_was_computed_before_it():
    moment = datetime.fromtimestamp(CREATED + 100)
    head = head_of(Ttl(moment))
    assert ask(Ttl(moment), head, 99.5) == Fresh(CREATED + 100)
    stale = ask(Ttl(moment), head, 103)
    assert stale.why == f"expired 3 s ago (ttl until {moment.isoformat(' ', 'seconds')})"


def test_a_ttl_of_the_value_is_remembered_with_the_result():
    head = head_of(Ttl(for_hours), 2)
    assert ask(Ttl(for_hours), head, 7199) == Fresh(CREATED + 7200)
    assert ask(Ttl(for_hours), head, 7200) == Stale("expired 0 s ago (ttl 2 h)")
    assert ask(Ttl("1h"), head, 3600) == Stale("expired 0 s ago (ttl 60 min)"), "a fixed ttl counts from now on"
    assert isinstance(ask(Ttl(for_hours), head_of(Ttl("1h"))), Stale), "nobody asked the value"
    assert ask(Ttl(lambda value: None), head_of(Ttl(lambda value: None)), 1e9) == Fresh(math.inf)


def test_a_ttl_that_is_no_duration_says_whose_it_is():
    with pytest.raises(OptionError, match=r"ttl=.*gave no duration"):
        Ttl(lambda value: "soon").seal(None, 1)


def test_idle_counts_from_the_last_use():
    policy, head = IdleTtl(100), head_of(IdleTtl(100))
    assert ask(policy, head, 50) == Fresh(CREATED + 55), "a front asks again soon"
    assert ask(policy, head, 99) == Fresh(CREATED + 100)
    assert ask(policy, head, 100) == Stale("not used for 100 s (idle_ttl 100 s)")
    used = head._replace(used=CREATED + 90)
    assert isinstance(ask(policy, used, 150), Fresh)
    assert ask(policy, used, 190) == Stale("not used for 100 s (idle_ttl 100 s)")
    assert isinstance(ask(policy, head._replace(used=CREATED + 1e9), 150), Stale), "a use in the future says nothing"


def test_the_shortest_idle_time_is_that_of_a_combination():
    assert all_of(Ttl(1), IdleTtl(60), IdleTtl(10)).idle == 10
    assert all_of(Ttl(1), Version(1)).idle == 0


def test_slower_than_asks_the_clock_it_was_given():
    times = iter([100.0, 100.04, 200.0, 200.05])
    policy = SlowerThan("50ms", clock=lambda: next(times))
    assert policy.seal(policy.begin(CALL), 1) is None
    assert policy.seal(policy.begin(CALL), 1) == b""


def test_what_changes_while_it_is_computed_is_not_stored(monkeypatch):
    policy = Depends(Env("MEMO_TEST_REGION"))
    token = policy.begin(CALL)
    monkeypatch.setenv("MEMO_TEST_REGION", "north")
    assert policy.seal(token, 1) is None
    head = head_of(policy)
    assert ask(policy, head) == Fresh(0.0)
    monkeypatch.setenv("MEMO_TEST_REGION", "south")
    assert ask(policy, head) == Stale("environment variable MEMO_TEST_REGION changed")


def test_an_exception_lives_as_long_as_its_most_special_kind():
    policy = Exceptions({LookupError: "1h", KeyError: "1m", OSError: None})
    key, index = head_of(policy, Raised(KeyError(1), "")), head_of(policy, Raised(IndexError(1), ""))
    assert ask(policy, key, 59) == Fresh(CREATED + 60)
    assert ask(policy, key, 61) == Stale("expired 1 s ago (an exception's ttl, 60 s)")
    assert ask(policy, index, 61) == Fresh(CREATED + 3600)
    assert ask(policy, head_of(policy, Raised(FileNotFoundError(1), "")), 1e9) == Fresh(math.inf)
    assert ask(Exceptions(ValueError), key).why == "it raised builtins.KeyError, which is not kept any more"


def test_a_damaged_stamp_of_an_exception_is_stale():
    policy = Exceptions(LookupError)
    head = head_of(policy, Raised(KeyError(1), ""))
    assert isinstance(ask(policy, head), Fresh)
    for end in range(1, len(head.stamp)):
        assert isinstance(ask(policy, head._replace(stamp=head.stamp[:end])), Stale)
    for other in (head.stamp * 2, head.stamp + b"x", b"x" + head.stamp):
        assert isinstance(ask(policy, head._replace(stamp=other)), Stale)


def test_options_that_remember_nothing_may_come_and_go():
    head = head_of(Forever())
    many = all_of(Ttl("1h"), IdleTtl("1h"), StoreIf(is_positive), Validate(of_this_century), Exceptions(KeyError))
    assert isinstance(ask(many, head), Fresh)
    assert isinstance(ask(Ttl("1h"), head_of(many)), Fresh)


def test_a_cleared_tag_makes_stale_and_is_named():
    policy = Tags(["red", "blue"], words)
    head = head_of(policy)
    other = head_of(Tags(["green"], words))
    WORDS.bump(scope_of(digest("blue")))
    assert ask(policy, head) == Stale("tag 'blue' was cleared")
    assert isinstance(ask(Tags(["green"], words), other), Fresh)
    assert isinstance(ask(policy, head_of(policy)), Fresh)
    assert isinstance(ask(Tags(["red"], words), head_of(policy)), Stale), "other tags than it was stored with"


def test_a_tag_cleared_during_the_computation_is_not_stored():
    policy = Tags(tags_of, words)
    token = policy.begin(CALL)
    WORDS.bump(scope_of(digest("whatever"))), WORDS.bump(ALL)
    assert policy.seal(token, 1) is None
    fixed = Tags(["red"], words)
    token = fixed.begin(CALL)
    WORDS.bump(scope_of(digest("red")))
    stamp = fixed.seal(token, 1)
    assert isinstance(fixed.fresh(stamp, head_of(fixed)._replace(stamp=stamp), CALL, CREATED), Stale)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Tags("red"), lambda: Tags([1]), lambda: Tags([""]), lambda: Validate("no"), lambda: StoreIf(int),
        lambda: SlowerThan("soon"), lambda: IdleTtl("soon"), lambda: Exceptions([int]), lambda: Exceptions([BaseException]),
        lambda: Exceptions({ValueError: "soon"}), lambda: Env(""),
    ],
)  # fmt: skip
def test_what_can_not_be_right_raises(make):
    with pytest.raises(OptionError):
        make()
