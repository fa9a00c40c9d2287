"""The runtime must make durable before it signs, and sign before it sends, whatever happens."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import pytest
import trio
import trio.testing
from eth_abi.abi import encode

from consensus.algorithm import Settings
from consensus.core import Consensus
from consensus.events import Decide
from consensus.messages import Kind, Proposal, Vote, decode_message, encode_message
from consensus.signing import sign_digest, verifier
from consensus.wal import Intent, Kept, Record
from genesis.nodes import peer_id_bytes
from node.evidence import EvidenceStore
from node.ledger import Ledger
from node.proposals import Proposals
from node.runtime import Parts, Runtime
from node.serve import PeerService
from node.signer import LocalSigner
from node.sync import Sync
from node.wal import Wal
from p2p.events import EventQueue, Received, Stream
from p2p.keys import NodeKey
from p2p.link import PeerInfo
from p2p.network import Network
from p2p.peers import Offence
from p2p.status import Status
from primitives.crypto.keccak import keccak
from primitives.errors import BrokenInvariant, QenexError, WalFailed
from primitives.keyvalue import MemoryStore
from primitives.params import NODE_REGISTRY
from primitives.types import ZERO_ADDRESS, Address, Hash32, Height, Round
from tests.node.nodes import (
    GENESIS,
    VALIDATOR,
    certificate,
    extend,
    make_intake,
    make_ledger,
    make_permissions,
    transfer,
)
from tests.vm.support import signed as signed_transaction

Act = tuple[str, object]


@dataclass
class NoPeers:
    """A network, of no peers at first, that notes what is sent to it, in order with other acts."""

    acts: list[Act]
    events: EventQueue = field(default_factory=EventQueue)
    offences: list[Offence] = field(default_factory=list)
    head: int = 0
    connected: list[PeerInfo] = field(default_factory=list)
    service: PeerService | None = None

    def broadcast(self, stream: Stream, kind: int, body: bytes) -> int:
        if stream is Stream.CONSENSUS:
            self.acts.append(("send", decode_message(bytes([kind]) + body)))
        return 0

    def peers(self) -> list[PeerInfo]:
        return self.connected

    async def request(self, peer: str, kind: int, body: bytes, *, timeout_s: float) -> list[bytes]:
        assert timeout_s > 0
        assert self.service is not None
        return list(await self.service.serve(peer, kind, body))

    def penalise(self, _peer: str, offence: Offence) -> None:
        self.offences.append(offence)

    def set_addresses(self, addresses: dict[str, tuple[str, ...]]) -> None:
        self.acts.append(("addresses", dict(addresses)))

    def recheck_permissions(self) -> None:
        self.acts.append(("recheck", None))

    def set_head(self, height: Height, _head_hash: Hash32) -> None:
        self.head = height


class NotingWal(Wal):
    """A log that notes each append."""

    acts: list[Act]

    def append(self, records: list[Record]) -> None:  # type: ignore[override]  # narrower is fine
        super().append(records)
        self.acts += [("persist", record) for record in records]


class NotingSigner(LocalSigner):
    """A signer that notes each digest."""

    acts: list[Act]

    def sign(self, digest: Hash32) -> bytes:
        self.acts.append(("sign", digest))
        return super().sign(digest)


@dataclass
class Alone:
    """One validator with all its parts but a network."""

    runtime: Runtime
    ledger: Ledger
    network: NoPeers
    wal: NotingWal
    parts: Parts
    acts: list[Act]


def make(folder: Path, me: Address | None = VALIDATOR.address) -> Alone:
    acts: list[Act] = []
    params, ledger = GENESIS.params, make_ledger()
    network = NoPeers(acts)
    wal, signer = NotingWal(folder, params.chain_id), NotingSigner(VALIDATOR)
    wal.acts = signer.acts = acts
    if wal.is_new:
        wal.begin(Height(1))
    intake = make_intake(ledger)
    as_network = cast("Network", network)
    core = Consensus(
        Settings(me, params.times, 100, 1_000),
        Height(1),
        ledger.view.validators,
        verifier(params.chain_id),
    )
    parts = Parts(
        core=core,
        ledger=ledger,
        intake=intake,
        proposals=Proposals(ledger, intake, as_network, Address(bytes(20))),
        sync=Sync(ledger, as_network, params.chain_id),
        network=as_network,
        permissions=make_permissions(ledger),
        wal=wal,
        signer=signer,
        evidence=EvidenceStore(MemoryStore()),
    )
    return Alone(Runtime(parts), ledger, network, wal, parts, acts)


def run_until(alone: Alone, done: Callable[[], bool], events: tuple[Received, ...] = ()) -> None:
    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(alone.runtime.run)
            with trio.fail_after(100):  # not around the end: there a clock that jumps has no stop
                for event in events:
                    await alone.network.events.put(event)
                while not done():  # noqa: ASYNC110 - any condition, on a clock that jumps
                    await trio.sleep(0.05)
            nursery.cancel_scope.cancel()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0.005))


def test_persist_then_sign_then_send(tmp_path: Path) -> None:
    """Each message was an intent in the log before it was signed, and was signed before sent.

    Planted bugs that this kills: effects carried out before the append; an append per effect
    after its signature.
    """
    alone = make(tmp_path)
    run_until(alone, lambda: alone.ledger.view.height >= 3)
    durable: set[object] = set()
    signed = sent = 0
    for act, what in alone.acts:
        if act == "persist" and isinstance(what, Intent):
            durable.add((what.message.kind, what.message.height, what.message.round))
        elif act == "sign":
            signed += 1
            assert len(durable) >= signed
        elif act == "send":
            assert isinstance(what, Vote | Proposal)
            assert (what.kind, what.height, what.round) in durable
            sent += 1
            assert signed > 0
    assert sent >= 9
    assert alone.network.head == alone.ledger.view.height


def test_blocks_are_in_the_log_before_what_names_them(tmp_path: Path) -> None:
    """A block's transactions are durable with the first intent that names it, once."""
    alone = make(tmp_path)
    raws = [transfer(sender).raw for sender in range(3)]
    alone.parts.intake.add_from_peer(raws, forward=False)
    run_until(alone, lambda: alone.ledger.view.height >= 2)
    kept: dict[object, int] = {}
    for act, what in alone.acts:
        if act == "persist" and isinstance(what, Kept):
            kept[what.block_hash] = kept.get(what.block_hash, 0) + 1
            assert what.height > 1 or all(raw in what.content for raw in raws)
        elif act == "persist" and isinstance(what, Intent) and what.message.kind is Kind.PREVOTE:
            assert what.message.block_hash in kept
    assert set(kept.values()) == {1}
    assert alone.ledger.view.transaction_lookup(transfer().hash) == (1, 0)
    assert len(alone.parts.intake.pool) == 0


