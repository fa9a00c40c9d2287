"""Worlds for `scripts.differ`: random contracts, accounts and transactions under one fork.

A world holds CASES_PER_WORLD cases: contracts of random code, each with a transaction that runs it,
in one block. Besides, there are transactions of every type that the fork knows to contracts,
precompiles and accounts, contract creations, delegations (EIP-7702), blobs, and a few that are
invalid; now and then code that recurses to the depth limit with the gas for it. A number is always
the same world.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

from primitives.account import GenesisAccount
from primitives.codec import Item, encode, uint
from primitives.crypto.keccak import keccak
from primitives.crypto.secp256k1 import PrivateKey
from primitives.keyvalue import MemoryStore
from primitives.transaction import PUBLIC, Transaction, decode_transaction
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
from scripts.differ_code import ETHER, CodeWriter, Surroundings, initcode, recursion
from vm.engine import BlockContext, Execution
from vm.forks import BLOBS, Fork, Rules
from vm.pyevm.forks.table import opcodes_of, precompiles_of
from vm.state.store import StateStore, genesis_changes
from vm.validate import SINCE, TRANSACTION_GAS_MAX, floor_gas, intrinsic_gas

CASES_PER_WORLD: Final = 8
CHAIN: Final = ChainId(7_001)
GAS_PRICE: Final = 10
CONTRACTS: Final = tuple(Address(bytes([0xC0 + at]) * 20) for at in range(CASES_PER_WORLD))
RECURSIVE: Final = Address(b"\xce" * 20)
KEYS: Final = tuple(PrivateKey(bytes([index]) * 32) for index in range(1, 4))
DELEGATES: Final = tuple(PrivateKey(bytes([index]) * 32) for index in range(11, 13))
NOBODY: Final = Address(b"\x77" * 20)
GAS_LIMIT: Final = Gas(1 << 40)
RICH_GAS: Final = 20_000_000_000
"""Enough to go 1,024 calls deep with a 64th kept back in each."""

FORKS: Final[dict[Fork, float]] = {
    **dict.fromkeys(Fork, 0.02),
    Fork.CANCUN: 0.08,
    Fork.PRAGUE: 0.27,
    Fork.OSAKA: 0.27,
    Fork.BPO2: 0.07,
}
"""How often a world runs under each fork: all of them, mostly those that networks run."""


def precompile(number: int) -> Address:
    """Return the address of a precompile."""
    return Address(number.to_bytes(20, "big"))


def _words(*words: int) -> bytes:
    return b"".join(word.to_bytes(32, "big") for word in words)


_G1: Final = bytes(16) + bytes.fromhex(
    "17f1d3a73197d7942695638c4fa9ac0fc3688c4f9774b905a14e3a3f171bac586c55e83ff97a1aeffb3af00adb22c6bb"
    "00000000000000000000000000000000"
    "08b3f481e3aaa0f1a09e30ed741d8ae4fcf5e095d5d00af600db18cb2c04b3edd03cc744a2888ae40caa232946c5e7e1"
)
_BN_P: Final = 0x30644E72E131A029B85045B68181585D97816A916871CA8D3C208C16D87CFD47
BN_G2: Final = _words(
    0x198E9393920D483A7260BFB731FB5D25F1AA493335A9E71297E485B7AEF312C2,
    0x1800DEEF121F1E76426A00665E5C4479674322D4F75EDADD46DEBD5CD992F6ED,
    0x090689D0585FF075EC9E99AD690C3395BC4B313370B38EF355ACDADCD122975B,
    0x12C85EA5DB8C6DEB4AAB71808DCB408FE3D1E7690C43D37B4CE6CC0166FA7DAA,
)
_DIGEST: Final = keccak(b"a digest")
_SIGNATURE: Final = KEYS[0].sign(_DIGEST)
P256_INPUT: Final = bytes.fromhex(
    "bb5a52f42f9c9261ed4361f59422a1e30036e7c32b270c8807a419feca605023"
    "2ba3a8be6b94d5ec80a6d9d1190a436effe50d85a1eee859b8cc6af9bd5c2e18"
    "4cd60b855d442f5b3c7b11eb6c4e0ae7525fe710fab9aa7c77a67f79e6fadd76"
    "2927b10512bae3eddcfe467828128bad2903269919f7086069c8c4df6c732838"
    "c7787964eaac00e5921fb1498a60f4606766b3d9685001558d1a974e7341513e"
)
_INPUTS: Final[tuple[tuple[int, bytes, float], ...]] = (
    (1, _DIGEST + _words(27 + _SIGNATURE[64]) + _SIGNATURE[:64], 8),
    (2, b"sha", 8),
    (3, b"ripemd", 8),
    (4, b"identity" * 5, 8),
    (5, _words(2, 1, 33) + b"\x01\x02\x03" + b"\xfb" * 33, 8),
    (5, _words(0, 0, 1) + b"\x07", 3),
    (5, _words(1_025, 1, 1), 1),
    (6, _words(1, 2, 1, _BN_P - 2), 5),
    (6, _words(1, 2, 1, 2), 5),
    (7, _words(1, 2, 2**255 + 9), 1),
    (8, b"", 3),
    (8, _words(0, 0) + BN_G2, 0.1),
    (8, _words(1, 2) + BN_G2 + _words(1, _BN_P - 2) + BN_G2, 0.05),
    (9, (7).to_bytes(4, "big") + bytes(range(208)) + b"\x01", 5),
    (0x0A, bytes(192), 2),
    (0x0B, _G1 + _G1, 3),
    (0x0C, _G1 + _words(3), 0.5),
    (0x0D, bytes(512), 2),
    (0x0E, bytes(288), 1),
    (0x0F, bytes(384), 0.5),
    (0x10, bytes(63) + b"\x05", 0.5),
    (0x11, bytes(63) + b"\x05" + bytes(64), 0.2),
    (0x100, P256_INPUT, 5),
)


@dataclass(frozen=True, slots=True)
class World:
    """Accounts, a block to run on them, and its transactions."""

    alloc: dict[Address, GenesisAccount]
    context: BlockContext
    transactions: tuple[Transaction, ...]


@cache
def surroundings(fork: Fork) -> Surroundings:
    """Return what code under this fork sees."""
    known = {Address(address) for address in precompiles_of(fork)}
    others = (precompile(2), precompile(4), precompile(5), NOBODY)
    keys = (KEYS[0].address, *(key.address for key in DELEGATES))
    return Surroundings(
        frozenset(opcodes_of(fork)),
        (*CONTRACTS, *others, *keys),
        tuple((precompile(n), data, often) for n, data, often in _INPUTS if precompile(n) in known),
    )


def make_world(number: int, fork: Fork | None = None) -> World:
    """Return the world of this number, always the same; under `fork` if one is named."""
    chance = random.Random(number)
    drawn = chance.choices(list(FORKS), list(FORKS.values()))[0]
    fork = drawn if fork is None else fork
    around = surroundings(fork)
    alloc = {key.address: GenesisAccount(Wei(10_000 * ETHER)) for key in KEYS}
    for address in CONTRACTS:
        storage = {slot: chance.randrange(1, 4) for slot in range(4) if chance.random() < 0.5}
        code = CodeWriter(chance, around).write()
        alloc[address] = GenesisAccount(Wei(chance.choice((0, 5))), Nonce(1), code, storage)
    is_deep = chance.random() < 0.01
    if is_deep:
        opcode = chance.choice([each for each in (0xF1, 0xF4, 0xFA) if each in around.opcodes])
        keep = 600 if fork < Fork.TANGERINE_WHISTLE else 0
        alloc[RECURSIVE] = GenesisAccount(Wei(0), Nonce(1), recursion(opcode, keep))
    return World(alloc, _context(fork), _Sender(chance, fork, around).transactions(deep=is_deep))


def root_after(world: World, execution: Execution) -> Hash32:
    """Return the state root after the world's accounts and an execution on them."""
    store = MemoryStore()
    genesis = genesis_changes(world.alloc)
    store.write(StateStore(store).compute(genesis).writes, sync=False)
    return StateStore(store).compute(execution.changes).state_root


