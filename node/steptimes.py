"""How long consensus stays in each step, and how often it needs more than one round."""

from __future__ import annotations

from consensus.algorithm import Step
from consensus.core import Status
from node.metrics import Family, counter


class StepTimes:
    """Adds up the time of each step; written by the node's loop, read by any thread."""

    def __init__(self) -> None:
        self._seconds = dict.fromkeys(Step, 0.0)
        self._entered = dict.fromkeys(Step, 0)
        self._place: tuple[int, int, Step] | None = None
        self._since = 0.0
        self._late_rounds = 0

    def note(self, status: Status, now: float) -> None:
        """Note where consensus is at the time `now`, in seconds of any steady clock."""
        place = (status.height, status.round, status.step)
        if place == self._place:
            return
        if self._place is not None:
            height, round_, step = self._place
            self._seconds[step] += now - self._since
            begun = status.round - round_ if status.height == height else status.round
            self._late_rounds += max(0, begun)
        self._entered[status.step] += 1
        self._place, self._since = place, now

    def families(self) -> list[Family]:
        """Return the times so far; that of the present step is added when it ends."""
        return [
            Family(
                "qenex_consensus_step_seconds_total",
                "counter",
                "Time spent in each step of consensus.",
                tuple(
                    ("", (("step", step.name.lower()),), seconds)
                    for step, seconds in self._seconds.items()
                ),
            ),
            Family(
                "qenex_consensus_steps_total",
                "counter",
                "How often each step of consensus was entered.",
                tuple(
                    ("", (("step", step.name.lower()),), float(count))
                    for step, count in self._entered.items()
                ),
            ),
            counter(
                "qenex_consensus_late_rounds_total",
                "Rounds above 0 that were begun.",
                self._late_rounds,
            ),
        ]
