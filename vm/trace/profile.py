"""gasProfileTracer (ours): where the gas went, by contract and by opcode.

`gas` of a contract is what its own opcodes cost: what calls and creations hand to child frames is
counted where it is used. `frames` is how often the contract's code ran. Intrinsic gas, refunds and
gas lost with a failing frame are the rest of `gasUsed`. A contract is the owner of the storage,
so code run by DELEGATECALL counts for the caller.
"""

from __future__ import annotations

from typing import Any

from primitives.types import GAS_ZERO, Address
from vm.trace.hooks import Begin, Budget, End, Step, Tracer
from vm.trace.structlog import ENTRY_BYTES


class GasProfiler(Tracer):
    """Adds up what opcodes cost."""

    wants_steps = True

    def __init__(self, budget: Budget) -> None:
        super().__init__(budget)
        self._gas: dict[tuple[Address, str], list[int]] = {}
        self._frames: dict[Address, int] = {}
        self._open: list[Step] = []
        self._end = End(GAS_ZERO, b"", None)

    def on_begin(self, begin: Begin) -> None:
        """Begin with nothing."""

    def on_step(self, step: Step) -> None:
        """Count the steps before, whose prices are known by now, and keep this one."""
        self._count(step.depth)
        if step.pc == 0 and (not self._open or self._open[-1].depth < step.depth):
            self._frames[step.contract] = self._frames.get(step.contract, 0) + 1
        self._open.append(step)

    def _count(self, depth: int) -> None:
        """Count all steps that are over: those at `depth` and deeper."""
        while self._open and self._open[-1].depth >= depth:
            step = self._open.pop()
            key = (step.contract, step.name)
            entry = self._gas.get(key)
            if entry is None:
                self.budget.spend(ENTRY_BYTES)
                entry = self._gas[key] = [0, 0]
            entry[0] += 1
            entry[1] += step.cost - step.handed_on

    def on_end(self, end: End) -> None:
        """Count what is left."""
        self._count(0)
        self._end = end

    def result(self) -> object:
        """Return the profile, in order of address and of gas."""
        contracts: dict[str, dict[str, Any]] = {}
        for (address, name), (count, gas) in sorted(
            self._gas.items(), key=lambda each: (each[0][0], -each[1][1], each[0][1])
        ):
            contract = contracts.setdefault(
                "0x" + address.hex(),
                {"frames": self._frames.get(address, 0), "gas": 0, "opcodes": {}},
            )
            contract["gas"] += gas
            contract["opcodes"][name] = {"count": count, "gas": gas}
        return {"gasUsed": self._end.gas_used, "contracts": contracts}