def test_a_decision_that_sync_came_before_is_no_news(tmp_path: Path) -> None:
    """Votes that decide a height after sync has committed it change nothing; others are fatal.

    Planted bug that this kills: a node that stops because it does not find the decided block
    among those that may follow the head; it is the head.
    """
    alone = make(tmp_path)
    committed = certificate(extend(alone.ledger))

    async def main() -> None:
        await alone.runtime._decide(committed)
        assert alone.ledger.view.height == 1
        with pytest.raises(BrokenInvariant):
            await alone.runtime._decide(replace(committed, block_hash=Hash32(bytes(31) + b"1")))

    trio.run(main)


def test_a_log_that_fails_stops_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the disk refuses, nothing is signed or sent, and the run ends with WalFailed."""
    alone = make(tmp_path)
    alone.acts.clear()

    def refuse(_handle: int, _data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.write", refuse)
    with pytest.raises(BaseExceptionGroup) as caught:
        run_until(alone, lambda: False)
    assert caught.group_contains(WalFailed)
    assert isinstance(caught.value.subgroup(QenexError), BaseExceptionGroup)
    assert alone.acts == []


def test_garbage_from_peers_is_charged(tmp_path: Path) -> None:
    """Undecodable messages and batches cost their sender points and change nothing else."""
    alone = make(tmp_path)
    garbage = (
        Received("x", Stream.CONSENSUS, 2, b"garbage"),
        Received("x", Stream.CONSENSUS, 77, b""),
        Received("x", Stream.TX, 1, b"\xff"),
        Received("x", Stream.TX, 9, b"\xc0"),
    )
    run_until(alone, lambda: len(alone.network.offences) == len(garbage), garbage)
    assert set(alone.network.offences) == {Offence.UNDECODABLE}
    assert len(alone.parts.intake.pool) == 0


def test_changed_permissions_reach_the_network(tmp_path: Path) -> None:
    """A block that changes the NodeRegistry is followed by new addresses and a recheck, no other.

    Kills: permissions read before the commit, or never; a recheck after every block.
    """
    alone = make(tmp_path)
    other = NodeKey(b"\x02" * 32).peer_id
    values = peer_id_bytes(other), ZERO_ADDRESS, ["/ip4/192.0.2.7/tcp/30303"]
    vote = signed_transaction(
        VALIDATOR,
        chain_id=GENESIS.params.chain_id,
        to=NODE_REGISTRY,
        data=keccak(b"proposeNode(bytes,address,string[])")[:4]
        + encode(["bytes", "address", "string[]"], values),
        gas=3_000_000,
        value=0,
    )
    alone.parts.intake.submit(vote.raw)
    run_until(alone, lambda: alone.ledger.view.height >= 3)
    rechecks = [act for act in alone.acts if act[0] in ("addresses", "recheck")]
    assert rechecks == [("addresses", {other: ("/ip4/192.0.2.7/tcp/30303",)}), ("recheck", None)]
    assert alone.parts.permissions.is_permitted(other)


def test_decision_after_the_synced_block(tmp_path: Path) -> None:
    """A decision of a block that sync has committed meanwhile is no news, of another one fatal.

    Kills: looking for the block among those above the head (the node stopped under chaos).
    """
    alone = make(tmp_path)
    executed = extend(alone.ledger)
    proof = certificate(executed)
    trio.run(alone.runtime._carry_out, [Decide(proof)])
    assert alone.ledger.view.head_hash == executed.block.hash
    other = replace(proof, block_hash=Hash32(b"\x01" * 32))
    with pytest.raises(BrokenInvariant, match="another block was decided"):
        trio.run(alone.runtime._carry_out, [Decide(other)])


def test_syncs_of_a_height(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proposer syncs its log twice: for the proposal with the prevote, and for the precommit.

    Kills: a sync for each checkpoint; one for the proposal alone. Those of four validators and of
    their stores are counted in tests/sim/test_syncs.py.
    """
    alone = make(tmp_path)
    syncs: list[int] = []
    real = os.fdatasync

    def count(handle: int) -> None:
        syncs.append(alone.ledger.view.height)
        real(handle)

    monkeypatch.setattr("os.fdatasync", count)
    run_until(alone, lambda: alone.ledger.view.height >= 5)
    assert [syncs.count(height) for height in range(1, 5)] == [2, 2, 2, 2]


