"""Execution: what transactions do to balances, code, storage, logs and receipts."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace

import pytest

from primitives.account import Account, GenesisAccount
from primitives.crypto.keccak import keccak
from primitives.errors import (
    FeeTooLow,
    GasLimitExceeded,
    InsufficientFunds,
    InvalidTransaction,
    NonceTooHigh,
    NonceTooLow,
    SenderNotEOA,
    UnsupportedType,
    WrongChain,
)
from primitives.receipt import Log, bloom_of
from primitives.transaction import Transaction
from primitives.types import Address, Gas, Hash32, Nonce
from tests.vm.support import (
    ALICE,
    BALANCE_OF,
    BOB,
    CAROL,
    CHAIN,
    COINBASE,
    CONTRACT,
    DAVE,
    ENGINE,
    ETHER,
    GWEI,
    KEYS,
    LOG_ONE,
    NOBODY,
    RETURN_42,
    STORE_1,
    account,
    balance,
    context,
    contract,
    execute,
    initcode,
    reverting,
    signed,
    world,
)
from vm.pyevm.engine import PyEvmEngine
from vm.pyevm.transition import contract_address

HISTORY = Address(bytes.fromhex("0000f90827f1c53a10cb7a02335b175320002935"))
HISTORY_CODE = bytes.fromhex(
    "3373fffffffffffffffffffffffffffffffffffffffe14604657602036036042575f35600143038111604257611f"
    "ff81430311604257611fff9006545f5260205ff35b5f5ffd5b5f35611fff60014303065500"
)
BEACON_ROOTS = Address(bytes.fromhex("000f3df6d732807ef1319fb7b8bb8522d0beac02"))
BEACON_ROOTS_CODE = bytes.fromhex(
    "3373fffffffffffffffffffffffffffffffffffffffe14604d57602036146024575f5ffd5b5f3580156049576200"
    "1fff810690815414603c575f5ffd5b62001fff01545f5260205ff35b5f5ffd5b62001fff42064281555f359062001"
    "fff015500"
)


def test_a_transfer_moves_value_burns_the_base_fee_and_pays_the_tip() -> None:
    """21,000 gas: base fee burnt, tip to the fee recipient, nothing else."""
    result, after = execute(signed(value=5))
    assert balance(after, ALICE) == 10 * ETHER - 5 - 21_000 * 2 * GWEI
    assert balance(after, BOB) == 10 * ETHER + 5
    assert balance(after, COINBASE) == 21_000 * GWEI
    sender = after.account(ALICE)
    assert sender is not None
    assert sender.nonce == 1
    assert (result.gas_used, result.gas_used_each, result.created) == (21_000, (21_000,), (None,))
    (receipt,) = result.receipts
    assert (receipt.type, receipt.status, receipt.cumulative_gas_used) == (2, 1, 21_000)
    assert set(result.changes.accounts) == {ALICE, BOB, COINBASE}


def test_the_price_is_capped_by_the_maximum_fee() -> None:
    """A tip above what the cap leaves shrinks; legacy pays its price."""
    _, after = execute(signed(tip=3 * GWEI, cap=3 * GWEI, value=0))
    assert balance(after, COINBASE) == 21_000 * 2 * GWEI
    _, after = execute(signed(kind=0, cap=GWEI, value=0))
    assert balance(after, COINBASE) == 0
    assert after.account(COINBASE) is None


@pytest.mark.parametrize("value", [0, 7])
def test_direct_transfers_equal_those_through_the_evm(
    value: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The short way round the EVM leaves the same state, receipts and gas for every shape."""
    shapes = [
        signed(to=to, value=value, data=data, gas=60_000, nonce=nonce)
        for nonce, (to, data) in enumerate(
            [(BOB, b""), (ALICE, b"\0\1"), (COINBASE, b""), (NOBODY, b"\1" * 200), (DAVE, b"")]
        )
    ]
    direct, _ = execute(*shapes)
    monkeypatch.setattr("vm.pyevm.transition.is_plain_transfer", lambda *_: False)
    assert execute(*shapes)[0] == direct


def test_a_transfer_of_nothing_makes_no_account() -> None:
    """EIP-161: a touched empty account does not stay."""
    _, after = execute(signed(to=NOBODY, value=0))
    assert after.account(NOBODY) is None


def test_a_called_empty_account_is_removed() -> None:
    """EIP-161 for an account that was empty before: code that calls it touches it."""
    state = world(contract(bytes.fromhex("5f5f5f5f5f73") + NOBODY + b"\x5a\xf1\x00"))
    state.accounts[NOBODY] = Account()
    tx = signed(to=CONTRACT, gas=100_000, value=0)
    result = ENGINE.execute(state, context(), [tx], skip_invalid=False)
    assert result.changes.accounts[NOBODY] is None


