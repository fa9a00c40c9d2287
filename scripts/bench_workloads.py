"""What `scripts.bench_engine` runs: the world that both chains begin with, and its transactions."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from contracts import Artifact, artifact
from contracts import load as load_artifact
from primitives.account import GenesisAccount
from primitives.codec import encode, uint
from primitives.crypto.keccak import keccak
from primitives.crypto.secp256k1 import PrivateKey
from primitives.params import VALIDATOR_REGISTRY
from primitives.types import Address, ChainId, Gas, Power, Wei
from primitives.validators import Validator, ValidatorSet
from scripts.load import accounts, sign_transaction

CHAIN: Final = ChainId(7_001)
GAS_LIMIT: Final = Gas(100_000_000)
RICH: Final = Wei(10**24)
TOKENS: Final = 10**21
SENDERS: Final = 100
CONTRACTS: Final = Path(__file__).parent / "contracts"


@dataclass
class Sender:
    """A key that counts its nonces."""

    key: PrivateKey
    nonce: int = 0

    def sign(self, to: bytes, data: bytes, gas: int, value: int = 0) -> bytes:
        """Return a signed EIP-1559 transaction; `to` empty creates."""
        self.nonce += 1
        return sign_transaction(
            self.key, CHAIN, self.nonce - 1, to, gas=gas, value=value, data=data
        )


@dataclass
class World:
    """The senders, the genesis that both chains begin with, and what is set up in first blocks."""

    senders: list[Sender]
    alloc: dict[Address, GenesisAccount]
    setup: list[list[bytes]] = field(default_factory=list)

    def created(self, sender: Sender) -> Address:
        """Return the address of the contract that the sender creates next."""
        return Address(keccak(encode([sender.key.address, uint(sender.nonce)]))[12:])


def word(value: int | bytes) -> bytes:
    """Return one ABI word."""
    return (value if isinstance(value, bytes) else uint(value)).rjust(32, b"\0")


def call_data(signature: str, *words: int | bytes) -> bytes:
    """Return the input of a call whose arguments are all one word long."""
    return bytes(keccak(signature.encode())[:4]) + b"".join(map(word, words))


def make_world() -> World:
    """Return a hundred rich senders and a registry with one validator."""
    senders = [Sender(key) for key in accounts(SENDERS)]
    alloc = {each.key.address: GenesisAccount(RICH) for each in senders}
    base = int.from_bytes(keccak(bytes(32)), "big")
    validator = VALIDATORS.validators[0]
    storage = {
        0: 1,
        base: int.from_bytes(validator.address, "big") | validator.power << 160,
        base + 1: int.from_bytes(validator.pq_key_hash, "big"),
    }
    code = artifact("ValidatorRegistry").deployed_bytecode
    alloc[VALIDATOR_REGISTRY] = GenesisAccount(code=code, storage=storage)
    return World(senders, alloc)


VALIDATORS: Final = ValidatorSet.of([Validator(accounts(1)[0].address, Power(1), keccak(b"bench"))])


# --- workloads ------------------------------------------------------------------------------------


def transfers(world: World, count: int, chance: random.Random) -> list[bytes]:
    """Return native transfers between random senders."""
    return [
        each.sign(chance.choice(world.senders).key.address, b"", 21_000, 1)
        for each in _turns(world, count)
    ]


def _turns(world: World, count: int) -> Iterator[Sender]:
    for number in range(count):
        yield world.senders[number % len(world.senders)]


def token_code(supply: int) -> bytes:
    """Return what creates an ERC-20 with this supply for its creator."""
    text = word(5) + b"Bench".ljust(32, b"\0")
    return artifact("ERC20").bytecode + word(96) + word(160) + word(supply) + text + text


def make_token(world: World) -> Address:
    """Add an ERC-20 to the set-up; every sender gets some."""
    first = world.senders[0]
    token = world.created(first)
    gives = [first.sign(b"", token_code(TOKENS * 1_000_000), 2_000_000)]
    for each in world.senders:
        data = call_data("transfer(address,uint256)", each.key.address, TOKENS)
        gives.append(first.sign(token, data, 100_000))
    world.setup.append(gives)
    return token


def token_transfers(world: World, count: int, chance: random.Random) -> list[bytes]:
    """Return ERC-20 transfers between random senders."""
    token = make_token(world)
    return [
        each.sign(
            token,
            call_data(
                "transfer(address,uint256)",
                chance.choice(world.senders).key.address,
                chance.randrange(1, 10**9),
            ),
            100_000,
        )
        for each in _turns(world, count)
    ]


def swaps(world: World, count: int, chance: random.Random) -> list[bytes]:
    """Return swaps of one token for another through a router, in both directions."""
    tokens = sorted((make_token(world), make_token(world)))
    first, setup = world.senders[0], []
    router = world.created(first)
    setup.append(first.sign(b"", _bench_artifact("Swap").bytecode, 2_000_000))
    pair = world.created(first)
    code = _bench_artifact("Pair").bytecode + word(tokens[0]) + word(tokens[1])
    setup.append(first.sign(b"", code, 3_000_000))
    for token in tokens:
        data = call_data("transfer(address,uint256)", pair, TOKENS * 1_000)
        setup.append(first.sign(token, data, 100_000))
        for each in world.senders:
            data = call_data("approve(address,uint256)", router, 2**256 - 1)
            setup.append(each.sign(token, data, 100_000))
    setup.append(first.sign(pair, call_data("sync()"), 200_000))
    world.setup.append(setup)
    signature = "swapExact(address,bool,uint256,uint256,address)"
    return [
        each.sign(
            router,
            call_data(
                signature, pair, number % 2, chance.randrange(10**9, 10**12), 1, each.key.address
            ),
            300_000,
        )
        for number, each in enumerate(_turns(world, count))
    ]


def _bench_artifact(name: str) -> Artifact:
    return load_artifact(CONTRACTS / f"{name}.json")


def deploys(world: World, count: int, chance: random.Random) -> list[bytes]:
    """Return creations of ERC-20 contracts, each with a supply of its own."""
    return [
        each.sign(b"", token_code(chance.randrange(1, 10**30)), 2_000_000)
        for each in _turns(world, count)
    ]


Maker = Callable[[World, int, random.Random], list[bytes]]
WORKLOADS: Final[dict[str, tuple[Maker, int]]] = {
    "native": (transfers, 500),
    "erc20": (token_transfers, 500),
    "swap": (swaps, 50),
    "deploy": (deploys, 25),
}
"""What makes each workload, and how many of it are in one block."""
