"""Everything that enters the consensus core (inputs) and leaves it (effects).

The runtime owns a queue of inputs, hands them to `Consensus.step` one at a time together with a
monotonic clock in milliseconds, and carries out the effects that come back.

The ordering law
    1. The effects of one call are carried out in the order of the list, and the effects of an
       earlier call before those of a later one.
    2. Before anything that leaves the process or the log (Sign, Broadcast, Decide, ReportEvidence,
       RequestSync) is carried out, every Persist before it is durable: appended and fsynced. A
       runtime may therefore gather all Persists of one call (or of a batch of calls), append them
       in order, sync once, and only then go on with the rest.
    3. SetTimer, BuildBlock and CheckProposal start work and return at once; their results come
       back later as inputs. They need not wait for the disk.
    4. An effect that fails (disk full, signer gone, guard refused) stops the node. Nothing is
       skipped: the core believes that what it asked for was done.

`Replayed` is the first input of a core's life; every other input before it is a mistake of the
runtime and raises BrokenInvariant. After it, inputs may come in any order, twice, or late: what
does not fit the core's height, round and step changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

from consensus.certificate import Certificate
from consensus.messages import Evidence, Message, Proposal, Vote
from consensus.wal import Record
from primitives.types import Address, Hash32, Height, Round
from primitives.validators import ValidatorSet


class TimerKind(IntEnum):
    """What a timer is for."""

    START = 1
    PROPOSE = 2
    PREVOTE = 3
    PRECOMMIT = 4
    REBROADCAST = 5


@dataclass(frozen=True, slots=True)
class Timer:
    """Names one timer. `round` is 0 for START and REBROADCAST, which belong to the height."""

    kind: TimerKind
    height: Height
    round: Round


# --- inputs ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Replayed:
    """First input: every record that the write-ahead log holds, in order; empty for a new log.

    The core restores height, round, step, lock, valid value and its own messages of the height
    it was constructed with; records of lower heights do nothing, those of a higher height (the
    block store was put back to an older state) bind the node when it gets there. The effects
    start the height: timers, the old own messages as Sign (same digests as before), BuildBlock
    when it is this node's turn and it had proposed nothing.
    """

    records: tuple[Record, ...]


@dataclass(frozen=True, slots=True)
class ProposalReceived:
    """A peer sent a proposal that decodes. The core verifies it; the runtime need not."""

    proposal: Proposal


@dataclass(frozen=True, slots=True)
class VoteReceived:
    """A peer sent a vote that decodes. The core verifies it; peers may relay others' votes."""

    vote: Vote


@dataclass(frozen=True, slots=True)
class EvidenceReceived:
    """A peer sent evidence that decodes. The core checks both signatures and reports it once."""

    evidence: Evidence


@dataclass(frozen=True, slots=True)
class TimerFired:
    """The delay of a SetTimer is over."""

    timer: Timer


@dataclass(frozen=True, slots=True)
class BlockBuilt:
    """Answer to BuildBlock: the new block is executed and kept, so the core holds it for valid.

    `body` is what the proposal will carry to peers. Too late an answer (the propose timer fired)
    is dropped. A build that fails is not answered: the propose timer covers it.
    """

    height: Height
    round: Round
    block_hash: Hash32
    body: bytes


@dataclass(frozen=True, slots=True)
class ProposalChecked:
    """Answer to CheckProposal with the same height, round and block_hash.

    `ok` true: the body yields a block with exactly this hash, it is valid on the parent, and the
    runtime keeps its execution until `height` is committed; this holds for every round of the
    height. `ok` false speaks for this round's proposal only (its body may be the bad part).
    Each CheckProposal is answered; what cannot be obtained in time is answered false.
    """

    height: Height
    round: Round
    block_hash: Hash32
    ok: bool


@dataclass(frozen=True, slots=True)
class Signed:
    """Answer to Sign: the same message with its signature. It counts like a peer's message."""

    message: Message


