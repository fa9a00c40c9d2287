"""Every rule before execution, from both sides of its limit, with geth's words."""

from dataclasses import replace
from typing import Any

import pytest

from primitives.account import Account
from primitives.crypto.secp256k1 import HALF_ORDER
from primitives.errors import (
    BadBlobs,
    BadSignature,
    EmptyAuthorizations,
    FeeTooLow,
    GasLimitExceeded,
    InitcodeTooLarge,
    InsufficientFunds,
    IntrinsicGasTooLow,
    InvalidTransaction,
    NonceTooHigh,
    NonceTooLow,
    SenderNotEOA,
    TipAboveFeeCap,
    UnsupportedType,
    WrongChain,
)
from primitives.params import ChainParams
from primitives.transaction import Transaction
from primitives.types import UINT64_MAX, Address, Gas, Hash32, Nonce, Wei
from tests.vm.support import ALICE, BOB, CHAIN, GWEI, KEYS, PARAMS, authorization, signed
from vm.forks import BLOBS, OSAKA, PRAGUE, Fork, Rules
from vm.validate import (
    INITCODE_BYTES_MAX,
    TRANSACTION_GAS_MAX,
    check_against_state,
    check_static,
    checksum,
    floor_gas,
    intrinsic_gas,
    is_delegation,
)

TX = signed()
DELEGATION = bytes.fromhex("ef0100") + BOB


def refused(tx: Transaction, kind: type[InvalidTransaction], **options: Any) -> InvalidTransaction:
    with pytest.raises(kind) as caught:
        check_static(tx, PARAMS, **options)
    assert type(caught.value) is kind
    return caught.value


def test_a_good_transaction_of_each_type_passes() -> None:
    """Legacy with a chain id, access list, dynamic fee and set code are all taken."""
    one = authorization(KEYS[1], BOB)
    for kind in (0, 1, 2):
        check_static(signed(kind=kind), PARAMS)
    check_static(signed(kind=4, gas=100_000, authorizations=(one,)), PARAMS)


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_a_foreign_chain_is_refused(kind: int) -> None:
    """py-evm accepts these; we do not, typed or EIP-155."""
    error = refused(signed(kind=kind, chain_id=CHAIN + 1), WrongChain)
    assert error.message == f"invalid chain id for signer: have {CHAIN + 1} want {CHAIN}"
    assert error.facts == {"have": CHAIN + 1, "want": CHAIN}
    check_static(signed(kind=kind, chain_id=CHAIN), PARAMS)


def test_an_unprotected_transaction_needs_the_option() -> None:
    """Legacy without chain id passes only with allow_unprotected, and only when legacy."""
    tx = signed(kind=0, chain_id=None)
    assert tx.chain_id is None
    error = refused(tx, WrongChain)
    assert error.message == "only replay-protected (EIP-155) transactions allowed over RPC"
    check_static(tx, PARAMS, allow_unprotected=True)
    refused(replace(tx, type=1), WrongChain, allow_unprotected=True)
    refused(signed(kind=0, chain_id=CHAIN + 1), WrongChain, allow_unprotected=True)


@pytest.mark.parametrize("kind", [3, 5, 127])
def test_other_types_are_refused(kind: int) -> None:
    """A blob transaction that got past the decoder is refused here too."""
    assert refused(replace(TX, type=kind), UnsupportedType).facts == {"type": kind}


def test_authorizations_belong_to_set_code_transactions() -> None:
    """Type 4 needs at least one and a recipient; the other types carry none."""
    one = authorization(KEYS[1], BOB)
    good = replace(TX, type=4, gas=Gas(46_000), authorizations=(one,))
    check_static(good, PARAMS)
    empty = refused(replace(good, authorizations=()), EmptyAuthorizations)
    assert empty.message.startswith("EIP-7702 transaction with empty auth list (sender 0x")
    create = refused(replace(good, to=None), EmptyAuthorizations)
    assert "cannot be used to create contract" in create.message
    refused(replace(good, type=2), UnsupportedType)


def test_the_block_gas_limit_holds() -> None:
    """A gas limit equal to the block's passes, one more does not."""
    check_static(replace(TX, gas=PARAMS.gas_limit), PARAMS)
    error = refused(replace(TX, gas=Gas(PARAMS.gas_limit + 1)), GasLimitExceeded)
    assert error.message.startswith("exceeds block gas limit")


