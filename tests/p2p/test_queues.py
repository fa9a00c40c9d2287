"""Queues: bounded on the way in and on the way out, and nothing is lost in between."""

from __future__ import annotations

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from p2p.events import EVENT_COST_BYTES, EventQueue, PeerDown, Received, Stream
from p2p.frames import FRAME_BYTES_MAX, encode_message
from p2p.outbox import Outbox
from primitives.errors import PeerGone
from tests.p2p.nodes import mocked


def received(peer: str, number: int = 0, size_bytes: int = 0) -> Received:
    return Received(peer, Stream.CONSENSUS, number, bytes(size_bytes))


class Sink:
    """A stream that notes what is written to it."""

    def __init__(self, pause_seconds: float = 0.0) -> None:
        self.writes: list[bytes] = []
        self.times: list[float] = []
        self.pause_seconds = pause_seconds

    async def write(self, data: bytes) -> None:
        await trio.sleep(self.pause_seconds)
        self.writes.append(data)
        self.times.append(trio.current_time())

    async def read(self) -> bytes:
        raise PeerGone("nothing to read")

    async def finish(self) -> None:
        await trio.lowlevel.checkpoint()

    async def reset(self) -> None:
        await trio.lowlevel.checkpoint()


def test_events_in_order_and_waiting() -> None:
    """Above its allowance a peer waits, others do not, and all arrives in order.

    Kills: dropping when full; letting one peer's flood hold up another.
    """

    async def scenario() -> None:
        queue = EventQueue(messages_max=2)
        sent = []

        async def send_five() -> None:
            for number in range(5):
                await queue.put(received("a", number))
                sent.append(number)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_five)
            await trio.testing.wait_all_tasks_blocked()
            assert sent == [0, 1]
            await queue.put(received("b", 9))
            queue.put_down(PeerDown("a", "gone"))
            taken = [await queue.receive() for _ in range(7)]
        numbers = [each.kind for each in taken if isinstance(each, Received) and each.peer == "a"]
        assert numbers == [0, 1, 2, 3, 4]
        assert queue._usage == {}
        assert queue._senders == {}
        with pytest.raises(trio.WouldBlock):
            queue.receive_nowait()

    mocked(scenario)


def test_event_bytes_are_bounded() -> None:
    """Bytes count too; one message above the allowance passes when it is alone."""

    async def scenario() -> None:
        queue = EventQueue(size_bytes_max=1_000)
        await queue.put(received("a", size_bytes=5_000))
        assert not queue.has_room("a")
        await queue.receive()
        await queue.put(received("a", size_bytes=999 - EVENT_COST_BYTES))
        assert queue.has_room("a")
        await queue.put(received("a"))
        assert not queue.has_room("a")

    mocked(scenario)


def test_receivers_wait() -> None:
    """`async for` waits for the next event; a cancelled wait loses nothing."""

    async def scenario() -> None:
        queue = EventQueue()
        with trio.move_on_after(1):
            await queue.receive()
        await queue.put(received("a", 3))
        async for event in queue:
            assert event == received("a", 3)
            return

    mocked(scenario)


@settings(max_examples=50)
@given(st.lists(st.integers(0, 150_000), max_size=12))
def test_outbox_writes_all_in_order(sizes: list[int]) -> None:
    """Everything put is written, in order, in writes of at most one frame's size."""

    async def scenario() -> None:
        outbox, sink = Outbox(), Sink()
        messages = [encode_message(n, bytes(size)) for n, size in enumerate(sizes)]
        assert all(outbox.put(each) for each in messages)
        with trio.move_on_after(1):
            await outbox.run(sink)
        assert b"".join(sink.writes) == b"".join(messages)
        assert all(len(each) <= FRAME_BYTES_MAX for each in sink.writes)
        assert outbox.size_bytes == 0

    mocked(scenario)


def test_small_messages_share_a_write() -> None:
    """Messages that wait together leave together."""

    async def scenario() -> None:
        outbox, sink = Outbox(), Sink()
        for _ in range(1_000):
            outbox.put(encode_message(1, bytes(59)))
        with trio.move_on_after(1):
            await outbox.run(sink)
        assert [len(each) for each in sink.writes] == [64_000]

    mocked(scenario)


def test_outbox_is_bounded() -> None:
    """Messages and bytes are bounded; what is being written counts; a lone message fits."""

    async def scenario() -> None:
        outbox = Outbox(messages_max=3, size_bytes_max=100)
        assert [outbox.put(b"x") for _ in range(4)] == [True, True, True, False]
        outbox = Outbox(messages_max=3, size_bytes_max=100)
        assert outbox.put(bytes(200))
        assert not outbox.put(b"x")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(outbox.run, Sink(pause_seconds=1.0))
            await trio.sleep(0.5)
            assert outbox.put(b"y")
            assert not outbox.put(b"z")
            await trio.sleep(2.0)
            assert outbox.size_bytes == 0
            nursery.cancel_scope.cancel()

    mocked(scenario)


def test_linger() -> None:
    """With a linger a write waits for company, but not when a frame is full."""

    async def scenario() -> None:
        outbox, sink = Outbox(linger_seconds=0.01), Sink()
        start = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(outbox.run, sink)
            outbox.put(b"a")
            await trio.sleep(0.005)
            outbox.put(b"b")
            await trio.sleep(1.0)
            assert sink.writes == [b"ab"]
            assert sink.times == [pytest.approx(start + 0.01)]
            outbox.put(b"c")
            await trio.sleep(0.002)
            outbox.put(bytes(FRAME_BYTES_MAX))
            await trio.sleep(1.0)
            assert len(sink.writes) == 3
            assert sink.times[1] == pytest.approx(start + 1.007)
            nursery.cancel_scope.cancel()

    mocked(scenario)
