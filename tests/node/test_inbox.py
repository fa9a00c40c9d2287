"""The inbox must hand out local inputs before peers' and make a flooding reader wait."""

from __future__ import annotations

import trio
import trio.testing

from node.inbox import BATCH_MAX, PEER_MESSAGES_MAX, Inbox


def test_local_inputs_come_first() -> None:
    """A timer overtakes any number of queued peers' messages (planted bug: one shared lane)."""

    async def main() -> None:
        inbox: Inbox[int] = Inbox()
        for number in range(BATCH_MAX + 10):
            await inbox.put_from_peer(number)
        inbox.put(-1)
        first = await inbox.wait_batch()
        assert first[0] == -1
        assert len(first) == BATCH_MAX + 1
        assert await inbox.wait_batch() == list(range(BATCH_MAX, BATCH_MAX + 10))

    trio.run(main)


def test_full_lane_makes_the_reader_wait() -> None:
    """No peer message is lost or accepted beyond PEER_MESSAGES_MAX until the consumer drains."""

    async def main() -> None:
        inbox: Inbox[int] = Inbox()
        for number in range(PEER_MESSAGES_MAX):
            await inbox.put_from_peer(number)
        with trio.move_on_after(1) as scope:
            await inbox.put_from_peer(-1)
        assert scope.cancelled_caught
        got = len(await inbox.wait_batch())
        await inbox.put_from_peer(-2)
        while got < PEER_MESSAGES_MAX + 1:
            got += len(await inbox.wait_batch())
        assert got == PEER_MESSAGES_MAX + 1

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def test_waits_while_empty() -> None:
    """The consumer sleeps until something comes."""

    async def main() -> None:
        inbox: Inbox[str] = Inbox()
        seen: list[str] = []
        async with trio.open_nursery() as nursery:

            async def consume() -> None:
                seen.extend(await inbox.wait_batch())

            nursery.start_soon(consume)
            await trio.testing.wait_all_tasks_blocked()
            inbox.put("late")
        assert seen == ["late"]

    trio.run(main)
