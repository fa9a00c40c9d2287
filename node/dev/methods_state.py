"""State by hand, and impersonation: hardhat_ and anvil_ names of one and the same functions."""

from __future__ import annotations

from functools import partial

from node.dev.dump import changes_of, dump, parse_dump
from node.dev.edits import with_balance, with_code, with_nonce, with_slot
from node.dev.values import chain_of, look_again, number
from node.rpc.arguments import BadArgument, Data, Options, parse_slot
from node.rpc.backend import Request
from node.rpc.dispatch import MethodTable
from node.rpc.encode import to_hex
from node.rpc.errors import invalid_params
from node.rpc.lanes import Lane
from primitives.types import Address

TABLE = MethodTable()


@TABLE.method("hardhat_setBalance", lane=Lane.CALL)
@TABLE.method("anvil_setBalance", lane=Lane.CALL)
@TABLE.method("evm_setAccountBalance", lane=Lane.CALL)
def set_balance(request: Request, address: Address, balance: Options) -> bool:
    """Give an account a balance, in wei."""
    wei = number(balance, "balance")
    chain_of(request).edit(partial(with_balance, address=address, balance=wei))
    look_again(request)
    return True


@TABLE.method("hardhat_setNonce", lane=Lane.CALL)
@TABLE.method("anvil_setNonce", lane=Lane.CALL)
@TABLE.method("evm_setAccountNonce", lane=Lane.CALL)
def set_nonce(request: Request, address: Address, nonce: Options) -> bool:
    """Give an account a nonce that is not lower than its own."""
    wanted = number(nonce, "nonce", 64)
    chain_of(request).edit(partial(with_nonce, address=address, nonce=wanted))
    look_again(request)
    return True


@TABLE.method("hardhat_setCode", lane=Lane.CALL)
@TABLE.method("anvil_setCode", lane=Lane.CALL)
@TABLE.method("evm_setAccountCode", lane=Lane.CALL)
def set_code(request: Request, address: Address, code: Data) -> bool:
    """Give an account code; "0x" takes it away."""
    chain_of(request).edit(partial(with_code, address=address, code=code))
    look_again(request)
    return True


@TABLE.method("hardhat_setStorageAt", lane=Lane.CALL)
@TABLE.method("anvil_setStorageAt", lane=Lane.CALL)
@TABLE.method("evm_setAccountStorageAt", lane=Lane.CALL)
def set_storage_at(request: Request, address: Address, slot: Options, value: Options) -> bool:
    """Give a storage slot a value of 32 bytes."""
    change = partial(
        with_slot, address=address, slot=_word(slot, "slot"), value=_word(value, "value")
    )
    chain_of(request).edit(change)
    look_again(request)
    return True


def _word(value: object, what: str) -> int:
    if isinstance(value, str):
        try:
            return int(parse_slot(value))
        except BadArgument as error:
            raise invalid_params(f"{what}: {error}") from None
    return number(value, what)


@TABLE.method("hardhat_impersonateAccount", lane=Lane.CALL)
@TABLE.method("anvil_impersonateAccount", lane=Lane.CALL)
def impersonate_account(request: Request, address: Address) -> bool:
    """Send for this account without its key, be it a contract."""
    chain_of(request).accounts.impersonate(address)
    return True


@TABLE.method("hardhat_stopImpersonatingAccount", lane=Lane.CALL)
@TABLE.method("anvil_stopImpersonatingAccount", lane=Lane.CALL)
def stop_impersonating_account(request: Request, address: Address) -> bool:
    """Send for this account no longer; false when it was not impersonated."""
    return chain_of(request).accounts.stop_impersonating(address)


@TABLE.method("anvil_autoImpersonateAccount", lane=Lane.CALL)
@TABLE.method("hardhat_autoImpersonateAccount", lane=Lane.CALL)
def auto_impersonate_account(request: Request, enabled: bool) -> bool:
    """Send for every account without its key, or stop that."""
    chain_of(request).accounts.impersonates_all = enabled
    return True


@TABLE.method("anvil_dumpState", lane=Lane.CALL)
@TABLE.method("hardhat_dumpState", lane=Lane.CALL)
def dump_state(request: Request, _with_history: bool = False) -> str:
    """Return the whole state, gzipped JSON in hex."""
    return to_hex(dump(chain_of(request).view()))


@TABLE.method("anvil_loadState", lane=Lane.CALL)
@TABLE.method("hardhat_loadState", lane=Lane.CALL)
def load_state(request: Request, state: Data) -> bool:
    """Give the accounts of a dump, ours or anvil's, to the chain; others stay as they are."""
    accounts = parse_dump(state)
    chain_of(request).edit(lambda before: changes_of(before, accounts))
    look_again(request)
    return True
