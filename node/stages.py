"""The processor time of the node by stage (primitives/meter.py), for Prometheus."""

from __future__ import annotations

from node.metrics import Family
from primitives.meter import METER


def stage_families() -> list[Family]:
    """Return the seconds so far; all stages together are the process's processor time."""
    samples = tuple(
        ("", (("stage", stage.value),), seconds) for stage, seconds in METER.seconds().items()
    )
    return [
        Family(
            "qenex_node_stage_seconds_total",
            "counter",
            "Processor time of each stage of the node's work.",
            samples,
        )
    ]