def test_the_nonce_has_a_limit() -> None:
    """EIP-2681: 2^64 - 2 is the greatest nonce."""
    check_static(replace(TX, nonce=Nonce(UINT64_MAX - 1)), PARAMS)
    error = refused(replace(TX, nonce=Nonce(UINT64_MAX)), NonceTooHigh)
    assert error.message.startswith("nonce has max value: address 0x")


def test_the_tip_is_at_most_the_cap() -> None:
    """EIP-1559: equal is fine, one wei more is not."""
    check_static(replace(TX, max_priority_fee_per_gas=TX.max_fee_per_gas), PARAMS)
    tip = Wei(TX.max_fee_per_gas + 1)
    error = refused(replace(TX, max_priority_fee_per_gas=tip), TipAboveFeeCap)
    assert error.message == (
        "max priority fee per gas higher than max fee per gas: "
        f"address {checksum(ALICE)}, maxPriorityFeePerGas: {tip}, maxFeePerGas: {tip - 1}"
    )


def test_initcode_has_a_limit_that_calldata_has_not() -> None:
    """EIP-3860: 49,152 bytes create, one more only calls."""
    full = replace(TX, to=None, gas=Gas(3_000_000), data=bytes(INITCODE_BYTES_MAX))
    check_static(full, PARAMS)
    longer = replace(full, data=bytes(INITCODE_BYTES_MAX + 1))
    error = refused(longer, InitcodeTooLarge)
    assert error.message == "max initcode size exceeded: code size 49153 limit 49152"
    check_static(replace(longer, to=BOB), PARAMS)


@pytest.mark.parametrize(
    ("changes", "gas"),
    [
        ({}, 21_000),
        ({"data": b"\0"}, 21_004),
        ({"data": b"\1"}, 21_016),
        ({"to": None}, 53_000),
        ({"to": None, "data": bytes(33)}, 53_000 + 33 * 4 + 2 * 2),
        ({"access_list": ((ALICE, (1, 2)), (BOB, ()))}, 21_000 + 2 * 2_400 + 2 * 1_900),
        ({"authorizations": (authorization(KEYS[1], BOB),) * 2}, 71_000),
    ],
)
def test_intrinsic_gas(changes: dict[str, Any], gas: int) -> None:
    """Each part has its price: data, creation, initcode words, access lists, authorizations."""
    tx = replace(TX, **changes)
    assert intrinsic_gas(tx, len(tx.authorizations)) == gas


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"to": None},
        {"access_list": ((ALICE, (1,)),)},
        {"type": 4, "authorizations": (authorization(KEYS[1], BOB),)},
    ],
)
def test_gas_must_cover_the_intrinsic_gas(changes: dict[str, Any]) -> None:
    """Exactly enough passes; one less is refused with both numbers."""
    tx = replace(TX, **changes)
    need = intrinsic_gas(tx, len(tx.authorizations))
    check_static(replace(tx, gas=need), PARAMS)
    error = refused(replace(tx, gas=Gas(need - 1)), IntrinsicGasTooLow)
    assert error.message == f"intrinsic gas too low: have {need - 1}, want {need}"
    assert error.facts == {"have": need - 1, "want": need}


def test_gas_must_cover_the_floor_of_data() -> None:
    """EIP-7623: 10 gas a token, although the intrinsic gas is less; py-evm forgets it."""
    data = bytes([1]) * 100 + bytes(50)
    need = floor_gas(data)
    assert need == 21_000 + (400 + 50) * 10
    check_static(replace(TX, data=data, gas=need), PARAMS)
    error = refused(replace(TX, data=data, gas=Gas(need - 1)), IntrinsicGasTooLow)
    assert error.message == (
        f"insufficient gas for floor data gas cost: have {need - 1}, want {need}"
    )


def test_chain_and_limit_come_from_the_parameters() -> None:
    """The same transaction is wrong elsewhere."""
    small = ChainParams(chain_id=CHAIN, gas_limit=Gas(20_999))
    with pytest.raises(GasLimitExceeded):
        check_static(TX, small)


