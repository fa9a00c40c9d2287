"""What all state machines share: one deployed world per machine, counted steps, one way to fail.

A machine is a hypothesis state machine over the real engine. Every rule is one transaction, or
some, by somebody who may be greedy or foolish; a refused one must change nothing but the sender's
nonce. `python -m scripts.invariants` runs them for as long as wanted, the tests for a few hundred
steps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine

from primitives.types import Address
from tests.contracts.defi.world import ALICE, BOB, CAROL, EVE, Reverted, World

USERS = (ALICE, BOB, CAROL, EVE)
users = st.sampled_from(USERS)
amounts = st.one_of(
    st.integers(1, 100),
    st.builds(lambda digit, places: digit * 10**places, st.integers(1, 9), st.integers(0, 24)),
    st.integers(1, 10**24),
)
"""Amounts of every magnitude: rounding hurts at one unit, overflow at many."""


class Machine(RuleBasedStateMachine):
    """A world that begins anew for each example; `steps` counts what was tried, `refused` fails."""

    steps: ClassVar[Counter[str]] = Counter()
    refused: ClassVar[Counter[str]] = Counter()
    _made: ClassVar[dict[type, tuple[Any, Any]]] = {}

    world: World

    def __init__(self) -> None:
        super().__init__()
        kind = type(self)
        if kind not in Machine._made:
            scene = self.build()
            Machine._made[kind] = scene, self.world_of(scene).snapshot()
        scene, kept = Machine._made[kind]
        self.scene = scene
        self.world = self.world_of(scene)
        self.world.restore(kept)
        self.begin()

    def build(self) -> Any:
        """Deploy what the machine needs; done once."""
        raise NotImplementedError

    def name(self) -> str:
        """Return the machine's name, also when a walk counts it in a subclass of its own."""
        return next(k for k in type(self).__mro__ if k.__module__.startswith("tests.")).__name__

    def world_of(self, scene: Any) -> World:
        """Return the world that a scene lives in."""
        found: World = scene.world
        return found

    def begin(self) -> None:
        """Begin the machine's own books."""

    def attempt(self, name: str, act: Callable[[], object]) -> bool:
        """Run one step; return whether it was carried out."""
        kind = self.name()
        self.steps[f"{kind} {name}"] += 1
        try:
            act()
        except Reverted as error:
            self.refused[f"{kind} {name}"] += 1
            if error.error.startswith("0x4e487b71") and error.error.endswith("01"):
                raise AssertionError(f"{name}: an assertion of the contract failed") from error
            return False
        return True


def account_text(account: Address) -> str:
    """Return a short name of a user, for failures."""
    return {ALICE: "alice", BOB: "bob", CAROL: "carol", EVE: "eve"}.get(account, account.hex())
