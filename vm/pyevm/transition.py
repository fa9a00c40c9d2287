"""One transaction or call on an overlay: buy gas, run the message, refund, pay, clean up.

Everything here happens after validation and nothing here refuses a transaction.
Sources: Yellow Paper section 6.2; EIP-1559 (who is paid), 2929 and 3651 (warm addresses), 3529
(refunds), 6780 (destruction), 7623 (floor), 7702 (authorizations).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from eth.abc import ComputationAPI
from eth.constants import CREATE_CONTRACT_ADDRESS
from eth.exceptions import ContractCreationCollision
from eth.vm.forks.cancun.transaction_context import CancunTransactionContext
from eth.vm.message import Message
from eth_typing import Address as EthAddress
from eth_typing import Hash32 as EthHash32

from primitives.account import Account
from primitives.codec import encode, uint
from primitives.crypto.keccak import keccak
from primitives.receipt import Log
from primitives.transaction import AccessList, Authorization, Transaction
from primitives.transaction import authority as signer_of
from primitives.types import (
    EMPTY_CODE_HASH,
    UINT64_MAX,
    WEI_ZERO,
    ZERO_ADDRESS,
    Address,
    ChainId,
    Gas,
    Hash32,
    Wei,
)
from vm.engine import Call
from vm.fees import BLOB_GAS
from vm.forks import Fork
from vm.pyevm.errors import words
from vm.pyevm.state import State
from vm.state.overlay import Overlay
from vm.validate import (
    DELEGATION_BYTES,
    DELEGATION_PREFIX,
    GAS_AUTHORIZATION,
    floor_gas,
    intrinsic_gas,
    is_delegation,
)

GAS_AUTHORIZATION_BASE: Final = 12_500
REFUND_QUOTIENT: Final = 5
REFUND_QUOTIENT_FRONTIER: Final = 2
REFUND_DESTROYED: Final = 24_000
RIPEMD: Final = Address(bytes(19) + b"\x03")
EMPTY: Final = Account()


@dataclass(frozen=True, slots=True)
class Order:
    """What to run: a transaction or call with its prices fixed, in wei per gas.

    The sender pays `price` for each gas used, of which the fee recipient gets `tip`, and
    `blob_cost` for its blobs, which nobody gets and nothing gives back.
    """

    sender: Address
    to: Address | None
    value: Wei
    data: bytes
    gas: Gas
    price: Wei
    tip: Wei
    access_list: AccessList = ()
    authorizations: tuple[Authorization, ...] = ()
    blob_hashes: tuple[Hash32, ...] = ()
    blob_cost: Wei = WEI_ZERO


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an order.

    `gas_used` is what is paid for, after refunds and the floor; `gas_refunded` what was given back.
    """

    error: str | None
    output: bytes
    gas_used: Gas
    gas_refunded: Gas
    logs: tuple[Log, ...]
    created: Address | None


def order_of(tx: Transaction, base_fee: Wei, blob_fee: Wei = WEI_ZERO) -> Order:
    """Return the order of a validated transaction in a block with these prices of gas and blobs."""
    price = tx.effective_gas_price(base_fee)
    return Order(
        tx.sender,
        tx.to,
        tx.value,
        tx.data,
        tx.gas,
        price,
        Wei(price - base_fee),
        tx.access_list,
        tx.authorizations,
        tx.blob_hashes,
        Wei(len(tx.blob_hashes) * BLOB_GAS * blob_fee),
    )


def order_of_call(call: Call, gas: Gas, base_fee: Wei, blob_fee: Wei = WEI_ZERO) -> Order:
    """Return the order of a call with this much gas; a call without gas price pays nobody."""
    return Order(
        call.sender,
        call.to,
        call.value,
        call.data,
        gas,
        call.gas_price,
        Wei(max(call.gas_price - base_fee, 0)),
        call.access_list,
        call.authorizations,
        call.blob_hashes,
        Wei(len(call.blob_hashes) * BLOB_GAS * blob_fee),
    )