@pytest.mark.parametrize(
    ("kind", "since"),
    [(0, Fork.SPURIOUS_DRAGON), (1, Fork.BERLIN), (2, Fork.LONDON), (4, Fork.PRAGUE)],
)
def test_each_type_is_taken_from_its_fork_on(kind: int, since: Fork) -> None:
    """Protected legacy transactions came with EIP-155, the others with types of their own."""
    one = (authorization(KEYS[1], BOB),) if kind == 4 else ()
    tx = signed(kind=kind, gas=200_000, authorizations=one)
    for fork in Fork:
        if fork >= since:
            check_static(tx, PARAMS, rules=Rules(fork))
        else:
            refused(tx, WrongChain if kind == 0 else UnsupportedType, rules=Rules(fork))


def test_a_signature_with_high_s_was_good_in_frontier_only() -> None:
    """EIP-2. The decoder lets one through only in the form for public chains."""
    tx = replace(signed(kind=0, chain_id=None), s=HALF_ORDER + 1)
    check_static(tx, PARAMS, rules=Rules(Fork.FRONTIER), allow_unprotected=True)
    for fork in (Fork.HOMESTEAD, Fork.PRAGUE):
        refused(tx, BadSignature, rules=Rules(fork), allow_unprotected=True)


def test_intrinsic_gas_by_fork() -> None:
    """EIP-2 prices creation, EIP-2028 makes data cheaper, EIP-3860 prices initcode."""
    tx = signed(to=None, data=b"\1" * 32, gas=100_000)
    wanted = {
        Fork.FRONTIER: 21_000 + 32 * 68,
        Fork.HOMESTEAD: 53_000 + 32 * 68,
        Fork.ISTANBUL: 53_000 + 32 * 16,
        Fork.SHANGHAI: 53_000 + 32 * 16 + 2,
        Fork.OSAKA: 53_000 + 32 * 16 + 2,
    }
    assert {fork: intrinsic_gas(tx, fork=fork) for fork in wanted} == wanted
    assert floor_gas(b"\1", Fork.CANCUN) == 0
    assert floor_gas(b"\1", Fork.PRAGUE) == 21_040


def test_initcode_and_gas_limits_by_fork() -> None:
    """EIP-3860 from Shanghai, EIP-7825 from Osaka; from both sides."""
    most = signed(to=None, data=bytes(INITCODE_BYTES_MAX), gas=5_000_000)
    over = signed(to=None, data=bytes(INITCODE_BYTES_MAX + 1), gas=5_000_000)
    for tx, fork in ((most, Fork.OSAKA), (over, Fork.PARIS)):
        check_static(tx, PARAMS, rules=Rules(fork))
    refused(over, InitcodeTooLarge, rules=Rules(Fork.SHANGHAI))
    wide = replace(PARAMS, gas_limit=Gas(TRANSACTION_GAS_MAX + 1))
    check_static(signed(gas=TRANSACTION_GAS_MAX), wide, rules=OSAKA)
    check_static(signed(gas=TRANSACTION_GAS_MAX + 1), wide)
    with pytest.raises(GasLimitExceeded, match="transaction gas limit too high"):
        check_static(signed(gas=TRANSACTION_GAS_MAX + 1), wide, rules=OSAKA)


def blob(count: int, version: int = 1, **changes: Any) -> Transaction:
    hashes = tuple(Hash32(bytes([version]) + bytes([i]) * 31) for i in range(count))
    return replace(TX, type=3, blob_hashes=hashes, max_fee_per_blob_gas=Wei(5), **changes)


def test_blob_rules() -> None:
    """EIP-4844: at least one, hashes of version 1, no more than the block takes; EIP-7594: six.

    A chain without a blob schedule, as ours are, takes none at all.
    """
    prague = Rules(Fork.PRAGUE, BLOBS[Fork.PRAGUE])
    check_static(blob(1), PARAMS, rules=prague)
    check_static(blob(9), PARAMS, rules=prague)
    refused(blob(10), BadBlobs, rules=prague)
    refused(blob(0), BadBlobs, rules=prague)
    refused(blob(1, version=2), BadBlobs, rules=prague)
    refused(blob(7), BadBlobs, rules=Rules(Fork.CANCUN, BLOBS[Fork.CANCUN]))
    osaka = Rules(Fork.BPO2, BLOBS[Fork.BPO2])
    check_static(blob(6), PARAMS, rules=osaka)
    refused(blob(7), BadBlobs, rules=osaka)
    for rules in (PRAGUE, OSAKA, Rules(Fork.SHANGHAI, BLOBS[Fork.CANCUN])):
        refused(blob(1), UnsupportedType, rules=rules)


