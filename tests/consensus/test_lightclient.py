"""The light client believes exactly what a quorum of the right set decided, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus.certificate import Certificate
from consensus.lightclient import (
    InvalidLightBlock,
    Leap,
    LightBlock,
    NotEnoughTrust,
    Rules,
    Trusted,
    follow,
    skip,
    trust,
)
from consensus.messages import Kind, Vote
from consensus.signing import sign_digest
from primitives.block import Header
from primitives.crypto.secp256k1 import PrivateKey
from primitives.types import (
    EMPTY_ROOT,
    GAS_ZERO,
    WEI_ZERO,
    ZERO_ADDRESS,
    ZERO_HASH,
    ChainId,
    Hash32,
    Height,
    Power,
    Round,
)
from primitives.validators import Validator, ValidatorSet, encode_validator_set

CHAIN = ChainId(1_337)
RULES = Rules(CHAIN, trusting_period_s=1_000)
NOW = 500
KEYS = sorted((PrivateKey(bytes([n + 1]) * 32) for n in range(12)), key=lambda key: key.address)
BY_ADDRESS = {key.address: key for key in KEYS}


def members(*indexes: int, powers: Sequence[int] = ()) -> ValidatorSet:
    shares = powers or [1] * len(indexes)
    return ValidatorSet.of(
        Validator(KEYS[index].address, Power(power))
        for index, power in zip(indexes, shares, strict=True)
    )


def make_header(height: int, parent: Hash32, following: ValidatorSet, salt: int = 0) -> Header:
    return Header(
        parent_hash=parent,
        fee_recipient=ZERO_ADDRESS,
        state_root=EMPTY_ROOT,
        transactions_root=EMPTY_ROOT,
        receipts_root=EMPTY_ROOT,
        logs_bloom=bytes(256),
        height=Height(height),
        gas_limit=GAS_ZERO,
        gas_used=GAS_ZERO,
        timestamp=height,
        extra_data=following.hash,
        mix_hash=Hash32(bytes([salt]) * 32),
        base_fee_per_gas=WEI_ZERO,
    )


def certify(
    header: Header, signers: Sequence[PrivateKey], chain_id: ChainId = CHAIN
) -> Certificate:
    pairs = []
    for key in sorted(signers, key=lambda each: each.address):
        vote = Vote(Kind.PRECOMMIT, Height(header.height), Round(0), header.hash, key.address)
        pairs.append((key.address, key.sign(sign_digest(vote, chain_id))))
    return Certificate(Height(header.height), Round(0), header.hash, tuple(pairs))


class Line:
    """A chain of headers; `sets[h]` decides height h, everybody signs."""

    def __init__(self, sets: Sequence[ValidatorSet]) -> None:
        self.sets = list(sets)
        self.headers = [make_header(0, ZERO_HASH, sets[1])]
        for height in range(1, len(sets) - 1):
            before = self.headers[-1]
            self.headers.append(make_header(height, before.hash, sets[height + 1]))

    def start(self) -> Trusted:
        first = self.headers[0]
        return trust(first, first.hash, encode_validator_set(self.sets[1]))

    def block(self, height: int, signers: Sequence[PrivateKey] | None = None) -> LightBlock:
        if signers is None:
            signers = [BY_ADDRESS[each] for each in self.sets[height].powers]
        header = self.headers[height]
        following = encode_validator_set(self.sets[height + 1])
        return LightBlock(header, certify(header, signers), following)

    def leap(self, height: int) -> Leap:
        return Leap(self.headers[height - 1], encode_validator_set(self.sets[height]))

    def trusted(self, height: int) -> Trusted:
        header = self.headers[height]
        return Trusted(Height(height), header.hash, header.timestamp, self.sets[height + 1])


FOUR = members(0, 1, 2, 3)


def same(count: int = 6, validators: ValidatorSet = FOUR) -> Line:
    return Line([validators] * count)


def accepts(step: Callable[..., Trusted], *values: object) -> bool:
    try:
        step(*values, RULES, NOW)
    except InvalidLightBlock:
        return False
    return True


def test_headers_are_followed_through_every_change() -> None:
    """Sequential steps follow any change of the set, a complete exchange included."""
    sets = [FOUR, FOUR, FOUR, members(4, 5), members(6, powers=[9]), members(0, 6, 7), FOUR]
    line = Line(sets)
    trusted = line.start()
    for height in range(1, len(line.headers)):
        trusted = follow(trusted, line.block(height), RULES, NOW)
        assert trusted == line.trusted(height)


def test_an_unchanged_set_needs_no_witness() -> None:
    """Without a change the set may be left out; with one it must be there."""
    line = Line([FOUR, FOUR, FOUR, members(0, 1), members(0, 1)])
    trusted = follow(line.start(), replace(line.block(1), next_set=b""), RULES, NOW)
    assert trusted == line.trusted(1)
    with pytest.raises(InvalidLightBlock):
        follow(trusted, replace(line.block(2), next_set=b""), RULES, NOW)


@pytest.mark.slow
@pytest.mark.parametrize("count", range(1, 11))
def test_every_subset_below_quorum_is_refused(count: int) -> None:
    """All 2^n subsets: accepted exactly from floor(2n/3) + 1 signers on, both ways of stepping.

    Kills: quorum of a half, of ceil(2n/3), of n - f - 1, honest power in place of the quorum.
    """
    line = same(4, members(*range(count)))
    whole = line.block(1), line.block(2)
    for size in range(count + 1):
        for chosen in combinations(range(count), size):
            good = size >= count * 2 // 3 + 1
            first, second = (_only(block, chosen) for block in whole)
            assert accepts(follow, line.start(), first) is good
            assert accepts(skip, line.start(), line.leap(2), second) is good


def _only(block: LightBlock, chosen: Sequence[int]) -> LightBlock:
    signatures = tuple(block.certificate.signatures[index] for index in chosen)
    return replace(block, certificate=replace(block.certificate, signatures=signatures))


def test_skip_rule_is_exact() -> None:
    """Every overlap of two sets and every subset of signers, to six members: the rule, no more.

    Kills: trust counted by heads, with the new powers, over all members instead of the signers;
    honest power of the new set; either of the two thresholds dropped.
    """
    tried = {True: 0, False: 0}
    for overlap in range(5):
        old = members(0, 1, 2, 3, powers=[5, 1, 1, 3])
        new = members(*range(4 - overlap, 8 - overlap), powers=[1, 4, 1, 2])
        line = Line([old, old, old, new, new, new])
        whole = line.block(3)
        signers = [address for address, _ in whole.certificate.signatures]
        for size in range(5):
            for chosen in combinations(range(4), size):
                addresses = [signers[index] for index in chosen]
                trusted_power = sum(old.powers.get(each, 0) for each in addresses)
                new_power = sum(new.powers[each] for each in addresses)
                good = trusted_power >= 10 // 3 + 1 and new_power >= 8 * 2 // 3 + 1
                block = _only(whole, chosen)
                done = accepts(skip, line.start(), line.leap(3), block)
                assert done is good, (overlap, chosen)
                tried[done] += 1
    assert min(tried.values()) >= 10


def test_too_little_trust_is_told_apart() -> None:
    """A complete exchange of the set cannot be skipped over, but it can be followed."""
    line = Line([FOUR, FOUR, members(4, 5, 6), members(4, 5, 6), members(4, 5, 6)])
    with pytest.raises(NotEnoughTrust):
        skip(line.start(), line.leap(2), line.block(2), RULES, NOW)
    trusted = follow(line.start(), line.block(1), RULES, NOW)
    assert follow(trusted, line.block(2), RULES, NOW) == line.trusted(2)


def test_an_invented_set_is_refused() -> None:
    """A third of the trusted set that lies cannot bring a set of its own.

    One traitor of four signs a forged header whose parent names only its own keys. Kills: the
    trusted signers not counted.
    """
    mine = members(0, 8, 9)
    forged_parent = make_header(2, ZERO_HASH, mine, salt=7)
    forged = make_header(3, forged_parent.hash, mine, salt=7)
    block = LightBlock(forged, certify(forged, [KEYS[0], KEYS[8], KEYS[9]]))
    leap = Leap(forged_parent, encode_validator_set(mine))
    with pytest.raises(NotEnoughTrust):
        skip(same().start(), leap, block, RULES, NOW)


def test_a_set_that_the_parent_does_not_name_is_refused() -> None:
    """The set of a skip is the one in the parent's extraData. Kills: the set taken on its word."""
    line = same()
    chosen = members(0, 1)
    header = line.headers[3]
    block = LightBlock(header, certify(header, KEYS[:2]), encode_validator_set(FOUR))
    with pytest.raises(InvalidLightBlock, match="another validator set"):
        skip(line.start(), Leap(line.headers[2], encode_validator_set(chosen)), block, RULES, NOW)
    forged = make_header(2, ZERO_HASH, chosen)
    with pytest.raises(InvalidLightBlock, match="parent"):
        skip(line.start(), Leap(forged, encode_validator_set(chosen)), block, RULES, NOW)


