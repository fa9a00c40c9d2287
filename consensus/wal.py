"""The write-ahead log's records and bytes, and the guard that forbids a second signature.

A log is a sequence of frames `length (4) ‖ crc32 (4) ‖ type (1) ‖ body`, big-endian. `length`
counts type and body and is at least 1 (a run of zero bytes is no frame); the checksum covers the
length, the type and the body. Reading stops at the first frame that is cut short or damaged: that
is the tail of a write that never became durable, and is to be truncated before appending again.
A frame with a right checksum and a wrong content was not written by this program: StoreCorrupt.

    1 checkpoint  rlp([height, watch_left])
    2 entered     rlp([height, round])
    3 intent      the unsigned message (consensus/messages.py)
    4 valid       rlp([height, round, block_hash, body, locked, [[address, signature], ...]])
    5 kept        rlp([height, block_hash, content])

The guard reads the same records. Signatures are deterministic (RFC 6979), so it keeps digests and
lets the same digest be signed again: a crash between log and signature costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias
from zlib import crc32

from consensus.certificate import signatures_from
from consensus.messages import (
    Evidence,
    Kind,
    Message,
    as_hash,
    as_height,
    as_round,
    decode_message,
    encode_message,
)
from consensus.signing import sign_digest
from primitives.codec import Item, as_bytes, as_uint, decode_list, encode, uint
from primitives.errors import DoubleSignRefused, InvalidMessage, StoreCorrupt
from primitives.types import ZERO_HASH, Address, ChainId, Hash32, Height, Round

RECORD_BYTES_MAX: Final = 2 * 1_048_576
WATCH_HEIGHTS: Final = 2
"""How many heights a key without a past watches being decided before it signs.

One is not enough: an earlier life of the key may have decided a height before anyone else and
voted in the next one. Whoever then sees two heights decided by precommits is past that vote.
"""
GUARD_DIGESTS_MAX: Final = 1_024
"""So many digests the guard remembers; what it forgot it refuses."""
_PREFIX_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A height begins: nothing below `height` will ever be signed again.

    While `watch_left` is not 0 this key must not sign at all: its past is unknown, and it waits
    until the core has itself seen that many more heights decided by precommits (not by sync).
    """

    height: Height
    watch_left: int


@dataclass(frozen=True, slots=True)
class Entered:
    """This node began `round` of `height`."""

    height: Height
    round: Round


@dataclass(frozen=True, slots=True)
class Intent:
    """This node is about to sign `message`, whose signature is empty."""

    message: Message

    @property
    def height(self) -> Height:
        """The height of the message."""
        return self.message.height


@dataclass(frozen=True, slots=True)
class Valid:
    """A prevote quorum for a known block: the valid value, and the lock when `locked`.

    `body` lets the node propose the block again after a restart; `votes` are the prevotes of
    (height, round) for `block_hash`, which other validators need to accept that.
    """

    height: Height
    round: Round
    block_hash: Hash32
    body: bytes
    locked: bool
    votes: tuple[tuple[Address, bytes], ...]


@dataclass(frozen=True, slots=True)
class Kept:
    """What the runtime needs to have the block `block_hash` again after a restart.

    Written by the runtime before the first intent that names the block, so that no block can be
    locked whose content only the memory of some validators held. `content` is the runtime's own;
    core and guard pass it over.
    """

    height: Height
    block_hash: Hash32
    content: bytes


Record: TypeAlias = Checkpoint | Entered | Intent | Valid | Kept


def encode_record(record: Record) -> bytes:
    """Return the framed bytes of one record, to be appended to a log."""
    match record:
        case Checkpoint(height, watch_left):
            kind, body = 1, encode([uint(height), uint(watch_left)])
        case Entered(height, round_):
            kind, body = 2, encode([uint(height), uint(round_)])
        case Intent(message):
            kind, body = 3, encode_message(message)
        case Valid():
            kind, body = 4, _encode_valid(record)
        case Kept(height, block_hash, kept):
            kind, body = 5, encode([uint(height), block_hash, kept])
    length = (1 + len(body)).to_bytes(4, "big")
    content = bytes([kind]) + body
    return length + crc32(length + content).to_bytes(4, "big") + content


def read_records(data: bytes) -> tuple[tuple[Record, ...], int]:
    """Return the records of a log and the length of its good part, in bytes.

    Bytes behind the good part are a torn tail. Raises StoreCorrupt when a frame's checksum is
    right and its content is not a record.
    """
    records = []
    position = 0
    while (end := _frame_end(data, position)) is not None:
        content = data[position + _PREFIX_BYTES : end]
        try:
            records.append(_decode_content(content[0], content[1:]))
        except InvalidMessage as error:
            raise StoreCorrupt(
                f"write-ahead log record at byte {position}: {error}", position=position
            ) from None
        position = end
    return tuple(records), position


def needed(records: Iterable[Record]) -> tuple[Record, ...]:
    """Return the records that a new segment must start with: the last checkpoint and all after it.

    Replaying these is the same as replaying all of them.
    """
    kept: list[Record] = []
    for record in records:
        if isinstance(record, Checkpoint):
            kept = []
        kept.append(record)
    return tuple(kept)