def test_a_deployment_stores_the_code_at_the_address_of_the_nonce() -> None:
    """The contract answers, its nonce is 1, and `created` names it."""
    tx = signed(to=None, data=initcode(RETURN_42), gas=200_000, value=3)
    result, after = execute(tx)
    (created,) = result.created
    assert created == contract_address(ALICE, 0)
    contract = after.account(created)
    assert contract is not None
    assert (contract.nonce, contract.balance) == (1, 3)
    assert after.code(contract.code_hash) == RETURN_42
    assert result.changes.codes == {keccak(RETURN_42): RETURN_42}
    assert result.receipts[0].status == 1


@pytest.mark.parametrize(
    "data",
    [initcode(b"\xef\0"), initcode(bytes(24_577)), reverting(b""), b"\xfe"],
    ids=["reserved byte", "too large", "reverts", "invalid"],
)
def test_a_failed_deployment_costs_gas_and_makes_nothing(data: bytes) -> None:
    """EIP-170, EIP-3541 and errors: no account, no code, status 0, the nonce is used."""
    result, after = execute(signed(to=None, data=data, gas=6_000_000, value=3))
    assert result.created == (None,)
    assert result.receipts[0].status == 0
    assert after.account(contract_address(ALICE, 0)) is None
    assert result.changes.codes == {}
    assert balance(after, ALICE) + result.gas_used * 2 * GWEI == 10 * ETHER


def test_code_of_the_greatest_size_is_taken() -> None:
    """24,576 bytes is the limit of EIP-170, inclusive."""
    result, _ = execute(signed(to=None, data=initcode(bytes(24_576)), gas=6_000_000))
    assert result.receipts[0].status == 1


@pytest.mark.parametrize("there", [account(nonce=1), account(code=b"\0"), account(1, s0=1)])
def test_a_contract_is_not_created_over_another(there: GenesisAccount) -> None:
    """EIP-684 and EIP-7610: nonce, code or storage at the address burn all gas."""
    target = contract_address(ALICE, 0)
    tx = signed(to=None, data=initcode(RETURN_42), gas=200_000)
    result, after = execute(tx, more={target: there})
    assert result.gas_used == 200_000
    assert result.receipts[0].status == 0
    assert balance(after, target) == there.balance


def test_a_balance_does_not_prevent_a_contract() -> None:
    """Ether sent ahead stays with the new contract."""
    target = contract_address(ALICE, 0)
    tx = signed(to=None, data=initcode(RETURN_42), gas=200_000, value=2)
    result, after = execute(tx, more={target: account(5)})
    assert result.receipts[0].status == 1
    assert balance(after, target) == 7


def test_logs_are_in_the_receipt_with_their_bloom() -> None:
    """Address, topic and data, and cumulative gas over two transactions."""
    txs = [signed(to=CONTRACT, gas=60_000, value=0, nonce=nonce) for nonce in (0, 1)]
    result, _ = execute(*txs, more={CONTRACT: account(code=LOG_ONE)})
    log = Log(CONTRACT, (Hash32((7).to_bytes(32, "big")),), (255).to_bytes(32, "big"))
    assert [receipt.logs for receipt in result.receipts] == [(log,), (log,)]
    assert result.receipts[0].bloom == bloom_of([log])
    each = result.gas_used_each[0]
    assert [r.cumulative_gas_used for r in result.receipts] == [each, 2 * each]
    assert result.gas_used == 2 * each


def test_a_revert_undoes_all_but_gas_and_nonce() -> None:
    """Storage and value come back, the logs are gone, unused gas is not paid."""
    code = STORE_1[:-1] + LOG_ONE[:-1] + bytes.fromhex("5f5ffd")
    tx = signed(to=CONTRACT, gas=100_000, value=9)
    result, after = execute(tx, more={CONTRACT: account(code=code, s0=4)})
    assert result.receipts[0].status == 0
    assert result.receipts[0].logs == ()
    assert after.storage(CONTRACT, 0) == 4
    assert balance(after, CONTRACT) == 0
    assert result.gas_used < 100_000
    assert balance(after, ALICE) == 10 * ETHER - result.gas_used * 2 * GWEI
    assert result.changes.storage == {}


def test_clearing_a_slot_is_refunded_up_to_a_fifth() -> None:
    """EIP-3529: 4,800 back for a cleared slot, never above gas / 5."""
    clear = bytes.fromhex("5f5f5500")
    tx = signed(to=CONTRACT, gas=60_000, value=0)
    result, after = execute(tx, more={CONTRACT: account(code=clear, s0=1)})
    assert after.storage(CONTRACT, 0) == 0
    spent = 21_000 + 2 + 2 + 5_000
    assert result.gas_used == spent - 4_800
    assert result.changes.storage == {CONTRACT: {0: 0}}


