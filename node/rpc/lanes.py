"""Bounded worker lanes: calls and submissions never hold up the server's loop or each other."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from enum import Enum
from typing import Final, Protocol, TypeVar

from node.rpc.errors import LIMIT_EXCEEDED, SERVER_ERROR, TIMED_OUT, RpcError
from node.rpc.settings import RpcSettings
from primitives.meter import METER, Stage

T = TypeVar("T")


class Lane(Enum):
    """Where a method runs: in the loop, with reads that may be long, or with submissions."""

    INLINE = "inline"
    CALL = "call"
    SUBMIT = "submit"


class Timed(Protocol):
    """Something with deadlines of `time.monotonic`: its own, and that of its present call."""

    deadline: float
    call_deadline: float


class Lanes:
    """Two thread pools with a bound on what waits; used from the server's loop."""

    def __init__(self, settings: RpcSettings) -> None:
        self._settings = settings
        self._closed = False
        self._waiting: Final = {Lane.CALL: 0, Lane.SUBMIT: 0}
        self._pools: Final = {
            Lane.CALL: ThreadPoolExecutor(settings.workers, "rpc-call"),
            Lane.SUBMIT: ThreadPoolExecutor(settings.submit_workers, "rpc-submit"),
        }

    async def run(self, lane: Lane, function: Callable[[], T], request: Timed) -> T:
        """Run `function` in the lane and return its value.

        Raises RpcError when too much waits or when the time limit passes. A call that has begun
        goes on in its worker; its result is dropped.
        """
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        def settle(outcome: T | BaseException) -> None:
            if done.done():
                return
            if isinstance(outcome, BaseException):
                done.set_exception(outcome)
            else:
                done.set_result(outcome)

        future = self.start(lane, function, request, settle)
        try:
            return await done
        finally:
            future.cancel()

    def start(
        self,
        lane: Lane,
        function: Callable[[], T],
        request: Timed,
        settle: Callable[[T | BaseException], None],
    ) -> Future[None]:
        """Let `settle` be called once, later and in the loop, with the value or what was raised.

        No task waits for it. Raises as `run` does when too much waits; all else goes to `settle`.
        Cancelling what is returned takes the call out unless it has begun.
        """
        if self._closed:
            raise RpcError(SERVER_ERROR, "the node is stopping")
        if self._waiting[lane] >= self._settings.waiting_max:
            raise RpcError(LIMIT_EXCEEDED, "too many requests in progress")
        loop = asyncio.get_running_loop()
        now = time.monotonic()
        request.call_deadline = min(request.deadline, now + self._settings.call_timeout_s)
        self._waiting[lane] += 1
        is_settled = False

        def late() -> None:
            settle_once(RpcError(TIMED_OUT, "request timed out"))
            future.cancel()

        def settle_once(outcome: T | BaseException) -> None:
            nonlocal is_settled
            if not is_settled:
                is_settled = True
                timer.cancel()
                settle(outcome)

        def ended(outcome: T | BaseException) -> None:
            self._waiting[lane] -= 1
            settle_once(outcome)

        def work() -> None:
            outcome: T | BaseException
            try:
                outcome = METER.run(Stage.RPC, function)
            except BaseException as error:  # noqa: BLE001 - it goes to who asked
                outcome = error
            tell(outcome)

        def tell(outcome: T | BaseException) -> None:
            with contextlib.suppress(RuntimeError):  # the loop may have closed meanwhile
                loop.call_soon_threadsafe(ended, outcome)

        def finished(future: Future[None]) -> None:
            if future.cancelled():
                tell(RpcError(SERVER_ERROR, "the node is stopping"))

        timer = loop.call_later(request.call_deadline - now, late)
        future = self._pools[lane].submit(work)
        future.add_done_callback(finished)
        return future

    def close(self) -> None:
        """Drop what waits; what runs ends by itself."""
        self._closed = True
        for pool in self._pools.values():
            pool.shutdown(wait=False, cancel_futures=True)
