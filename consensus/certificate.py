"""Certificates: the precommits that make a block final, kept beside the block.

A certificate names (height, round, block_hash) and holds the precommit signatures that the
deciding node knew: at least a quorum of power, in strictly ascending order of address. It is
`rlp([height, round, block_hash, [[address, signature], ...]])`. Two nodes may hold different
certificates of one block (another round, other signatures): both prove it.

`check_certificate` is the whole light client of one height: the set of validators that decides
the height, the chain id and these bytes are all it needs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from consensus.messages import (
    SIGNATURE_BYTES,
    Kind,
    Vote,
    as_address,
    as_hash,
    as_height,
    as_round,
)
from consensus.signing import Verify, verifier
from primitives.codec import Item, as_bytes, as_list, decode_list, encode, uint
from primitives.errors import InvalidCertificate, InvalidMessage
from primitives.params import VALIDATORS_MAX
from primitives.types import ZERO_HASH, Address, ChainId, Hash32, Height, Round
from primitives.validators import ValidatorSet


@dataclass(frozen=True, slots=True)
class Certificate:
    """Proof that `block_hash` was decided at `height`, by precommits of `round`."""

    height: Height
    round: Round
    block_hash: Hash32
    signatures: tuple[tuple[Address, bytes], ...]


def certificate_of(votes: Iterable[Vote]) -> Certificate:
    """Return the certificate made of precommits for one block; there must be at least one."""
    ordered = sorted(votes, key=lambda vote: vote.validator)
    first = ordered[0]
    signatures = tuple((vote.validator, vote.signature) for vote in ordered)
    return Certificate(first.height, first.round, first.block_hash, signatures)


def check_certificate(
    certificate: Certificate,
    validators: ValidatorSet,
    chain_id: ChainId,
    verify: Verify | None = None,
) -> None:
    """Raise InvalidCertificate unless `certificate` proves its block to `validators`.

    Every signature must count: addresses strictly ascend, each is a validator of the set, each
    signature is that validator's precommit for exactly this height, round and block on this
    chain, and their power reaches the quorum. `verify` replaces the secp256k1 check (a batch, or
    a simulation's); it must be made for `chain_id`.
    """
    facts = {"height": certificate.height, "round": certificate.round}
    if certificate.height < 1 or certificate.round < 0 or certificate.block_hash == ZERO_HASH:
        raise InvalidCertificate("a certificate names a height, a round and a block", **facts)
    addresses = [address for address, _ in certificate.signatures]
    if any(a >= b for a, b in pairwise(addresses)):
        raise InvalidCertificate("addresses must ascend without duplicates", **facts)
    if any(address not in validators for address in addresses):
        raise InvalidCertificate("signed by someone who is no validator", **facts)
    power = sum(validators.powers[address] for address in addresses)
    if power < validators.quorum_power:
        raise InvalidCertificate(
            f"power {power} is below the quorum {validators.quorum_power}", **facts
        )
    is_signed = verify if verify is not None else verifier(chain_id)
    for vote in precommits_of(certificate):
        if not is_signed(vote):
            raise InvalidCertificate(
                f"signature of 0x{vote.validator.hex()} is not its precommit", **facts
            )


def precommits_of(certificate: Certificate) -> tuple[Vote, ...]:
    """Return the votes that a certificate stands for."""
    return tuple(
        Vote(
            Kind.PRECOMMIT,
            certificate.height,
            certificate.round,
            certificate.block_hash,
            address,
            signature,
        )
        for address, signature in certificate.signatures
    )


def encode_certificate(certificate: Certificate) -> bytes:
    """Return the RLP of a certificate."""
    rows: list[Item] = [[address, signature] for address, signature in certificate.signatures]
    return encode([uint(certificate.height), uint(certificate.round), certificate.block_hash, rows])


def decode_certificate(raw: bytes) -> Certificate:
    """Return the certificate that `raw` encodes; raises InvalidMessage. Proves nothing yet."""
    height, round_, block_hash, rows = decode_list(raw, 4)
    return Certificate(
        as_height(height), as_round(round_), as_hash(block_hash), signatures_from(rows)
    )


def signatures_from(rows: Item) -> tuple[tuple[Address, bytes], ...]:
    """Return (address, signature) pairs from RLP items; raises InvalidMessage."""
    items = as_list(rows)
    if len(items) > VALIDATORS_MAX:
        raise InvalidMessage(f"more than {VALIDATORS_MAX} signatures")
    pairs = (as_list(row, 2) for row in items)
    return tuple(
        (as_address(address), as_bytes(signature, SIGNATURE_BYTES)) for address, signature in pairs
    )
