"""What a consensus signature covers, and how it is checked.

A vote's digest is `keccak256(abi.encode(domain, uint256 chainId, uint64 height, uint32 round,
bytes32 blockHash))`: five 32-byte words, so that a Solidity contract checks a certificate with
`ecrecover` (which wants v + 27). A proposal's digest has two words more:

    keccak256(abi.encode(DOMAIN_PROPOSAL, chainId, height, round, blockHash,
                         int32 polRound, bytes32 keccak256(body)))

`polRound` is bound because it decides whether a locked validator may prevote for the block: were
it free, a peer could alter it under the proposer's name. `body` is bound because it is how a
validator obtains the block: were it free, a peer could forward an honest proposal with a useless
body and make others vote nil. Domains are `keccak256("QENEX/consensus/<kind>/1")`; they differ by
kind, so no signature serves twice, and the chain id keeps networks apart.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from consensus.messages import Claim, Kind, Message, Vote, claim_of
from primitives.crypto.keccak import keccak
from primitives.crypto.secp256k1 import recover
from primitives.errors import BadSignature
from primitives.types import ChainId, Hash32

DOMAIN_PROPOSAL: Final = keccak(b"QENEX/consensus/proposal/1")
DOMAIN_PREVOTE: Final = keccak(b"QENEX/consensus/prevote/1")
DOMAIN_PRECOMMIT: Final = keccak(b"QENEX/consensus/precommit/1")

_DOMAINS: Final = {
    Kind.PROPOSAL: DOMAIN_PROPOSAL,
    Kind.PREVOTE: DOMAIN_PREVOTE,
    Kind.PRECOMMIT: DOMAIN_PRECOMMIT,
}

Verify: TypeAlias = Callable[[Message | Claim], bool]
"""Answers whether a signature was made by the validator that the message or claim names."""


def sign_digest(message: Message | Claim, chain_id: ChainId) -> Hash32:
    """Return the 32 bytes that the validator of `message` signs on chain `chain_id`."""
    numbers = ((chain_id << 256 | message.height) << 256 | message.round).to_bytes(96, "big")
    words = _DOMAINS[message.kind] + numbers + message.block_hash
    if isinstance(message, Vote):
        return keccak(words)
    claim = message if isinstance(message, Claim) else claim_of(message)
    if claim.kind is Kind.PROPOSAL:
        words += claim.pol_round.to_bytes(32, "big", signed=True) + claim.body_hash
    return keccak(words)


def verifier(chain_id: ChainId) -> Verify:
    """Return the check of real secp256k1 signatures for one chain.

    A runtime that recovers in batches may hand the core a `Verify` of its own, as long as it
    answers exactly as this one does.
    """

    def is_signed(message: Message | Claim) -> bool:
        try:
            signed_by = recover(sign_digest(message, chain_id), message.signature)
        except BadSignature:
            return False
        return signed_by == message.validator

    return is_signed
