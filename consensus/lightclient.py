"""Follows the chain by headers, certificates and validator sets alone; pure, no state, no I/O.

A client trusts one header and the validator set that decides the next height (`Trusted`). The
set is proven by the header itself: `extraData` is the hash of its encoding. Every step takes a
`LightBlock` and returns a new `Trusted`, or raises InvalidLightBlock and changes nothing.

    header        21 fields; its hash is what validators precommitted
    certificate   precommits of a quorum of the set that decided this height
    next_set      encoding of the set of the next height (`primitives.validators`): needed when
                  the header names another set than the one that decided it

Sequential step (`follow`), from height h to h + 1. The header's parent is the trusted header, and
a quorum of the trusted set signed it. Safe like the chain: while less than a third of that set's
power is faulty, no two blocks of a height get a quorum. Any change of the set may happen.

Skipping step (`skip`), from height h to any t > h + 1. A header names the set of the height after
it, so the set of height t is proven by the header of t - 1, which the header of t names as its
parent. Accepted when
    (a) the set's encoding hashes to the extraData of the parent, and the parent's hash stands in
        the header of t,
    (b) a quorum of that set signed the header of t, and
    (c) those who signed hold at least `honest_power` (floor(n/3) + 1) of the TRUSTED set,
        measured by the powers that they had there.
Why it is safe: less than a third of the trusted set's power is faulty, so by (c) one honest
validator precommitted the header of t. It does so only for a block that it checked on top of its
own committed block of height t - 1; so the parent in (a) is the chain's block of t - 1, the set
is the one that really decides height t, and by (b) a quorum of it decided this block. Without (a)
and (b) the signatures of (c) prove a vote, not a decision; without (c) anybody could invent the
set. When the set has changed too much for (c), the client takes a height in between or goes
sequentially; `follow` never needs (c).

Both rest on keys that stay honest after their owners have left the set. So a client states for
how long it believes that, `trusting_period_s`, and refuses to step from an older header: whoever
was away longer needs a new trusted header from a source of its own choice.
"""

from __future__ import annotations

from dataclasses import dataclass

from consensus.certificate import Certificate, check_certificate
from consensus.signing import Verify
from primitives.block import Header
from primitives.errors import Invalid
from primitives.params import EXTRA_DATA_BYTES
from primitives.types import ChainId, Hash32, Height
from primitives.validators import ValidatorSet, decode_validator_set


class InvalidLightBlock(Invalid):
    """What was handed in does not prove the height that it claims."""


class NotEnoughTrust(InvalidLightBlock):
    """Too few of the trusted validators signed: nothing is known to be wrong, step less far."""


@dataclass(frozen=True, slots=True)
class Trusted:
    """A header that is known to be final; `validators` decide the height after it."""

    height: Height
    block_hash: Hash32
    timestamp: int
    validators: ValidatorSet


@dataclass(frozen=True, slots=True)
class LightBlock:
    """What proves one height. `next_set` is empty when the set stays as it is."""

    header: Header
    certificate: Certificate
    next_set: bytes = b""


@dataclass(frozen=True, slots=True)
class Leap:
    """What a skipping step needs besides: the header before, and the set that it names."""

    parent: Header
    validators: bytes


@dataclass(frozen=True, slots=True)
class Rules:
    """Of which chain, for how many seconds a header is trusted, and how signatures are checked.

    `verify` replaces the secp256k1 check of `chain_id`, as in `check_certificate`.
    """

    chain_id: ChainId
    trusting_period_s: int
    verify: Verify | None = None


def trust(header: Header, block_hash: Hash32, validators: bytes) -> Trusted:
    """Return the beginning of a client that knows `block_hash` from a source it believes.

    `header` must have that hash, `validators` must encode the set that it names; the genesis
    header is the natural choice. Raises InvalidLightBlock.
    """
    if header.hash != block_hash:
        raise InvalidLightBlock("the header has another hash than the trusted one")
    return Trusted(
        Height(header.height), block_hash, header.timestamp, _proven_set(header, validators)
    )


def follow(trusted: Trusted, block: LightBlock, rules: Rules, now: int) -> Trusted:
    """Return the trust in the height after `trusted`; raises InvalidLightBlock.

    `now` is seconds since 1970.
    """
    _check_period(trusted, rules, now)
    header = block.header
    if header.height != trusted.height + 1:
        raise InvalidLightBlock(
            "a sequential step goes to the next height", height=header.height, from_=trusted.height
        )
    if header.parent_hash != trusted.block_hash:
        raise InvalidLightBlock("the header has another parent", height=header.height)
    return _decided(trusted, block, trusted.validators, rules)


def skip(trusted: Trusted, leap: Leap, block: LightBlock, rules: Rules, now: int) -> Trusted:
    """Return the trust in a height beyond the next one; raises InvalidLightBlock.

    `now` is seconds since 1970. NotEnoughTrust says that a height in between may do.
    """
    _check_period(trusted, rules, now)
    header, parent = block.header, leap.parent
    if header.height <= trusted.height + 1:
        raise InvalidLightBlock(
            "a skipping step goes beyond the next height",
            height=header.height,
            from_=trusted.height,
        )
    if parent.height + 1 != header.height or parent.hash != header.parent_hash:
        raise InvalidLightBlock("the parent is not this header's", height=header.height)
    if not trusted.timestamp <= parent.timestamp <= header.timestamp:
        raise InvalidLightBlock("time runs backwards", height=header.height)
    validators = _proven_set(parent, leap.validators)
    signers = [address for address, _ in block.certificate.signatures]
    power = sum(trusted.validators.powers.get(address, 0) for address in set(signers))
    if power < trusted.validators.honest_power:
        raise NotEnoughTrust(
            f"signers hold {power} of the trusted power, "
            f"{trusted.validators.honest_power} are needed",
            height=header.height,
        )
    return _decided(trusted, block, validators, rules)


def _decided(
    trusted: Trusted, block: LightBlock, validators: ValidatorSet, rules: Rules
) -> Trusted:
    """Return the trust in `block` once a quorum of `validators`, who decide it, has signed."""
    header, certificate = block.header, block.certificate
    block_hash = header.hash
    if certificate.height != header.height or certificate.block_hash != block_hash:
        raise InvalidLightBlock("the certificate is for another block", height=header.height)
    if header.timestamp < trusted.timestamp:
        raise InvalidLightBlock("time runs backwards", height=header.height)
    try:
        check_certificate(certificate, validators, rules.chain_id, rules.verify)
    except Invalid as error:
        raise InvalidLightBlock(error.message, height=header.height) from None
    is_same = not block.next_set and header.extra_data == validators.hash
    following = validators if is_same else _proven_set(header, block.next_set)
    return Trusted(Height(header.height), block_hash, header.timestamp, following)


def _proven_set(header: Header, encoded: bytes) -> ValidatorSet:
    """Return the set whose hash is the header's extraData."""
    try:
        validators = decode_validator_set(encoded)
    except Invalid as error:
        raise InvalidLightBlock(
            f"no validator set: {error.message}", height=header.height
        ) from None
    if len(header.extra_data) != EXTRA_DATA_BYTES or header.extra_data != validators.hash:
        raise InvalidLightBlock("the header names another validator set", height=header.height)
    return validators


def _check_period(trusted: Trusted, rules: Rules, now: int) -> None:
    if now >= trusted.timestamp + rules.trusting_period_s:
        raise InvalidLightBlock("the trusted header is too old to step from", height=trusted.height)
