"""The standard contracts on the real engine: calls by name, time that is set, errors by name.

`World.standard()` begins with what a genesis document holds; `other` places any contract with a
constructor beside it, weakened copies of `tests/contracts/weak` too. Nothing is faked: the state
is the engine's, in memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from eth_abi.abi import decode, encode

from contracts import load
from contracts.addresses import STANDARD
from genesis.predeploys import Predeploy, registry_account
from primitives.account import GenesisAccount
from primitives.crypto.keccak import keccak
from primitives.crypto.secp256k1 import PrivateKey
from primitives.params import ACCOUNT_PERMISSIONS, VALIDATOR_REGISTRY
from primitives.transaction import Transaction
from primitives.types import (
    EMPTY_CODE_HASH,
    WEI_ZERO,
    ZERO_ADDRESS,
    ZERO_HASH,
    Address,
    ChainId,
    Gas,
    Hash32,
    Height,
    Nonce,
    Wei,
)
from primitives.validators import Validator, ValidatorSet
from qenex.abi import (
    Event,
    call_data,
    constructor_data,
    event,
    failure,
    result,
    selector,
    types_of,
)
from qenex.predeploys import QXC_WEI, Standard, standard
from vm.engine import BlockContext, Call
from vm.pyevm.engine import PyEvmEngine
from vm.state.memory import MemoryState
from vm.trace.requests import StructLogs

KEYS = [PrivateKey(bytes(31) + bytes([i + 1])) for i in range(6)]
GUARDIAN, ALICE, BOB, CAROL, DAVE, EVE = (each.address for each in KEYS)
KEY_OF = {each.address: each for each in KEYS}
START = 1_800_000_000
GAS = Gas(30_000_000)
CHAIN_ID = ChainId(20_260)
COINS = Wei(10**9 * QXC_WEI)
WEAK = Path(__file__).parent / "weak" / "artifacts"
CONTEXT = BlockContext(
    height=Height(1),
    timestamp=START,
    coinbase=ZERO_ADDRESS,
    gas_limit=Gas(120_000_000),
    base_fee=WEI_ZERO,
    mix_hash=ZERO_HASH,
    chain_id=CHAIN_ID,
    block_hash=lambda height: None,
)
SETTINGS = Standard(guardian=GUARDIAN, reserve_wei=Wei(200_000_000 * QXC_WEI))


class Reverted(Exception):
    """A call reverted with the contract's error `name`."""

    def __init__(self, name: str, values: tuple[Any, ...]) -> None:
        super().__init__(f"{name}{values}")
        self.name = name
        self.values = values


@dataclass(frozen=True, slots=True)
class Done:
    """What a transaction did: the events of known contracts, the gas, the output."""

    events: tuple[Event, ...]
    gas: int
    output: Any

    def names(self) -> list[str]:
        """Return the names of the events, in order."""
        return [each.name for each in self.events]

    def fields(self, name: str) -> Mapping[str, Any]:
        """Return the fields of the first event with this name."""
        return next(each.fields for each in self.events if each.name == name)


@cache
def predeploys(settings: Standard) -> tuple[Predeploy, ...]:
    """Return the standard contracts; made once for each settings."""
    return tuple(standard(settings, CHAIN_ID))


