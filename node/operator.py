"""What an operator sees and changes of a running node: consensus, peers, a vote with its key.

`Operator` of node/rpc/api.py. Pictures are taken from other threads than the loop's, perhaps
between two steps; changes of the network are made in the loop.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from eth_utils.address import to_checksum_address

from consensus.votes import RoundVotes, Tally
from genesis.nodes import check_multiaddr, check_peer_id
from node.intake import Intake
from node.ledger import Ledger
from node.permissions import Permissions
from node.runtime import Runtime
from node.signer import Signer
from p2p.network import Network
from primitives.codec import Item, encode, uint
from primitives.crypto.keccak import keccak
from primitives.errors import ConfigError, Rejected
from primitives.types import ZERO_HASH, Address, Hash32
from vm.fees import base_fee

PROPOSE: Final = keccak(b"proposeChange(address,uint64,bytes32)")[:4]
VOTE_GAS: Final = 500_000
VOTE_TIP_WEI: Final = 1_000_000_000
DYNAMIC_FEE: Final = 2


@dataclass(frozen=True, slots=True)
class NodeOperator:
    """The operator's side of one node."""

    runtime: Runtime
    network: Network
    permitted: Permissions
    ledger: Ledger
    intake: Intake
    signer: Signer | None
    data_dir: Path

    def node(self) -> dict[str, object]:
        """Return peer id, listen addresses and data folder."""
        return {
            "peerId": self.network.peer_id,
            "addresses": list(self.network.listen_addresses),
            "dataDir": str(self.data_dir),
        }

    def peers(self) -> Sequence[dict[str, object]]:
        """Return the connected peers."""
        return list(self.runtime.peers.values())

    def add_peer(self, address: str) -> bool:
        """Dial a multiaddr that ends in a peer id; False when that peer is not permitted."""
        place, peer = _split(address)
        if not self.permitted.is_permitted(peer):
            return False

        def dial() -> None:
            self.permitted.prefer(peer, place)
            self.network.set_addresses(self.permitted.addresses)

        self.runtime.run_in_loop(dial)
        return True

    def remove_peer(self, peer: str) -> bool:
        """Cut the link to a peer, named by id or multiaddr; False when there is none."""
        name = peer.rpartition("/p2p/")[2]
        cut: list[bool] = []
        self.runtime.run_in_loop(lambda: cut.append(self.network.disconnect(name)))
        return cut[0]

    def consensus(self) -> dict[str, object]:
        """Return height, round, step, proposer, locks, votes by round, and timers."""
        status, rounds = self.runtime.consensus_status(), self.runtime.consensus_rounds()
        return {
            "height": hex(status.height),
            "round": hex(status.round),
            "step": status.step.name.lower(),
            "proposer": to_checksum_address(status.proposer),
            "lockedRound": None if status.locked_round < 0 else hex(status.locked_round),
            "validRound": None if status.valid_round < 0 else hex(status.valid_round),
            "signing": status.is_signing,
            "rounds": [
                {"round": hex(number), **_round_json(votes)} for number, votes in sorted(rounds)
            ],
            "timers": [
                {
                    "kind": each.kind.name.lower(),
                    "height": hex(each.height),
                    "round": hex(each.round),
                }
                for each in self.runtime.timers()
            ],
        }

    def permissions(self) -> dict[str, Sequence[str]]:
        """Return the permitted peers and where they are dialled."""
        addresses = self.permitted.addresses
        return {peer: list(addresses.get(peer, ())) for peer in self.permitted.peers}

    def vote(self, member: Address, power: int) -> Hash32:
        """Propose, or approve, that `member` has `power` (0: leaves); returns the transaction.

        Signed with the validator key of this node, which pays for it. Raises Rejected without
        one, and what `Intake.submit` raises.
        """
        if self.signer is None:
            raise Rejected("this node has no validator key; only validators vote")
        view, params = self.ledger.view, self.ledger.params
        sender = self.signer.address
        nonce = self.intake.pool.pending_nonce(sender, view.state)
        fee = base_fee(view.head, params)
        tip = min(VOTE_TIP_WEI, fee)
        words = bytes(12) + member + power.to_bytes(32, "big") + ZERO_HASH
        body: list[Item] = [
            uint(params.chain_id),
            uint(nonce),
            uint(tip),
            uint(2 * fee + tip),
            uint(VOTE_GAS),
            params.validator_registry,
            b"",
            PROPOSE + words,
            [],
        ]
        kind = bytes([DYNAMIC_FEE])
        signature = self.signer.sign(keccak(kind + encode(body)))
        v, r, s = signature[64], signature[:32].lstrip(b"\0"), signature[32:64].lstrip(b"\0")
        return self.intake.submit(kind + encode([*body, uint(v), r, s]))


def _split(address: str) -> tuple[str, str]:
    place, _, peer = address.partition("/p2p/")
    try:
        check_multiaddr(place)
        check_peer_id(peer)
    except ConfigError as error:
        raise Rejected(
            f"{address[:128]}: {error.message}; want /ip4/HOST/tcp/PORT/p2p/PEER"
        ) from None
    return place, peer


def _round_json(votes: RoundVotes) -> dict[str, object]:
    proposal = votes.proposal
    return {
        "proposal": None if proposal is None else "0x" + proposal.block_hash.hex(),
        "prevotes": _tally_json(votes.prevotes),
        "precommits": _tally_json(votes.precommits),
    }


def _tally_json(tally: Tally) -> dict[str, object]:
    """Return who voted for what; nil is null."""
    votes = list(tally.by_validator.values())
    quorum = tally.quorum
    return {
        "power": hex(tally.total),
        "quorum": quorum is not None,
        "votes": {to_checksum_address(each.validator): _or_nil(each.block_hash) for each in votes},
    }


def _or_nil(block_hash: Hash32) -> str | None:
    return None if block_hash == ZERO_HASH else "0x" + block_hash.hex()
