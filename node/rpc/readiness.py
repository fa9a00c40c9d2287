"""Whether a node is ready for callers, as a supervisor or a load balancer asks.

`/readiness` says whether it is level with its peers. `?minPeers=3&maxBlocksBehind=10` asks for
peers, and allows for a catch-up that is nearly done. Names as in Besu.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl

from node.rpc.api import NodeApi
from node.rpc.gate import Refused

MIN_PEERS: Final = "minPeers"
MAX_BEHIND: Final = "maxBlocksBehind"
DIGITS_MAX: Final = 18
PARAMETERS_MAX: Final = 8


def readiness(api: NodeApi, query: bytes) -> tuple[int, dict[str, object]]:
    """Return the status and what to answer; raises Refused with 400."""
    asked = _asked(query)
    sync = api.syncing()
    behind = 0 if sync is None else max(0, sync.highest - sync.current)
    peers = api.peer_count()
    is_level = behind <= asked[MAX_BEHIND] if MAX_BEHIND in asked else sync is None
    ready = is_level and peers >= asked.get(MIN_PEERS, 0)
    answer: dict[str, object] = {
        "ready": ready,
        "height": api.view().head.height,
        "peers": peers,
        "blocksBehind": behind,
    }
    return 200 if ready else 503, answer


def _asked(query: bytes) -> dict[str, int]:
    try:
        pairs = parse_qsl(
            query.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(query),
            max_num_fields=PARAMETERS_MAX,
        )
    except ValueError:
        raise Refused(400, "the query is not of the form name=value&name=value") from None
    asked: dict[str, int] = {}
    for name, value in pairs:
        if name not in (MIN_PEERS, MAX_BEHIND):
            raise Refused(400, f"unknown parameter; there are {MIN_PEERS} and {MAX_BEHIND}")
        if name in asked:
            raise Refused(400, f"{name} is given twice")
        if not (value.isascii() and value.isdigit() and len(value) <= DIGITS_MAX):
            raise Refused(400, f"{name} must be a whole number, 0 or more")
        asked[name] = int(value)
    return asked
