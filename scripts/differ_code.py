"""Random contract code for `scripts.differ`: mostly well-formed, for a fork's own opcodes.

`CodeWriter` knows what is surely on the stack within a block of code, jumps to real destinations
and mostly forward, keeps memory small and calls the other accounts of its world. Now and then it
does none of that: it lets the stack run empty or full, jumps into the data of a PUSH, asks for
memory that nobody can pay, or is garbage from the first byte on. Inputs of precompiles and code of
new contracts stand behind the code as data and are copied into memory.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from primitives.types import Address

ETHER: Final = 10**18
EDGES: Final = (
    *(0, 1, 2, 31, 32, 33, 64, 255, 256, 257, 2**31, 2**64 - 1, 2**64, 2**160 - 1),
    *(2**255 - 1, 2**255, 2**256 - 2, 2**256 - 1),
)
PURE: Final = {
    **dict.fromkeys((*range(1, 8), 10, 11, *range(16, 21)), 2),
    **dict.fromkeys((22, 23, 24, 26, 27, 28, 29), 2),
    **dict.fromkeys((8, 9), 3),
    **dict.fromkeys((21, 25, 30), 1),
}
"""Operands of the opcodes that compute."""

READS: Final = (*range(0x30, 0x35), 0x36, 0x38, 0x3A, 0x3D, *range(0x41, 0x49), 0x4A)
READS_OF_CODE: Final = (0x58, 0x59, 0x5A)
PUSH_OF_DESTINATIONS: Final = bytes.fromhex("665b5b5b5b5b5b5b")
"""A PUSH7 whose data look like jump destinations."""

STACK_ITEMS_MAX: Final = 1_024


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What code is written for: the fork's opcodes, whom to call, and with which inputs."""

    opcodes: frozenset[int]
    accounts: tuple[Address, ...]
    inputs: tuple[tuple[Address, bytes, float], ...]
    """Precompiles with an input that they take, and how often that is wanted."""


