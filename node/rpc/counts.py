"""What the JSON-RPC server counts about itself, and how a page shows it.

Counting is two dictionary lookups and a few additions, below a microsecond a call; the numbers are
written by the server's loop alone. Names of methods that do not exist are counted as one.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from typing import Final

from node.metrics import Family, Labels, Sample, counter, gauge

SECONDS: Final = (0.0005, 0.002, 0.01, 0.05, 0.25, 1.0, 5.0)
"""Upper bounds of the durations that are told apart."""
UNKNOWN: Final = "unknown"
OK: Final = 0


class Counts:
    """Counters of one server."""

    def __init__(self) -> None:
        self.websockets = 0
        self.subscriptions = 0
        self.slow_readers = 0
        self.refused: dict[str, int] = {}
        self._requests: dict[tuple[str, int], int] = {}
        self._durations: dict[str, list[int]] = {}
        self._seconds: dict[str, float] = {}

    def answered(self, method: str, code: int, seconds: float) -> None:
        """Count a call; `code` is that of its error, OK without one."""
        key = (method, code)
        requests = self._requests
        requests[key] = requests.get(key, 0) + 1
        row = self._durations.get(method)
        if row is None:
            row = self._durations[method] = [0] * (len(SECONDS) + 1)
            self._seconds[method] = 0.0
        row[bisect_left(SECONDS, seconds)] += 1
        self._seconds[method] += seconds

    def refuse(self, reason: str) -> None:
        """Count a request or connection that was turned away."""
        self.refused[reason] = self.refused.get(reason, 0) + 1

    def families(self) -> list[Family]:
        """Return all counters."""
        requests = tuple(
            ("", (("method", method), ("outcome", "ok" if code == OK else str(code))), float(count))
            for (method, code), count in sorted(self._requests.items())
        )
        refused = tuple(
            ("", (("reason", reason),), float(n)) for reason, n in sorted(self.refused.items())
        )
        return [
            Family(
                "qenex_rpc_requests_total",
                "counter",
                "JSON-RPC calls by method and outcome: ok or the code of the error.",
                requests,
            ),
            Family(
                "qenex_rpc_request_seconds",
                "histogram",
                "Time to the answer of a JSON-RPC call.",
                self._histogram(),
            ),
            Family(
                "qenex_rpc_refused_total",
                "counter",
                "Requests and connections turned away, by HTTP status or limit.",
                refused,
            ),
            gauge("qenex_rpc_websockets", "Open WebSocket and IPC connections.", self.websockets),
            gauge("qenex_rpc_subscriptions", "Open subscriptions.", self.subscriptions),
            counter(
                "qenex_rpc_slow_readers_total",
                "Connections cut because their reader was too slow.",
                self.slow_readers,
            ),
        ]

    def _histogram(self) -> tuple[Sample, ...]:
        samples: list[Sample] = []
        for method, row in sorted(self._durations.items()):
            label: Labels = (("method", method),)
            bounds = [*map(str, SECONDS), "+Inf"]
            for bound, count in zip(bounds, accumulate(row), strict=True):
                samples.append(("_bucket", (*label, ("le", bound)), float(count)))
            samples.append(("_sum", label, self._seconds[method]))
            samples.append(("_count", label, float(sum(row))))
        return tuple(samples)
