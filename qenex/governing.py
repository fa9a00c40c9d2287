"""Governance for `Client`: proposals by type, votes, and what follows a vote that was won."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import IntEnum
from typing import Any, Final

from eth_abi.abi import encode

from contracts.addresses import AMM, FARMING, LENDING, QXC
from primitives.crypto.keccak import keccak
from primitives.errors import ConfigError
from primitives.types import ZERO_ADDRESS, Address
from qenex.abi import call_data, entries, selector
from qenex.amounts import Amount, Qxc, shown_address, to_address, to_wei
from qenex.contract import Contract, Receipt

PROPOSALS_MAX: Final = 1_000
STATES: Final = (
    *("pending", "active", "canceled", "defeated", "succeeded", "queued", "expired", "executed"),
)
"""Names of OpenZeppelin's IGovernor.ProposalState."""


class ProposalType(IntEnum):
    """What a typed proposal changes; see contracts/src/governance/Governance.sol."""

    PARAMETER_CHANGE = 0
    TREASURY_TRANSFER = 1
    EXEMPTION_CHANGE = 2
    VALIDATOR_CHANGE = 3
    PERMISSION_CHANGE = 4
    CALLS = 5


@dataclass(frozen=True, slots=True)
class Proposal:
    """A proposal as it stands now. Votes are shares; voting goes from `begins` to `ends`."""

    id: int
    state: str
    proposer: str
    description: str
    votes_for: Qxc
    votes_against: Qxc
    quorum: Qxc
    begins: datetime
    ends: datetime