class CodeWriter:
    """Writes one contract; `height` is what is surely on the stack within a block."""

    def __init__(self, chance: random.Random, around: Surroundings, depth: int = 0) -> None:
        self._chance = chance
        self._around = around
        self._depth = depth
        self._code = bytearray()
        self._height = 0
        self._labels: list[int] = []
        self._false_labels: list[int] = []
        self._holes: list[int] = []
        self._data: list[tuple[int, bytes]] = []
        self._weights = [each for each in self._steps() if self._has(each[2])]

    def write(self) -> bytes:
        """Return the code."""
        chance = self._chance
        if chance.random() < 0.03:
            return chance.randbytes(chance.randrange(120))
        if chance.random() < 0.008:
            self._fill_stack()
        for _ in range(chance.randrange(1, 8)):
            self._block()
        self._close()
        for at in self._holes:
            self._code[at : at + 2] = self._target(at).to_bytes(2, "big")
        for at, data in self._data:
            self._code[at : at + 2] = len(self._code).to_bytes(2, "big")
            self._code += data
        return bytes(self._code)

    def _has(self, opcodes: Sequence[int]) -> bool:
        return not opcodes or any(each in self._around.opcodes for each in opcodes)

    def _pick(self, *opcodes: int) -> int:
        """Return one of those that the fork has; one that it has not once in a while."""
        if self._chance.random() < 0.002:
            return self._chance.choice(opcodes)
        return self._chance.choice([each for each in opcodes if each in self._around.opcodes])

    def _close(self) -> None:
        """End in a way that shows what was computed: items to slots and logs, memory returned."""
        self._labels.append(len(self._code))
        self._code.append(0x5B)
        self._height = 0
        self._number(96)
        self._number(0)
        self._code += b"\xa0\x59\x5a"
        self._number(0)
        self._code += b"\x52"
        self._number(0)
        self._code += b"\xf3"

    def _target(self, at: int) -> int:
        """Return where the jump whose destination stands at `at` goes, mostly forward."""
        chance = self._chance
        forward = [label for label in self._labels if label > at]
        dice = chance.random()
        if dice < 0.01:
            return chance.randrange(300)
        if dice < 0.02 and self._false_labels:
            return chance.choice(self._false_labels)
        return chance.choice(forward if chance.random() < 0.97 else self._labels)

    def _block(self) -> None:
        chance = self._chance
        if chance.random() < 0.1:
            self._loop()
            return
        if chance.random() < 0.9:
            self._label()
        if chance.random() < 0.7:
            self._height = 0
        for _ in range(chance.randrange(1, 20)):
            self._step()
        end = chance.random()
        if end < 0.35:
            self._jump_if()
        elif end < 0.5:
            self._hole()
            self._code.append(0x56)
            self._height = 0
        elif end < 0.54:
            self._end()

    def _end(self) -> None:
        code = self._pick(0xF3, 0xFD, 0xFD, 0xF3, 0x00, 0xFE, 0xFF)
        if code == 0xFF:
            self._address()
        else:
            self._small(64)
            self._small(64)
        self._code.append(code)
        self._height = 0

    def _label(self) -> None:
        self._labels.append(len(self._code))
        self._code.append(0x5B)

    def _loop(self) -> None:
        """Run some steps a few times, with a counter below what they do."""
        chance = self._chance
        self._number(chance.randrange(1, 5))
        start = len(self._code)
        self._label()
        self._height = 0
        for _ in range(chance.randrange(1, 8)):
            self._step(loops=True)
        for _ in range(self._height):
            self._code.append(0x50)
        self._height = 1
        self._number(1)
        self._code += b"\x90\x03\x80\x61" + start.to_bytes(2, "big") + b"\x57"
        self._height = 1

    def _fill_stack(self) -> None:
        """Push in a loop until the stack is nearly, or more than, full."""
        count = STACK_ITEMS_MAX - self._chance.choice((-2, 0, 1, 2, 3, 4, 9, 24))
        self._number(count)
        start = len(self._code)
        self._label()
        # counter -> item, counter - 1
        self._code += b"\x80\x60\x01\x90\x03\x80\x61" + start.to_bytes(2, "big") + b"\x57"
        self._height = min(count, 40)

    def _steps(self) -> tuple[tuple[float, Callable[[], None], tuple[int, ...]], ...]:
        """Return how often each kind of step is wanted, and opcodes one of which it needs."""
        return (
            (26, self._push, ()),
            (14, self._dup, ()),
            (10, self._swap, ()),
            (4, self._pop, ()),
            (30, self._pure, ()),
            (8, self._read, ()),
            (2, self._look, ()),
            (16, self._memory, ()),
            (10, self._storage, ()),
            (18, self._show, ()),
            (3, self._log, ()),
            (4, self._account, ()),
            (3, self._call, ()),
            (1.5, self._precompile, ()),
            (1, self._create, ()),
            (0.15, self._garbage, ()),
            (0.3, self._push_destinations, ()),
            (1.5, self._jump_if, ()),
        )

    def _step(self, *, loops: bool = False) -> None:
        chance = self._chance
        steps = self._weights[:12] if loops else self._weights
        chance.choices([step for _, step, _ in steps], [weight for weight, _, _ in steps])[0]()

    # --- stack --------------------------------------------------------------------------------

    def _number(self, value: int) -> None:
        size = max(1, (value.bit_length() + 7) // 8)
        if value == 0 and 0x5F in self._around.opcodes and self._chance.random() < 0.7:
            self._code.append(0x5F)
        else:
            if self._chance.random() < 0.03:
                size = self._chance.randrange(size, 33)
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
            self._number(chance.getrandbits(chance.randrange(8, 257)))

    def _push_destinations(self) -> None:
        self._false_labels += range(len(self._code) + 1, len(self._code) + 8)
        self._code += PUSH_OF_DESTINATIONS
        self._height += 1

    def _small(self, limit: int) -> None:
        """Push a small number; once in a while a large or a huge one."""
        chance, kind = self._chance, self._chance.random()
        if kind < 0.003:
            self._number(chance.choice(EDGES))
        elif kind < 0.012:
            self._number(chance.randrange(30_000))
        else:
            self._number(chance.randrange(limit))

    def _ensure(self, count: int) -> None:
        """Have `count` items, except once in a while."""
        while self._height < count and self._chance.random() < 0.999:
            self._push()

    def _op(self, code: int, pops: int, pushes: int) -> None:
        self._code.append(code)
        self._height = max(self._height - pops, 0) + pushes

    def _reach(self, most: int, beyond: int) -> int:
        """Return how deep to reach: within what is there, sometimes as deep as it goes."""
        if self._chance.random() < 0.25:
            return self._chance.randrange(1, 17)
        return self._chance.randrange(1, max(min(most, self._height - beyond), 1) + 1)

    def _dup(self) -> None:
        number = self._reach(16, 0)
        self._ensure(number)
        self._op(0x7F + number, 0, 1)

    def _swap(self) -> None:
        number = self._reach(16, 1)
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
        code = self._pick(*PURE)
        self._ensure(PURE[code])
        if self._height and self._chance.random() < 0.15:
            self._op(0x80, 0, 1)
        self._op(code, PURE[code], 1)

    # --- reads and writes ---------------------------------------------------------------------

    def _read(self) -> None:
        self._op(self._pick(*READS, *READS_OF_CODE), 0, 1)

    def _look(self) -> None:
        """BLOCKHASH and BLOBHASH, near what exists."""
        code = self._pick(0x40, 0x49)
        self._number(self._chance.choice((1_000, 999, 998, 745, 744, 743, 0, 1, 2)))
        self._op(code, 1, 1)

    def _memory(self) -> None:
        chance = self._chance
        code = self._pick(0x51, 0x51, 0x52, 0x52, 0x53, 0x20, 0x35, 0x37, 0x39, 0x3E, 0x5E)
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
        code = self._pick(0x54, 0x55, 0x55, 0x5C, 0x5D)
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
        if self._chance.random() < 0.05:
            self._op(0x30, 0, 1)
            return
        self._number(int.from_bytes(self._chance.choice(self._around.accounts), "big"))

    def _account(self) -> None:
        code = self._pick(0x31, 0x3B, 0x3F, 0x3C)
        if code == 0x3C:
            self._small(48)
            self._small(48)
            self._small(96)
        self._address()
        self._op(code, 4 if code == 0x3C else 1, 0 if code == 0x3C else 1)

    # --- calls and creations ------------------------------------------------------------------

    def _gas(self) -> None:
        if self._chance.random() < 0.6:
            self._op(0x5A, 0, 1)
        else:
            self._number(self._chance.choice((0, 2_300, 10_000, 50_000, 2**64)))

    def _call(self) -> None:
        chance = self._chance
        code = self._pick(0xF1, 0xF1, 0xF2, 0xF4, 0xFA)
        for _ in range(4):
            self._small(64)
        if code in (0xF1, 0xF2):
            self._number(chance.choice((0, 0, 0, 0, 1, ETHER * 100)))
        self._address()
        self._gas()
        self._op(code, 7 if code in (0xF1, 0xF2) else 6, 1)

    def _place(self, data: bytes) -> None:
        """Copy data that stand behind the code to the beginning of memory."""
        self._number(len(data))
        self._code.append(0x61)
        self._data.append((len(self._code), data))
        self._code += b"\0\0"
        self._height += 1
        self._number(0)
        self._op(0x39, 3, 0)

    def _precompile(self) -> None:
        """Call a precompile with an input that it takes, or with one that is nearly so."""
        chance = self._chance
        inputs = self._around.inputs
        address, data, _ = chance.choices(inputs, [weight for _, _, weight in inputs])[0]
        kind = chance.random()
        if data and kind < 0.15:
            raw = bytearray(data)
            raw[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)
            data = bytes(raw)
        elif kind < 0.25:
            data = data[: chance.randrange(len(data) + 1)]
        self._place(data)
        code = self._pick(0xF1, 0xF2, 0xF4, 0xFA)
        self._number(chance.choice((0, 32, 64)))
        self._number(0)
        self._number(len(data))
        self._number(0)
        if code in (0xF1, 0xF2):
            self._number(chance.choice((0, 0, 1)))
        self._number(int.from_bytes(address, "big"))
        self._gas()
        self._op(code, 7 if code in (0xF1, 0xF2) else 6, 1)

    def _create(self) -> None:
        """Create a contract with code behind ours or whatever memory holds; call it sometimes."""
        chance = self._chance
        code = self._pick(0xF0, 0xF5)
        size = None
        if self._depth == 0 and chance.random() < 0.8:
            data = initcode(chance, self._around)
            self._place(data)
            size = len(data)
        if code == 0xF5:
            self._number(chance.randrange(3))
        if size is None:
            self._small(40)
            self._small(64)
        else:
            self._number(size)
            self._number(0)
        self._number(chance.choice((0, 0, 1)))
        self._op(code, 4 if code == 0xF5 else 3, 1)
        if chance.random() < 0.5:
            for _ in range(5):
                self._number(0)
            self._op(0x85, 0, 1)
            self._gas()
            self._op(0xF1, 7, 1)

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


def initcode(chance: random.Random, around: Surroundings) -> bytes:
    """Return what runs when a contract is created: random code, or what stores random code."""
    kind = chance.random()
    if kind < 0.3:
        return CodeWriter(chance, around, depth=1).write()
    code = chance.randbytes(8) if kind < 0.4 else CodeWriter(chance, around, depth=1).write()[:200]
    if kind > 0.95:
        code = b"\xef" + code
    if kind > 0.85:
        code = b"\x30\xff" + code
    size = len(code).to_bytes(2, "big")
    # code copied to memory from behind these 14 bytes, then returned
    return b"\x61" + size + b"\x60\x0e\x60\x00\x39\x61" + size + b"\x60\x00\xf3" + code


def recursion(opcode: int, keep: int) -> bytes:
    """Return code that calls itself until that fails, leaving `keep` gas, then stores a word."""
    value = b"\x60\x00" if opcode in (0xF1, 0xF2) else b""
    ask = b"\x61" + keep.to_bytes(2, "big") + b"\x5a\x03" if keep else b"\x5a"
    return b"\x60\x00" * 4 + value + b"\x30" + ask + bytes((opcode,)) + b"\x60\x00\x55\x00"