def test_a_signer_counts_once() -> None:
    """Duplicate signers are refused, wherever the duplicate stands."""
    line = same()
    block = line.block(1)
    pairs = block.certificate.signatures
    for signatures in (
        (pairs[0], pairs[0], pairs[1]),
        (pairs[0], pairs[1], pairs[1], pairs[1]),
        (pairs[1], pairs[0], pairs[2]),
    ):
        wrong = replace(block, certificate=replace(block.certificate, signatures=signatures))
        with pytest.raises(InvalidLightBlock, match="ascend"):
            follow(line.start(), wrong, RULES, NOW)


def test_another_chain_is_refused() -> None:
    """Signatures for one chain id prove nothing on another."""
    line = same()
    foreign = replace(line.block(1), certificate=certify(line.headers[1], KEYS[:4], ChainId(1_338)))
    with pytest.raises(InvalidLightBlock, match="precommit"):
        follow(line.start(), foreign, RULES, NOW)
    with pytest.raises(InvalidLightBlock, match="precommit"):
        follow(line.start(), line.block(1), replace(RULES, chain_id=ChainId(1)), NOW)


def test_wrong_heights_are_refused() -> None:
    """Sequential steps go one height, skips go further, nothing goes back or stands still."""
    line = same()
    at_two = line.trusted(2)
    for height in (1, 2, 4):
        with pytest.raises(InvalidLightBlock, match="next height"):
            follow(at_two, line.block(height), RULES, NOW)
    for height in (1, 2, 3):
        with pytest.raises(InvalidLightBlock, match="beyond"):
            skip(at_two, line.leap(height), line.block(height), RULES, NOW)
    assert skip(at_two, line.leap(4), line.block(4), RULES, NOW) == line.trusted(4)
    with pytest.raises(InvalidLightBlock, match="parent is not"):
        skip(at_two, line.leap(3), line.block(4), RULES, NOW)


