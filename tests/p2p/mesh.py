"""Whole networks over the transport in memory, each knowing the others' addresses."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio

from p2p.events import PeerUp
from p2p.network import Network
from tests.p2p.memory import Hub
from tests.p2p.nodes import PEERS, network, wait_up


@asynccontextmanager
async def running(hub: Hub, *options: dict[str, Any]) -> AsyncIterator[list[Network]]:
    """Run a network for each of `options`; each knows the addresses of all the others."""
    addresses = {peer: (f"/memory/{peer}",) for peer in PEERS[: len(options)]}
    networks: list[Network] = []
    async with trio.open_nursery() as nursery:
        for index, option in enumerate(options):
            given = {"addresses": addresses} | option
            transport = hub.transport(PEERS[index], lambda peer, i=index: allow(networks, i, peer))
            networks.append(network(index, transport, **given))
        for each in networks:
            await nursery.start(each.run)
        yield networks
        nursery.cancel_scope.cancel()


def allow(networks: list[Network], index: int, peer: str) -> bool:
    return networks[index].is_allowed(peer)


async def pair_up(one: Network, two: Network) -> tuple[PeerUp, PeerUp]:
    return await wait_up(one.events), await wait_up(two.events)