def _context(fork: Fork) -> BlockContext:
    return BlockContext(
        height=Height(1_000),
        timestamp=1_700_000_000,
        coinbase=Address(b"\xfe" * 20),
        gas_limit=GAS_LIMIT,
        base_fee=Wei(7 if fork >= Fork.LONDON else 0),
        mix_hash=Hash32(b"\x5a" * 32 if fork >= Fork.PARIS else bytes(32)),
        chain_id=CHAIN,
        block_hash=lambda height: keccak(height.to_bytes(8, "big")),
        parent_beacon_block_root=ZERO_HASH,
        rules=Rules(fork, BLOBS.get(fork)),
        difficulty=0 if fork >= Fork.PARIS else 131_072,
    )


class _Sender:
    """Signs the transactions of one world and counts nonces."""

    def __init__(self, chance: random.Random, fork: Fork, around: Surroundings) -> None:
        self._chance = chance
        self._fork = fork
        self._around = around
        self._nonces = {key.address: 0 for key in (*KEYS, *DELEGATES)}
        self._types = [kind for kind, since in SINCE.items() if fork >= since]

    def transactions(self, *, deep: bool) -> tuple[Transaction, ...]:
        """Return one to each contract, and others between them."""
        chance = self._chance
        found = []
        for contract in CONTRACTS:
            found.append(self._one(contract))
            if chance.random() < 0.35:
                found.append(self._other())
        if deep:
            gas = RICH_GAS if self._fork < Fork.OSAKA else TRANSACTION_GAS_MAX
            found.append(self._one(RECURSIVE, gas))
        return tuple(found)

    def _other(self) -> Transaction:
        chance = self._chance
        kind = chance.random()
        if kind < 0.4:
            return self._one(chance.choice(CONTRACTS))
        if kind < 0.65:
            return self._one(None)
        if kind < 0.8:
            to, data, _ = chance.choices(
                self._around.inputs, [often for _, _, often in self._around.inputs]
            )[0]
            return self._one(to, data=data)
        if kind < 0.93:
            return self._one(chance.choice(self._around.accounts))
        return self._one(NOBODY, chance.choice((0, 20_999, 21_000, 1 << 41)))

    def _one(
        self, to: Address | None, gas: int | None = None, data: bytes | None = None
    ) -> Transaction:
        chance = self._chance
        kind = chance.choice(self._types)
        if to is None and kind >= SINCE_BLOBS:
            kind = 0
        key = chance.choice(KEYS)
        if data is None and to is None:
            data = initcode(chance, self._around)
        elif data is None:
            data = chance.randbytes(chance.randrange(70)) if chance.random() < 0.6 else b""
        if gas is None:
            gas = chance.choice((60_000, 80_000, 150_000, chance.randrange(22_000, 70_000)))
            gas += 25_000 * (kind == 4) + (32_000 + 100 * len(data)) * (to is None)
        value = chance.choice((0, 0, 0, 1, 1_000))
        before = dict(self._nonces)
        nonce = self._nonces[key.address]
        is_next = chance.random() >= 0.02
        if is_next:
            self._nonces[key.address] += 1
        else:
            nonce += chance.choice((-1, 1)) if nonce else 1
        target = b"" if to is None else to
        common: list[Item] = [uint(nonce), uint(gas), target, uint(value), data]
        tx = self._typed(kind, key, common) if kind else self._legacy(key, common)
        if not is_next or not self._is_enough(tx):
            self._nonces = before
        return tx

    def _is_enough(self, tx: Transaction) -> bool:
        """Return whether the transaction has the gas that it must have, and not too much."""
        least = intrinsic_gas(tx, len(tx.authorizations), self._fork)
        most = TRANSACTION_GAS_MAX if self._fork >= Fork.OSAKA else GAS_LIMIT
        return max(least, floor_gas(tx.data, self._fork)) <= tx.gas <= most

    def _legacy(self, key: PrivateKey, common: Sequence[Item]) -> Transaction:
        nonce, *rest = common
        fields: list[Item] = [nonce, uint(GAS_PRICE), *rest]
        is_bound = self._fork >= Fork.SPURIOUS_DRAGON and self._chance.random() < 0.9
        bound: list[Item] = [uint(CHAIN), b"", b""] if is_bound else []
        signature = key.sign(keccak(encode([*fields, *bound])))
        v = signature[64] + (35 + 2 * CHAIN if is_bound else 27)
        return decode_transaction(encode([*fields, uint(v), *_split(signature)]), PUBLIC)

    def _typed(self, kind: int, key: PrivateKey, common: Sequence[Item]) -> Transaction:
        chance = self._chance
        nonce, *rest = common
        price: list[Item] = [uint(GAS_PRICE)]
        if kind > 1:
            price = [uint(chance.choice((0, 1, 3))), uint(GAS_PRICE)]
        access: list[Item] = []
        if chance.random() < 0.3:
            slots: list[Item] = [slot.to_bytes(32, "big") for slot in range(chance.randrange(3))]
            access.append([chance.choice(self._around.accounts), slots])
        fields: list[Item] = [uint(CHAIN), nonce, *price, *rest, access]
        if kind == 3:
            hashes: list[Item] = [
                b"\x01" + bytes([at]) * 31 for at in range(chance.choice((1, 1, 2)))
            ]
            fields += [uint(100), hashes]
        if kind == 4:
            fields.append([self._authorization(key) for _ in range(chance.choice((1, 1, 2)))])
        head = bytes((kind,))
        signature = key.sign(keccak(head + encode(fields)))
        return decode_transaction(
            head + encode([*fields, uint(signature[64]), *_split(signature)]), PUBLIC
        )

    def _authorization(self, sender: PrivateKey) -> Item:
        """Return an entry of a set-code list: mostly valid, by an account of its own."""
        chance = self._chance
        signer = sender if chance.random() < 0.1 else chance.choice(DELEGATES)
        nonce = self._nonces[signer.address]
        chain = chance.choice((0, CHAIN, CHAIN, CHAIN))
        kind = chance.random()
        if kind < 0.05:
            chain = ChainId(9)
        elif kind < 0.1:
            nonce += 1
        else:
            self._nonces[signer.address] += 1
        to = chance.choice((*CONTRACTS, precompile(4), ZERO_ADDRESS, signer.address, NOBODY))
        signature = signer.sign(keccak(b"\x05" + encode([uint(chain), to, uint(nonce)])))
        return [uint(chain), to, uint(nonce), uint(signature[64]), *_split(signature)]


SINCE_BLOBS: Final = 3
"""Types from here on create no contracts."""


def _split(signature: bytes) -> tuple[bytes, bytes]:
    return signature[:32].lstrip(b"\0"), signature[32:64].lstrip(b"\0")
