"""A packet switch in user space, for the namespaces of `scripts.chaos_spaces`; a process by itself.

Each end is a TUN device of one network namespace. The switch reads every IPv4 packet that an end's
kernel sends, and hands it to the kernel that it is for, as the weather of that one direction wills:
late, out of order, twice, slowly, or never. So retransmissions, lost SYNs, segments out of order
and round-trip times are those of the kernel's own TCP. Packets that are not for an end are dropped:
nothing leaves the machine.

    python -m scripts.chaos_packets SEED ADDRESS=FD ADDRESS=FD ...

One JSON object a line on standard input sets the weather, {"ways": [[0, 1]], "weather": {...}},
ends counted from 0 in the order of the command line; the answer is one line with the counters. The
switch ends when standard input does. Order on the way: cut, loss, the queue of a rate, doubles,
delay and jitter (which is what lets packets overtake).
"""

from __future__ import annotations

import heapq
import json
import os
import random
import select
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from itertools import count
from typing import Any, Final

PACKET_BYTES_MAX: Final = 2_048
QUEUE_BYTES_MAX: Final = 8_192
"""What waits for a slow way; more is dropped at the tail, as a router does."""
BURST_BYTES: Final = 3_000
HELD_PACKETS_MAX: Final = 20_000
READS_MAX: Final = 64
"""Packets taken from one end before the others and what is due have their turn."""
CONTROL_BYTES: Final = 65_536
HEADER_BYTES: Final = 20


@dataclass(frozen=True, slots=True)
class Weather:
    """What happens to the bytes of one link now; `loss` and `doubles` are shares of the packets.

    Each packet takes `delay_s` and up to `jitter_s` more; `rate_bytes_s` 0 is without a limit.
    """

    is_cut: bool = False
    delay_s: float = 0.0
    jitter_s: float = 0.0
    loss: float = 0.0
    doubles: float = 0.0
    rate_bytes_s: float = 0.0


CLEAR: Final = Weather()


@dataclass(slots=True)
class Counters:
    """Packets since the start, by what became of them; `overtaken` ones came after a later one."""

    carried: int = 0
    cut: int = 0
    lost: int = 0
    overflowed: int = 0
    doubled: int = 0
    overtaken: int = 0
    strayed: int = 0


@dataclass(slots=True)
class Way:
    """One direction between two ends: its weather, and when its token bucket is even again."""

    weather: Weather = CLEAR
    even_at_s: float = float("-inf")
    newest: int = -1

    def times(
        self, size_bytes: int, now_s: float, chance: random.Random, counters: Counters
    ) -> list[float]:
        """Return when copies of a packet that comes now are due; none when it is dropped."""
        weather = self.weather
        if weather.is_cut:
            counters.cut += 1
            return []
        if weather.loss and chance.random() < weather.loss:
            counters.lost += 1
            return []
        sent_s = now_s
        if weather.rate_bytes_s:
            even_s = max(self.even_at_s, now_s - BURST_BYTES / weather.rate_bytes_s)
            even_s += size_bytes / weather.rate_bytes_s
            if (even_s - now_s) * weather.rate_bytes_s > QUEUE_BYTES_MAX:
                counters.overflowed += 1
                return []
            self.even_at_s = even_s
            sent_s = max(now_s, even_s)
        copies = 1
        if weather.doubles and chance.random() < weather.doubles:
            counters.doubled += 1
            copies = 2
        return [
            sent_s + weather.delay_s + chance.uniform(0, weather.jitter_s) for _ in range(copies)
        ]


@dataclass(order=True, slots=True)
class _Held:
    due_s: float
    number: int
    target: int = field(compare=False)
    way: Way = field(compare=False)
    packet: bytes = field(compare=False)


class Switch:
    """Carries packets between `ends`, pairs of an IPv4 address and a TUN device's file."""

    def __init__(self, ends: Sequence[tuple[str, int]], seed: int) -> None:
        self._files = [file for _, file in ends]
        self._numbers = {socket.inet_aton(address): at for at, (address, _) in enumerate(ends)}
        indexes = range(len(ends))
        self.ways = {(a, b): Way() for a in indexes for b in indexes if a != b}
        self.counters = Counters()
        self._chance = random.Random(seed)
        self._held: list[_Held] = []
        self._order = count()

    def run(self, control: int, answers: int) -> None:
        """Carry until `control` ends."""
        poll = select.epoll()
        origins = {file: at for at, file in enumerate(self._files)}
        for file in (*self._files, control):
            poll.register(file, select.EPOLLIN)
        rest = b""
        while True:
            pause_s = max(0.0, self._held[0].due_s - time.monotonic()) if self._held else -1
            for file, _ in poll.poll(pause_s):
                if file != control:
                    self._receive(origins[file])
                    continue
                data = os.read(control, CONTROL_BYTES)
                if not data:
                    return
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    self.obey(json.loads(line))
                    os.write(answers, json.dumps(asdict(self.counters)).encode() + b"\n")
            self._deliver()

    def obey(self, command: Mapping[str, Any]) -> None:
        """Set the weather of the ways that the command names."""
        for a, b in command.get("ways", ()):
            self.ways[a, b].weather = Weather(**command["weather"])

    def _receive(self, origin: int) -> None:
        for _ in range(READS_MAX):
            try:
                packet = os.read(self._files[origin], PACKET_BYTES_MAX)
            except BlockingIOError:
                return
            target = self._target_of(packet, origin)
            if target is None:
                self.counters.strayed += 1
                continue
            if len(self._held) >= HELD_PACKETS_MAX:
                self.counters.overflowed += 1
                continue
            way = self.ways[origin, target]
            now_s = time.monotonic()
            for due_s in way.times(len(packet), now_s, self._chance, self.counters):
                heapq.heappush(self._held, _Held(due_s, next(self._order), target, way, packet))

    def _target_of(self, packet: bytes, origin: int) -> int | None:
        """Return the end that an IPv4 packet of `origin` is for; None for everything else."""
        if len(packet) < HEADER_BYTES or packet[0] >> 4 != 4:
            return None
        if self._numbers.get(packet[12:16]) != origin:
            return None
        target = self._numbers.get(packet[16:20])
        return None if target == origin else target

    def _deliver(self) -> None:
        """Hand over what is due; a way that was cut meanwhile also loses what is on it."""
        now_s = time.monotonic()
        while self._held and self._held[0].due_s <= now_s:
            held = heapq.heappop(self._held)
            if held.way.weather.is_cut:
                self.counters.cut += 1
                continue
            self.counters.overtaken += held.number < held.way.newest
            held.way.newest = max(held.way.newest, held.number)
            with suppress(OSError):  # a full or downed device loses it, as a card would
                os.write(self._files[held.target], held.packet)
                self.counters.carried += 1


def main(arguments: Sequence[str]) -> int:
    """Run the switch that the command line describes, until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started us decides
    seed, *ends = arguments
    pairs = [each.split("=") for each in ends]
    Switch([(address, int(file)) for address, file in pairs], int(seed)).run(
        sys.stdin.fileno(), sys.stdout.fileno()
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
