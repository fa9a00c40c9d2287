"""Random transactions and bytecode on two engines: `python -m scripts.differ --cases N --seed S`.

A case is a contract of random code with a transaction that runs it; `scripts.differ_world` puts
eight of them, and other transactions, into one world with one block. It is run by the plain engine
(py-evm's own loop) and by the tuned one, which here compiles all code that ran once. Receipts, gas,
logs, refusals, change sets and the state root must be equal, and the whole result of two calls to
each contract, the words of its error included: one with enough gas, one with too little.

`--seed` is the number of the first world, drawn anew and printed if it is not given; a number is
always the same world, so that what differs is repeated with `--cases 1 --seed NUMBER`. `--coverage`
shows how often each opcode ran, by a trace of some of the worlds. `--judge eels` asks Ethereum's
own specification as the third (`scripts.judge`).
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final

from primitives.types import Gas
from scripts.differ_world import (
    CASES_PER_WORLD,
    CONTRACTS,
    KEYS,
    World,
    make_world,
    root_after,
)
from scripts.judge import SPECIFICATIONS, judge
from vm.engine import Call, CallResult, Engine
from vm.forks import Fork
from vm.pyevm.engine import PyEvmEngine, make_engine
from vm.pyevm.forks.table import opcodes_of
from vm.pyevm.shadow import differences
from vm.pyevm.state import EAGER, PLAIN
from vm.state.memory import MemoryState
from vm.trace.opcodes import opcode_name
from vm.trace.requests import GasProfile

SEEDS: Final = 1 << 40
BATCH: Final = 25
"""Worlds that a process is given at a time."""

TRACED_SHARE: Final = 6
"""One world in so many is traced for the coverage."""

CALL_GAS: Final = Gas(60_000)
GAS_BASE: Final = 21_000


class Pair:
    """The engines that are compared."""

    def __init__(self) -> None:
        self.plain: Engine = PyEvmEngine(tuning=PLAIN, allow_unprotected=True)
        self.tuned: Engine = PyEvmEngine(tuning=EAGER, allow_unprotected=True)

    def differ(self, world: World) -> list[str]:
        """Return what differs in a world; nothing when all is well.

        The calls come first: what they ran is compiled when the block runs.
        """
        state = MemoryState.of(world.alloc)
        wrong = []
        for at, contract in enumerate(CONTRACTS):
            call = Call(KEYS[0].address, contract, b"\x01" * 40, gas=CALL_GAS)
            whole, names = self._call(state, world, call)
            wrong += names
            share = random.Random(at + whole.gas_used).random()
            spent = whole.gas_used + whole.gas_refunded - GAS_BASE
            too_little = Gas(GAS_BASE + int(share * spent))
            call = Call(KEYS[0].address, contract, gas=too_little)
            wrong += self._call(state, world, call)[1]
        plain, tuned = (
            engine.execute(state, world.context, world.transactions, skip_invalid=True)
            for engine in (self.plain, self.tuned)
        )
        wrong += differences(plain, tuned)
        if not wrong and root_after(world, plain) != root_after(world, tuned):
            wrong.append("root")
        return wrong

    def _call(self, state: MemoryState, world: World, call: Call) -> tuple[CallResult, list[str]]:
        plain, tuned = (
            engine.call(state, world.context, call) for engine in (self.plain, self.tuned)
        )
        return plain, [f"call {name}" for name in differences(plain, tuned)]

    def coverage(self, world: World) -> Counter[str]:
        """Return how often each opcode ran in a world's block, by a trace of it."""
        state = MemoryState.of(world.alloc)
        done = self.plain.execute(state, world.context, world.transactions, skip_invalid=True)
        traces: Any = self.plain.trace(state, world.context, done.transactions, GasProfile())
        found = Counter[str]()
        for trace in traces:
            for contract in trace["contracts"].values():
                for name, each in contract["opcodes"].items():
                    found[name] += each["count"]
        return found


@dataclass(slots=True)
class Report:
    """What came of some worlds."""

    worlds: int = 0
    transactions: int = 0
    refused: int = 0
    seconds: float = 0.0
    wrong: dict[int, list[str]] = field(default_factory=dict)
    forks: Counter[str] = field(default_factory=Counter)
    opcodes: Counter[str] = field(default_factory=Counter)
    """Only of worlds under forks that networks run."""

    @property
    def cases(self) -> int:
        """How many cases the worlds held."""
        return self.worlds * CASES_PER_WORLD

    def add(self, other: Report) -> None:
        """Add what came of others."""
        self.worlds += other.worlds
        self.transactions += other.transactions
        self.seconds += other.seconds
        self.wrong |= other.wrong
        self.forks += other.forks
        self.opcodes += other.opcodes