def test_a_certificate_of_another_block_is_refused() -> None:
    """A certificate belongs to one header: of another height, round's rival or fork it is worth 0.

    Kills: the certificate checked by itself, without comparing its hash or height.
    """
    line = same()
    rival = make_header(1, line.headers[0].hash, FOUR, salt=1)
    for wrong in (
        LightBlock(rival, line.block(1).certificate),
        LightBlock(line.headers[1], line.block(2).certificate),
        LightBlock(line.headers[1], replace(line.block(1).certificate, height=Height(2))),
    ):
        with pytest.raises(InvalidLightBlock):
            follow(line.start(), wrong, RULES, NOW)


def test_another_parent_is_refused() -> None:
    """A well-signed header on a parent that is not the trusted one is no next step."""
    line = same()
    orphan = make_header(1, Hash32(b"\x01" * 32), FOUR)
    with pytest.raises(InvalidLightBlock, match="another parent"):
        follow(line.start(), LightBlock(orphan, certify(orphan, KEYS[:4])), RULES, NOW)


def test_time_does_not_run_backwards() -> None:
    """A header is not older than the one it follows, sequentially and skipping."""
    line = same()
    late = replace(line.start(), timestamp=50)
    with pytest.raises(InvalidLightBlock, match="backwards"):
        follow(late, line.block(1), RULES, NOW)
    with pytest.raises(InvalidLightBlock, match="backwards"):
        skip(late, line.leap(3), line.block(3), RULES, NOW)


def test_old_trust_expires() -> None:
    """From a header of the trusting period's age no step leads, one second earlier it does."""
    line = same()
    start, end = line.start(), RULES.trusting_period_s
    assert follow(start, line.block(1), RULES, end - 1).height == 1
    assert skip(start, line.leap(3), line.block(3), RULES, end - 1).height == 3
    with pytest.raises(InvalidLightBlock, match="too old"):
        follow(start, line.block(1), RULES, end)
    with pytest.raises(InvalidLightBlock, match="too old"):
        skip(start, line.leap(3), line.block(3), RULES, end)


def test_the_first_trust_is_checked() -> None:
    """The header must have the hash that the client knows, and the set must be the header's."""
    line = same()
    first, encoded = line.headers[0], encode_validator_set(FOUR)
    with pytest.raises(InvalidLightBlock, match="another hash"):
        trust(first, line.headers[1].hash, encoded)
    for wrong in (encode_validator_set(members(0, 1)), b"", b"\xc0", encoded[:-1], encoded + b"\0"):
        with pytest.raises(InvalidLightBlock):
            trust(first, first.hash, wrong)


