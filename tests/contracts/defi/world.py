"""A small world on the real engine: clock, balances, contracts by ABI, snapshots, gas and work.

Unlike `tests.contracts.chain` it has a clock, sends the native coin, encodes tuples, and runs a
transaction once: a failed one is called again only to read why. `snapshot` and `restore` keep the
state, so that a module deploys once and each test begins there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from eth_abi.abi import decode, encode

from contracts import artifact, names
from primitives.account import Account, GenesisAccount
from primitives.crypto.keccak import keccak
from primitives.receipt import Log
from primitives.transaction import Transaction
from primitives.types import ZERO_ADDRESS, Address, ChainId, Gas, Hash32, Height, Nonce, Wei
from tests.contracts.chain import CONTEXT
from vm.engine import BlockContext, Call
from vm.pyevm.engine import PyEvmEngine
from vm.state.memory import MemoryState
from vm.trace.requests import GasProfile

ARTIFACTS = Path(__file__).resolve().parent / "artifacts"
GAS = Gas(30_000_000)
START = 1_700_000_000
UNIT = 10**18
MAX = 2**256 - 1
NATIVE = ZERO_ADDRESS
OWNER, ALICE, BOB, CAROL, EVE = (Address(bytes([0xA0 + i]) * 20) for i in range(5))
PEOPLE = (OWNER, ALICE, BOB, CAROL, EVE)
RICHES = Wei(10**30)


class Reverted(Exception):
    """A transaction or call failed; `error` is the name of the custom error, or what came back."""

    def __init__(self, error: str, values: tuple[Any, ...]) -> None:
        super().__init__(f"{error}{values}")
        self.error = error
        self.values = values


@dataclass(frozen=True, slots=True)
class Compiled:
    """What a chain and a caller need of a contract."""

    name: str
    abi: Sequence[Mapping[str, Any]]
    bytecode: bytes
    functions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@cache
def compiled(name: str) -> Compiled:
    """Return a contract of the project, or one of the tests."""
    if name in names():
        found = artifact(name)
        return _compiled(name, found.abi, found.bytecode)
    raw = json.loads((ARTIFACTS / f"{name}.json").read_text())
    return _compiled(name, raw["abi"], bytes.fromhex(raw["bytecode"][2:]))


def _compiled(name: str, abi: Sequence[Mapping[str, Any]], bytecode: bytes) -> Compiled:
    functions = {each["name"]: each for each in abi if each["type"] == "function"}
    return Compiled(name, abi, bytecode, functions)


@cache
def _errors() -> dict[bytes, Mapping[str, Any]]:
    """Return every custom error of the project and the tests by selector."""
    found: dict[bytes, Mapping[str, Any]] = {}
    for name in [*names(), "HostileToken"]:
        for entry in compiled(name).abi:
            if entry["type"] == "error":
                found[selector(entry)] = entry
    return found


def _type(entry: Mapping[str, Any]) -> str:
    kind: str = entry["type"]
    if not kind.startswith("tuple"):
        return kind
    return f"({','.join(map(_type, entry['components']))}){kind.removeprefix('tuple')}"


def types(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the ABI types of parameters, tuples spelled out."""
    return [_type(each) for each in entries]


def _topic(entry: Mapping[str, Any]) -> bytes:
    return keccak(f"{entry['name']}({','.join(types(entry['inputs']))})".encode())


def selector(entry: Mapping[str, Any]) -> bytes:
    """Return the four bytes that name a function or an error."""
    return _topic(entry)[:4]