class Governance:
    """Proposals and votes of staked QXC."""

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self._token = Contract(contract.link, "QXC", QXC)

    def propose(self, kind: ProposalType, data: bytes, description: str) -> int:
        """Propose a change of a type with its encoded `data`; return the proposal's id."""
        receipt = self._token.send("createProposal", description, int(kind), data)
        return int(receipt.event("ProposalCreated").fields["proposalId"])

    def propose_parameters(
        self,
        *,
        target_percent: Decimal | int | str,
        cooldown_days: int,
        quorum_percent: int,
        description: str,
    ) -> int:
        """Propose another staking target (percent a year), cooldown and quorum."""
        bps = Decimal(target_percent) * 100
        if bps != int(bps) or bps < 0:
            raise ConfigError(f"a target has at most two decimals, found {target_percent}")
        data = encode(["uint256"] * 3, [int(bps), cooldown_days, quorum_percent])
        return self.propose(ProposalType.PARAMETER_CHANGE, data, description)

    def propose_payment(
        self, to: str, amount: Amount, description: str, token: str | None = None
    ) -> int:
        """Propose that the treasury pays coins, or a token of 18 decimals."""
        kind = ZERO_ADDRESS if token is None else to_address(token, "token")
        data = encode(["address", "address", "uint256"], [kind, to_address(to), to_wei(amount)])
        return self.propose(ProposalType.TREASURY_TRANSFER, data, description)

    def propose_exemption(self, account: str, *, exempt: bool, description: str) -> int:
        """Propose that a system contract's transfers burn nothing, or again burn."""
        data = encode(["address", "bool"], [to_address(account), exempt])
        return self.propose(ProposalType.EXEMPTION_CHANGE, data, description)

    def propose_validator(self, validator: str, power: int, description: str) -> int:
        """Propose a validator's power; 0 removes it."""
        values = [to_address(validator), power, bytes(32)]
        data = encode(["address", "uint64", "bytes32"], values)
        return self.propose(ProposalType.VALIDATOR_CHANGE, data, description)

    def propose_permissions(
        self, account: str, *, may_send: bool, may_deploy: bool, description: str
    ) -> int:
        """Propose what an account may do where the network limits senders or deployers."""
        data = encode(["address", "bool", "bool"], [to_address(account), may_send, may_deploy])
        return self.propose(ProposalType.PERMISSION_CHANGE, data, description)

    def propose_exit_policy(self, policy: str | None, description: str) -> int:
        """Propose whom exchange, lending and farming ask before anything leaves; None is nobody."""
        place = ZERO_ADDRESS if policy is None else to_address(policy, "policy")
        pools = (("Amm", AMM), ("Lending", LENDING), ("Farming", FARMING))
        calls = [
            (shown_address(pool), 0, call_data(name, "setExitPolicy", (place,)))
            for name, pool in pools
        ]
        return self.propose_calls(calls, description)

    def propose_calls(self, calls: Sequence[tuple[str, int, bytes]], description: str) -> int:
        """Propose any calls of the timelock: target, wei, data."""
        targets = [to_address(each[0]) for each in calls]
        values = [targets, [each[1] for each in calls], [each[2] for each in calls]]
        data = encode(["address[]", "uint256[]", "bytes[]"], values)
        return self.propose(ProposalType.CALLS, data, description)

    def vote(self, proposal: int, support: bool) -> Receipt:
        """Vote for or against with all one's votes."""
        return self._token.send("vote", proposal, support)

    def queue(self, proposal: int) -> Receipt:
        """Hand a proposal that was carried to the timelock; anybody may."""
        return self.contract.send("queue", *self._calls(proposal))

    def execute(self, proposal: int) -> Receipt:
        """Execute a proposal once the timelock has waited; anybody may."""
        return self.contract.send("execute", *self._calls(proposal))

    def cancel(self, proposal: int) -> Receipt:
        """Take one's own proposal back while it is pending."""
        return self.contract.send("cancel", *self._calls(proposal))

    def state(self, proposal: int) -> str:
        """Return the state's name, one of STATES."""
        return STATES[self.contract.read("state", proposal)]

    def proposals(self) -> list[Proposal]:
        """Return the proposals, the newest first; at most PROPOSALS_MAX."""
        found = self._created()
        return [self._shown(fields) for fields in reversed(found[-PROPOSALS_MAX:])]

    def proposal(self, proposal: int) -> Proposal:
        """Return one proposal; raises ConfigError when there is none."""
        return self._shown(self._facts(proposal))

    def _shown(self, fields: Mapping[str, Any]) -> Proposal:
        read, number = self.contract.read, int(fields["proposalId"])
        against, in_favour, _ = read("proposalVotes", number)
        begins, ends = read("proposalSnapshot", number), read("proposalDeadline", number)
        state = self.state(number)
        needed = 0 if state == "pending" else read("quorum", begins)
        return Proposal(
            id=number,
            state=state,
            proposer=shown_address(fields["proposer"]),
            description=fields["description"],
            votes_for=Qxc.of_wei(in_favour),
            votes_against=Qxc.of_wei(against),
            quorum=Qxc.of_wei(needed),
            begins=datetime.fromtimestamp(begins, UTC),
            ends=datetime.fromtimestamp(ends, UTC),
        )

    def _calls(self, proposal: int) -> tuple[list[Address], list[int], list[bytes], bytes]:
        found = self._facts(proposal)
        targets = [to_address(each) for each in found["targets"]]
        digest = keccak(found["description"].encode())
        return targets, list(found["values"]), list(found["calldatas"]), digest

    def _facts(self, proposal: int) -> Mapping[str, Any]:
        for fields in self._created():
            if fields["proposalId"] == proposal:
                return fields
        raise ConfigError(f"there is no proposal {proposal}")

    def _created(self) -> list[Mapping[str, Any]]:
        topic = next(e for e in entries("Governance", "event") if e["name"] == "ProposalCreated")
        wanted = {
            "address": "0x" + self.contract.address.hex(),
            "fromBlock": "0x0",
            "toBlock": "latest",
            "topics": ["0x" + selector(topic).hex()],
        }
        logs = self.contract.link.rpc.call("eth_getLogs", wanted)
        return [each.fields for each in self.contract.link.events(logs)]