def test_long_extra_data_is_refused() -> None:
    """extraData is the hash alone."""
    header = replace(make_header(0, ZERO_HASH, FOUR), extra_data=FOUR.hash + b"\0")
    with pytest.raises(InvalidLightBlock):
        trust(header, header.hash, encode_validator_set(FOUR))


sets = st.lists(st.integers(0, 9), min_size=1, max_size=6, unique=True).flatmap(
    lambda chosen: st.lists(st.integers(1, 9), min_size=len(chosen), max_size=len(chosen)).map(
        lambda powers: members(*chosen, powers=powers)
    )
)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.lists(sets, min_size=4, max_size=7), st.data())
def test_whatever_is_believed_was_decided(chain: list[ValidatorSet], data: st.DataObject) -> None:
    """Random chains, random steps: a step ends at the chain's own header, or it is refused.

    The adversary holds less than a third of every set and signs rival headers as well; everybody
    honest signs only the chain. Kills: `skip` without the trusted signers, `follow` with them.
    """
    line = Line(chain)
    trusted = line.start()
    chosen = data.draw(st.sets(st.integers(0, 11), max_size=4))
    bad = [KEYS[index] for index in sorted(chosen)]
    is_weak = all(
        sum(each.powers.get(key.address, 0) for key in bad) < each.honest_power
        for each in line.sets
    )
    for _ in range(6):
        height = data.draw(st.integers(1, len(line.headers) - 1))
        if is_weak and data.draw(st.booleans()):
            taken = ValidatorSet.of(Validator(key.address) for key in bad) if bad else FOUR
            parent = make_header(height - 1, ZERO_HASH, taken, salt=9)
            header = make_header(height, parent.hash, taken, salt=9)
            block = LightBlock(header, certify(header, bad))
            leap = Leap(parent, encode_validator_set(taken))
            assert not accepts(skip, trusted, leap, block)
            assert not accepts(follow, trusted, block)
            continue
        try:
            if height == trusted.height + 1:
                trusted = follow(trusted, line.block(height), RULES, NOW)
            else:
                trusted = skip(trusted, line.leap(height), line.block(height), RULES, NOW)
        except InvalidLightBlock:
            assert height != trusted.height + 1
        assert trusted == line.trusted(trusted.height)


@given(st.integers(0, 5), st.data())
def test_any_changed_byte_is_refused(place: int, data: st.DataObject) -> None:
    """One changed byte of a header field, a signature or the set's encoding proves nothing."""
    line = same()
    block = line.block(1)
    start = line.start()

    def flip(raw: bytes) -> Hash32:
        at = data.draw(st.integers(0, len(raw) - 1))
        changed = bytes([raw[at] ^ data.draw(st.integers(1, 255))])
        return Hash32(raw[:at] + changed + raw[at + 1 :])

    match place:
        case 0:
            wrong = replace(block, header=replace(block.header, state_root=flip(EMPTY_ROOT)))
        case 1:
            wrong = replace(block, header=replace(block.header, extra_data=flip(FOUR.hash)))
        case 2:
            wrong = replace(block, next_set=flip(block.next_set))
        case 3:
            pairs = list(block.certificate.signatures)
            pairs[0] = (pairs[0][0], flip(pairs[0][1]))
            wrong = replace(block, certificate=replace(block.certificate, signatures=tuple(pairs)))
        case 4:
            wrong = replace(block, certificate=replace(block.certificate, round=Round(1)))
        case _:
            wrong = replace(block, header=replace(block.header, timestamp=2))
    assert not accepts(follow, start, wrong)


def test_headers_that_contradict_themselves_are_refused() -> None:
    """Even with everybody's signature: a parent of another height or time, a shifted certificate.

    Kills: `parent.height`, `certificate.height` or the parent's time left out of the checks.
    """
    line, encoded = same(), encode_validator_set(FOUR)
    for parent in (
        make_header(1, ZERO_HASH, FOUR),
        replace(make_header(2, ZERO_HASH, FOUR), timestamp=4),
    ):
        header = make_header(3, parent.hash, FOUR)
        block = LightBlock(header, certify(header, KEYS[:4]))
        assert not accepts(skip, line.start(), Leap(parent, encoded), block)
    shifted = []
    for key in KEYS[:4]:
        vote = Vote(Kind.PRECOMMIT, Height(2), Round(0), line.headers[1].hash, key.address)
        shifted.append((key.address, key.sign(sign_digest(vote, CHAIN))))
    certificate = Certificate(Height(2), Round(0), line.headers[1].hash, tuple(shifted))
    assert not accepts(follow, line.start(), LightBlock(line.headers[1], certificate))
