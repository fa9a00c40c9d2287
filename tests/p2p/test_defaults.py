"""The library is as unsafe as p2p/host.py says, and each of its holes has a test of ours."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest
import trio
from libp2p import new_host

from p2p.host import Host
from tests.p2p.nodes import NODE_KEYS

LABELS = {*(f"H{n}" for n in range(1, 5)), *(f"W{n}" for n in range(1, 6))} | {
    f"M{n}" for n in range(1, 8)
}


def default_host() -> Any:
    """Return a host as the library makes it when it is told nothing."""
    return new_host()


def ours() -> Host:
    return Host(NODE_KEYS[0], lambda _: True)


def offered(host: Any) -> set[str]:
    muxer = host.get_network().upgrader.security_multistream
    return {str(each) for each in muxer.transports}


def test_library_offers_no_security_and_we_do() -> None:
    """H1: by default anybody may be anybody (if this fails, the library has been mended)."""
    assert any("plaintext" in each for each in offered(default_host()))
    assert offered(ours()._host) == {"/noise"}


def test_library_counts_inbound_slots_without_end() -> None:
    """W1: by default slots are a number that only falls; ours come back when a task ends."""
    tokens = default_host().get_network()._inbound_limiter.total_tokens
    assert 0 < tokens < math.inf


def test_library_handlers_are_bare() -> None:
    """H2, H3: by default nothing stands between a stream's failure and the whole process."""

    class Broken:
        """A stream whose first read is not UTF-8, as the library would decode it."""

        async def read(self, _count: int | None = None) -> bytes:
            raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "planted")

        async def reset(self) -> None:
            self.was_reset = True

        muxed_conn = None
        swarm_conn = None

    async def scenario() -> None:
        handler = default_host().get_network().common_stream_handler
        with pytest.raises(Exception):  # noqa: B017 - whatever it is, it leaves the handler
            await handler(Broken())

    trio.run(scenario)


def test_each_label_has_a_test() -> None:
    """Every hole, wedge and memory fault that we know is named by a test that would find it."""
    found: set[str] = set()
    for path in Path(__file__).parent.glob("test_*.py"):
        for first in re.findall(r'def test_\w+\([^)]*\)[^:]*:\n    """(.*)', path.read_text()):
            found |= set(re.findall(r"\b[HWM][1-7]\b", first))
    assert found >= LABELS
