"""The packet switch of the chaos runs does to packets what its weather says, and to no others."""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import psutil
import pytest

from scripts import chaos_packets
from scripts.chaos_packets import (
    BURST_BYTES,
    CLEAR,
    QUEUE_BYTES_MAX,
    Counters,
    Switch,
    Way,
    Weather,
)
from scripts.chaos_spaces import HOSTS, MY_NAMESPACE, Spaces, kernel_counts, why_not
from scripts.tidy import ROOT

BYTES = 300_000
PORT = 4000
PACKETS = 10_000
SIZE = 1_000


def times(
    weather: Weather, count: int = PACKETS, gap_s: float = 0.0
) -> tuple[list[float], Counters]:
    """Return when packets that come `gap_s` apart from 0 s on are due, copies too."""
    way, chance, counters = Way(weather), random.Random(1), Counters()
    due = [
        each - gap_s * number
        for number in range(count)
        for each in way.times(SIZE, gap_s * number, chance, counters)
    ]
    return due, counters


def test_clear_weather_does_nothing() -> None:
    """Every packet is due at once, once."""
    assert times(Weather()) == ([0.0] * PACKETS, Counters())


def test_cut_way_drops_all() -> None:
    """No packet passes, and each is counted."""
    assert times(Weather(is_cut=True)) == ([], Counters(cut=PACKETS))


def test_loss_and_doubles_are_shares_of_the_packets() -> None:
    """A tenth is lost; three of ten come twice; nothing else happens."""
    due, counters = times(Weather(loss=0.1))
    assert counters == Counters(lost=PACKETS - len(due))
    assert 0.09 < counters.lost / PACKETS < 0.11
    due, counters = times(Weather(doubles=0.3))
    assert counters == Counters(doubled=len(due) - PACKETS)
    assert 0.28 < counters.doubled / PACKETS < 0.32


def test_jitter_spreads_the_delay() -> None:
    """Packets take the delay and up to the jitter more, in no order."""
    due, _ = times(Weather(delay_s=0.1, jitter_s=0.2))
    assert 0.1 <= min(due) < 0.101
    assert 0.299 < max(due) <= 0.3
    assert due != sorted(due)


def test_rate_lets_a_burst_pass_then_queues_then_drops() -> None:
    """What comes at once: the burst is due now, the queue at the rate, the rest is dropped."""
    rate = 10_000
    due, counters = times(Weather(rate_bytes_s=rate))
    passed = (BURST_BYTES + QUEUE_BYTES_MAX) // SIZE
    assert counters == Counters(overflowed=PACKETS - passed)
    assert len(due) == passed
    assert sum(each < 1e-9 for each in due) == BURST_BYTES // SIZE
    assert due[-1] == pytest.approx((passed * SIZE - BURST_BYTES) / rate)


def test_rate_does_not_hold_up_who_keeps_to_it() -> None:
    """Packets at nine tenths of the rate are never late; at eleven tenths they are."""
    rate = 10_000
    assert max(times(Weather(rate_bytes_s=rate), 1_000, SIZE / rate / 0.9)[0]) < 1e-9
    assert max(times(Weather(rate_bytes_s=rate), 1_000, SIZE / rate / 1.1)[0]) > 0.5


def packet(origin: int, target: int, content: bytes, version: int = 4) -> bytes:
    """Return an IP packet between two ends, as far as the switch looks at it."""
    addresses = b"".join(socket.inet_aton(HOSTS[each]) for each in (origin, target))
    return bytes([version << 4 | 5]).ljust(12, b"\0") + addresses + content


class Bench:
    """A switch between sockets instead of devices, and its control."""

    def __init__(self, ends: list[socket.socket], commands: int, answers: int) -> None:
        self.ends = ends
        self._commands = commands
        self._answers = answers

    def ask(self, weather: Weather = CLEAR, *ways: tuple[int, int]) -> dict[str, int]:
        """Set the weather of some ways and return the counters."""
        command = {"ways": ways, "weather": asdict(weather)}
        os.write(self._commands, json.dumps(command).encode() + b"\n")
        answer: dict[str, int] = json.loads(os.read(self._answers, 4_096))
        return answer

    def received(self, index: int, count: int) -> list[bytes]:
        """Return the contents of the next packets of an end; fails when they do not come."""
        self.ends[index].settimeout(5)
        return [self.ends[index].recv(2_048)[20:] for _ in range(count)]


@contextmanager
def switch() -> Iterator[Bench]:
    """Run a switch with three ends in a thread; it must end when its control does."""
    pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(3)]
    for inner, _ in pairs:
        inner.setblocking(False)
    control, commands = os.pipe()
    answers, out = os.pipe()
    ends = [(HOSTS[at], inner.fileno()) for at, (inner, _) in enumerate(pairs)]
    thread = threading.Thread(target=Switch(ends, 1).run, args=(control, out))
    thread.start()
    try:
        yield Bench([outer for _, outer in pairs], commands, answers)
    finally:
        os.close(commands)
        thread.join(5)
        assert not thread.is_alive()
        for each in (control, answers, out):
            os.close(each)
        for pair in pairs:
            for each_end in pair:
                each_end.close()


def test_switch_delivers_to_the_one_that_a_packet_is_for() -> None:
    """A packet goes to its target alone; strangers, forged origins and IPv6 go nowhere."""
    with switch() as bench:
        for target in (1, 2):
            bench.ends[0].send(packet(0, target, b"for %d" % target))
        for stray in (
            packet(0, 4, b"stranger"),
            packet(2, 1, b"forged"),
            packet(0, 0, b"own"),
            packet(0, 1, b"six", version=6),
            b"E",
        ):
            bench.ends[0].send(stray)
        bench.ends[0].send(packet(0, 1, b"last"))
        assert bench.received(1, 2) == [b"for 1", b"last"]
        assert bench.received(2, 1) == [b"for 2"]
        assert bench.ask() == asdict(Counters(carried=3, strayed=5))


