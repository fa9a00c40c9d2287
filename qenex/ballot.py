"""Votes of validators: calls of the registries over JSON-RPC, and transactions signed here.

The key comes from a keystore file and never leaves this process. Before a vote is sent it is
tried by a call, so that what the contract refuses costs nothing and is told in its own words.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click
from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError

from contracts import artifact
from node.keys import read_password
from primitives.codec import Item, uint
from primitives.codec import encode as encode_rlp
from primitives.crypto.keccak import keccak
from primitives.crypto.keyfile import load_key
from primitives.crypto.secp256k1 import PrivateKey
from primitives.errors import QenexError, UpstreamDown
from primitives.types import Address
from qenex.abi import call_data, selector, types_of
from qenex.jsonrpc import JsonRpc

RECEIPT_WAIT_S: Final = 60.0
RECEIPT_POLL_S: Final = 0.25
_DYNAMIC_FEE: Final = b"\x02"


class Refused(QenexError):
    """The contract refuses the vote; the message holds its error."""


@dataclass(frozen=True, slots=True)
class Registry:
    """One registry contract at `address`, reached through a node."""

    rpc: JsonRpc
    contract: str
    address: Address

    def read(self, function: str, *values: Any) -> tuple[Any, ...]:
        """Return the values of a view; raises Refused, UpstreamDown."""
        entry = self._entry(function)
        call = {"to": _hex(self.address), "data": _hex(call_data(self.contract, function, values))}
        raw = self._call("eth_call", call, "latest")
        try:
            return decode(types_of(entry["outputs"]), bytes.fromhex(str(raw)[2:]))
        except (DecodingError, ValueError):
            raise UpstreamDown(f"{self.rpc.url}: no {self.contract} at this address") from None

    def vote(self, key: PrivateKey, function: str, *values: Any) -> Mapping[str, Any]:
        """Send a vote signed by `key` and return its receipt, once it is in a block."""
        data = call_data(self.contract, function, values)
        call = {"from": _hex(key.address), "to": _hex(self.address), "data": _hex(data)}
        gas = int(self._call("eth_estimateGas", call), 16) * 5 // 4
        raw = self._signed(key, data, gas)
        name = self.rpc.call("eth_sendRawTransaction", _hex(raw))
        end = time.monotonic() + RECEIPT_WAIT_S
        while time.monotonic() < end:
            receipt = self.rpc.call("eth_getTransactionReceipt", name)
            if isinstance(receipt, dict):
                if int(receipt["status"], 16) != 1:
                    raise Refused(f"the vote {name} failed in block {receipt['blockNumber']}")
                return receipt
            time.sleep(RECEIPT_POLL_S)
        raise UpstreamDown(f"the vote {name} is in no block after {RECEIPT_WAIT_S:.0f} s")

    def proposal_in(self, receipt: Mapping[str, Any]) -> bytes:
        """Return the open proposal that a vote's receipt names; raises QenexError without one."""
        (ids,) = self.read("getOpenChanges")
        topics = {topic for log in receipt["logs"] for topic in log["topics"]}
        for each in ids:
            if _hex(each) in topics:
                return bytes(each)
        raise QenexError("the vote was counted, but its proposal is over")

    def has_event(self, receipt: Mapping[str, Any], *names: str) -> bool:
        """Return whether the receipt holds one of these events of the contract."""
        topics = {
            _hex(selector(each))
            for each in artifact(self.contract).abi
            if each["type"] == "event" and each["name"] in names
        }
        return any(log["topics"] and log["topics"][0] in topics for log in receipt["logs"])

    def _signed(self, key: PrivateKey, data: bytes, gas: int) -> bytes:
        """Return a signed transaction of type 2. Source: EIP-1559."""
        chain_id = int(self.rpc.call("eth_chainId"), 16)
        nonce = int(self.rpc.call("eth_getTransactionCount", _hex(key.address), "pending"), 16)
        price = int(self.rpc.call("eth_gasPrice"), 16)
        tip = min(price, int(self.rpc.call("eth_maxPriorityFeePerGas"), 16))
        numbers = (chain_id, nonce, tip, 2 * price, gas)
        items: list[Item] = [*map(uint, numbers), bytes(self.address), b"", data, []]
        signature = key.sign(keccak(_DYNAMIC_FEE + encode_rlp(items)))
        parts = [signature[64], *(int.from_bytes(signature[i : i + 32], "big") for i in (0, 32))]
        return _DYNAMIC_FEE + encode_rlp([*items, *map(uint, parts)])

    def _call(self, method: str, *params: Any) -> Any:
        try:
            return self.rpc.call(method, *params)
        except UpstreamDown:
            raise
        except QenexError as error:
            raise Refused(self._words(error)) from None

    def _words(self, error: QenexError) -> str:
        """Return what the contract says, when the node's error carries it."""
        answer = error.facts.get("answer")
        data = answer.get("data") if isinstance(answer, dict) else None
        if isinstance(data, str):
            for each in artifact(self.contract).abi:
                if each["type"] == "error" and data.startswith(_hex(selector(each)[:4])):
                    values = decode(types_of(each["inputs"]), bytes.fromhex(data[10:]))
                    return f"{self.contract} refuses: {each['name']} {_shown(values)}".rstrip()
        return error.message

    def _entry(self, function: str) -> Mapping[str, Any]:
        abi = artifact(self.contract).abi
        return next(e for e in abi if e["type"] == "function" and e["name"] == function)


def open_key(path: Path, password_file: Path | None) -> PrivateKey:
    """Return the key of a keystore file; asks for the password without a file of it."""
    if password_file is not None:
        return load_key(path, read_password(password_file))
    return load_key(path, click.prompt(f"Password of {path}", hide_input=True, err=True))


def proposal_id(text: str) -> bytes:
    """Return the 32 bytes of a proposal's name; raises click.BadParameter."""
    try:
        raw = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        raw = b""
    if len(raw) != 32:
        raise click.BadParameter(f"a proposal's id is 0x and 64 hex digits, found {text}")
    return raw


def _shown(values: Sequence[Any]) -> str:
    return " ".join(_hex(each) if isinstance(each, bytes) else str(each) for each in values)


def _hex(raw: bytes) -> str:
    return "0x" + raw.hex()
