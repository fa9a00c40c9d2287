"""Unlocked and impersonated accounts: sending and signing without a wallet.

As on hardhat's network, a transaction whose gas cannot be estimated because it reverts is refused
with the reason; one that was mined at once and reverted is in the chain and answered by that error.
Of one that failed otherwise (out of gas) only the receipt tells.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any, Final

from node.dev.chain import DevChain
from node.dev.outcome import failure_of
from node.dev.unsigned import Draft, type_of
from node.dev.values import chain_of, fields, look_again, number
from node.rpc.arguments import (
    LATEST,
    BadArgument,
    CallObject,
    Data,
    Options,
    parse_address,
    parse_call,
    parse_data,
)
from node.rpc.backend import Request
from node.rpc.calls import call_context, message_of
from node.rpc.dispatch import MethodTable
from node.rpc.encode import Json, to_hex, transaction_json
from node.rpc.errors import invalid_params, reverted
from node.rpc.lanes import Lane
from primitives.crypto.messages import personal_digest, typed_digest
from primitives.errors import InvalidRequest
from primitives.transaction import (
    ACCESS_LIST,
    DYNAMIC_FEE,
    LEGACY,
    SET_CODE,
    Authorization,
)
from primitives.types import Address, Gas, Nonce, Wei

TABLE = MethodTable()
TIP_DEFAULT: Final = 1_000_000_000
V_OFFSET: Final = 27


@TABLE.method("eth_requestAccounts")
@TABLE.method("eth_accounts")
def accounts(request: Request) -> list[str]:
    """Return the addresses of the unlocked accounts."""
    return [to_hex(each) for each in chain_of(request).accounts.addresses]


@TABLE.method("eth_coinbase")
def fee_recipient(request: Request) -> str:
    """Return who gets the tips of the next block."""
    return to_hex(chain_of(request).fee_recipient)


@TABLE.method("eth_sendTransaction", lane=Lane.SUBMIT)
@TABLE.method("eth_sendUnsignedTransaction", lane=Lane.SUBMIT)
def send_transaction(request: Request, transaction: Options) -> str:
    """Sign and send for an unlocked or impersonated account; returns the hash.

    When mining at once, a transaction that reverts is error 3 with its revert data.
    """
    chain = chain_of(request)
    with chain.alone():
        look_again(request)
        draft, sender = _fill(request, chain, transaction)
        sent, executed = chain.send(draft, sender)
    look_again(request)
    if executed is not None:
        index = executed.block.transactions.index(sent)
        if executed.receipts[index].status == 0:
            failure = failure_of(chain, executed.block, index)
            if failure.output is not None:
                raise reverted(failure.output)
    return to_hex(sent.hash)


@TABLE.method("eth_signTransaction", lane=Lane.CALL)
def sign_transaction(request: Request, transaction: Options) -> Json:
    """Return a signed transaction, raw and as JSON, without sending it."""
    chain = chain_of(request)
    with chain.alone():
        look_again(request)
        draft, sender = _fill(request, chain, transaction)
    chain.accounts.key(sender)
    signed = chain.accounts.finish(draft, sender)
    return {"raw": to_hex(signed.raw), "tx": transaction_json(signed)}


@TABLE.method("eth_sign", lane=Lane.CALL)
def sign(request: Request, address: Address, message: Data) -> str:
    """Return the signature of a personal message (EIP-191)."""
    return _signature(request, address, personal_digest(message))


@TABLE.method("personal_sign", lane=Lane.CALL)
def personal_sign(
    request: Request, message: Options, address: Options, _password: Options | None = None
) -> str:
    """Return the signature of a personal message, given as hex or as text."""
    signer = _address(address)
    return _signature(request, signer, personal_digest(_message(message)))


@TABLE.method("eth_signTypedData", lane=Lane.CALL)
@TABLE.method("eth_signTypedData_v3", lane=Lane.CALL)
@TABLE.method("eth_signTypedData_v4", lane=Lane.CALL)
def sign_typed_data(request: Request, address: Address, document: Options) -> str:
    """Return the signature of typed data (EIP-712), given as an object or as its JSON text."""
    given: Any = document
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except (ValueError, RecursionError):
            raise invalid_params("typed data: not JSON") from None
    return _signature(request, address, typed_digest(fields(given, "typed data")))


def _signature(request: Request, address: Address, digest: bytes) -> str:
    signature = chain_of(request).accounts.key(address).sign(digest)
    return to_hex(signature[:64] + bytes((signature[64] + V_OFFSET,)))


def _address(value: object) -> Address:
    try:
        return parse_address(value)
    except BadArgument as error:
        raise invalid_params(f"address: {error}") from None


def _message(value: object) -> bytes:
    if not isinstance(value, str):
        raise invalid_params("message: want text or hex")
    try:
        return parse_data(value)
    except BadArgument:
        return value.encode()


@dataclass(frozen=True, slots=True)
class _Fees:
    """Both fees per gas, in wei, and the type of transaction that has them."""

    tip: Wei
    cap: Wei
    type: int


def _fill(request: Request, chain: DevChain, value: Options) -> tuple[Draft, Address]:
    """Return the transaction with all that the caller left out, and its sender."""
    given = fields(value, "transaction")
    try:
        signed = _authorizations(given.pop("authorizationList", []))
        wanted = parse_call(given)
    except BadArgument as error:
        raise invalid_params(f"transaction: {error}") from None
    sender = wanted.sender or next(iter(chain.accounts.addresses), None)
    if sender is None:
        raise InvalidRequest("no account is unlocked; say who sends with `from`")
    chain_id = chain.params.chain_id
    if wanted.chain_id is not None and wanted.chain_id != chain_id:
        raise invalid_params(
            f"chainId does not match node's (have={wanted.chain_id}, want={chain_id})"
        )
    kind = type_of(
        has_price=wanted.gas_price is not None,
        has_access_list="accessList" in given,
        has_authorizations=bool(signed),
    )
    fees = _fees(chain, wanted, number(given.get("type", kind), "type", 8))
    nonce = chain.pool().pending_nonce(sender) if wanted.nonce is None else wanted.nonce
    gas = wanted.gas or _estimate(request, replace(wanted, sender=sender))
    return Draft(
        type=fees.type,
        chain_id=chain_id,
        nonce=Nonce(nonce),
        max_priority_fee_per_gas=fees.tip,
        max_fee_per_gas=fees.cap,
        gas=Gas(gas),
        to=wanted.to,
        value=Wei(wanted.value),
        data=wanted.data,
        access_list=wanted.access_list or (),
        authorizations=signed,
    ), sender


def _authorizations(value: object) -> tuple[Authorization, ...]:
    if not isinstance(value, list):
        raise BadArgument("authorizationList: want a list")
    return tuple(_authorization(fields(each, "authorization")) for each in value)


def _authorization(given: dict[str, Any]) -> Authorization:
    numbers = {name: number(given.get(name), name) for name in ("chainId", "nonce", "r", "s")}
    return Authorization(
        chain_id=numbers["chainId"],
        address=parse_address(given.get("address")),
        nonce=numbers["nonce"],
        y_parity=number(given.get("yParity", given.get("v")), "yParity", 8),
        r=numbers["r"],
        s=numbers["s"],
    )


def _fees(chain: DevChain, wanted: CallObject, kind: int) -> _Fees:
    base_fee = chain.next_base_fee()
    if kind not in (LEGACY, ACCESS_LIST, DYNAMIC_FEE, SET_CODE):
        raise invalid_params(f"type {kind}: not on this chain")
    if kind in (LEGACY, ACCESS_LIST):
        price = base_fee + TIP_DEFAULT if wanted.gas_price is None else wanted.gas_price
        return _Fees(Wei(price), Wei(price), kind)
    if wanted.gas_price is not None:
        return _Fees(Wei(wanted.gas_price), Wei(wanted.gas_price), kind)
    tip, cap = wanted.max_priority_fee_per_gas, wanted.max_fee_per_gas
    if tip is None:
        tip = TIP_DEFAULT if cap is None else min(TIP_DEFAULT, cap)
    if cap is None:
        cap = 2 * base_fee + tip
    return _Fees(Wei(tip), Wei(cap), kind)


def _estimate(request: Request, wanted: CallObject) -> int:
    """Return the gas that the message needs, whatever its fees are; raises as eth_estimateGas."""
    free = replace(wanted, gas_price=None, max_fee_per_gas=None, max_priority_fee_per_gas=None)
    state, context = call_context(request, LATEST, None, None)
    message = message_of(request, free, context)
    return request.backend.api.engine().estimate(state, context, message, stop=request.is_late)
