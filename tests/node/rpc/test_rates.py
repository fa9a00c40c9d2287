"""Token buckets: never more than the burst and the rate allow, in a bounded table."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.rpc.rates import Bucket, Rates, address_key


@given(
    st.floats(0.1, 1_000),
    st.floats(1, 1_000),
    st.lists(st.tuples(st.floats(0, 10), st.integers(1, 10)), max_size=40),
)
def test_no_more_than_burst_and_rate(
    rate: float, most: float, calls: list[tuple[float, int]]
) -> None:
    """What was taken is at most the burst and the rate times the time. Kills: no upper bound."""
    bucket, now, taken = Bucket(rate, most, 0.0), 0.0, 0
    for pause_s, cost in calls:
        now += pause_s
        before = bucket.wait_s(cost, now)
        wait_s = bucket.take(cost, now)
        assert wait_s == before
        if not wait_s:
            taken += cost
        assert taken <= most + rate * now + 1e-6


def test_a_refused_call_comes_through_after_the_wait() -> None:
    """The wait that is told is enough, and half of it is not. Kills: a refused call that costs."""
    bucket = Bucket(2.0, 4.0, 0.0)
    assert bucket.take(4, 0.0) == 0
    for _ in range(9):
        assert bucket.take(3, 0.0) == pytest.approx(1.5)
    assert bucket.take(3, 0.75) == pytest.approx(0.75)
    assert bucket.take(3, 1.5) == 0


def test_time_that_stands_or_goes_back_gives_nothing() -> None:
    """A clock that goes back fills no bucket."""
    bucket = Bucket(1.0, 1.0, 10.0)
    assert bucket.take(1, 10.0) == 0
    assert bucket.take(1, 5.0) == pytest.approx(1.0)
    assert bucket.take(1, 10.5) == pytest.approx(0.5)


def test_the_table_is_bounded_and_forgets_the_oldest() -> None:
    """One entry above the bound makes the one used longest ago go. Kills: forgetting the newest."""
    rates = Rates(1.0, 1.0, 1, 2)
    first, second = rates.bucket("a", 0.0), rates.bucket("b", 0.0)
    assert rates.bucket("a", 0.0) is first
    rates.bucket("c", 0.0)
    assert len(rates) == 2
    assert rates.bucket("a", 0.0) is first
    assert rates.bucket("b", 0.0) is not second


def test_no_rate_is_no_limit_and_the_dearest_call_fits() -> None:
    """A rate of 0 counts nobody; a burst below one call's cost still lets it through."""
    assert Rates(0.0, 10.0, 5, 2).bucket("a", 0.0) is None
    bucket = Rates(0.5, 0.1, 5, 2).bucket("a", 0.0)
    assert bucket is not None
    assert bucket.take(5, 0.0) == 0


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("192.0.2.7", ("192.0.2.7", False)),
        ("127.0.0.1", ("127.0.0.1", True)),
        ("127.9.9.9", ("127.9.9.9", True)),
        ("::1", ("::/64", True)),
        ("::2", ("::/64", False)),
        ("2001:db8:1:2:3:4:5:6", ("2001:db8:1:2::/64", False)),
        ("2001:db8:1:2::1", ("2001:db8:1:2::/64", False)),
        ("2001:db8:1:3::1", ("2001:db8:1:3::/64", False)),
        ("fe80::1%eth0", ("fe80::/64", False)),
        ("::ffff:192.0.2.7", ("192.0.2.7", False)),
        ("::ffff:127.0.0.1", ("127.0.0.1", True)),
        ("", ("", False)),
    ],
)
def test_addresses_are_counted_by_who_has_them(host: str, expected: tuple[str, bool]) -> None:
    """An IPv6 address counts as its /64, a mapped one as IPv4. Kills: one bucket an address."""
    assert address_key(host) == expected
