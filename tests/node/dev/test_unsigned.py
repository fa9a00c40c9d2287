"""Marked transactions keep their sender through bytes, and no other network believes a mark.

Planted bugs that these kill: a mark whose r is the x of some point; `_believed` without its check
of r, so that any damaged signature names a sender; the stand-in's hash kept for the transaction's.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.dev.unsigned import MARK_R, Draft, decode_kept, marked, signed_by, type_of
from primitives.crypto.keccak import keccak
from primitives.crypto.secp256k1 import recover
from primitives.errors import BadSignature, InvalidTransaction
from primitives.transaction import Authorization, decode_transaction
from primitives.types import Address, Gas, Nonce, Wei
from tests.node.dev.support import CHAIN_ID, KEYS

ADDRESSES = st.binary(min_size=20, max_size=20).map(Address)
NUMBERS = st.integers(0, 2**64 - 2)
LISTS = st.lists(
    st.tuples(ADDRESSES, st.lists(st.integers(0, 2**256 - 1), max_size=2).map(tuple)), max_size=2
).map(tuple)


@st.composite
def drafts(draw: st.DrawFn) -> Draft:
    """Drafts of all types."""
    kind = draw(st.sampled_from([0, 1, 2, 4]))
    cap = draw(NUMBERS)
    entry = Authorization(CHAIN_ID, draw(ADDRESSES), 3, 1, 7, 9)
    return Draft(
        type=kind,
        chain_id=CHAIN_ID,
        nonce=Nonce(draw(NUMBERS)),
        max_priority_fee_per_gas=Wei(cap if kind < 2 else draw(NUMBERS)),
        max_fee_per_gas=Wei(cap),
        gas=Gas(draw(NUMBERS)),
        to=draw(ADDRESSES) if kind == 4 else draw(st.one_of(st.none(), ADDRESSES)),
        value=Wei(draw(NUMBERS)),
        data=draw(st.binary(max_size=40)),
        access_list=draw(LISTS) if kind else (),
        authorizations=(entry,) if kind == 4 else (),
    )


def as_draft(transaction: object) -> Draft:
    """Return the draft that a transaction came from."""
    names = Draft.__dataclass_fields__
    return Draft(**{name: getattr(transaction, name) for name in names})


@given(draft=drafts(), sender=ADDRESSES)
def test_mark_round_trip(draft: Draft, sender: Address) -> None:
    """A marked transaction says all that its draft did, and comes back equal from its bytes."""
    made = marked(draft, sender)
    assert as_draft(made) == draft
    assert made.sender == sender
    assert made.hash == keccak(made.raw)
    assert decode_kept([made.raw]) == [made]


@given(draft=drafts(), sender=ADDRESSES)
def test_no_network_believes_a_mark(draft: Draft, sender: Address) -> None:
    """The decoder that every node uses refuses it: no key fits the mark."""
    with pytest.raises(BadSignature):
        decode_transaction(marked(draft, sender).raw)


@given(digest=st.binary(min_size=32, max_size=32), s=st.integers(1, 2**128), v=st.integers(0, 1))
def test_mark_is_no_point(digest: bytes, s: int, v: int) -> None:
    """Whatever was signed, r of a mark fits no public key."""
    with pytest.raises(BadSignature):
        recover(digest, MARK_R.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes((v,)))


@given(draft=drafts())
def test_signed_round_trip(draft: Draft) -> None:
    """A key's signature is one that every node takes."""
    made = signed_by(draft, KEYS[0])
    assert as_draft(made) == draft
    assert made.sender == KEYS[0].address
    assert decode_kept([made.raw]) == [decode_transaction(made.raw)] == [made]


@given(raw=st.binary(min_size=1, max_size=120))
def test_garbage_is_refused(raw: bytes) -> None:
    """Bytes that are no transaction, or a signature that fits nobody, name no sender."""
    with pytest.raises(InvalidTransaction):
        decode_kept([raw])


def test_damaged_signature_is_no_mark() -> None:
    """r of a mark with another s, and another r with s of a mark, are refused."""
    draft = Draft(2, CHAIN_ID, Nonce(0), Wei(1), Wei(2), Gas(21_000), None, Wei(0), b"")
    made = marked(draft, KEYS[0].address)
    with pytest.raises(BadSignature):
        decode_kept([made.raw.replace(made.s.to_bytes(21, "big"), b"\x02" + bytes(20))])
    legacy = marked(replace(draft, type=0, max_priority_fee_per_gas=Wei(2)), KEYS[0].address)
    assert legacy.raw[-22] == 0x95
    with pytest.raises(BadSignature):
        decode_kept([legacy.raw[:-23] + b"\x07" + legacy.raw[-22:]])


def test_type_follows_from_what_is_given() -> None:
    """Legacy and EIP-2930 have a gas price, EIP-1559 none; authorizations make it EIP-7702."""

    def kind(price: bool, access: bool, signed: bool) -> int:
        return type_of(has_price=price, has_access_list=access, has_authorizations=signed)

    assert [kind(True, False, False), kind(True, True, False)] == [0, 1]
    assert [kind(False, True, False), kind(False, False, True)] == [2, 4]