@dataclass(frozen=True, slots=True)
class Committed:
    """Block `height` is durable in the block store, after Decide or by sync from peers.

    `validators` decides height + 1. `has_work` tells whether transactions are waiting (or
    anything else that should not wait for the empty-block period). When sync commits many blocks
    at once, telling the last one is enough. Heights below the core's are ignored.
    """

    height: Height
    block_hash: Hash32
    validators: ValidatorSet
    has_work: bool = False


@dataclass(frozen=True, slots=True)
class WorkAvailable:
    """The pool is no longer empty. Ends the wait for an empty block; may be sent at any time."""


Input: TypeAlias = (
    Replayed
    | ProposalReceived
    | VoteReceived
    | EvidenceReceived
    | TimerFired
    | BlockBuilt
    | ProposalChecked
    | Signed
    | Committed
    | WorkAvailable
)

# --- effects --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Persist:
    """Append `record` to the write-ahead log: `SignGuard.reserve(record)`, then write, then fsync.

    Emitted before every Sign of something new (Intent), when a lock or valid value is taken
    (Valid), when a round above 0 begins (Entered), and once at the start of each height
    (Checkpoint). A Checkpoint makes all earlier records needless: the runtime may put it first
    into a new segment and delete the older ones once the new one is durable. Before the first
    record that names a block the runtime puts a Kept record of its own, so that the block can be
    had again after a restart.
    """

    record: Record


@dataclass(frozen=True, slots=True)
class Sign:
    """Sign `message` (its signature is empty) and answer with Signed.

    The signer asks `SignGuard.permit(message)` first; its refusal is Fatal. Emitted again after
    a restart for the newest own messages of the height: the guard knows their digests.
    """

    message: Message


@dataclass(frozen=True, slots=True)
class Broadcast:
    """Send `message` to all peers. It is this node's own, or a vote of others that peers need.

    Emitted when an own message has been signed, again every `rebroadcast_ms` while the height is
    undecided, and for the prevotes that justify this node's valid value.
    """

    message: Message


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Hand in TimerFired(timer) after `delay_ms`; replaces an earlier timer of the same name.

    There is no cancel: timers that no longer matter are ignored when they fire, and the runtime
    may forget all timers of a height once a later height begins.
    """

    timer: Timer
    delay_ms: int


@dataclass(frozen=True, slots=True)
class BuildBlock:
    """This node proposes in (height, round) and holds no valid value: build a block, in a worker.

    Answer with BlockBuilt well before `timeout_propose_ms` of that round is over.
    """

    height: Height
    round: Round


@dataclass(frozen=True, slots=True)
class CheckProposal:
    """Obtain the block behind `body`, check it and execute it, in a worker; see ProposalChecked.

    Emitted once per round's proposal whose block is not known to be valid, and after a restart
    for the restored valid value. `proposer` is the validator that put it forward, hence a peer
    that has the block (this node's own address after a restart).
    """

    height: Height
    round: Round
    block_hash: Hash32
    body: bytes
    proposer: Address


@dataclass(frozen=True, slots=True)
class Decide:
    """The block is final. Commit it and its certificate in one durable batch, then Committed.

    Emitted once per height and life, only for a block that BlockBuilt or ProposalChecked made
    known in this life, so the runtime holds its execution.
    """

    certificate: Certificate


@dataclass(frozen=True, slots=True)
class ReportEvidence:
    """A validator contradicted itself: keep the evidence, show it, and send it to peers."""

    evidence: Evidence


@dataclass(frozen=True, slots=True)
class RequestSync:
    """A hint that peers have committed blocks up to and including `height`; this node has not.

    Emitted for each verified message of a later height, and while a precommit quorum stands for
    a block that nobody proposed to this node. The runtime limits the rate, asks peers that claim
    such a head, checks certificates, commits, and tells Committed.
    """

    height: Height


Effect: TypeAlias = (
    Persist
    | Sign
    | Broadcast
    | SetTimer
    | BuildBlock
    | CheckProposal
    | Decide
    | ReportEvidence
    | RequestSync
)
