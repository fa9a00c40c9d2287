"""What is known of one code: where it may be jumped to, what was visited, what is compiled.

A program is shared by all frames and threads that run its code; a race between two of them costs at
most a unit written twice. The cache keeps the programs that ran last.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from types import CodeType
from typing import Any, Final, TypeAlias

from vm.pyevm.code import jump_table
from vm.pyevm.compile.helpers import namespace
from vm.pyevm.compile.rules import Rules
from vm.pyevm.compile.unit import END, Path, write_unit

CREDIT_PER_OPCODE: Final = 8
"""Opcodes to interpret before one is compiled: about what compiling it costs in their time."""


@dataclass(frozen=True, slots=True)
class Policy:
    """When a block is compiled.

    After `visits_min` visits, once the code has run `credit_per_opcode` opcodes in the interpreter
    for each opcode of the unit; a unit goes on into blocks that had `follow_visits_min` visits.
    """

    visits_min: int
    credit_per_opcode: int
    follow_visits_min: int


AUTO: Final = Policy(visits_min=3, credit_per_opcode=CREDIT_PER_OPCODE, follow_visits_min=2)
EAGER: Final = Policy(visits_min=1, credit_per_opcode=0, follow_visits_min=0)
"""Compiles all that ran once; for tests, since hostile code can make it as slow as it likes."""

WRITING_SHARE: Final = 4
"""Writing a unit costs at most one part in this many of compiling it; it is paid for as well."""

NEVER: Final = 1 << 62
"""The price of a block that is never compiled."""

CODE_BLOCKS_MAX: Final = 1_024
"""Blocks of one code whose visits are counted: the first that are visited."""

CODE_OPCODES_MAX: Final = 16_384
"""Opcodes in the units of one code."""

PROGRAMS_MAX: Final = 1_024
CODE_BYTES_ALL_MAX: Final = 8 * 2**20
OPCODES_ALL_MAX: Final = 131_072
"""Opcodes in the units of all codes, about 300 bytes each."""

Unit: TypeAlias = Callable[[Any, list[int], Any], int]


class Program:
    """One code under one fork's rules; `note` is told how many opcodes each unit has."""

    def __init__(
        self, code: bytes, rules: Rules, policy: Policy = AUTO, note: Callable[[int], object] = id
    ) -> None:
        self.code = code
        self.rules = rules
        self.jumps = jump_table(code)
        self.units: dict[int, Unit] = {}
        self.visits: dict[int, int] = {}
        self.credit = 0
        self.opcodes = 0
        self._policy = policy
        self._note = note
        self._prices: dict[int, int] = {}
        self._names: dict[str, Any] | None = None

    def visit(self, entry: int) -> None:
        """Count a visit of the block at `entry`; compile it if it is worth it and paid for."""
        visits = self.visits.get(entry, 0) + 1
        if visits > 1 or len(self.visits) < CODE_BLOCKS_MAX:
            self.visits[entry] = visits
            if visits >= self._policy.visits_min and self.credit >= self._prices.get(entry, 0):
                self._compile(entry)

    def retire(self) -> None:
        """Compile nothing more: the cache has let this program go, though frames may still run."""
        self.visits = dict.fromkeys(range(-CODE_BLOCKS_MAX, 0), 0)

    def _compile(self, entry: int) -> None:
        path = Path(
            self.code,
            entry,
            self.rules,
            self.jumps,
            self.visits,
            self._policy.follow_visits_min,
        )
        source = write_unit(path) if self.opcodes < CODE_OPCODES_MAX else None
        if source is None:
            self._prices[entry] = NEVER
            return
        cost = source.opcodes * self._policy.credit_per_opcode
        if cost > self.credit:
            self._prices[entry] = cost
            self.credit -= cost // WRITING_SHARE
            return
        self.credit -= cost
        self.opcodes += source.opcodes
        self._note(source.opcodes)
        names = self._names
        if names is None:
            names = self._names = namespace()
            names.update(J=self.jumps, CODE=self.code, CODE_SIZE=len(self.code), END=END)
        for opcode in source.called:
            names[f"OP{opcode}"] = self.rules.opcodes[opcode]
        body: CodeType = compile(source.text, "<evm>", "exec")
        exec(body, names)  # noqa: S102 - our own text, made of our templates and of integers
        self.units[entry] = names.pop(f"unit{entry}")


class Programs:
    """The programs that ran last, bounded in number, bytes of code and opcodes compiled."""

    def __init__(self, policy: Policy = AUTO) -> None:
        self._policy = policy
        self._lock = threading.Lock()
        self._programs: OrderedDict[tuple[int, bytes], Program] = OrderedDict()
        self._bytes = 0
        self._opcodes = 0

    def of(self, code: bytes, rules: Rules) -> Program:
        """Return the program of `code`, known or new."""
        key = (id(rules), code)
        with self._lock:
            found = self._programs.get(key)
            if found is not None:
                self._programs.move_to_end(key)
                return found
        program = Program(code, rules, self._policy, self._note)
        with self._lock:
            if key not in self._programs:
                self._programs[key] = program
                self._bytes += len(code)
                self._shrink()
        return program

    def _note(self, opcodes: int) -> None:
        """Count the opcodes of a new unit."""
        with self._lock:
            self._opcodes += opcodes
            self._shrink()

    def _shrink(self) -> None:
        """Let the oldest go until all bounds hold; the newest stays."""
        while len(self._programs) > 1 and (
            len(self._programs) > PROGRAMS_MAX
            or self._bytes > CODE_BYTES_ALL_MAX
            or self._opcodes > OPCODES_ALL_MAX
        ):
            _, gone = self._programs.popitem(last=False)
            gone.retire()
            self._bytes -= len(gone.code)
            self._opcodes -= gone.opcodes


PROGRAMS: Final = Programs()
"""The cache of this process."""

EAGER_PROGRAMS: Final = Programs(EAGER)
"""The cache of engines that compile eagerly."""