def run_transaction(state: State, tx: Transaction, blob_fee: Wei) -> Outcome:
    """Carry out a validated transaction at the prices of the state's block."""
    base_fee = state.context.base_fee
    if state.tuning.shortcuts and is_plain_transfer(state, tx):
        price = tx.effective_gas_price(base_fee)
        return _transfer(state, tx, tx.sender, price, Wei(price - base_fee))
    return _run(state, order_of(tx, base_fee, blob_fee))


def run(state: State, order: Order) -> Outcome:
    """Carry out `order` on the state's overlay and return its outcome."""
    if state.tuning.shortcuts and is_plain_transfer(state, order):
        return _transfer(state, order, order.sender, order.price, order.tip)
    return _run(state, order)


def _run(state: State, order: Order) -> Outcome:
    overlay = state.overlay
    _pay(overlay, order.sender, -order.gas * order.price - order.blob_cost)
    nonce = overlay.get_nonce(order.sender)
    overlay.set_nonce(order.sender, nonce + 1)
    created = contract_address(order.sender, nonce) if order.to is None else None
    _warm_up(overlay, order, created)
    if state.context.rules.fork >= Fork.SHANGHAI:
        overlay.mark_address_warm(state.context.coinbase)
    refund = authorize(overlay, state.context.chain_id, order.authorizations)
    computation = _compute(state, order, created, refund)
    return _settle(state, order, computation, created)


def is_plain_transfer(state: State, order: Transaction | Order) -> bool:
    """True when the order moves value and runs no code at all."""
    return (
        order.to is not None
        and not order.authorizations
        and not order.blob_hashes
        and state.overlay.get_code_hash(order.to) == EMPTY_CODE_HASH
        and EthAddress(order.to) not in state.computation_class.get_precompiles()
    )


def _transfer(
    state: State, order: Transaction | Order, sender: Address, price: Wei, tip: Wei
) -> Outcome:
    """Carry out an order that runs no code: the same balances without an EVM."""
    context = state.context
    fork = context.rules.fork
    gas_used = Gas(max(intrinsic_gas(order, fork=fork), floor_gas(order.data, fork)))
    state.overlay.transfer(
        sender,
        order.to or ZERO_ADDRESS,
        order.value,
        Wei(gas_used * price),
        fee_recipient=context.coinbase,
        tip=Wei(gas_used * tip),
    )
    return Outcome(None, b"", gas_used, Gas(0), (), None)


def _pay(overlay: Overlay, address: Address, amount: int) -> None:
    overlay.set_balance(address, overlay.get_balance(address) + amount)


def contract_address(sender: Address, nonce: int) -> Address:
    """Return the address of a contract that `sender` creates with `nonce`."""
    return Address(keccak(encode([sender, uint(nonce)]))[12:])


def _warm_up(overlay: Overlay, order: Order, created: Address | None) -> None:
    overlay.mark_address_warm(order.sender)
    overlay.mark_address_warm(order.to or created or ZERO_ADDRESS)
    for address, slots in order.access_list:
        overlay.mark_address_warm(address)
        for slot in slots:
            overlay.mark_storage_warm(address, slot)


def authorize(
    overlay: Overlay, chain_id: ChainId, authorizations: tuple[Authorization, ...]
) -> int:
    """Set the delegations that are valid and return the gas refund; skip the others.

    Source: EIP-7702, "Behavior", steps 1 to 9.
    """
    refund = 0
    for each in authorizations:
        if each.chain_id not in (0, chain_id) or each.nonce >= UINT64_MAX:
            continue
        authority = signer_of(each)
        if authority is None:
            continue
        overlay.mark_address_warm(authority)
        code = overlay.get_code(authority)
        if (code and not is_delegation(code)) or overlay.get_nonce(authority) != each.nonce:
            continue
        if overlay.account_exists(authority):
            refund += GAS_AUTHORIZATION - GAS_AUTHORIZATION_BASE
        if each.address == ZERO_ADDRESS:
            overlay.delete_code(authority)
        else:
            overlay.set_code(authority, DELEGATION_PREFIX + each.address)
        overlay.increment_nonce(authority)
    return refund


