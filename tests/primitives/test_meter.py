"""Processor time counts once, to the innermost stage, and to no stage while a thread waits."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from primitives.errors import BrokenInvariant
from primitives.meter import METER, Meter, Stage, metered
from primitives.transaction import decode_transactions
from tests.primitives.samples import DYNAMIC_FIELDS, sign

Tree = tuple[Stage, float, list["Tree"]]
SLACK_S = 0.004


class Clock:
    """A thread's clock that moves when told to."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def spend(self, seconds: float) -> None:
        """Let processor time pass."""
        self.now_s += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Put a clock in the place of the thread's and the process's."""
    made = Clock()
    for name in ("thread_time", "process_time"):
        monkeypatch.setattr(f"primitives.meter.time.{name}", lambda: made.now_s)
    monkeypatch.setattr("primitives.meter.time.clock_gettime", lambda _clock: made.now_s)
    return made


def burn(seconds: float) -> None:
    """Compute for so long in this thread's own time."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


TREES: st.SearchStrategy[list[Tree]] = st.recursive(
    st.just([]),
    lambda inner: st.lists(
        st.tuples(st.sampled_from(Stage), st.integers(0, 9).map(float), inner), max_size=3
    ),
    max_leaves=12,
)


@settings(max_examples=60)
@given(TREES)
def test_each_second_counts_once_to_the_innermost_stage(trees: list[Tree]) -> None:
    """However calls nest, a stage has what was spent in it and not in a stage below it.

    Kills: the outer stage counts the inner one's seconds too; a sibling's seconds taken off twice.
    """
    with pytest.MonkeyPatch.context() as patch:
        clock = Clock()
        patch.setattr("primitives.meter.time.thread_time", lambda: clock.now_s)
        patch.setattr("primitives.meter.time.process_time", lambda: clock.now_s)
        meter, expected = Meter(), dict.fromkeys(Stage, 0.0)

        def play(stage: Stage, seconds: float, inner: list[Tree]) -> None:
            expected[stage] += seconds
            clock.spend(seconds / 2)
            for each in inner:
                meter.run(each[0], play, *each)
            clock.spend(seconds / 2)

        for each in trees:
            meter.run(each[0], play, *each)
        assert meter.seconds() == pytest.approx(expected)


def test_a_failure_counts_and_goes_on(clock: Clock) -> None:
    """What a failing call took counts, the error passes, and the next call is measured right."""
    meter = Meter()

    def fail() -> None:
        clock.spend(3)
        raise KeyError("planted")

    @metered(Stage.POOL, meter)
    def outer() -> str:
        with pytest.raises(KeyError, match="planted"):
            meter.run(Stage.DECODE, fail)
        clock.spend(1)
        return "value"

    assert outer() == "value"
    found = meter.seconds()
    assert (found[Stage.DECODE], found[Stage.POOL]) == (3, 1)


def test_a_whole_thread_has_what_no_stage_took(clock: Clock) -> None:
    """A thread's stage has its time from the gift on, less what was metered, during and after.

    Kills: seconds before the gift, metered seconds counted twice, or lost when the thread ends.
    """
    meter = Meter()
    clock.spend(10)
    with meter.thread(Stage.P2P):
        clock.spend(2)
        meter.run(Stage.CONSENSUS, clock.spend, 5)
        found = meter.seconds()
        assert (found[Stage.P2P], found[Stage.CONSENSUS], found[Stage.OTHER]) == (2, 5, 10)
        clock.spend(1)
        with pytest.raises(BrokenInvariant, match="given to one stage"), meter.thread(Stage.RPC):
            pass
    clock.spend(4)
    found = meter.seconds()
    assert (found[Stage.P2P], found[Stage.CONSENSUS], found[Stage.OTHER]) == (3, 5, 14)


