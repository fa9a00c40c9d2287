"""A node in a process of its own: joins the peer at the given address and consumes its events."""

from __future__ import annotations

import sys

import trio

from tests.p2p.nodes import PEERS, network


async def main(address: str) -> None:
    """Run until killed."""
    node = network(1, addresses={PEERS[0]: (address,)})
    async with trio.open_nursery() as nursery:
        await nursery.start(node.run)
        async for _ in node.events:
            continue


if __name__ == "__main__":
    trio.run(main, sys.argv[1])
