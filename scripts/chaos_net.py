"""The links between the nodes of `scripts.chaos`: TCP proxies that cut, delay, lose and slow down.

Each node dials each other one through a proxy of its own, so every direction of every pair can be
spoilt by itself, without any right on the machine. A cut link is silent, as a lost cable is:
nothing passes, nothing is closed, and what was written meanwhile comes late when it heals, as
TCP's repetitions would bring it. A lost packet is a pause of LOST_S, which is what TCP makes of it.
Jitter and doubles mean nothing to a stream. Addresses are of this machine alone.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from scripts.chaos_clocks import Clocks
from scripts.chaos_cluster import ChaosCluster, Links
from scripts.chaos_packets import CLEAR, Weather
from tests.system.cluster import free_ports

HOST: Final = "127.0.0.1"
PIECE_BYTES: Final = 16_384
LOST_S: Final = 0.25
READY_S_MAX: Final = 10


@dataclass(slots=True)
class _Proxy:
    """One way from node to node."""

    port: int
    target: int
    weather: Weather = CLEAR
    healed: asyncio.Event = field(default_factory=asyncio.Event)


class Proxies:
    """All proxies, in a thread of their own; `ways` maps (from, to) to (own port, node's port)."""

    has_packets = False

    def __init__(self, ways: dict[tuple[int, int], tuple[int, int]], seed: int) -> None:
        self._proxies = {way: _Proxy(*ports) for way, ports in ways.items()}
        self._random = random.Random(seed)
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="links", daemon=True)
        self._servers: list[asyncio.Server] = []
        self._bytes_carried = 0

    def __enter__(self) -> Proxies:
        self._thread.start()
        if not self._ready.wait(READY_S_MAX):
            raise OSError("the proxies did not start")
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(READY_S_MAX)

    # --- weather; from any thread -----------------------------------------------------------------

    def cut(self, one: Collection[int], other: Collection[int]) -> None:
        """Let nothing pass between two groups."""
        self._set(self._between(one, other), Weather(is_cut=True))

    def cut_one_way(self, one: Collection[int], other: Collection[int]) -> None:
        """Cut the links that the first group dialled to the second; the others stay."""
        ways = [(a, b) for a in one for b in other]
        self._set(ways, Weather(is_cut=True))

    def spoil(self, weather: Weather) -> None:
        """Give all links this weather."""
        self._set(list(self._proxies), weather)

    def heal(self) -> None:
        """Let everything pass again."""
        self.spoil(CLEAR)

    def counts(self) -> dict[str, int]:
        """Return how many bytes were carried."""
        return {"bytesCarried": self._bytes_carried}

    def _between(self, one: Collection[int], other: Collection[int]) -> list[tuple[int, int]]:
        return [
            (a, b)
            for a, b in self._proxies
            if (a in one and b in other) or (b in one and a in other)
        ]

    def _set(self, ways: list[tuple[int, int]], weather: Weather) -> None:
        done = threading.Event()

        def change() -> None:
            for way in ways:
                proxy = self._proxies[way]
                proxy.weather = weather
                if not weather.is_cut:
                    proxy.healed.set()
                    proxy.healed = asyncio.Event()
            done.set()

        self._loop.call_soon_threadsafe(change)
        if not done.wait(READY_S_MAX):
            raise OSError("the proxies do not answer")

    # --- the thread -------------------------------------------------------------------------------

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._start())
        self._ready.set()
        self._loop.run_forever()
        self._loop.set_exception_handler(lambda *_: None)  # cancelled connections are no news
        for server in self._servers:
            server.close()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.run_until_complete(asyncio.sleep(0))  # aborted sockets close in the next turn
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    async def _start(self) -> None:
        for proxy in self._proxies.values():
            carry = partial(self._carry, proxy)
            self._servers.append(await asyncio.start_server(carry, HOST, proxy.port))

    async def _carry(
        self, proxy: _Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Join one connection with the node behind, until either side ends it."""
        there: asyncio.StreamWriter | None = None
        try:
            await self._wait_healed(proxy)
            back, there = await asyncio.open_connection(HOST, proxy.target)
            ways = [
                asyncio.ensure_future(self._pump(proxy, reader, there)),
                asyncio.ensure_future(self._pump(proxy, back, writer)),
            ]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
        except OSError:
            pass
        finally:
            for end in _present(writer, there):
                end.transport.abort()

    async def _pump(
        self, proxy: _Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(PIECE_BYTES):
                weather = proxy.weather
                pause = weather.delay_s
                if weather.loss and self._random.random() < weather.loss:
                    pause += LOST_S
                if weather.rate_bytes_s:
                    pause += len(data) / weather.rate_bytes_s
                if pause:
                    await asyncio.sleep(pause)
                await self._wait_healed(proxy)
                writer.write(data)
                await writer.drain()
                self._bytes_carried += len(data)

    @staticmethod
    async def _wait_healed(proxy: _Proxy) -> None:
        while proxy.weather.is_cut:
            await proxy.healed.wait()


def _present(*writers: asyncio.StreamWriter | None) -> Iterator[asyncio.StreamWriter]:
    return (each for each in writers if each is not None)


class ProxyCluster(ChaosCluster):
    """Validators that reach each other through proxies."""

    def __init__(self, path: Path, clocks: Clocks | None) -> None:
        super().__init__(path, clocks)
        pairs = [(a, b) for a in self.indexes for b in self.indexes if a != b]
        taken = {*self.net.rpc_ports, *self.net.p2p_ports}
        free = [port for port in free_ports(len(pairs) + len(taken)) if port not in taken]
        self.ways = {
            (a, b): (port, self.net.p2p_ports[b]) for (a, b), port in zip(pairs, free, strict=False)
        }

    def entry(self, _: int) -> list[str]:
        """Return nothing: all are in the same place."""
        return []

    def way(self, origin: int, target: int) -> str:
        """Return the multiaddr of the proxy between two nodes."""
        return f"/ip4/{HOST}/tcp/{self.ways[origin, target][0]}"


@contextmanager
def proxied(path: Path, clocks: Clocks | None, seed: int) -> Iterator[tuple[ChaosCluster, Links]]:
    """Yield validators in `path`, not started yet, and the proxies between them."""
    with ProxyCluster(path, clocks) as cluster, Proxies(cluster.ways, seed) as proxies:
        yield cluster, proxies