class World:
    """A state that transactions change. Senders pay no gas; `now` is the time of the next one."""

    def __init__(self, alloc: Mapping[Address, GenesisAccount]) -> None:
        self.engine = PyEvmEngine()
        self.state = MemoryState.of(alloc)
        self.now = START
        self.height = 1
        self.kinds: dict[Address, str] = {address: name for name, address in STANDARD.items()}
        self.places: dict[str, Address] = dict(STANDARD)

    @classmethod
    def standard(cls, settings: Standard = SETTINGS) -> World:
        """Return a world with the standard contracts, a validator set, and rich people."""
        alloc = {each: GenesisAccount(balance=COINS) for each in KEY_OF}
        alloc |= {each.address: each.account for each in predeploys(settings)}
        timelock = STANDARD["Timelock"]
        validators = ValidatorSet.of([Validator(ALICE), Validator(BOB)])
        alloc[VALIDATOR_REGISTRY] = registry_account(validators, timelock)
        made = cls(alloc)
        made.name("ValidatorRegistry", VALIDATOR_REGISTRY)
        made.name("AccountPermissions", ACCOUNT_PERMISSIONS)
        return made

    def name(self, contract: str, address: Address, alias: str | None = None) -> None:
        """Let `contract` (or its alias) be spoken of by name."""
        self.places[alias or contract] = address
        self.kinds[address] = contract

    def wait(self, seconds: int) -> None:
        """Let time pass."""
        self.now += seconds
        self.height += 1

    def deploy(self, contract: str, *values: Any, sender: Address = ALICE) -> Address:
        """Make a contract by its constructor; return its address."""
        address = self.create(constructor_data(contract, values), sender)
        self.name(contract, address)
        return address

    def weak(self, contract: str, *values: Any, sender: Address = EVE) -> Address:
        """Make a contract of `tests/contracts/weak`: a weakened copy, or an attacker."""
        found = load(WEAK / f"{contract}.json")
        kinds = [each["inputs"] for each in found.abi if each["type"] == "constructor"]
        types = types_of(kinds[0]) if kinds else []
        return self.create(found.bytecode + encode(types, values), sender)

    def weakly(
        self, sender: Address, contract: str, place: Address, function: str, *values: Any
    ) -> Any:
        """Run a transaction to a contract of `weak` and keep it; return what it gave."""
        entries = load(WEAK / f"{contract}.json").abi
        entry = next(each for each in entries if each.get("name") == function)
        data = selector(entry)[:4] + encode(types_of(entry["inputs"]), values)
        tried = self.engine.call(self.state, self.context(), Call(sender, place, data, gas=GAS))
        self.raw(sender, place, data)
        found = decode(types_of(entry["outputs"]), tried.output)
        return found[0] if len(found) == 1 else found

    def create(self, data: bytes, sender: Address) -> Address:
        """Make a contract of creation code with its arguments; return its address."""
        done = self.engine.execute(
            self.state,
            self.context(),
            [self._transaction(sender, None, data, 0)],
            skip_invalid=False,
        )
        if done.receipts[0].status != 1:
            tried = self.engine.call(self.state, self.context(), Call(sender, None, data, gas=GAS))
            raise _reverted(tried.output)
        self.state.apply(done.changes)
        made = done.created[0]
        assert made is not None
        return made

    def context(self) -> BlockContext:
        """Return the block that the next transaction is in."""
        return replace(CONTEXT, timestamp=self.now, height=Height(self.height))

    def read(self, place: str, function: str, *values: Any, sender: Address = ALICE) -> Any:
        """Return what a call gives, and forget what it changes. Raises Reverted."""
        to, contract = self._find(place)
        data = call_data(contract, function, values)
        done = self.engine.call(self.state, self.context(), Call(sender, to, data, gas=GAS))
        if not done.success:
            raise _reverted(done.output)
        return result(contract, function, len(values), done.output)

    def send(
        self, sender: Address, place: str, function: str, *values: Any, value: int = 0
    ) -> Done:
        """Run a transaction and keep its changes. Raises Reverted, and then nothing changed."""
        to, contract = self._find(place)
        data = call_data(contract, function, values)
        return self.raw(sender, to, data, value)

    def raw(self, sender: Address, to: Address, data: bytes, value: int = 0) -> Done:
        """Run a transaction with raw data. Raises Reverted."""
        transaction = self._transaction(sender, to, data, value)
        done = self.engine.execute(self.state, self.context(), [transaction], skip_invalid=False)
        if done.receipts[0].status != 1:
            call = Call(sender, to, data, Wei(value), GAS)
            raise _reverted(self.engine.call(self.state, self.context(), call).output)
        self.state.apply(done.changes)
        found = [
            event(self.kinds[log.address], log.topics, log.data)
            for log in done.receipts[0].logs
            if log.address in self.kinds
        ]
        return Done(tuple(each for each in found if each), done.gas_used, None)

    def operations(
        self, sender: Address, place: str, function: str, *values: Any, value: int = 0
    ) -> int:
        """Return how many EVM instructions a call runs, by the engine's struct log."""
        to, contract = self._find(place)
        data = call_data(contract, function, values)
        call = Call(sender, to, data, Wei(value), GAS)
        request = StructLogs(stack=False, storage=False)
        found: Any = self.engine.trace_call(self.state, self.context(), call, request)
        assert not found["failed"]
        return len(found["structLogs"])

    def balance(self, address: Address) -> int:
        """Return the native coins of an account."""
        account = self.state.account(address)
        return account.balance if account else 0

    def qxc(self, account: Address) -> int:
        """Return the QXC tokens of an account."""
        found = self.read("QXC", "balanceOf", account)
        assert isinstance(found, int)
        return found

    def as_timelock(self, place: str, function: str, *values: Any) -> Done:
        """Do what a proposal would do, as the timelock; its code rests meanwhile."""
        timelock = STANDARD["Timelock"]
        kept = self.state.accounts[timelock]
        self.state.accounts[timelock] = replace(kept, code_hash=EMPTY_CODE_HASH)
        try:
            return self.send(timelock, place, function, *values)
        finally:
            left = self.state.accounts[timelock]
            self.state.accounts[timelock] = replace(left, code_hash=kept.code_hash)

    def _find(self, place: str) -> tuple[Address, str]:
        to = self.places[place]
        return to, self.kinds[to]

    def _transaction(
        self, sender: Address, to: Address | None, data: bytes, value: int
    ) -> Transaction:
        account = self.state.account(sender)
        nonce = Nonce(account.nonce if account else 0)
        fields = (0, CHAIN_ID, nonce, WEI_ZERO, WEI_ZERO, GAS, to, Wei(value), data, (), ())
        return Transaction(*fields, 0, 1, 1, sender, Hash32(keccak(data)), b"\xc0")


def _reverted(output: bytes) -> Reverted:
    found = failure(output)
    return Reverted(found.name, found.values)


def hexed(address: Address) -> str:
    """Return an address as eth_abi decodes it."""
    return "0x" + address.hex()


def sign(key: PrivateKey, digest: bytes) -> bytes:
    """Return a 65-byte signature r, s, v with v 27 or 28."""
    raw = key.sign(Hash32(digest))
    return raw[:64] + bytes([27 + raw[64]])


def topped(world: World, people: Sequence[Address], value: int) -> None:
    """Give each of `people` QXC for native coins."""
    for each in people:
        world.send(each, "QXC", "deposit", value=value)
