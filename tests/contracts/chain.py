"""A contract under test: the real engine over an in-memory state, calls by ABI names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from eth_abi.abi import decode, encode

from contracts import Artifact, artifact
from primitives.account import GenesisAccount
from primitives.crypto.keccak import keccak
from primitives.receipt import Log
from primitives.transaction import Transaction
from primitives.types import (
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
from vm.engine import BlockContext, Call
from vm.pyevm.engine import PyEvmEngine
from vm.state.memory import MemoryState

GAS = Gas(16_000_000)
CONTEXT = BlockContext(
    height=Height(1),
    timestamp=1,
    coinbase=ZERO_ADDRESS,
    gas_limit=Gas(60_000_000),
    base_fee=Wei(0),
    mix_hash=ZERO_HASH,
    chain_id=ChainId(1),
    block_hash=lambda height: None,
)


class Reverted(Exception):
    """A call reverted; `error` is the name of the contract's custom error."""

    def __init__(self, error: str, values: tuple[Any, ...]) -> None:
        super().__init__(f"{error}{values}")
        self.error = error
        self.values = values


class Chain:
    """A state that transactions change; senders need no balance, because gas costs nothing."""

    def __init__(self, alloc: Mapping[Address, GenesisAccount]) -> None:
        self.engine = PyEvmEngine()
        self.state = MemoryState.of(alloc)

    def read(self, to: Address, data: bytes, sender: Address) -> bytes:
        """Return the output of a call that changes nothing; raises _Failure."""
        result = self.engine.call(self.state, CONTEXT, Call(sender, to, data, gas=GAS))
        if not result.success:
            raise _Failure(result.output)
        return result.output

    def send(self, to: Address | None, data: bytes, sender: Address) -> tuple[list[Log], Gas]:
        """Run a transaction and keep its changes; return its logs and the gas it used."""
        account = self.state.account(sender)
        nonce = Nonce(account.nonce if account else 0)
        fields = (0, ChainId(1), nonce, Wei(0), Wei(0), GAS, to, Wei(0), data, (), ())
        transaction = Transaction(*fields, 0, 1, 1, sender, Hash32(keccak(data)), b"\xc0")
        done = self.engine.execute(self.state, CONTEXT, [transaction], skip_invalid=False)
        self.state.apply(done.changes)
        if done.receipts[0].status != 1:
            raise AssertionError("the transaction failed though its call did not")
        self.created = done.created[0]
        return list(done.receipts[0].logs), done.gas_used


class _Failure(Exception):
    def __init__(self, output: bytes) -> None:
        super().__init__(output.hex())
        self.output = output


class Deployed:
    """One contract of a chain: `read` and `send` by function name, events by name."""

    def __init__(self, chain: Chain, name: str, address: Address) -> None:
        self.chain = chain
        self.address = address
        self.artifact: Artifact = artifact(name)

    def read(self, function: str, *values: Any, sender: Address = ZERO_ADDRESS) -> Any:
        """Return the decoded result; one value alone, several as a tuple. Raises Reverted."""
        entry = self._entry("function", function)
        try:
            raw = self.chain.read(self.address, self._data(entry, values), sender)
        except _Failure as failure:
            raise self._reverted(failure.output) from None
        found = decode(_types(entry["outputs"]), raw)
        return found[0] if len(found) == 1 else found

    def send(
        self, sender: Address, function: str, *values: Any
    ) -> list[tuple[str, dict[str, Any]]]:
        """Change the state; return the events as (name, fields). Raises Reverted."""
        data = self._data(self._entry("function", function), values)
        try:
            self.chain.read(self.address, data, sender)
        except _Failure as failure:
            raise self._reverted(failure.output) from None
        logs, self.gas_used = self.chain.send(self.address, data, sender)
        return [self._event(log) for log in logs]

    def _entry(self, kind: str, name: str) -> Mapping[str, Any]:
        return next(e for e in self.artifact.abi if e["type"] == kind and e.get("name") == name)

    def _data(self, entry: Mapping[str, Any], values: Sequence[Any]) -> bytes:
        return _selector(entry)[:4] + encode(_types(entry["inputs"]), list(values))

    def _event(self, log: Log) -> tuple[str, dict[str, Any]]:
        for entry in self.artifact.abi:
            if entry["type"] == "event" and _selector(entry) == log.topics[0]:
                indexed = [each for each in entry["inputs"] if each["indexed"]]
                plain = [each for each in entry["inputs"] if not each["indexed"]]
                values = dict(
                    zip([e["name"] for e in plain], decode(_types(plain), log.data), strict=True)
                )
                for each, topic in zip(indexed, log.topics[1:], strict=True):
                    values[each["name"]] = decode([each["type"]], topic)[0]
                return entry["name"], values
        raise AssertionError("an event that the ABI does not know")

    def _reverted(self, output: bytes) -> Reverted:
        for entry in self.artifact.abi:
            if entry["type"] == "error" and _selector(entry)[:4] == output[:4]:
                return Reverted(entry["name"], decode(_types(entry["inputs"]), output[4:]))
        return Reverted("0x" + output.hex(), ())


def _types(fields: Sequence[Mapping[str, Any]]) -> list[str]:
    return [each["type"] for each in fields]


def _selector(entry: Mapping[str, Any]) -> bytes:
    return keccak(f"{entry['name']}({','.join(_types(entry['inputs']))})".encode())


def hex_address(address: Address) -> str:
    """Return the address as eth_abi decodes it."""
    return "0x" + address.hex()
