"""The `Engine` protocol: what every execution engine takes and gives, and nothing of how.

Calls are coarse and carry values only, so that an engine in another language fits behind them.
**The only product of execution is a change set** with its receipts; trie, store and history
consume change sets and know no engine. Engines are therefore interchangeable and comparable to
the byte. Sources: Yellow Paper sections 4 and 6; EIP-1559, EIP-2929, EIP-7623, EIP-7702.

Reads (`call`, `estimate`) never change a state and may run in any number of threads at once; each
has its own overlay. Error words are geth's, because wallets and libraries match them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from primitives.errors import Invalid, InvalidTransaction, Rejected
from primitives.receipt import Log, Receipt
from primitives.transaction import AccessList, Transaction
from primitives.types import (
    GAS_ZERO,
    WEI_ZERO,
    ZERO_HASH,
    Address,
    ChainId,
    Gas,
    Hash32,
    Height,
    Wei,
)
from vm.state.changes import ChangeSet, StateReader

REVERTED: Final = "execution reverted"
OUT_OF_GAS: Final = "out of gas"

_ERROR_SELECTOR: Final = bytes.fromhex("08c379a0")
_PANIC_SELECTOR: Final = bytes.fromhex("4e487b71")
_PANICS: Final = {
    0x00: "generic panic",
    0x01: "assert(false)",
    0x11: "arithmetic underflow or overflow",
    0x12: "division or modulo by zero",
    0x21: "enum overflow",
    0x22: "invalid encoded storage byte array accessed",
    0x31: "out-of-bounds array access; popping on an empty array",
    0x32: "out-of-bounds access of an array or bytesN",
    0x41: "out of memory",
    0x51: "uninitialized function",
}


@dataclass(frozen=True, slots=True)
class BlockContext:
    """What the EVM can see of the block that it runs in.

    `coinbase` is the header's fee recipient. `block_hash` answers for the last 256 heights before
    `height` and gives None for all others.
    """

    height: Height
    timestamp: int
    coinbase: Address
    gas_limit: Gas
    base_fee: Wei
    mix_hash: Hash32
    chain_id: ChainId
    block_hash: Callable[[Height], Hash32 | None]
    excess_blob_gas: Gas = GAS_ZERO
    parent_beacon_block_root: Hash32 = ZERO_HASH


@dataclass(frozen=True, slots=True)
class Call:
    """A message to run without a signature; `to` None creates a contract.

    `gas` 0 means as much as the block allows. With `gas_price` 0 nobody pays and the EVM sees a
    base fee of 0; otherwise the sender must afford gas and value, as geth's eth_call has it.
    """

    sender: Address
    to: Address | None
    data: bytes = b""
    value: Wei = WEI_ZERO
    gas: Gas = GAS_ZERO
    gas_price: Wei = WEI_ZERO
    access_list: AccessList = ()


@dataclass(frozen=True, slots=True)
class CallResult:
    """The outcome of a call; `error` is None on success, else geth's words.

    `gas_used` is after refunds; `gas_refunded` is what they gave back.
    """

    success: bool
    output: bytes
    gas_used: Gas
    error: str | None
    logs: tuple[Log, ...]
    gas_refunded: Gas = GAS_ZERO


@dataclass(frozen=True, slots=True)
class Execution:
    """A list of transactions, executed: who got in, what it left behind, who was refused.

    `gas_used_each` and `created` run parallel to `transactions`; `created` holds the address of a
    contract made by a successful creation transaction.
    """

    transactions: tuple[Transaction, ...]
    receipts: tuple[Receipt, ...]
    changes: ChangeSet
    gas_used: Gas
    rejected: tuple[tuple[Transaction, InvalidTransaction], ...]
    gas_used_each: tuple[Gas, ...]
    created: tuple[Address | None, ...]


class ExecutionFailed(Invalid):
    """A call whose execution ends in an error; `output` holds the revert data, perhaps empty."""

    def __init__(self, message: str, output: bytes = b"", **facts: object) -> None:
        super().__init__(message, output=output, **facts)
        self.output = output


class ExecutionReverted(ExecutionFailed):
    """The contract reverted; the message gives its reason where it has one."""


class ExecutionStopped(Rejected):
    """The caller's `stop` ended a call before its result."""


class Engine(Protocol):
    """An execution engine. Implementations hold no state between calls and are thread-safe."""

    def execute(
        self,
        state: StateReader,
        context: BlockContext,
        transactions: Iterable[Transaction],
        *,
        skip_invalid: bool,
        stop: Callable[[], bool] | None = None,
    ) -> Execution:
        """Run `transactions` in order on `state` and return what happened.

        With `skip_invalid` an invalid one is left out and listed in `rejected`; otherwise it
        raises its InvalidTransaction. `stop` is asked before each transaction.
        """
        ...

    def call(
        self,
        state: StateReader,
        context: BlockContext,
        call: Call,
        *,
        stop: Callable[[], bool] | None = None,
    ) -> CallResult:
        """Run one message and forget its changes; raises InvalidTransaction if it cannot start.

        `stop` is asked often while code runs; when it says yes, ExecutionStopped is raised.
        """
        ...

    def estimate(
        self,
        state: StateReader,
        context: BlockContext,
        call: Call,
        *,
        stop: Callable[[], bool] | None = None,
    ) -> Gas:
        """Return a gas limit with which `call` succeeds, at most 1.5 % above the least.

        Raises ExecutionReverted, ExecutionFailed, ExecutionStopped, or InvalidTransaction if it
        cannot start.
        """
        ...


def revert_message(output: bytes) -> str:
    """Return geth's message for revert data: "execution reverted", with the reason if it has one.

    Understands `Error(string)` and `Panic(uint256)`. Source: geth, accounts/abi UnpackRevert.
    """
    reason = _reason(output[:4], output[4:])
    return REVERTED if reason is None else f"{REVERTED}: {reason}"


def _reason(selector: bytes, body: bytes) -> str | None:
    if selector == _PANIC_SELECTOR and len(body) >= 32:
        code = int.from_bytes(body[:32], "big")
        return _PANICS.get(code, f"unknown panic code: {code:#x}")
    if selector != _ERROR_SELECTOR or len(body) < 64:
        return None
    offset = int.from_bytes(body[:32], "big")
    if offset + 32 > len(body):
        return None
    start = offset + 32
    length = int.from_bytes(body[offset:start], "big")
    if start + length > len(body):
        return None
    return body[start : start + length].decode("utf-8", errors="replace")
