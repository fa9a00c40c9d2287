"""Nobody gets more through a bucket than its burst and its rate allow, whatever the pattern."""

from __future__ import annotations

import trio
from hypothesis import given
from hypothesis import strategies as st

from p2p.bucket import TokenBucket
from p2p.events import PeerUp, Received, Stream
from p2p.link import TX_BYTES_BURST, TX_BYTES_PER_SECOND
from tests.p2p.memory import Hub
from tests.p2p.mesh import pair_up, running
from tests.p2p.nodes import PEERS, mocked


@given(st.lists(st.tuples(st.floats(0, 3), st.floats(0, 50)), max_size=60))
def test_rate_and_burst(steps: list[tuple[float, float]]) -> None:
    """Who waits as told stays below burst + rate * time + one message (bug: gained without end)."""
    bucket, now, taken, most = TokenBucket(10, 30), 5.0, 0.0, 0.0
    for pause, count in steps:
        now += pause
        wait = bucket.take(count, now)
        taken, most = taken + count, max(most, count)
        assert taken <= 30 + 10 * (now - 5.0) + most + 1e-6
        now += wait
        assert bucket.tokens >= -count - 1e-6


def test_transactions_of_a_peer_are_slowed_not_lost() -> None:
    """A flood of transactions arrives at the rate, whole and in order; consensus is not slowed."""

    async def scenario() -> None:
        hub = Hub()
        async with running(hub, {}, {}) as (low, high):
            await pair_up(low, high)
            started = trio.current_time()
            size, count = 100_000, 160
            got = 0

            async def flood() -> None:
                for number in range(count):
                    low.send(PEERS[1], Stream.TX, 1, number.to_bytes(2, "big") * (size // 2))
                    await trio.sleep(0.02)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(flood)
                while got < count:
                    event = await high.events.receive()
                    assert isinstance(event, Received | PeerUp), event
                    if isinstance(event, Received) and event.stream is Stream.TX:
                        assert event.body[:2] == got.to_bytes(2, "big")
                        got += 1
            seconds = trio.current_time() - started
            assert seconds >= 0.9 * (count * size - TX_BYTES_BURST) / TX_BYTES_PER_SECOND

    mocked(scenario)