def test_the_floor_of_data_is_paid() -> None:
    """EIP-7623: calldata that does little costs 10 gas a token."""
    result, _ = execute(signed(to=CONTRACT, data=b"\1" * 1_000, gas=100_000), more=contract(b"\0"))
    assert result.gas_used == 21_000 + 1_000 * 40


@pytest.mark.parametrize(
    ("tx", "error"),
    [
        (signed(chain_id=CHAIN + 1), WrongChain),
        (signed(kind=0, chain_id=None), WrongChain),
        (signed(nonce=1), NonceTooHigh),
        (signed(cap=GWEI - 1, tip=0), FeeTooLow),
        (signed(value=10 * ETHER), InsufficientFunds),
        (signed(gas=10_000_001), GasLimitExceeded),
        (replace(signed(), type=3), UnsupportedType),
        (replace(signed(), sender=CONTRACT), SenderNotEOA),
    ],
)
def test_an_invalid_transaction_is_refused_and_changes_nothing(
    tx: Transaction, error: type[InvalidTransaction]
) -> None:
    """Raised without skip_invalid; listed, and without effect, with it."""
    state = world(contract(STORE_1))
    with pytest.raises(error):
        ENGINE.execute(state, context(), [tx], skip_invalid=False)
    result = ENGINE.execute(state, context(), [tx, signed()], skip_invalid=True)
    ((refused, why),) = result.rejected
    assert refused is tx
    assert type(why) is error
    assert result == replace(
        ENGINE.execute(state, context(), [signed()], skip_invalid=False), rejected=result.rejected
    )


