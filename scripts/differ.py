"""Random transactions and bytecode on two engines: `python -m scripts.differ --cases N --seed S`.

A case is a small world of contracts with random code and a block of transactions, run by the plain
engine (py-evm's own loop) and by the tuned one, which then compiles all code that ran once.
Receipts, gas, logs, refusals, change sets and the state root must be equal, and for a call to each
contract the whole result, the words of its error included. Code is mostly well-formed: the
generator knows the height of the stack, jumps to real destinations and mostly forward, keeps
memory small and calls the other contracts; some of it is garbage. `--seed` is the number of the
first case and a number is always the same case, so that a case is repeated with
`--cases 1 --seed NUMBER`.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from primitives.account import GenesisAccount
from primitives.codec import Item, encode, uint
from primitives.crypto.keccak import keccak
from primitives.crypto.secp256k1 import PrivateKey
from primitives.keyvalue import MemoryStore
from primitives.transaction import Transaction, decode_transaction
from primitives.types import ZERO_HASH, Address, ChainId, Gas, Hash32, Height, Nonce, Wei
from vm.engine import BlockContext, Call, Engine, Execution
from vm.pyevm.engine import PyEvmEngine
from vm.pyevm.shadow import differences
from vm.pyevm.state import EAGER, PLAIN
from vm.state.memory import MemoryState
from vm.state.store import StateStore, genesis_changes

CHAIN: Final = ChainId(7_001)
ETHER: Final = 10**18
GAS_PRICE: Final = 10
CONTRACTS: Final = tuple(Address(bytes([0xC0 + index]) * 20) for index in range(4))
KEYS: Final = tuple(PrivateKey(bytes([index]) * 32) for index in range(1, 4))
OTHERS: Final = (
    Address(bytes(19) + b"\x02"),
    Address(bytes(19) + b"\x04"),
    Address(bytes(19) + b"\x05"),
    Address(b"\x77" * 20),
)
"""Addresses to call besides contracts: SHA-256, identity, modexp, and nobody."""

EDGES: Final = (
    0,
    1,
    2,
    31,
    32,
    33,
    64,
    255,
    256,
    257,
    2**31,
    2**64 - 1,
    2**64,
    2**160 - 1,
    2**255 - 1,
    2**255,
    2**256 - 2,
    2**256 - 1,
)
PURE: Final = {
    **dict.fromkeys((*range(1, 8), 10, 11, *range(16, 21)), 2),
    **dict.fromkeys((22, 23, 24, 26, 27, 28, 29), 2),
    **dict.fromkeys((8, 9), 3),
    **dict.fromkeys((21, 25), 1),
}
READS: Final = (*range(0x30, 0x35), 0x36, 0x38, 0x3A, 0x3D, *range(0x41, 0x49), 0x58, 0x59, 0x5A)


class CodeWriter:
    """Writes one contract; `height` is what is surely on the stack within a block."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._code = bytearray()
        self._height = 0
        self._labels: list[int] = []
        self._holes: list[int] = []

    def write(self) -> bytes:
        """Return the code."""
        chance = self._chance
        if chance.random() < 0.05:
            return chance.randbytes(chance.randrange(120))
        for _ in range(chance.randrange(1, 9)):
            self._block()
        self._close()
        for at in self._holes:
            self._code[at : at + 2] = self._target(at).to_bytes(2, "big")
        return bytes(self._code)

    def _close(self) -> None:
        """End in a way that shows what was computed: items to slots and logs, memory returned."""
        self._labels.append(len(self._code))
        self._code.append(0x5B)
        self._height = 0
        self._number(96)
        self._number(0)
        self._code += b"\xa0\x59\x5a\x5f\x52\x5f\xf3"

    def _target(self, at: int) -> int:
        """Return where the jump whose destination stands at `at` goes, mostly forward."""
        chance = self._chance
        forward = [label for label in self._labels if label > at]
        if chance.random() < 0.02:
            return chance.randrange(300)
        return chance.choice(forward if chance.random() < 0.9 else self._labels)

    def _block(self) -> None:
        chance = self._chance
        if chance.random() < 0.9:
            self._labels.append(len(self._code))
            self._code.append(0x5B)
        if chance.random() < 0.7:
            self._height = 0
        for _ in range(chance.randrange(1, 25)):
            self._step()
        end = chance.random()
        if end < 0.35:
            self._jump_if()
        elif end < 0.5:
            self._hole()
            self._code.append(0x56)
            self._height = 0
        elif end < 0.54:
            self._small(64)
            self._small(64)
            self._code.append(chance.choice((0xF3, 0xFD, 0xF3, 0x00, 0xFE, 0xFF)))
            self._height = 0

    def _step(self) -> None:
        chance = self._chance
        steps: Sequence[tuple[float, Callable[[], None]]] = (
            (30, self._push),
            (14, self._dup),
            (10, self._swap),
            (4, self._pop),
            (30, self._pure),
            (8, self._read),
            (16, self._memory),
            (10, self._storage),
            (20, self._show),
            (3, self._log),
            (3, self._account),
            (4, self._call),
            (1, self._create),
            (0.2, self._garbage),
            (2, self._jump_if),
        )
        weights = [weight for weight, _ in steps]
        chance.choices([step for _, step in steps], weights)[0]()

    def _number(self, value: int) -> None:
        size = max(1, (value.bit_length() + 7) // 8)
        if value == 0 and self._chance.random() < 0.7:
            self._code.append(0x5F)
        else:
            self._code.append(0x5F + size)
            self._code += value.to_bytes(size, "big")
        self._height += 1

    def _push(self) -> None:
        chance = self._chance
        kind = chance.random()
        if kind < 0.5:
            self._number(chance.choice(EDGES))
        elif kind < 0.9:
            self._number(chance.randrange(300))
        else:
            self._number(chance.getrandbits(chance.choice((8, 64, 160, 256))))

    def _small(self, limit: int) -> None:
        """Push a small number; once in a while a huge one."""
        chance = self._chance
        self._number(chance.randrange(limit) if chance.random() < 0.998 else chance.choice(EDGES))

    def _ensure(self, count: int) -> None:
        """Have `count` items, except once in a while."""
        while self._height < count and self._chance.random() < 0.999:
            self._push()

    def _op(self, code: int, pops: int, pushes: int) -> None:
        self._code.append(code)
        self._height = max(self._height - pops, 0) + pushes

    def _dup(self) -> None:
        number = self._chance.randrange(1, max(min(16, self._height), 1) + 1)
        self._ensure(number)
        self._op(0x7F + number, 0, 1)

    def _swap(self) -> None:
        number = self._chance.randrange(1, max(min(16, self._height - 1), 1) + 1)
        self._ensure(number + 1)
        self._op(0x8F + number, 0, 0)

    def _pop(self) -> None:
        self._ensure(1)
        self._op(0x50, 1, 0)

    def _show(self) -> None:
        """Put the top item where the end of the code shows it."""
        self._ensure(1)
        self._number(self._chance.choice((0, 32, 64)))
        self._op(0x52, 2, 0)

    def _pure(self) -> None:
        code = self._chance.choice(tuple(PURE))
        self._ensure(PURE[code])
        if self._height and self._chance.random() < 0.15:
            self._op(0x80, 0, 1)
        self._op(code, PURE[code], 1)

    def _read(self) -> None:
        self._op(self._chance.choice(READS), 0, 1)

    def _memory(self) -> None:
        chance = self._chance
        code = chance.choice((0x51, 0x51, 0x52, 0x52, 0x53, 0x20, 0x35, 0x37, 0x39, 0x3E, 0x5E))
        if code in (0x37, 0x39, 0x3E, 0x5E):
            if code == 0x3E and chance.random() < 0.9:
                self._op(0x3D, 0, 1)
                self._number(0)
            else:
                self._small(48)
                self._small(96)
            self._small(128)
            self._op(code, 3, 0)
        elif code == 0x20:
            self._small(80)
            self._small(128)
            self._op(code, 2, 1)
        elif code in (0x51, 0x35):
            self._small(128)
            self._op(code, 1, 1)
        else:
            self._ensure(1)
            self._small(128)
            self._op(code, 2, 0)

    def _storage(self) -> None:
        code = self._chance.choice((0x54, 0x55, 0x55, 0x5C, 0x5D))
        if code in (0x54, 0x5C):
            self._number(self._chance.randrange(4))
            self._op(code, 1, 1)
        else:
            self._number(self._chance.choice((0, 0, 1, 2, 3, 2**255)))
            self._number(self._chance.randrange(4))
            self._op(code, 2, 0)

    def _log(self) -> None:
        count = self._chance.randrange(5)
        self._ensure(count)
        self._small(64)
        self._small(64)
        self._op(0xA0 + count, 2 + count, 0)

    def _address(self) -> None:
        who = self._chance.choice((*CONTRACTS, *OTHERS, KEYS[0].address))
        self._number(int.from_bytes(who, "big"))

    def _account(self) -> None:
        self._address()
        self._op(self._chance.choice((0x31, 0x3B, 0x3F)), 1, 1)

    def _call(self) -> None:
        chance = self._chance
        code = chance.choice((0xF1, 0xF1, 0xF2, 0xF4, 0xFA))
        for _ in range(4):
            self._small(64)
        if code in (0xF1, 0xF2):
            self._number(chance.choice((0, 0, 0, 1, ETHER * 100)))
        self._address()
        if chance.random() < 0.5:
            self._op(0x5A, 0, 1)
        else:
            self._number(chance.choice((0, 2_300, 10_000, 50_000, 2**64)))
        self._op(code, 7 if code in (0xF1, 0xF2) else 6, 1)

    def _create(self) -> None:
        code = self._chance.choice((0xF0, 0xF5))
        if code == 0xF5:
            self._number(self._chance.randrange(3))
        self._small(40)
        self._small(64)
        self._number(self._chance.choice((0, 0, 1)))
        self._op(code, 4 if code == 0xF5 else 3, 1)

    def _garbage(self) -> None:
        self._code += self._chance.randbytes(self._chance.randrange(1, 4))

    def _hole(self) -> None:
        self._code.append(0x61)
        self._holes.append(len(self._code))
        self._code += b"\0\0"

    def _jump_if(self) -> None:
        self._ensure(1)
        self._hole()
        self._op(0x57, 1, 0)


@dataclass(frozen=True, slots=True)
class Case:
    """A world and a block of transactions."""

    alloc: dict[Address, GenesisAccount]
    context: BlockContext
    transactions: tuple[Transaction, ...]


def make_case(seed: int) -> Case:
    """Return the case of this number, always the same."""
    chance = random.Random(seed)
    codes = [CodeWriter(chance).write() for _ in CONTRACTS]
    alloc = {key.address: GenesisAccount(Wei(10 * ETHER)) for key in KEYS}
    for address, code in zip(CONTRACTS, codes, strict=True):
        storage = {slot: chance.randrange(1, 4) for slot in range(4) if chance.random() < 0.5}
        alloc[address] = GenesisAccount(Wei(chance.choice((0, 5))), Nonce(1), code, storage)
    nonces = dict.fromkeys(KEYS, 0)
    transactions = []
    for _ in range(chance.randrange(3, 9)):
        key = chance.choice(KEYS)
        transactions.append(_transaction(chance, key, nonces[key]))
        nonces[key] += 1
    context = BlockContext(
        height=Height(1_000),
        timestamp=1_700_000_000,
        coinbase=Address(b"\xfe" * 20),
        gas_limit=Gas(30_000_000),
        base_fee=Wei(7),
        mix_hash=Hash32(b"\x5a" * 32),
        chain_id=CHAIN,
        block_hash=lambda height: keccak(height.to_bytes(8, "big")),
        parent_beacon_block_root=ZERO_HASH,
    )
    return Case(alloc, context, tuple(transactions))


def _transaction(chance: random.Random, key: PrivateKey, nonce: int) -> Transaction:
    kind = chance.random()
    data = chance.randbytes(chance.randrange(70)) if chance.random() < 0.6 else b""
    to = chance.choice(CONTRACTS[:2] if kind < 0.6 else CONTRACTS)
    if kind > 0.95:
        to = Address(b"")
        data = CodeWriter(chance).write()
    elif kind > 0.9:
        to = chance.choice((*OTHERS, KEYS[1].address))
    gas = chance.choice((100_000, 200_000, 300_000, chance.randrange(22_000, 60_000)))
    value = chance.choice((0, 0, 1, 1_000))
    access: list[Item] = []
    if chance.random() < 0.2:
        access.append([chance.choice(CONTRACTS), [bytes(31) + b"\x01"]])
    fields: list[Item] = [uint(CHAIN), uint(nonce), uint(1), uint(GAS_PRICE), uint(gas)]
    fields += [to, uint(value), data, access]
    signature = key.sign(keccak(b"\x02" + encode(fields)))
    fields += [uint(signature[64]), signature[:32].lstrip(b"\0"), signature[32:64].lstrip(b"\0")]
    return decode_transaction(b"\x02" + encode(fields))


def root_after(case: Case, execution: Execution) -> Hash32:
    """Return the state root after the case's world and an execution on it."""
    store = MemoryStore()
    store.write(StateStore(store).compute(genesis_changes(case.alloc)).writes, sync=False)
    return StateStore(store).compute(execution.changes).state_root


class Pair:
    """The engines that are compared."""

    def __init__(self) -> None:
        self.plain: Engine = PyEvmEngine(tuning=PLAIN)
        self.tuned: Engine = PyEvmEngine(tuning=EAGER)

    def differ(self, case: Case) -> list[str]:
        """Return what differs in a case; nothing when all is well."""
        state = MemoryState.of(case.alloc)
        results = [
            engine.execute(state, case.context, case.transactions, skip_invalid=True)
            for engine in (self.plain, self.tuned)
        ]
        wrong = differences(*results)
        for contract in CONTRACTS:
            call = Call(KEYS[0].address, contract, b"\x01" * 40, gas=Gas(60_000))
            answers = [
                engine.call(state, case.context, call) for engine in (self.plain, self.tuned)
            ]
            wrong += [f"call {name}" for name in differences(*answers)]
        if not wrong and root_after(case, results[0]) != root_after(case, results[1]):
            wrong.append("root")
        return wrong


def main() -> None:
    """Read the command line, run the cases, print what differs."""
    parser = argparse.ArgumentParser(prog="python -m scripts.differ", description=__doc__)
    parser.add_argument("--cases", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=1, help="number of the first case")
    options = parser.parse_args()
    pair, found, started = Pair(), Counter[str](), time.monotonic()
    for number in range(options.seed, options.seed + options.cases):
        wrong = pair.differ(make_case(number))
        if wrong:
            found["differ"] += 1
            print(f"case {number} differs in {', '.join(wrong)}", flush=True)
        if (number - options.seed + 1) % 500 == 0:
            done = number - options.seed + 1
            rate = done / (time.monotonic() - started)
            print(f"{done} cases, {rate:.0f} a second", file=sys.stderr, flush=True)
    print(f"{options.cases} cases from {options.seed}: {found['differ']} differ")
    sys.exit(1 if found["differ"] else 0)


if __name__ == "__main__":
    main()