class SignGuard:
    """Refuses a second, different signature for one (height, round, kind), for ever.

    A state machine over records, independent of the core. `reserve` is called with every record
    before it is written, in order; after a restart, with every record of the log. `permit` is
    called with every message before it is signed. Both raise DoubleSignRefused:

    - an intent needs a checkpoint before it, must not lie below the checkpoint's height, and
      must not be made while the checkpoint says that this key still watches;
    - intents ascend by (height, round, kind); one that does not is accepted only when its
      digest is the one that is remembered for that place;
    - a message is signed only when its very digest was reserved and is remembered.
    """

    def __init__(self, chain_id: ChainId, records: Iterable[Record] = ()) -> None:
        self._chain_id = chain_id
        self._checkpoint: Checkpoint | None = None
        self._newest: tuple[int, int, int] = (0, 0, 0)
        self._digests: dict[tuple[int, int, int], Hash32] = {}
        self._hashed: tuple[Message | None, Hash32] = (None, ZERO_HASH)
        for record in records:
            self.reserve(record)

    @property
    def checkpoint(self) -> Checkpoint | None:
        """The newest checkpoint, None before the first."""
        return self._checkpoint

    def reserve(self, record: Record) -> None:
        """Take note of a record that is about to be written; raises DoubleSignRefused."""
        if isinstance(record, Checkpoint):
            self._advance(record)
        elif isinstance(record, Intent):
            self._reserve_intent(record.message)

    def permit(self, message: Message) -> None:
        """Return when `message` may be signed; raises DoubleSignRefused."""
        if self._digests.get(_place(message)) != self._digest(message):
            raise _refused("this digest was not reserved in the write-ahead log", message)

    def _advance(self, checkpoint: Checkpoint) -> None:
        before = self._checkpoint
        if before is not None and checkpoint.height < before.height:
            raise DoubleSignRefused(
                "a checkpoint went back", height=checkpoint.height, newest=before.height
            )
        self._checkpoint = checkpoint

    def _reserve_intent(self, message: Message) -> None:
        if self._checkpoint is None or message.height < self._checkpoint.height:
            raise _refused("nothing is signed below the checkpoint", message)
        if self._checkpoint.watch_left:
            raise _refused("this key must watch before it signs", message)
        place, digest = _place(message), self._digest(message)
        if place <= self._newest:
            if self._digests.get(place) != digest:
                raise _refused("another message was signed here, or a later one", message)
            return
        self._newest = place
        self._digests[place] = digest
        if len(self._digests) > GUARD_DIGESTS_MAX:
            del self._digests[next(iter(self._digests))]

    def _digest(self, message: Message) -> Hash32:
        """Return the digest of `message`; the one hashed last, an intent, is about to be signed."""
        if self._hashed[0] is not message:
            self._hashed = message, sign_digest(message, self._chain_id)
        return self._hashed[1]


def _place(message: Message) -> tuple[int, int, int]:
    return message.height, message.round, message.kind


def _refused(why: str, message: Message) -> DoubleSignRefused:
    return DoubleSignRefused(
        why, height=message.height, round=message.round, kind=Kind(message.kind).name
    )


def _frame_end(data: bytes, position: int) -> int | None:
    """Return where the good frame at `position` ends, None when there is no whole, good one."""
    prefix = data[position : position + _PREFIX_BYTES]
    if len(prefix) < _PREFIX_BYTES:
        return None
    length = int.from_bytes(prefix[:4], "big")
    end = position + _PREFIX_BYTES + length
    if not 1 <= length <= RECORD_BYTES_MAX or end > len(data):
        return None
    content = data[position + _PREFIX_BYTES : end]
    if crc32(prefix[:4] + content) != int.from_bytes(prefix[4:], "big"):
        return None
    return end


def _decode_content(kind: int, body: bytes) -> Record:
    match kind:
        case 1:
            height, watch_left = decode_list(body, 2)
            return Checkpoint(as_height(height), as_uint(watch_left, 8))
        case 2:
            height, round_ = decode_list(body, 2)
            return Entered(as_height(height), as_round(round_))
        case 3:
            message = decode_message(body, signed=False)
            if isinstance(message, Evidence):
                raise InvalidMessage("evidence is no intent")
            return Intent(message)
        case 4:
            return _decode_valid(body)
        case 5:
            height, block_hash, kept = decode_list(body, 3)
            return Kept(as_height(height), as_hash(block_hash), as_bytes(kept))
        case _:
            raise InvalidMessage(f"unknown record type {kind}")


def _encode_valid(record: Valid) -> bytes:
    rows: list[Item] = [[address, signature] for address, signature in record.votes]
    return encode(
        [
            uint(record.height),
            uint(record.round),
            record.block_hash,
            record.body,
            uint(record.locked),
            rows,
        ]
    )


def _decode_valid(body: bytes) -> Valid:
    height, round_, block_hash, block_body, locked, votes = decode_list(body, 6)
    is_locked = as_uint(locked, 8)
    if is_locked > 1:
        raise InvalidMessage("a flag is 0 or 1")
    return Valid(
        as_height(height),
        as_round(round_),
        as_hash(block_hash),
        as_bytes(block_body),
        bool(is_locked),
        signatures_from(votes),
    )
