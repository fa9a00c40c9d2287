"""A contract that is reached through a node, and a wallet that signs for it.

Reads are eth_call, writes are transactions of type 2 (EIP-1559) that are signed here: the key never
leaves this process. A write is tried before it is sent, so that what a contract refuses costs
nothing; it returns once its block is final, which on QENEX is once it has a receipt.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from primitives.codec import Item, uint
from primitives.codec import encode as encode_rlp
from primitives.crypto.keccak import keccak
from primitives.crypto.secp256k1 import PrivateKey
from primitives.errors import ConfigError, InvalidMessage, QenexError, UpstreamDown
from primitives.types import Address
from qenex.abi import Event, call_data, event, failure, result
from qenex.jsonrpc import JsonRpc

RECEIPT_WAIT_S: Final = 60.0
RECEIPT_POLL_S: Final = 0.1
GAS_FOR_TIME: Final = 60_000
"""An estimate runs at the newest block's time; a second later interest and rewards are booked."""
_DYNAMIC_FEE: Final = b"\x02"


class FeeTooLow(QenexError):
    """A transaction would cost more than its sender wants to pay; nothing was sent."""


class Refused(QenexError):
    """A contract refuses a call; `error` names the contract's error, `values` its facts."""

    def __init__(self, message: str, error: str, values: tuple[Any, ...]) -> None:
        super().__init__(message, error=error, values=values)
        self.error = error
        self.values = values


@dataclass(frozen=True, slots=True)
class Receipt:
    """A transaction in a final block: its hash, height and gas, and the events we understand.

    `created` is where the contract stands that it made.
    """

    hash: str
    height: int
    gas_used: int
    events: tuple[Event, ...]
    created: Address | None = None

    def event(self, name: str) -> Event:
        """Return the first event with this name; raises InvalidMessage when there is none."""
        for each in self.events:
            if each.name == name:
                return each
        raise InvalidMessage(f"transaction {self.hash} has no event {name}")


@dataclass(frozen=True, slots=True)
class Link:
    """A node, and the key that signs transactions; without a key one can only read.

    `kinds` says which contract stands at an address, so that events of all of them are read.
    `fee_max` is the most wei that one transaction may cost; None pays what the network asks.
    """

    rpc: JsonRpc
    key: PrivateKey | None
    kinds: dict[Address, str]
    fee_max: int | None = None

    def address(self) -> Address:
        """Return the address of the key; raises ConfigError without one."""
        return self._key().address

    def read(self, to: Address, data: bytes) -> bytes:
        """Return what a call gives; raises Refused, UpstreamDown."""
        call = {"to": _hex(to), "data": _hex(data)}
        if self.key is not None:
            call["from"] = _hex(self.key.address)
        return _raw(self._ask("eth_call", call, "latest"))

    def send(self, to: Address | None, data: bytes = b"", value: int = 0) -> Receipt:
        """Send a transaction and wait for its receipt; without `to` it makes a contract.

        Raises Refused, FeeTooLow, UpstreamDown.
        """
        key = self._key()
        call = {"from": _hex(key.address), "data": _hex(data), "value": hex(value)}
        if to is not None:
            call["to"] = _hex(to)
        estimate = int(str(self._ask("eth_estimateGas", call)), 16)
        gas = estimate * 5 // 4 + (GAS_FOR_TIME if self.fee_max is None else 0)
        name = self.rpc.call("eth_sendRawTransaction", _hex(self._signed(to, data, value, gas)))
        return self._receipt(str(name), call)

    def _signed(self, to: Address | None, data: bytes, value: int, gas: int) -> bytes:
        key, rpc = self._key(), self.rpc
        chain_id = int(rpc.call("eth_chainId"), 16)
        nonce = int(rpc.call("eth_getTransactionCount", _hex(key.address), "pending"), 16)
        price = int(rpc.call("eth_gasPrice"), 16)
        most = 2 * price if self.fee_max is None else min(2 * price, self.fee_max // gas)
        if most < price:
            raise FeeTooLow(
                f"this may cost {price * gas} wei, above the fee of {self.fee_max}; raise the fee"
            )
        tip = min(most, int(rpc.call("eth_maxPriorityFeePerGas"), 16))
        numbers = (chain_id, nonce, tip, most, gas)
        items: list[Item] = [*map(uint, numbers), bytes(to or b""), uint(value), data, []]
        signature = key.sign(keccak(_DYNAMIC_FEE + encode_rlp(items)))
        parts = [signature[64], *(int.from_bytes(signature[i : i + 32], "big") for i in (0, 32))]
        return _DYNAMIC_FEE + encode_rlp([*items, *map(uint, parts)])

    def _receipt(self, name: str, call: dict[str, str]) -> Receipt:
        end = time.monotonic() + RECEIPT_WAIT_S
        while time.monotonic() < end:
            found = self.rpc.call("eth_getTransactionReceipt", name)
            if isinstance(found, dict):
                if int(found["status"], 16) != 1:
                    self._ask("eth_call", call, "latest")
                    raise Refused(f"transaction {name} failed in its block", "", ())
                return Receipt(
                    name,
                    int(found["blockNumber"], 16),
                    int(found["gasUsed"], 16),
                    self.events(found["logs"]),
                    Address(_raw(made)) if (made := found["contractAddress"]) else None,
                )
            time.sleep(RECEIPT_POLL_S)
        raise UpstreamDown(f"transaction {name} is in no block after {RECEIPT_WAIT_S:.0f} s")

    def events(self, logs: Sequence[Any]) -> tuple[Event, ...]:
        """Return the events in JSON-RPC's logs of contracts that are known here, in order."""
        found = []
        for log in logs:
            where = Address(_raw(log["address"]))
            kind = self.kinds.get(where)
            if kind is not None:
                topics = [_raw(each) for each in log["topics"]]
                made = event(kind, topics, _raw(log["data"]))
                found += [] if made is None else [replace(made, address=where)]
        return tuple(found)

    def _ask(self, method: str, *params: Any) -> Any:
        try:
            return self.rpc.call(method, *params)
        except UpstreamDown:
            raise
        except QenexError as error:
            answer = error.facts.get("answer")
            data = answer.get("data") if isinstance(answer, dict) else None
            if not isinstance(data, str):
                raise
            found = failure(_raw(data))
            raise Refused(f"the contract refuses: {found}", found.name, found.values) from None

    def _key(self) -> PrivateKey:
        if self.key is None:
            raise ConfigError("this needs a key to sign with: Client(url, key)")
        return self.key


@dataclass(frozen=True, slots=True)
class Contract:
    """The contract of this `name` (of an artifact) at `address`."""

    link: Link
    name: str
    address: Address

    def read(self, function: str, *values: Any) -> Any:
        """Return what a view gives: one value, or a tuple. Raises Refused, UpstreamDown."""
        raw = self.link.read(self.address, call_data(self.name, function, values))
        if not raw:
            raise UpstreamDown(
                f"{self.link.rpc.url}: no {self.name} at 0x{self.address.hex()}; "
                "this network was made without the standard contracts"
            )
        return result(self.name, function, len(values), raw)

    def send(self, function: str, *values: Any, value: int = 0) -> Receipt:
        """Call a function in a transaction, with `value` wei. Raises Refused, UpstreamDown."""
        return self.link.send(self.address, call_data(self.name, function, values), value)


def _raw(text: Any) -> bytes:
    try:
        return bytes.fromhex(str(text).removeprefix("0x"))
    except ValueError:
        raise UpstreamDown(f"the node answers {text!r} in place of hex") from None


def _hex(raw: bytes) -> str:
    return "0x" + raw.hex()