class World:
    """A state, a clock and the engine. Gas costs nothing; everybody in PEOPLE is rich."""

    def __init__(self) -> None:
        self.engine = PyEvmEngine()
        self.state = MemoryState.of({each: GenesisAccount(RICHES) for each in PEOPLE})
        self.time = START
        self.gas_used = 0
        self.logs: tuple[Log, ...] = ()

    def context(self) -> BlockContext:
        """Return the block that runs now."""
        return replace(CONTEXT, timestamp=self.time, height=Height(1 + self.time - START))

    def wait(self, seconds: int) -> None:
        """Let time pass."""
        self.time += seconds

    def snapshot(self) -> tuple[Any, ...]:
        """Return all that a test may change."""
        slots = {address: dict(table) for address, table in self.state.slots.items()}
        return dict(self.state.accounts), slots, dict(self.state.codes), self.time

    def restore(self, kept: tuple[Any, ...]) -> None:
        """Go back to a snapshot."""
        accounts, slots, codes, self.time = kept
        self.state.accounts = dict(accounts)
        self.state.slots = {address: dict(table) for address, table in slots.items()}
        self.state.codes = dict(codes)

    def balance(self, account: Address) -> int:
        """Return the native balance."""
        found = self.state.account(account)
        return found.balance if found else 0

    def give(self, account: Address, value: int) -> None:
        """Make native coins."""
        found = self.state.accounts.get(account) or Account()
        self.state.accounts[account] = replace(found, balance=Wei(found.balance + value))

    def deploy(self, name: str, *values: Any) -> Contract:
        """Create a contract with constructor arguments."""
        found = compiled(name)
        made = [each for each in found.abi if each["type"] == "constructor"]
        entry: Mapping[str, Any] = made[0] if made else {"inputs": []}
        data = found.bytecode + encode(types(entry["inputs"]), list(values))
        address = self.transact(OWNER, None, data)
        if address is None:
            raise AssertionError("no contract was created")
        return Contract(self, name, address)

    def transact(
        self, sender: Address, to: Address | None, data: bytes, value: int = 0
    ) -> Address | None:
        """Run a transaction; return what it created. Raises Reverted and changes nothing then."""
        account = self.state.account(sender)
        nonce = Nonce(account.nonce if account else 0)
        fields = (0, ChainId(1), nonce, Wei(0), Wei(0), GAS, to, Wei(value), data, (), ())
        transaction = Transaction(*fields, 0, 1, 1, sender, Hash32(keccak(data)), b"\xc0")
        done = self.engine.execute(self.state, self.context(), [transaction], skip_invalid=False)
        if done.receipts[0].status != 1:
            result = self.engine.call(
                self.state, self.context(), Call(sender, to, data, Wei(value), GAS)
            )
            raise reverted(result.output, result.error or "")
        self.state.apply(done.changes)
        self.gas_used = int(done.gas_used)
        self.logs = tuple(done.receipts[0].logs)
        return done.created[0]

    def operations(self, sender: Address, to: Address, data: bytes, value: int = 0) -> int:
        """Return how many EVM instructions a call executes."""
        call = Call(sender, to, data, Wei(value), GAS)
        found: Any = self.engine.trace_call(self.state, self.context(), call, GasProfile())
        return sum(
            opcode["count"]
            for contract in found["contracts"].values()
            for opcode in contract["opcodes"].values()
        )


def reverted(output: bytes, words: str = "") -> Reverted:
    """Return the error that came back from a contract."""
    entry = _errors().get(output[:4])
    if entry is not None:
        return Reverted(entry["name"], decode(types(entry["inputs"]), output[4:]))
    return Reverted("0x" + output.hex() if output else words, ())


class Contract:
    """A contract: `read` and `send` by function name."""

    def __init__(self, world: World, name: str, address: Address) -> None:
        self.world = world
        self.address = address
        self.compiled = compiled(name)

    def data(self, function: str, *values: Any) -> bytes:
        """Return the call data."""
        entry = self.compiled.functions[function]
        return selector(entry) + encode(types(entry["inputs"]), list(values))

    def read(self, function: str, *values: Any, sender: Address = ZERO_ADDRESS) -> Any:
        """Return what a call returns: one value alone, several as a tuple. Raises Reverted."""
        call = Call(sender, self.address, self.data(function, *values), gas=GAS)
        result = self.world.engine.call(self.world.state, self.world.context(), call)
        if not result.success:
            raise reverted(result.output, result.error or "")
        found = decode(types(self.compiled.functions[function]["outputs"]), result.output)
        return found[0] if len(found) == 1 else found

    def send(self, sender: Address, function: str, *values: Any, value: int = 0) -> None:
        """Run a transaction. Raises Reverted."""
        self.world.transact(sender, self.address, self.data(function, *values), value)

    def events(self) -> list[tuple[str, dict[str, Any]]]:
        """Return what this contract told in the last transaction."""
        mine = [log for log in self.world.logs if log.address == self.address]
        return [found for log in mine if (found := self._event(log)) is not None]

    def _event(self, log: Log) -> tuple[str, dict[str, Any]] | None:
        for entry in self.compiled.abi:
            if entry["type"] == "event" and _topic(entry) == log.topics[0]:
                indexed = [each for each in entry["inputs"] if each["indexed"]]
                plain = [each for each in entry["inputs"] if not each["indexed"]]
                told = decode(types(plain), log.data)
                values = dict(zip([e["name"] for e in plain], told, strict=True))
                for each, topic in zip(indexed, log.topics[1:], strict=True):
                    values[each["name"]] = decode([each["type"]], topic)[0]
                return entry["name"], values
        return None


def move(
    contract: Contract, function: str, *values: Any, value: int = 0, fails: bool = False
) -> Any:
    """Return one move of a Puppet."""
    return (contract.address, value, contract.data(function, *values), fails)


def text(address: Address) -> str:
    """Return an address as eth_abi decodes it."""
    return "0x" + address.hex()
