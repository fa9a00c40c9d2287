"""What a block does besides its transactions: system contracts before, requests and credits after.

Sources: EIP-4788 (beacon roots), EIP-2935 (block hashes), EIP-6110 (deposits), EIP-7002
(withdrawals), EIP-7251 (consolidations), EIP-7685 (requests), EIP-4895 (withdrawals that pay).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from eth.abc import ComputationAPI
from eth.vm.forks.cancun.constants import BEACON_ROOTS_ADDRESS
from eth.vm.forks.cancun.transaction_context import CancunTransactionContext
from eth.vm.forks.homestead.headers import dao_drain_list, dao_refund_contract
from eth.vm.forks.prague.constants import HISTORY_STORAGE_ADDRESS
from eth.vm.message import Message
from eth_typing import Address as EthAddress

from primitives.crypto.keccak import keccak
from primitives.errors import InvalidBlock
from primitives.receipt import Log, Receipt
from primitives.types import Address, Height
from vm.engine import BlockContext
from vm.forks import Fork
from vm.pyevm.state import State

SYSTEM_ADDRESS: Final = EthAddress(bytes.fromhex("fffffffffffffffffffffffffffffffffffffffe"))
SYSTEM_GAS: Final = 30_000_000
WITHDRAWALS: Final = EthAddress(bytes.fromhex("00000961ef480eb55e80d19ad83579a64c007002"))
CONSOLIDATIONS: Final = EthAddress(bytes.fromhex("0000bbddc7ce488642fb579f8b00f3a590007251"))
DEPOSIT_TYPE: Final = b"\x00"
QUEUES: Final = ((b"\x01", WITHDRAWALS), (b"\x02", CONSOLIDATIONS))

DEPOSIT_TOPIC: Final = keccak(b"DepositEvent(bytes,bytes,bytes,bytes,bytes)")
DEPOSIT_LOG_BYTES: Final = 576
DEPOSIT_FIELDS: Final = ((160, 48), (256, 32), (320, 8), (384, 96), (512, 8))
"""Where a deposit's five byte strings begin in the log's data, and how long each must be."""


def begin_block(state: State, context: BlockContext) -> None:
    """Keep the parent's hash and beacon root where their contracts are, if those exist."""
    if context.rules.moves_dao:
        _move_dao(state)
    if not context.system_calls:
        return
    fork = context.rules.fork
    parent_hash = context.block_hash(Height(context.height - 1)) if context.height else None
    if parent_hash is not None and fork >= Fork.PRAGUE:
        _system_call(state, EthAddress(HISTORY_STORAGE_ADDRESS), parent_hash)
    if fork >= Fork.CANCUN:
        _system_call(state, EthAddress(BEACON_ROOTS_ADDRESS), context.parent_beacon_block_root)


def end_block(
    state: State, context: BlockContext, receipts: Iterable[Receipt]
) -> tuple[bytes, ...]:
    """Collect the block's requests, then pay its credits; return the requests that hold data.

    Raises InvalidBlock when a deposit's log is malformed, or when the contract of a queue is not
    there or fails.
    """
    requests: list[bytes] = []
    deposit_contract = context.rules.deposit_contract
    if context.system_calls and deposit_contract is not None:
        logs = (log for receipt in receipts for log in receipt.logs)
        requests.append(DEPOSIT_TYPE + b"".join(_deposits(logs, deposit_contract)))
        requests += [kind + _queue(state, address) for kind, address in QUEUES]
    for address, amount in context.credits:
        state.delta_balance(EthAddress(address), amount)
    if context.credits:
        state.overlay.finish_transaction()
    return tuple(each for each in requests if len(each) > 1)


def _move_dao(state: State) -> None:
    """Give what the DAO and its children own to the refund contract. Source: EIP-779."""
    for text in dao_drain_list:
        address = EthAddress(bytes.fromhex(text.removeprefix("0x")))
        state.delta_balance(dao_refund_contract, state.get_balance(address))
        state.set_balance(address, 0)
    state.overlay.finish_transaction()


def _deposits(logs: Iterable[Log], contract: Address) -> Iterable[bytes]:
    for log in logs:
        if log.address == contract and log.topics[:1] == (DEPOSIT_TOPIC,):
            yield deposit_of(log.data)


def deposit_of(data: bytes) -> bytes:
    """Return the deposit request in a log of the deposit contract; raises InvalidBlock (EIP-6110).

    The layout is fixed: five offsets, then five byte strings with their lengths before them.
    """
    words = [int.from_bytes(data[at : at + 32], "big") for at in range(0, 160, 32)]
    is_laid_out = len(data) == DEPOSIT_LOG_BYTES and words == [start for start, _ in DEPOSIT_FIELDS]
    if not is_laid_out or any(
        int.from_bytes(data[start : start + 32], "big") != size for start, size in DEPOSIT_FIELDS
    ):
        raise InvalidBlock("a deposit's log has another layout than EIP-6110 fixes")
    return b"".join(data[start + 32 : start + 32 + size] for start, size in DEPOSIT_FIELDS)


def _queue(state: State, address: EthAddress) -> bytes:
    computation = _system_call(state, address, b"")
    if computation is None:
        raise InvalidBlock(f"system contract 0x{address.hex()} is not there", address=address)
    if computation.is_error:
        raise InvalidBlock(f"system contract 0x{address.hex()} failed", address=address)
    return computation.output


def _system_call(state: State, to: EthAddress, data: bytes) -> ComputationAPI | None:
    """Call a system contract, if it exists; its failure changes nothing."""
    code = state.get_code(to)
    if not code:
        return None
    message = Message(SYSTEM_GAS, to, SYSTEM_ADDRESS, 0, data, code)
    context = CancunTransactionContext(gas_price=0, origin=SYSTEM_ADDRESS)
    computation = state.computation_class.apply_message(state, message, context)
    state.overlay.finish_transaction()
    return computation