def test_each_transaction_is_checked_against_the_state_before_it() -> None:
    """A repeated nonce fails, money received in the block can be spent in it."""
    state = world({DAVE: account()})
    txs = [
        signed(nonce=0, to=DAVE, value=ETHER),
        signed(nonce=0, to=DAVE, value=ETHER),
        signed(KEYS[3], nonce=0, to=BOB, value=ETHER // 2),
        signed(nonce=1),
    ]
    result = ENGINE.execute(state, context(), txs, skip_invalid=True)
    assert result.transactions == (txs[0], txs[2], txs[3])
    assert [type(why) for _, why in result.rejected] == [NonceTooLow]


def test_the_gas_of_a_block_is_limited() -> None:
    """What no longer fits is refused; a smaller one after it may still enter."""
    block = context(gas_limit=Gas(63_000))
    txs = [signed(nonce=0), signed(KEYS[1], gas=42_001, to=CAROL), signed(nonce=1)]
    result = ENGINE.execute(world(), block, txs, skip_invalid=True)
    assert result.transactions == (txs[0], txs[2])
    ((_, why),) = result.rejected
    assert why.message == "gas limit reached"
    assert why.facts == {"gas": 42_001, "limit": 42_000}
    fits = signed(KEYS[1], gas=42_000, to=CAROL)
    full = ENGINE.execute(world(), block, [txs[0], fits, txs[2]], skip_invalid=True)
    assert full.rejected == ()
    assert full.gas_used == 63_000


def test_stop_ends_the_block_early() -> None:
    """`stop` is asked before each transaction."""
    answers = iter([False, False, True])
    txs = [signed(nonce=nonce) for nonce in range(3)]
    result = ENGINE.execute(world(), context(), txs, skip_invalid=True, stop=lambda: next(answers))
    assert result.transactions == tuple(txs[:2])
    assert result.rejected == ()


def test_a_full_block_asks_for_no_more() -> None:
    """With less than 21,000 gas left the rest of the pool is not drawn."""

    drawn = []

    def pool() -> Iterator[Transaction]:
        for nonce in range(10):
            drawn.append(nonce)
            yield signed(nonce=nonce)

    block = context(gas_limit=Gas(65_000))
    result = ENGINE.execute(world(), block, pool(), skip_invalid=True)
    assert len(result.transactions) == 3
    assert drawn == [0, 1, 2]
    assert result.rejected == ()


def test_the_evm_sees_its_block() -> None:
    """Height, time, coinbase, mix hash, gas limit, chain id, fees and hashes before it."""
    opcodes = ["43", "42", "41", "44", "45", "46", "48", "600940", "4a", "600a40", "5f40"]
    code = b"".join(
        bytes.fromhex(op) + b"\x60" + bytes([slot]) + b"\x55" for slot, op in enumerate(opcodes)
    )
    block = context(mix_hash=Hash32(b"\x33" * 32))
    _, after = execute(signed(to=CONTRACT, gas=600_000), more=contract(code), block=block)
    assert [after.storage(CONTRACT, slot) for slot in range(len(opcodes))] == [
        10,
        1_000,
        int.from_bytes(COINBASE, "big"),
        int.from_bytes(b"\x33" * 32, "big"),
        10_000_000,
        CHAIN,
        GWEI,
        9,
        1,
        0,
        0,
    ]


def test_a_hash_256_blocks_back_is_seen_and_an_older_one_is_not() -> None:
    """BLOCKHASH reaches exactly 256 blocks."""
    code = bytes.fromhex("600a405f55600940600155")
    block = context(height=266)
    _, after = execute(signed(to=CONTRACT, gas=100_000), more=contract(code), block=block)
    assert (after.storage(CONTRACT, 0), after.storage(CONTRACT, 1)) == (10, 0)


def test_transient_storage_ends_with_its_transaction() -> None:
    """EIP-1153: the second transaction reads zero again."""
    code = bytes.fromhex("5f5c5f556001 5f5d00".replace(" ", ""))
    txs = [signed(to=CONTRACT, gas=100_000, nonce=nonce) for nonce in (0, 1)]
    _, after = execute(*txs, more=contract(code))
    assert after.storage(CONTRACT, 0) == 0


def test_selfdestruct_works_without_a_warning() -> None:
    """EIP-6780: an old contract only sends its balance; py-evm's warning does not appear."""
    code = b"\x73" + DAVE + b"\xff"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result, after = execute(
            signed(to=CONTRACT, gas=100_000, value=0), more={CONTRACT: account(6, code=code)}
        )
    assert result.receipts[0].status == 1
    assert balance(after, DAVE) == 6
    contract_after = after.account(CONTRACT)
    assert contract_after is not None
    assert contract_after.code_hash == keccak(code)


def test_a_contract_destroyed_in_its_creation_is_gone() -> None:
    """EIP-6780: created and destroyed in one transaction leaves nothing but moved value."""
    tx = signed(to=None, data=bytes.fromhex("60015f55") + b"\x73" + DAVE + b"\xff", gas=200_000)
    result, after = execute(tx)
    assert after.account(contract_address(ALICE, 0)) is None
    assert balance(after, DAVE) == 1
    assert result.changes.storage == {}


def test_the_parents_hash_is_kept_by_the_history_contract() -> None:
    """EIP-2935: slot (height - 1) mod 8191, only where genesis put the contract."""
    result, after = execute(more={HISTORY: account(nonce=1, code=HISTORY_CODE)})
    assert after.storage(HISTORY, 9) == 9
    assert result.changes.storage == {HISTORY: {9: 9}}
    assert execute()[0].changes.storage == {}
    far = context(height=8_191 + 5)
    _, after = execute(more={HISTORY: account(nonce=1, code=HISTORY_CODE)}, block=far)
    assert after.storage(HISTORY, 4) == 8_191 + 4


def test_the_beacon_root_is_kept_by_its_contract() -> None:
    """EIP-4788: the timestamp and the root in the ring buffer."""
    block = context(parent_beacon_block_root=Hash32(b"\x01" * 32))
    _, after = execute(more={BEACON_ROOTS: account(nonce=1, code=BEACON_ROOTS_CODE)}, block=block)
    assert after.storage(BEACON_ROOTS, 1_000) == 1_000
    assert after.storage(BEACON_ROOTS, 1_000 + 8_191) == int.from_bytes(b"\x01" * 32, "big")


def test_unprotected_transactions_need_an_engine_that_allows_them() -> None:
    """The option exists for official tests; it does not open other chains."""
    tx = signed(kind=0, chain_id=None)
    engine = PyEvmEngine(allow_unprotected=True)
    assert engine.execute(world(), context(), [tx], skip_invalid=False).gas_used == 21_000
    with pytest.raises(WrongChain):
        engine.execute(world(), context(), [signed(chain_id=9)], skip_invalid=False)


def test_an_access_list_warms_its_addresses_and_slots() -> None:
    """EIP-2930: 2,400 and 1,900 ahead, then 100 each instead of 2,600 and 2,100."""
    more = contract(b"\x5f\x54" + BALANCE_OF % DAVE)
    result, _ = execute(
        signed(to=CONTRACT, gas=60_000, value=0, access_list=((CONTRACT, (0,)), (DAVE, ()))),
        more=more,
    )
    assert result.gas_used == 21_000 + 2 * 2_400 + 1_900 + 2 + 100 + 3 + 100


def test_nonces_and_balances_of_a_long_block_add_up() -> None:
    """Nothing is lost but the base fee: the sum of all balances falls by gas used * base fee."""
    txs = [signed(key, nonce=n, to=CONTRACT, gas=90_000) for n in range(5) for key in KEYS[:3]]
    result, after = execute(*txs, more=contract(STORE_1))
    everyone = (ALICE, BOB, CAROL, CONTRACT, COINBASE)
    assert sum(balance(after, who) for who in everyone) == 30 * ETHER - result.gas_used * GWEI
    sender = after.account(CAROL)
    assert sender is not None
    assert sender.nonce == Nonce(5)
    assert result.gas_used == Gas(sum(result.gas_used_each))