def _compute(state: State, order: Order, created: Address | None, refund: int) -> ComputationAPI:
    fork = state.context.rules.fork
    gas = order.gas - intrinsic_gas(order, len(order.authorizations), fork)
    sender = EthAddress(order.sender)
    context = CancunTransactionContext(
        gas_price=order.price,
        origin=sender,
        blob_versioned_hashes=[EthHash32(each) for each in order.blob_hashes],
    )
    if order.to is None and created is not None:
        message = Message(
            gas,
            CREATE_CONTRACT_ADDRESS,
            sender,
            order.value,
            b"",
            order.data,
            create_address=EthAddress(created),
        )
        if state.overlay.account_has_code_or_nonce(created):
            computation = state.get_computation(message, context)
            computation.error = ContractCreationCollision("contract address collision")
            return computation
        return state.computation_class.apply_create_message(state, message, context)
    to = order.to or ZERO_ADDRESS
    code, is_delegated = _code_to_run(state.overlay, to, fork)
    message = Message(
        gas,
        EthAddress(to),
        sender,
        order.value,
        order.data,
        code,
        is_delegation=is_delegated,
        refund=refund,
    )
    return state.computation_class.apply_message(state, message, context)


def _code_to_run(overlay: Overlay, address: Address, fork: Fork) -> tuple[bytes, bool]:
    """Return the code behind `address`, one delegation followed and warmed, and whether it was."""
    code = overlay.get_code(address)
    if fork < Fork.PRAGUE or not is_delegation(code):
        return code, False
    target = Address(code[len(DELEGATION_PREFIX) : DELEGATION_BYTES])
    overlay.mark_address_warm(target)
    return overlay.get_code(target), True


def _settle(
    state: State, order: Order, computation: ComputationAPI, created: Address | None
) -> Outcome:
    overlay = state.overlay
    fork = state.context.rules.fork
    destroyed = computation.get_accounts_for_deletion()
    spent = order.gas - computation.get_gas_remaining()
    refund = _refund(computation.get_gas_refund(), len(destroyed), spent, fork)
    gas_used = max(spent - refund, floor_gas(order.data, fork))
    _pay(overlay, order.sender, (order.gas - gas_used) * order.price)
    _pay(overlay, state.context.coinbase, gas_used * order.tip)
    for address in destroyed:
        overlay.delete_account(Address(address))
    if overlay.account(RIPEMD) == EMPTY and _calls_ripemd(computation):
        overlay.touch_account(RIPEMD)
    overlay.finish_transaction()
    return Outcome(
        words(computation),
        computation.output,
        Gas(gas_used),
        Gas(max(spent - gas_used, 0)),
        _logs(computation),
        created if computation.is_success else None,
    )


def _refund(counted: int, destroyed: int, spent: int, fork: Fork) -> int:
    """Return the gas given back: at most a fifth, before London a half (EIP-3529)."""
    if fork >= Fork.LONDON:
        return min(counted, spent // REFUND_QUOTIENT)
    return min(counted + destroyed * REFUND_DESTROYED, spent // REFUND_QUOTIENT_FRONTIER)


def _calls_ripemd(computation: ComputationAPI) -> bool:
    """True when a message went to the precompile at 0x03, be it in a part that was reverted.

    All clients touch that account for good, so that it goes if it is empty: it happened on the
    main chain at height 2,675,119. Source: EIP-161 "Addendum", EIPs issue 716.
    """
    return Address(computation.msg.to) == RIPEMD or any(map(_calls_ripemd, computation.children))


def _logs(computation: ComputationAPI) -> tuple[Log, ...]:
    return tuple(
        Log(
            Address(address),
            tuple(Hash32(topic.to_bytes(32, "big")) for topic in topics),
            data,
        )
        for address, topics, data in computation.get_log_entries()
    )
