"""A developer chain in memory, with a clock that stands still until it is moved."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genesis.profiles import TEST_KEYS, TEST_MNEMONIC
from node.dev.accounts import Accounts
from node.dev.app import DevSettings, dev_methods, make_genesis
from node.dev.chain import DevChain
from node.dev.points import PointStore
from node.rpc.settings import RpcSettings
from primitives.crypto.secp256k1 import PrivateKey
from primitives.keyvalue import KeyValue, MemoryStore
from primitives.types import ChainId, Gas, Wei
from tests.node.rpc.harness import Rpc

START = 2_000_000_000.0
CHAIN_ID = ChainId(31_337)
KEYS = [PrivateKey(raw) for raw in TEST_KEYS.values()]
ALICE, BOB = ("0x" + each.hex() for each in list(TEST_KEYS)[:2])
NOBODY = "0x" + "ab" * 20
SETTINGS = DevSettings(
    chain_id=CHAIN_ID,
    mnemonic=TEST_MNEMONIC,
    accounts=10,
    balance=Wei(10_000 * 10**18),
    gas_limit=Gas(30_000_000),
    base_fee=Wei(10**9),
)
REVERTS = "0x" + "60006000fd"
"""Creation code that reverts with nothing."""

RETURNS_42 = "602a60005260206000f3"
"""Code that returns 42."""


@dataclass
class Watch:
    """A clock in seconds."""

    seconds: float = START

    def __call__(self) -> float:
        return self.seconds


@dataclass
class Bench:
    """A chain, its clock, and a dispatcher with the developer methods."""

    watch: Watch = field(default_factory=Watch)
    store: KeyValue = field(default_factory=MemoryStore)
    keys: Sequence[PrivateKey] = tuple(KEYS)

    def __post_init__(self) -> None:
        genesis = make_genesis(SETTINGS, self.keys)
        self.chain = DevChain(
            PointStore(self.store), genesis, Accounts(self.keys), self.watch, Path("chain")
        )
        given: Any = self.chain
        self.rpc = Rpc(given, RpcSettings(call_timeout_s=60), methods=dev_methods())
        self.call = self.rpc.call
        self.error = self.rpc.error

    def send(self, **fields: object) -> Any:
        """Send a transaction of Alice's, or another's; returns its hash."""
        return self.call("eth_sendTransaction", {"from": ALICE, "to": BOB, **fields})

    def height(self) -> int:
        """Return the height of the head."""
        return int(self.call("eth_blockNumber"), 16)

    def balance(self, address: str, block: str = "latest") -> int:
        """Return a balance, in wei."""
        return int(self.call("eth_getBalance", address, block), 16)

    def block(self, block: str = "latest") -> dict[str, Any]:
        """Return a block with whole transactions."""
        found: dict[str, Any] = self.call("eth_getBlockByNumber", block, True)
        return found


@contextmanager
def bench() -> Iterator[Bench]:
    """Give a chain, and close what serves it."""
    made = Bench()
    try:
        yield made
    finally:
        made.rpc.close()
