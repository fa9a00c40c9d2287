"""The `Engine` protocol: what every execution engine takes and gives, and nothing of how.

Calls are coarse and carry values only, so that an engine in another language fits behind them.
**The only product of execution is a change set** with its receipts; trie, store and history
consume change sets and know no engine. Engines are therefore interchangeable and comparable to
the byte. Sources: Yellow Paper sections 4 and 6; EIP-1559, EIP-2929, EIP-7623, EIP-7702.

Reads (`call`, `estimate`) never change a state and may run in any number of threads at once; each
has its own overlay. Error words are geth's, because wallets and libraries match them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from primitives.errors import Invalid, InvalidTransaction, Rejected
from primitives.receipt import Log, Receipt
from primitives.transaction import AccessList, Authorization, Transaction
from primitives.types import (
    GAS_ZERO,
    WEI_ZERO,
    ZERO_HASH,
    Address,
    ChainId,
    Gas,
    Hash32,
    Height,
    Nonce,
    Wei,
)
from vm.forks import PRAGUE, Rules
from vm.state.changes import ChangeSet, StateReader
from vm.trace.requests import TraceRequest

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
    """What the EVM can see of the block that it runs in, and what the block does besides.

    `coinbase` is the header's fee recipient. `block_hash` answers for the last 256 heights before
    `height` and gives None for all others. `difficulty` is seen before the merge, `mix_hash` after
    it. Without `system_calls` the transactions stand alone, as in the official state tests.

    `credits` are paid out of nothing after the transactions: withdrawals (EIP-4895) or, under
    proof of work, rewards. `root_of` gives the state root after a change set; it is asked after
    each transaction before Byzantium, whose receipts hold that root.

    The last three are not for blocks of a network: a blob base fee in place of the one that
    `excess_blob_gas` gives, and addresses whose precompile is another one's, or none, are for calls
    with overrides; `contracts_send` lets accounts with code send, which only the developer chain's
    impersonated ones do.
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
    rules: Rules = PRAGUE
    difficulty: int = 0
    system_calls: bool = True
    credits: tuple[tuple[Address, Wei], ...] = ()
    root_of: Callable[[ChangeSet], Hash32] | None = None
    blob_base_fee: Wei | None = None
    contracts_send: bool = False
    moved_precompiles: Mapping[Address, Address | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Call:
    """A message to run without a signature; `to` None creates a contract.

    `gas` 0 means as much as the block allows. With `gas_price` 0 nobody pays and the EVM sees a
    base fee of 0; otherwise the sender must afford gas and value, as geth's eth_call has it.
    `authorizations` are set before the code runs, and cost what they cost in a transaction
    (EIP-7702). `blob_hashes` are what BLOBHASH gives; nobody pays for blobs with a
    `max_fee_per_blob_gas` of 0 (EIP-4844).
    """

    sender: Address
    to: Address | None
    data: bytes = b""
    value: Wei = WEI_ZERO
    gas: Gas = GAS_ZERO
    gas_price: Wei = WEI_ZERO
    access_list: AccessList = ()
    authorizations: tuple[Authorization, ...] = ()
    blob_hashes: tuple[Hash32, ...] = ()
    max_fee_per_blob_gas: Wei = WEI_ZERO


@dataclass(frozen=True, slots=True)
class CallResult:
    """The outcome of a call; `error` is None on success, else geth's words.

    `gas_used` is after refunds and the floor of EIP-7623; `gas_refunded` is what was given back, so
    that both together are the most that was used at once (maxUsedGas of eth_simulateV1).
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
    contract made by a successful creation transaction. `requests` are those of the block to the
    consensus layer, each a type byte and its data (EIP-7685).
    """

    transactions: tuple[Transaction, ...]
    receipts: tuple[Receipt, ...]
    changes: ChangeSet
    gas_used: Gas
    rejected: tuple[tuple[Transaction, InvalidTransaction], ...]
    gas_used_each: tuple[Gas, ...]
    created: tuple[Address | None, ...]
    requests: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class SimulatedCall:
    """A call in a simulated block; None where the engine fills in what a sender would.

    With `gas_price` it becomes a legacy transaction, with authorizations one of EIP-7702, with
    blob hashes one of EIP-4844, otherwise one of EIP-1559.
    """

    sender: Address
    to: Address | None
    data: bytes = b""
    value: Wei = WEI_ZERO
    gas: Gas | None = None
    nonce: Nonce | None = None
    gas_price: Wei | None = None
    max_fee_per_gas: Wei = WEI_ZERO
    max_priority_fee_per_gas: Wei = WEI_ZERO
    access_list: AccessList = ()
    authorizations: tuple[Authorization, ...] = ()
    blob_hashes: tuple[Hash32, ...] = ()
    max_fee_per_blob_gas: Wei = WEI_ZERO


@dataclass(frozen=True, slots=True)
class Simulation:
    """A simulated block's execution; the tuples run parallel to its calls.

    `transactions` are unsigned, their signature is zero. `logs` are those to show, each with its
    index in the block, and with transfers if they were wanted; receipts have real logs only.
    """

    transactions: tuple[Transaction, ...]
    results: tuple[CallResult, ...]
    receipts: tuple[Receipt, ...]
    logs: tuple[tuple[tuple[Log, int], ...], ...]
    changes: ChangeSet
    gas_used: Gas


class SimulatedGasLimit(Rejected):
    """A call of a simulated block does not fit into the block's gas."""


class ExecutionFailed(Invalid):
    """A call whose execution ends in an error; `output` holds the revert data, perhaps empty."""

    def __init__(self, message: str, output: bytes = b"", **facts: object) -> None:
        super().__init__(message, output=output, **facts)
        self.output = output


class ExecutionReverted(ExecutionFailed):
    """The contract reverted; the message gives its reason where it has one."""


class ExecutionStopped(Rejected):
    """The caller's `stop` ended a call before its result."""


class BlockRun(Protocol):
    """A block in the making, see `Engine.begin`; for one thread at a time."""

    @property
    def is_full(self) -> bool:
        """True when no transaction at all fits any more."""
        ...

    @property
    def has_read_time(self) -> bool:
        """True when something that ran has looked at the block's timestamp."""
        ...

    def extend(
        self, transactions: Iterable[Transaction], stop: Callable[[], bool] | None = None
    ) -> None:
        """Run more `transactions`, as `execute` with `skip_invalid` does.

        `stop` is asked before a transaction is taken, so one that was taken was run or refused.
        Raises ExecutionStopped when the run was abandoned; it is of no use then.
        """
        ...

    def result(self) -> Execution:
        """End the block and return what happened; the run is over."""
        ...


class Engine(Protocol):
    """An execution engine. Implementations hold no state between calls and are thread-safe."""

    def begin(
        self,
        state: StateReader,
        context: BlockContext,
        *,
        abandon: Callable[[], bool] | None = None,
    ) -> BlockRun:
        """Begin a block on `state` in several steps; invalid transactions are left out.

        `abandon` is asked often while code runs; when it says yes, `extend` ends at once.
        """
        ...

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

    def trace(
        self,
        state: StateReader,
        context: BlockContext,
        transactions: Iterable[Transaction],
        request: TraceRequest,
        *,
        index: int | None = None,
        block_hash: Hash32 | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> tuple[object, ...]:
        """Replay a block's `transactions` on its parent's `state` and return their traces.

        A trace is a JSON value in the shape of `request`. With `index` only that transaction is
        traced, and those after it do not run. The transactions must be those of a block that is
        valid on `state`. Raises ExecutionStopped and TraceTooLarge; there is no partial result.
        """
        ...

    def trace_call(
        self,
        state: StateReader,
        context: BlockContext,
        call: Call,
        request: TraceRequest,
        *,
        stop: Callable[[], bool] | None = None,
    ) -> object:
        """Run one message as `call` does and return its trace; raises as `call` and `trace` do."""
        ...

    def access_list(
        self,
        state: StateReader,
        context: BlockContext,
        call: Call,
        *,
        stop: Callable[[], bool] | None = None,
    ) -> tuple[AccessList, CallResult]:
        """Return the access list that `call` needs, and the result of the call with that list.

        The call is run with the list found so far until it finds no more. Sender, recipient and
        precompiles are left out. Raises as `call` does.
        """
        ...

    def simulate(
        self,
        state: StateReader,
        context: BlockContext,
        calls: Sequence[SimulatedCall],
        *,
        validate: bool,
        transfers: bool,
        gas_max: Gas,
        stop: Callable[[], bool] | None = None,
    ) -> Simulation:
        """Run `calls` one after another as the block of `context`, and return all that follows.

        With `validate` nonces and fees must be right, as in a real block; whether the sender has
        code is not asked. `transfers` adds a log for each movement of ether. All calls together
        may use `gas_max`. Raises InvalidTransaction, SimulatedGasLimit, ExecutionStopped.
        """
        ...

    def precompiles(self, context: BlockContext) -> frozenset[Address]:
        """Return the addresses that hold a precompile in the block of `context`."""
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
    reason = revert_reason(output)
    return REVERTED if reason is None else f"{REVERTED}: {reason}"


def revert_reason(output: bytes) -> str | None:
    """Return the reason in revert data, or None where it has none that is understood."""
    return _reason(output[:4], output[4:])


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
