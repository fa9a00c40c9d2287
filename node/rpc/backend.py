"""What every method gets: the node, the settings, live events, filters, and the session."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from node.rpc.access import Caller
from node.rpc.api import ChainReader, NodeApi, Operator
from node.rpc.arguments import BlockRef
from node.rpc.counts import Counts
from node.rpc.encoded import EncodedCache, new_cache
from node.rpc.errors import TIMED_OUT, RpcError, server_error
from node.rpc.filters import Filters
from node.rpc.hub import Hub
from node.rpc.lanes import Lanes
from node.rpc.settings import RpcSettings
from primitives.errors import Fatal
from primitives.types import Height
from primitives.validators import ValidatorSet
from vm.chainrules import ChainRules
from vm.state.changes import StateReader


class Session(Protocol):
    """A WebSocket connection that can carry subscriptions."""

    def subscribe(self, wanted: object) -> str:
        """Send what a `Subscription` wants; returns its id, after whose answer notices begin."""
        ...

    def send_first(self, subscription: str, results: Sequence[object]) -> None:
        """Send `results` to a subscription that was made by this request, before all others."""
        ...

    def unsubscribe(self, subscription: str) -> bool:
        """End a subscription; False when there is none of that id."""
        ...


def go_on(_error: Fatal) -> None:
    """Stand in where there is no node to stop."""


@dataclass(frozen=True, slots=True)
class Backend:
    """The parts that methods work with."""

    api: NodeApi
    settings: RpcSettings
    hub: Hub
    filters: Filters
    lanes: Lanes
    counts: Counts = field(default_factory=Counts)
    stop: Callable[[Fatal], None] = go_on
    """Stops the node because an invariant broke; from any thread."""
    encoded: EncodedCache = field(default_factory=new_cache)


@dataclass(slots=True)
class Request:
    """One JSON-RPC body in progress; deadlines are of `time.monotonic`, in seconds."""

    backend: Backend
    session: Session | None
    deadline: float
    caller: Caller | None = None
    view: ChainReader = field(init=False)
    call_deadline: float = field(init=False)

    def __post_init__(self) -> None:
        self.view = self.backend.api.view()
        self.call_deadline = self.deadline

    @property
    def rules(self) -> ChainRules:
        """The rules of the chain's blocks."""
        return self.backend.api.rules

    def is_late(self) -> bool:
        """Return whether the call's time is over; an engine asks it while code runs."""
        return time.monotonic() > self.call_deadline

    def check_time(self) -> None:
        """Raise RpcError when the call's time is over; long loops ask it now and then."""
        if self.is_late():
            raise RpcError(TIMED_OUT, "request timed out")


def operator_of(request: Request) -> Operator:
    """Return the operator's side of the node; raises RpcError where there is none."""
    operator = request.backend.api.operator
    if operator is None:
        raise server_error("this node has no peers and takes no part in consensus")
    return operator


def validators_at(view: ChainReader, height: Height) -> ValidatorSet | None:
    """Return the validators that decided `height`; None for the genesis and above the head."""
    return view.validators_at(height) if height else None


def resolve(view: ChainReader, block: BlockRef) -> Height | None:
    """Return the height that `block` names, or None when there is no such block.

    latest, safe, finalized and pending are all the head: a block that exists is final.
    """
    if block.hash is not None:
        return view.height_of(block.hash)
    if block.height is not None:
        return block.height if block.height <= view.head.height else None
    return Height(0) if block.tag == "earliest" else view.head.height


def height_at(view: ChainReader, block: BlockRef) -> Height:
    """Return the height that `block` names; raises RpcError when there is no such block."""
    height = resolve(view, block)
    if height is None:
        raise server_error("header for hash not found" if block.hash else "header not found")
    return height


def state_at(view: ChainReader, block: BlockRef) -> StateReader:
    """Return the state after `block`.

    Raises RpcError when there is no such block, HistoryPruned when its state is not kept.
    """
    return view.state_at(height_at(view, block))
