"""Multi-signature accounts for `Client`: make one, sign operations apart, submit them together.

    account = client.multisig.create([alice, bob, carol], threshold=2)
    calls = [account.payment(dave, "5")]
    signatures = [account.sign(calls, key) for key in (alice_key, bob_key)]
    account.execute(calls, signatures)

Signers sign the same operation, each on its own machine; whoever submits it pays the gas.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from eth_abi.abi import encode

from primitives.crypto.keccak import keccak
from primitives.crypto.secp256k1 import PrivateKey
from primitives.types import Address, Hash32
from qenex.amounts import Amount, shown_address, to_address, to_wei
from qenex.contract import Contract, Receipt

NO_DEADLINE: Final = 2**64 - 1
_RECOVERY: Final = 27


@dataclass(frozen=True, slots=True)
class Call:
    """A call of an account: to whom, how many wei, what data."""

    target: Address
    value: int = 0
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class Signature:
    """One signer's agreement: `signer` is an address, or verifier and key (ERC-7913)."""

    signer: bytes
    raw: bytes


class MultiSig:
    """One account."""

    def __init__(self, contract: Contract) -> None:
        self.contract = contract

    @property
    def address(self) -> str:
        """Where it stands."""
        return shown_address(self.contract.address)

    @property
    def threshold(self) -> int:
        """The weight that an operation needs."""
        return int(self.contract.read("threshold"))

    @property
    def nonce(self) -> int:
        """The number of the next operation."""
        return int(self.contract.read("nonce"))

    def signers(self) -> dict[str, int]:
        """Return the signers in hex and their weights."""
        found = self.contract.read("getSigners", 0, NO_DEADLINE)
        return {"0x" + each.hex(): self.contract.read("signerWeight", each) for each in found}

    def payment(self, to: str, amount: Amount) -> Call:
        """Return a call that pays native coins."""
        return Call(to_address(to, "to"), to_wei(amount))

    def digest(self, calls: Sequence[Call], deadline: int = NO_DEADLINE) -> Hash32:
        """Return what signers sign (EIP-712) for these calls as the next operation."""
        return Hash32(self.contract.read("operationHash", _rows(calls), deadline))

    def sign(
        self, calls: Sequence[Call], key: PrivateKey, deadline: int = NO_DEADLINE
    ) -> Signature:
        """Return the agreement of an ordinary key; `deadline` is in seconds since 1970."""
        raw = key.sign(self.digest(calls, deadline))
        return Signature(bytes(key.address), raw[:64] + bytes([_RECOVERY + raw[64]]))

    def execute(
        self,
        calls: Sequence[Call],
        signatures: Sequence[Signature],
        deadline: int = NO_DEADLINE,
    ) -> Receipt:
        """Submit an operation with enough signatures; raises Refused (NotSigned) otherwise."""
        ordered = sorted(signatures, key=lambda each: keccak(each.signer))
        lists = [[each.signer for each in ordered], [each.raw for each in ordered]]
        joined = encode(["bytes[]", "bytes[]"], lists)
        return self.contract.send("execute", _rows(calls), deadline, joined)


class MultiSigs:
    """The factory of accounts."""

    def __init__(self, contract: Contract) -> None:
        self.contract = contract

    def create(
        self,
        signers: Sequence[str],
        threshold: int,
        weights: Sequence[int] | None = None,
        salt: bytes | None = None,
    ) -> MultiSig:
        """Make an account of these signers (addresses, or verifier and key in hex).

        Weights are 1 by default. The same signers, weights, threshold and `salt` (32 bytes, by
        chance when left out) give the same address.
        """
        raws = [bytes.fromhex(each.removeprefix("0x")) for each in signers]
        chosen = list(weights) if weights is not None else [1] * len(raws)
        mark = secrets.token_bytes(32) if salt is None else salt
        receipt = self.contract.send("create", raws, chosen, threshold, mark)
        return self.at(receipt.event("AccountCreated").fields["account"])

    def at(self, address: str) -> MultiSig:
        """Return the account at an address."""
        raw = to_address(address)
        self.contract.link.kinds[raw] = "MultiSigAccount"
        return MultiSig(Contract(self.contract.link, "MultiSigAccount", raw))


def _rows(calls: Sequence[Call]) -> list[tuple[Address, int, bytes]]:
    return [(each.target, each.value, each.data) for each in calls]