def test_blobs_must_be_paid() -> None:
    """The cap covers the price, and the balance covers gas and blob gas at their caps."""
    cost = TX.gas * TX.max_fee_per_gas + TX.value + 2 * 131_072 * 5
    rich = Account(balance=Wei(cost))
    check_against_state(blob(2), rich, b"", Wei(0), blob_fee=Wei(5))
    with pytest.raises(FeeTooLow, match="max fee per blob gas less than block blob gas fee"):
        check_against_state(blob(2), rich, b"", Wei(0), blob_fee=Wei(6))
    with pytest.raises(InsufficientFunds):
        check_against_state(blob(2), Account(balance=Wei(cost - 1)), b"", Wei(0))


def test_a_delegation_is_code_before_prague() -> None:
    """EIP-3607 holds for it until EIP-7702."""
    rich = Account(balance=Wei(COST))
    check_against_state(TX, rich, DELEGATION, Wei(0), fork=Fork.PRAGUE)
    with pytest.raises(SenderNotEOA):
        check_against_state(TX, rich, DELEGATION, Wei(0), fork=Fork.CANCUN)


COST = TX.gas * TX.max_fee_per_gas + TX.value


def test_the_nonce_must_be_the_next() -> None:
    """Both directions, in geth's words with the checksummed address."""
    rich = Account(nonce=Nonce(7), balance=Wei(COST))
    check_against_state(replace(TX, nonce=Nonce(7)), rich, b"", Wei(0))
    with pytest.raises(NonceTooLow) as low:
        check_against_state(replace(TX, nonce=Nonce(6)), rich, b"", Wei(0))
    assert low.value.message == f"nonce too low: address {checksum(ALICE)}, tx: 6 state: 7"
    assert low.value.facts == {"address": ALICE, "have": 6, "want": 7}
    with pytest.raises(NonceTooHigh) as high:
        check_against_state(replace(TX, nonce=Nonce(8)), rich, b"", Wei(0))
    assert high.value.message == f"nonce too high: address {checksum(ALICE)}, tx: 8 state: 7"


def test_funds_must_cover_the_greatest_price() -> None:
    """gas * max fee + value, not the effective price that py-evm checks."""
    check_against_state(TX, Account(balance=Wei(COST)), b"", Wei(GWEI))
    with pytest.raises(InsufficientFunds) as caught:
        check_against_state(TX, Account(balance=Wei(COST - 1)), b"", Wei(GWEI))
    assert caught.value.message == (
        "insufficient funds for gas * price + value: "
        f"address {checksum(ALICE)} have {COST - 1} want {COST}"
    )
    with pytest.raises(InsufficientFunds):
        check_against_state(TX, None, b"", Wei(0))


def test_the_cap_must_reach_the_base_fee() -> None:
    """Equal passes; one wei below does not."""
    rich = Account(balance=Wei(COST))
    check_against_state(TX, rich, b"", TX.max_fee_per_gas)
    with pytest.raises(FeeTooLow) as caught:
        check_against_state(TX, rich, b"", Wei(TX.max_fee_per_gas + 1))
    assert caught.value.message == (
        f"max fee per gas less than block base fee: address {checksum(ALICE)}, "
        f"maxFeePerGas: {TX.max_fee_per_gas}, baseFee: {TX.max_fee_per_gas + 1}"
    )


@pytest.mark.parametrize("code", [b"\0", DELEGATION + b"\0", DELEGATION[:-1], b"\xef\1\1" + BOB])
def test_a_sender_with_code_is_refused(code: bytes) -> None:
    """EIP-3607; only a delegation of 23 bytes is allowed (EIP-7702)."""
    rich = Account(balance=Wei(COST))
    check_against_state(TX, rich, DELEGATION, Wei(0))
    with pytest.raises(SenderNotEOA) as caught:
        check_against_state(TX, rich, code, Wei(0))
    assert caught.value.message == (
        f"sender not an eoa: address {checksum(ALICE)}, len(code): {len(code)}"
    )
    assert is_delegation(DELEGATION)
    assert not is_delegation(code)


def test_checksums_are_those_of_eip_55() -> None:
    """An example from the EIP."""
    address = "5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
    assert checksum(Address(bytes.fromhex(address))) == "0x" + address