def test_numbers_never_fall(clock: Clock) -> None:
    """A call that runs counts elsewhere until it ends; no number falls when it does.

    Kills: a counter that Prometheus takes for a restart.
    """
    meter = Meter()
    pages: list[dict[Stage, float]] = []

    def work() -> None:
        clock.spend(7)
        pages.append(meter.seconds())
        clock.spend(1)

    with meter.thread(Stage.P2P):
        meter.run(Stage.CONSENSUS, work)
        pages.append(meter.seconds())
    assert pages[0][Stage.P2P] == 7
    assert pages[1][Stage.CONSENSUS] == 8
    assert all(pages[1][stage] >= pages[0][stage] for stage in Stage)


def in_threads(count: int, function: Callable[[], None]) -> None:
    """Run a function in so many threads at once, to the end."""
    threads = [threading.Thread(target=function) for _ in range(count)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(20)


def test_threads_add_up_and_waiting_is_free() -> None:
    """Two real threads count both; a thread that sleeps or waits for another counts nothing.

    Kills: the wall clock, or the process's clock, in the place of the thread's.
    """
    meter = Meter()
    meter.run(Stage.BUILD, in_threads, 2, lambda: meter.run(Stage.CHECK, burn, 0.01))
    meter.run(Stage.LOG, time.sleep, 0.02)
    found = meter.seconds()
    assert 0.02 <= found[Stage.CHECK] < 0.02 + SLACK_S
    assert found[Stage.BUILD] < SLACK_S
    assert found[Stage.LOG] < SLACK_S


def test_another_threads_clock_is_read_while_it_lives() -> None:
    """A thread given to a stage counts while it runs, seen from another, and once it has ended."""
    meter = Meter()
    burnt, seen = threading.Event(), threading.Event()

    def live() -> None:
        with meter.thread(Stage.RPC):
            burn(0.01)
            burnt.set()
            seen.wait(20)

    thread = threading.Thread(target=live)
    thread.start()
    burnt.wait(20)
    during = meter.seconds()[Stage.RPC]
    seen.set()
    thread.join(20)
    assert 0.01 <= during <= meter.seconds()[Stage.RPC] < 0.01 + SLACK_S


def test_no_second_is_lost_between_threads() -> None:
    """Many threads that count at once lose nothing. Kills: adding without the lock."""
    meter, calls = Meter(), 2_000
    local = threading.local()

    def tick() -> float:
        local.now_s = getattr(local, "now_s", 0.0) + 0.5
        return float(local.now_s)

    def work() -> None:
        for _ in range(calls):
            meter.run(Stage.POOL, int)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("primitives.meter.time.thread_time", tick)
        in_threads(4, work)
    assert meter.seconds()[Stage.POOL] == 4 * calls * 0.5


def test_what_pauses_is_refused() -> None:
    """A coroutine or a generator would count in the wrong place; marking one is our mistake."""

    async def later() -> None: ...

    def some() -> object:
        yield 1

    for function in (later, some):
        with pytest.raises(BrokenInvariant, match="in the thread it began in"):
            metered(Stage.RPC)(function)


def test_a_use_is_cheap() -> None:
    """A metered call costs little beside a plain one; by batches it does not show."""
    meter, calls, best_s = Meter(), 2_000, float("inf")
    for _ in range(5):
        began_s = time.thread_time()
        for _ in range(calls):
            meter.run(Stage.POOL, int)
        best_s = min(best_s, (time.thread_time() - began_s) / calls)
    assert best_s < 10e-6


def test_recovery_in_threads_counts_as_decoding() -> None:
    """A large batch is recovered in other threads, and their time is in the stage as well.

    Kills: `decode` shows a tenth of what it takes.
    """
    raws = [sign(DYNAMIC_FIELDS)] * 200
    before_s, began_s = METER.seconds()[Stage.DECODE], time.process_time()
    answers = decode_transactions(raws)
    took_s = time.process_time() - began_s
    assert len(answers) == 200
    assert METER.seconds()[Stage.DECODE] - before_s > 0.8 * took_s
