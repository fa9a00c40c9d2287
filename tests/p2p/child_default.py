"""A host as the library makes it, in a process of its own: dials the peer given, reads a letter."""

from __future__ import annotations

import sys

import trio
from libp2p import new_host
from libp2p.abc import INetStream
from libp2p.custom_types import TProtocol
from libp2p.peer.id import ID
from multiaddr import Multiaddr  # type: ignore[import-untyped] # has no type information

LOOPBACK = Multiaddr("/ip4/127.0.0.1/tcp/0")


async def read(stream: INetStream) -> None:
    """Handle a stream without a thought for what peers may send."""
    (await stream.read(1)).decode()


async def main(address: str, peer: str) -> None:
    """Run until something ends the process."""
    host = new_host(listen_addrs=[LOOPBACK])
    host.set_stream_handler(TProtocol("/echo"), read)
    async with host.run([LOOPBACK]):
        await host.get_network().dial_addr(Multiaddr(address), ID.from_string(peer))
        await trio.sleep_forever()


if __name__ == "__main__":
    trio.run(main, *sys.argv[1:])
