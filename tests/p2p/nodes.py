"""Networks for tests: keys, statuses, and a quick way to run some code in trio."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import trio
import trio.testing

from p2p.events import EventQueue, PeerDown, PeerUp
from p2p.keys import NodeKey
from p2p.network import Network, NetworkConfig
from p2p.status import Role, Status
from p2p.transport import Transport
from primitives.crypto.secp256k1 import PrivateKey
from primitives.types import ChainId, Hash32, Height

GENESIS = Hash32(b"\x11" * 32)
STATUS = Status(
    chain_id=ChainId(7), genesis_hash=GENESIS, height=Height(5), head_hash=Hash32(b"\x22" * 32)
)
NODE_KEYS = sorted((NodeKey(bytes([n]) * 32) for n in range(1, 9)), key=lambda key: key.peer_id)
"""In order of peer id, so that NODE_KEYS[0] is the lower one of every pair."""
PEERS = [key.peer_id for key in NODE_KEYS]


def mocked(scenario: Callable[[], Awaitable[None]], seconds: float = 600.0) -> None:
    """Run `scenario` under a clock that jumps, for at most `seconds` of its time."""

    async def bounded() -> None:
        with trio.fail_after(seconds):
            await scenario()

    trio.run(bounded, clock=trio.testing.MockClock(autojump_threshold=0))


def real(scenario: Callable[[], Awaitable[None]], seconds: float = 20.0) -> None:
    """Run `scenario` under the real clock, for at most `seconds`."""

    async def bounded() -> None:
        with trio.fail_after(seconds):
            await scenario()

    trio.run(bounded)


async def echo(peer: str, kind: int, body: bytes) -> Sequence[bytes]:
    """Serve a request with its own kind and body."""
    return [bytes((kind,)), body]


def validator_status(key: PrivateKey) -> Status:
    return replace(STATUS, role=Role.VALIDATOR, validator=key.address)


def network(
    index: int, transport: Transport | None = None, status: Status = STATUS, **more: Any
) -> Network:
    """Return the network of node `index`, over `transport` or libp2p."""
    config = {
        name: more.pop(name)
        for name in ("permitted", "addresses", "listen_port", "limits")
        if name in more
    }
    config.setdefault("permitted", lambda _: True)
    more.setdefault("own_status", lambda: status)
    more.setdefault("prove", lambda _: None)
    more.setdefault("serve", echo)
    return Network(NetworkConfig(NODE_KEYS[index], **config), transport=transport, **more)


async def wait_up(events: EventQueue) -> PeerUp:
    """Return the next event, which must be a PeerUp."""
    event = await events.receive()
    assert isinstance(event, PeerUp), event
    return event


async def wait_down(events: EventQueue) -> PeerDown:
    """Return the next event, which must be a PeerDown."""
    event = await events.receive()
    assert isinstance(event, PeerDown), event
    return event
