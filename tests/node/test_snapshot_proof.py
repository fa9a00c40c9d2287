"""The proof of a snapshot's header comes through any change of validators, and no forger's does."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus.certificate import encode_certificate
from consensus.lightclient import InvalidLightBlock, Trusted
from node.snapshot import advance, decode_step, encode_step, prove
from primitives.block import encode_header
from primitives.crypto.secp256k1 import PrivateKey
from primitives.validators import ValidatorSet
from tests.consensus.test_lightclient import CHAIN, KEYS, Line, members

SLOW = 8
"""Heights between two changes of one validator."""


def window(at: int) -> ValidatorSet:
    """Return four of the validators, the next ones with each `at`."""
    return members(*sorted((at + each) % len(KEYS) for each in range(4)))


def line(length: int, slow: int = SLOW) -> Line:
    return Line([window(height // slow) for height in range(length + 2)])


def step_of(chain: Line, height: int, signers: Sequence[PrivateKey] | None = None) -> bytes:
    light, leap = chain.block(height, signers), chain.leap(height)
    header, certificate = encode_header(light.header), encode_certificate(light.certificate)
    return encode_step(
        header, certificate, light.next_set, [encode_header(leap.parent), leap.validators]
    )


def proven(chain: Line, target: int, start: Trusted) -> tuple[Trusted, list[bytes], int]:
    """Return the trust in `target`, the steps, and how many were asked for."""
    search = prove(start, target, CHAIN)
    asked = 0
    try:
        wanted = next(search)
        while True:
            asked += 1
            wanted = search.send(step_of(chain, wanted))
    except StopIteration as found:
        trusted, steps = found.value
        return trusted, steps, asked


@given(st.integers(1, 60), st.integers(1, 20))
def test_any_change_is_come_through(target: int, slow: int) -> None:
    """Leaps are halved until enough of the trusted set signed; the steps alone lead there too."""
    chain = line(target, slow)
    trusted, steps, asked = proven(chain, target, chain.start())
    assert trusted.block_hash == chain.headers[target].hash
    assert asked <= 8 * len(steps)
    again = chain.start()
    for raw in steps:
        again = advance(again, decode_step(raw), CHAIN)
    assert again == trusted


def test_a_set_that_stays_needs_one_step() -> None:
    """However long the chain is."""
    chain = Line([window(0)] * 40)
    assert proven(chain, 38, chain.start())[1:] == ([step_of(chain, 38)], 1)


def test_a_forged_line_is_refused() -> None:
    """Strangers who sign a line of their own, from the first height on, do not get there."""
    strangers = KEYS[8:]
    forged = Line([window(0)] * 2 + [members(8, 9, 10, 11)] * 50)
    start = line(50).start()
    assert start == forged.start()
    search = prove(start, 50, CHAIN)
    wanted, asked = next(search), 1
    with pytest.raises(InvalidLightBlock):
        while True:
            wanted = search.send(step_of(forged, wanted, strangers))
            asked += 1
    assert (wanted, asked) == (1, 6)


def test_another_height_than_asked_for_is_refused() -> None:
    """A peer cannot lead the search astray (bug: any step that fits is taken)."""
    chain = line(10)
    search = prove(chain.start(), 10, CHAIN)
    next(search)
    with pytest.raises(InvalidLightBlock, match="another height"):
        search.send(step_of(chain, 1))