def test_cut_is_of_one_direction_and_takes_what_is_on_the_way() -> None:
    """A packet that is late when its way is cut never comes; the way back is open."""
    with switch() as bench:
        bench.ask(Weather(delay_s=0.4), (0, 1))
        bench.ends[0].send(packet(0, 1, b"on the way"))
        bench.ends[0].send(packet(0, 2, b"read after it"))
        assert bench.received(2, 1) == [b"read after it"]
        bench.ask(Weather(is_cut=True), (0, 1))
        while bench.ask()["cut"] == 0:
            assert bench.ask()["carried"] == 1
        bench.ends[0].send(packet(0, 1, b"refused"))
        bench.ends[1].send(packet(1, 0, b"back"))
        assert bench.received(0, 1) == [b"back"]
        assert bench.ask(CLEAR, (0, 1)) == asdict(Counters(carried=2, cut=2))
        bench.ends[0].send(packet(0, 1, b"healed"))
        assert bench.received(1, 1) == [b"healed"]


def test_switch_holds_so_many_packets_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """The packets up to the bound come, late; those above it are dropped."""
    monkeypatch.setattr(chaos_packets, "HELD_PACKETS_MAX", 3)
    with switch() as bench:
        bench.ask(Weather(delay_s=0.1), (0, 1))
        for number in range(5):
            bench.ends[0].send(packet(0, 1, b"%d" % number))
        assert bench.received(1, 3) == [b"0", b"1", b"2"]
        assert bench.ask() == asdict(Counters(carried=3, overflowed=2))


def needs_namespaces() -> None:
    """Skip where this process may make none, and say why."""
    missing = why_not()
    if missing is not None:
        pytest.skip(f"no network namespaces here: {missing}")


def served(spaces: Spaces, index: int) -> subprocess.Popen[bytes]:
    """Start a process in a node's namespace that sends each connection's bytes back."""
    echo = (
        "import socket, sys\n"
        f"s = socket.create_server(('{HOSTS[index]}', {PORT}))\n"
        "print('up', flush=True)\n"
        "while True:\n"
        "    c, _ = s.accept()\n"
        "    while data := c.recv(65536):\n"
        "        c.sendall(data)\n"
    )
    command = [*spaces.entry(index), sys.executable, "-c", echo]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    return process


def sent_and_back(spaces: Spaces, origin: int, target: int, limit_s: float) -> str:
    """Send BYTES from one node's namespace to another's echo; "ok", or what went wrong."""
    client = (
        "import os, socket, threading\n"
        f"c = socket.create_connection(('{HOSTS[target]}', {PORT}), {limit_s})\n"
        f"data = os.urandom({BYTES})\n"
        "threading.Thread(target=c.sendall, args=(data,), daemon=True).start()\n"
        "back = b''\n"
        "while len(back) < len(data):\n"
        "    back += c.recv(65536)\n"
        "print('ok' if back == data else 'spoilt')\n"
    )
    command = [*spaces.entry(origin), sys.executable, "-c", client]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    return done.stdout.strip() or done.stderr.strip().rpartition("\n")[2]


@pytest.mark.process
@pytest.mark.slow
def test_kernels_mend_what_the_switch_spoils() -> None:
    """TCP between two namespaces is whole through a storm, silent in a cut, and back after it."""
    needs_namespaces()
    home = Path(MY_NAMESPACE).readlink()
    with Spaces(1) as spaces:
        assert Path(MY_NAMESPACE).readlink() != home
        echo = served(spaces, 1)
        try:
            spaces.spoil(Weather(delay_s=0.005, jitter_s=0.01, loss=0.03, doubles=0.1))
            assert sent_and_back(spaces, 0, 1, 20) == "ok"
            counts, kernel = spaces.counts(), kernel_counts(echo.pid)
            assert min(counts[each] for each in ("lost", "doubled", "overtaken")) > 0, counts
            assert kernel["retransmitted"] > 0, kernel
            assert kernel["outOfOrder"] > 0, kernel
            spaces.cut_one_way([1], [0])
            assert sent_and_back(spaces, 0, 1, 1.5) == "TimeoutError: timed out"
            answered = kernel_counts(echo.pid)["synsRetransmitted"]
            assert answered > kernel["synsRetransmitted"], "the SYN did not come"
            assert sent_and_back(spaces, 2, 1, 20) == "ok"
            spaces.heal()
            assert sent_and_back(spaces, 0, 1, 20) == "ok"
        finally:
            echo.kill()
            echo.communicate()
    assert Path(MY_NAMESPACE).readlink() == home


@pytest.mark.process
@pytest.mark.slow
def test_nothing_outlives_a_killed_run() -> None:
    """After kill -9 of the run, its switch and what it started in a namespace are gone."""
    needs_namespaces()
    program = (
        "import subprocess, sys, time\n"
        "from scripts.chaos_spaces import Spaces\n"
        "with Spaces(1) as spaces:\n"
        "    subprocess.Popen([*spaces.entry(0), 'sleep', '60'])\n"
        "    print('up', flush=True)\n"
        "    time.sleep(60)\n"
    )
    run = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE)
    assert run.stdout is not None
    assert run.stdout.readline() == b"up\n"
    started = psutil.Process(run.pid).children()
    assert len(started) == 2
    run.kill()
    run.wait()
    run.stdout.close()
    _, alive = psutil.wait_procs(started, 10)
    assert alive == []