def compare(numbers: range, *, traces: bool = False) -> Report:
    """Run the worlds of these numbers and return what came of it."""
    pair, report, started = Pair(), Report(), time.process_time()
    for number in numbers:
        world = make_world(number)
        wrong = pair.differ(world)
        report.worlds += 1
        report.transactions += len(world.transactions)
        report.forks[world.context.rules.fork.name] += 1
        if wrong:
            report.wrong[number] = wrong
        if traces and number % TRACED_SHARE == 0:
            report.opcodes += pair.coverage(make_world(number, newest()))
    report.seconds = time.process_time() - started
    return report


def compare_with_judge(numbers: range) -> Report:
    """Run the worlds of these numbers under Prague and Osaka beside EELS."""
    engine, report, started = make_engine("tuned", allow_unprotected=True), Report(), 0.0
    started = time.process_time()
    for number in numbers:
        for fork in SPECIFICATIONS:
            world = make_world(number, fork)
            wrong = judge(engine, world)
            report.transactions += len(world.transactions)
            report.forks[fork.name] += 1
            if wrong:
                report.wrong.setdefault(number, []).extend(f"{fork.name} {name}" for name in wrong)
        report.worlds += 1
    report.seconds = time.process_time() - started
    return report


def _compare_traced(numbers: range) -> Report:
    return compare(numbers, traces=True)


def newest() -> Fork:
    """Return the newest fork."""
    return max(Fork)


def not_covered(opcodes: Counter[str]) -> list[str]:
    """Return the opcodes of the newest fork that did not run."""
    return sorted(name for name in map(opcode_name, opcodes_of(newest())) if not opcodes.get(name))


def compare_in_processes(
    cases: int, seed: int, jobs: int, run: Callable[[range], Report] = _compare_traced
) -> Iterator[Report]:
    """Run the worlds from `seed` on in `jobs` processes; yield a report after each batch."""
    last = seed + -(-cases // CASES_PER_WORLD)
    batches = [range(at, min(at + BATCH, last)) for at in range(seed, last, BATCH)]
    if jobs == 1:
        yield from map(run, batches)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        yield from pool.map(run, batches)


def total(reports: Iterator[Report], *, shows: bool = False) -> Report:
    """Add up reports; with `shows` say what differs as it is found, and how far it is."""
    whole, started = Report(), time.monotonic()
    for report in reports:
        whole.add(report)
        for number, wrong in report.wrong.items():
            print(f"world {number} differs in {', '.join(wrong)}", flush=True)
        if shows:
            rate = whole.cases / (time.monotonic() - started)
            print(f"{whole.cases} cases, {rate:.0f} a second", file=sys.stderr, flush=True)
    return whole


def table(counts: Counter[str]) -> str:
    """Return counts as text, the rarest first, eight in a line."""
    parts = [f"{name} {count}" for name, count in sorted(counts.items(), key=lambda each: each[1])]
    return "\n".join("  " + ", ".join(parts[at : at + 8]) for at in range(0, len(parts), 8))


def new_seed() -> int:
    """Return a number that nobody has had."""
    return random.SystemRandom().randrange(SEEDS)


def main() -> None:
    """Read the command line, run the cases, print what differs."""
    parser = argparse.ArgumentParser(prog="python -m scripts.differ", description=__doc__)
    parser.add_argument("--cases", type=int, default=1_000)
    parser.add_argument("--seed", type=int, help="number of the first world")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--judge", choices=["eels"], help="compare with EELS, Prague and Osaka")
    parser.add_argument("--coverage", action="store_true", help="how often each opcode ran")
    options = parser.parse_args()
    seed = new_seed() if options.seed is None else options.seed
    print(f"from world {seed}", flush=True)
    run = compare_with_judge if options.judge else _compare_traced
    found = total(compare_in_processes(options.cases, seed, options.jobs, run), shows=True)
    print(
        f"{found.cases} cases in {found.worlds} worlds from {seed}, {found.transactions} "
        f"transactions, {found.seconds * 1e3 / found.cases:.1f} ms each: "
        f"{len(found.wrong)} worlds differ"
    )
    if options.coverage:
        print(f"worlds under each fork:\n{table(found.forks)}")
        print(f"opcodes that ran, under {newest().name}:\n{table(found.opcodes)}")
        print(f"not run: {', '.join(not_covered(found.opcodes)) or 'none'}")
    sys.exit(1 if found.wrong else 0)


if __name__ == "__main__":
    main()
