"""Broken frames of every kind into every decoder that reads from peers: `python -m scripts.fuzz`.

    python -m scripts.fuzz --frames 1000000        # some minutes; exit status 1 on a crash
    python -m scripts.fuzz --frames 20000 --seed 7

Takes a true message of each kind, spoils its body or its frames (bits turned, cut short, lengths
that lie, parts doubled, left out or joined with another message's), feeds them to the frame decoder
in pieces of any size, and gives what comes out to the decoder of that message. A decoder answers a
value or raises an Invalid; anything else is a crash, shown with its bytes. Memory must stay flat.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import psutil

from consensus.certificate import decode_certificate, encode_certificate
from consensus.messages import Evidence, Kind, Message, decode_message, encode_message, evidence_of
from node.snapshot import (
    Place,
    decode_point,
    decode_rows,
    decode_step,
    encode_point,
    encode_rows,
    read_chunk,
)
from node.snapshot_files import read_point, read_step
from node.wire import (
    TRANSACTIONS,
    decode_batch,
    decode_body,
    decode_certified,
    decode_get_blocks,
    decode_get_codes,
    decode_get_height,
    decode_get_state,
    decode_get_transactions,
    encode_batches,
    encode_body,
    encode_certified,
    encode_get_blocks,
    encode_get_codes,
    encode_get_height,
    encode_get_state,
    encode_get_transactions,
)
from p2p.frames import Decoder
from p2p.frames import encode_message as encode_frames
from p2p.ping import Ping, decode_ping, decode_pong, encode_ping, encode_pong
from p2p.status import decode_status, encode_status
from primitives.block import decode_block, encode_block
from primitives.crypto.keccak import keccak
from primitives.errors import Invalid
from primitives.transaction import decode_transactions
from primitives.types import Hash32, Height
from tests.consensus.makers import BLOCK_A, BLOCK_B, proposal, vote
from tests.node.nodes import certificate, extend, make_ledger, transfer
from tests.p2p.nodes import STATUS

FRAMES: Final = 1_000_000
MESSAGE_BYTES_MAX: Final = 4_000_000
MEMORY_GROWTH_MB_MAX: Final = 40.0
CRASHES_MAX: Final = 20
EVERY: Final = 100_000


@dataclass(frozen=True, slots=True)
class Sample:
    """A true message and what reads it on the other side."""

    name: str
    kind: int
    body: bytes
    decode: Callable[[int, bytes], object]


def samples() -> list[Sample]:
    """Return a true message of every kind that nodes send each other."""
    ledger = make_ledger()
    executed = extend(ledger, [transfer(nonce=0), transfer(sender=1)])
    extend(ledger)
    block, view = executed.block, ledger.view
    raws = [each.raw for each in block.transactions]
    code_hash = Hash32(keccak(b"code"))
    certified = encode_certificate(certificate(executed))
    rows, _ = read_chunk(view.store, 1, Place())
    votes = [vote(0, Kind.PREVOTE, BLOCK_A), vote(0, Kind.PREVOTE, BLOCK_B)]
    consensus: list[Message | Evidence] = [proposal(0, BLOCK_A), votes[0], evidence_of(*votes)]
    found = [
        Sample(type(each).__name__, raw[0], raw[1:], lambda k, b: decode_message(bytes((k,)) + b))
        for each in consensus
        for raw in [encode_message(each)]
    ]
    plain: dict[str, tuple[bytes, Callable[[bytes], object]]] = {
        "status": (encode_status(STATUS), decode_status),
        "ping": (encode_ping(Ping(1, Height(7), BLOCK_A)), decode_ping),
        "pong": (encode_pong(1), decode_pong),
        "body": (
            encode_body(block.header, [each.hash for each in block.transactions]),
            decode_body,
        ),
        "block": (encode_block(block), decode_block),
        "certificate": (certified, decode_certificate),
        "certified": (encode_certified(encode_block(block), certified), decode_certified),
        "get blocks": (encode_get_blocks(Height(1), 9), decode_get_blocks),
        "get transactions": (encode_get_transactions(BLOCK_A, [0, 1]), decode_get_transactions),
        "get height": (encode_get_height(900), decode_get_height),
        "get state": (encode_get_state(9, 3, code_hash, code_hash), decode_get_state),
        "get codes": (encode_get_codes([code_hash] * 3), decode_get_codes),
        "point": (encode_point(read_point(view, 1)), decode_point),
        "step": (read_step(view, 1), decode_step),
        "rows": (encode_rows(rows), decode_rows),
        "transaction": (raws[0], lambda raw: decode_transactions([raw])),
    }
    found += [
        Sample(name, 1, body, lambda _, raw, decode=decode: decode(raw))  # type: ignore[misc]  # a lambda with a default
        for name, (body, decode) in plain.items()
    ]
    return [*found, Sample("batch", TRANSACTIONS, encode_batches(raws)[0], decode_batch)]


def spoil(chance: random.Random, wire: bytes, other: bytes) -> bytes:
    """Return `wire` with one to four faults."""
    data = bytearray(wire)
    for _ in range(chance.randrange(1, 5)):
        at = chance.randrange(len(data) + 1)
        match chance.randrange(8):
            case 0 if at < len(data):
                data[at] ^= 1 << chance.randrange(8)
            case 1 if at < len(data):
                data[at] = chance.choice((0x00, 0x7F, 0x80, 0xB7, 0xB8, 0xBF, 0xC0, 0xF8, 0xFF))
            case 2:
                del data[at:]
            case 3:
                data[at:at] = chance.randbytes(chance.randrange(1, 9))
            case 4:
                end = min(len(data), at + chance.randrange(40))
                data[at:at] = data[at:end]
            case 5:
                del data[at : at + chance.randrange(1, 40)]
            case 6:
                data[0:4] = chance.choice((0, 1, 63_996, 64_000, 2**31, 2**32 - 1)).to_bytes(
                    4, "big"
                )
            case _:
                start = chance.randrange(len(other))
                data[at:at] = other[start : start + chance.randrange(1, 60)]
    return bytes(data)


def try_one(chance: random.Random, chosen: Sample, wire: bytes) -> int:
    """Feed `wire` in pieces, decode what comes out, return how many decoded; Invalid ends it."""
    decoder = Decoder(MESSAGE_BYTES_MAX)
    decoded = at = 0
    try:
        while at < len(wire):
            end = at + chance.choice((1, 7, 200, 65_536))
            for message in decoder.feed(wire[at:end]):
                chosen.decode(message.kind, message.body)
                decoded += 1
            at = end
    except Invalid:
        pass
    return decoded


@dataclass(slots=True)
class Outcome:
    """What a run did."""

    frames: int = 0
    decoded: int = 0
    seconds: float = 0.0
    growth_mb: float = 0.0
    crashes: list[str] | None = None


def fuzz(frames: int, seed: int, say: Callable[[str], None]) -> Outcome:
    """Try `frames` spoilt frames; the same seed tries the same ones."""
    chance = random.Random(seed)
    known = samples()
    wires = [encode_frames(each.kind & 0x7F, each.body) for each in known]
    crashes: list[str] = []
    outcome = Outcome(crashes=crashes)
    process, started, before = psutil.Process(), time.monotonic(), 0.0
    for number in range(frames):
        at = chance.randrange(len(known))
        other = chance.randrange(len(wires))
        if number % 2:
            wire = spoil(chance, wires[at], wires[other])
        else:
            body = spoil(chance, known[at].body, known[other].body)
            wire = encode_frames(known[at].kind & 0x7F, body)
        try:
            outcome.decoded += try_one(chance, known[at], wire)
        except Exception as error:  # noqa: BLE001 - whatever a decoder raises is what we look for
            crashes.append(f"{known[at].name}, frame {number}: {error!r}: {wire[:80].hex()}")
            if len(crashes) >= CRASHES_MAX:
                break
        if number == frames // 10:
            before = process.memory_info().rss / 1e6
        if number and number % EVERY == 0:
            say(f"{number:,} frames, {outcome.decoded:,} decoded, {len(crashes)} crashes")
    outcome.frames, outcome.seconds = frames, time.monotonic() - started
    outcome.growth_mb = process.memory_info().rss / 1e6 - before
    return outcome


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, run, and return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--frames", type=int, default=FRAMES, help=f"how many ({FRAMES:,})")
    parser.add_argument("--seed", type=int, default=0, help="0: a new one")
    options = parser.parse_args(arguments)
    seed = options.seed or random.SystemRandom().randrange(1, 2**32)
    outcome = fuzz(options.frames, seed, print)
    crashes = outcome.crashes or []
    for line in crashes:
        print(f"CRASH {line}")
    print(
        f"seed {seed}: {outcome.frames:,} frames in {outcome.seconds:.0f} s, "
        f"{outcome.decoded:,} decoded all the same, {len(crashes)} crashes, "
        f"memory {outcome.growth_mb:+.1f} MB"
    )
    return 1 if crashes or outcome.growth_mb > MEMORY_GROWTH_MB_MAX else 0


if __name__ == "__main__":
    raise SystemExit(main())