def test_a_node_behind_meets_the_others(tmp_path: Path) -> None:
    """Messages of later heights tell where their sender is, and wait until they are wanted.

    Planted bugs that this kills: the head of a peer's last ping is where sync stops; messages
    beyond the next height are dropped; they are handed in before the height begins.
    """
    full, alone = make_ledger(), make(tmp_path, me=None)
    blocks = [extend(full) for _ in range(4)]
    alone.network.service = PeerService(full)
    status = Status(
        chain_id=GENESIS.params.chain_id,
        genesis_hash=full.view.genesis_hash,
        height=Height(0),
        head_hash=full.view.genesis_hash,
    )
    alone.network.connected = [
        PeerInfo("x", "nowhere", status, Height(0), full.view.genesis_hash, None, 0.0, 0.0)
    ]
    vote = Vote(Kind.PRECOMMIT, Height(4), Round(0), blocks[3].block.hash, VALIDATOR.address)
    signature = VALIDATOR.sign(sign_digest(vote, GENESIS.params.chain_id))
    raw = encode_message(replace(vote, signature=signature))
    sent = (Received("x", Stream.CONSENSUS, raw[0], raw[1:]),)

    def has_counted() -> bool:
        rounds = alone.runtime.consensus_rounds()
        return any(votes.precommits.by_validator for _, votes in rounds)

    run_until(alone, lambda: alone.ledger.view.height == 3 and has_counted(), sent)
    assert alone.parts.core.height == 4
