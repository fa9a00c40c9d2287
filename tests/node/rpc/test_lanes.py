"""Worker lanes are bounded, timed, and closed for good."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass

import pytest

from node.rpc.errors import RpcError
from node.rpc.lanes import Lane, Lanes
from node.rpc.settings import RpcSettings


@dataclass
class _Timed:
    deadline: float
    call_deadline: float = 0.0


def _request(seconds: float = 5.0) -> _Timed:
    return _Timed(time.monotonic() + seconds)


async def _code(lanes: Lanes, request: _Timed | None = None) -> int:
    with pytest.raises(RpcError) as refused:
        await lanes.run(Lane.CALL, lambda: None, request or _request())
    return refused.value.code


def test_what_waits_is_bounded_and_lanes_do_not_share() -> None:
    """Above the bound a call is refused at once; submissions still run; later calls do again."""

    async def check() -> None:
        lanes = Lanes(RpcSettings(workers=1, waiting_max=2))
        go = threading.Event()
        stuck = [
            asyncio.create_task(lanes.run(Lane.CALL, lambda: go.wait(5), _request()))
            for _ in range(2)
        ]
        await asyncio.sleep(0)
        assert await _code(lanes) == -32005
        assert await lanes.run(Lane.SUBMIT, lambda: 7, _request()) == 7
        go.set()
        assert await asyncio.gather(*stuck) == [True, True]
        await asyncio.sleep(0)
        assert await lanes.run(Lane.CALL, lambda: 8, _request()) == 8
        lanes.close()

    asyncio.run(check())


def test_a_timed_out_call_keeps_its_place_until_it_ends() -> None:
    """The bound counts workers that are still busy, not callers that still wait."""

    async def check() -> None:
        lanes = Lanes(RpcSettings(workers=1, waiting_max=1, call_timeout_s=0.01))
        go = threading.Event()
        with pytest.raises(RpcError) as late:
            await lanes.run(Lane.CALL, lambda: go.wait(5), _request())
        assert late.value.code == -32002
        assert await _code(lanes) == -32005
        go.set()
        lanes.close()

    asyncio.run(check())


def test_the_earlier_deadline_counts() -> None:
    """A request near its own end gives its calls no more time than it has."""

    async def check() -> None:
        lanes = Lanes(RpcSettings(workers=1, call_timeout_s=60.0))
        go = threading.Event()
        with pytest.raises(RpcError) as late:
            await lanes.run(Lane.CALL, lambda: go.wait(5), _request(0.01))
        assert late.value.code == -32002
        go.set()
        lanes.close()
        assert await _code(lanes) == -32000

    asyncio.run(check())


def test_what_has_not_begun_is_taken_out() -> None:
    """A call whose time passed, or whose caller left, never runs and keeps no place."""

    async def check() -> None:
        lanes = Lanes(RpcSettings(workers=1, waiting_max=3))
        go, ran = threading.Event(), []
        stuck = asyncio.create_task(lanes.run(Lane.CALL, lambda: go.wait(5), _request()))
        left = asyncio.create_task(lanes.run(Lane.CALL, lambda: ran.append(1), _request()))
        await asyncio.sleep(0)
        with pytest.raises(RpcError):
            await lanes.run(Lane.CALL, lambda: ran.append(2), _request(0.01))
        left.cancel()
        await asyncio.wait([left])
        await asyncio.sleep(0)
        more = [asyncio.create_task(lanes.run(Lane.CALL, lambda: 1, _request())) for _ in range(2)]
        await asyncio.sleep(0)
        go.set()
        assert await asyncio.gather(stuck, *more) == [True, 1, 1]
        assert ran == []
        lanes.close()

    asyncio.run(check())


def test_what_waits_when_the_lanes_close_is_told() -> None:
    """Nobody waits for a call that the end of the node dropped."""

    async def check() -> None:
        lanes = Lanes(RpcSettings(workers=1))
        go = threading.Event()
        stuck = asyncio.create_task(lanes.run(Lane.CALL, lambda: go.wait(5), _request()))
        late = asyncio.create_task(_code(lanes))
        await asyncio.sleep(0)
        lanes.close()
        assert await late == -32000
        go.set()
        assert await stuck is True

    asyncio.run(check())
