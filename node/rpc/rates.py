"""Token buckets: how many calls one address or one token's subject may make.

A bucket fills at a steady rate up to a bound, and each call takes what it costs. The table of
buckets is bounded: the one that was used longest ago goes first, and comes back full. Used by the
server's loop alone; times are of `time.monotonic`, in seconds.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from functools import lru_cache
from typing import Final

IPV6_PREFIX_BITS: Final = 64
"""Whoever has one IPv6 address has the /64 around it."""
ADDRESSES_CACHED: Final = 4_096


class Bucket:
    """What one caller has saved."""

    __slots__ = ("_at", "_level", "_most", "_rate")

    def __init__(self, rate: float, most: float, now: float) -> None:
        self._rate = rate
        self._most = most
        self._level = most
        self._at = now

    def take(self, cost: int, now: float) -> float:
        """Take `cost` and return 0, or take nothing and return the seconds until it is there."""
        wait_s = self.wait_s(cost, now)
        if not wait_s:
            self._level -= cost
        return wait_s

    def wait_s(self, cost: int, now: float) -> float:
        """Return in how many seconds `cost` is there, 0 when it is."""
        if now > self._at:
            self._level = min(self._most, self._level + (now - self._at) * self._rate)
            self._at = now
        return 0.0 if self._level >= cost else (cost - self._level) / self._rate


class Rates:
    """The buckets of all callers of one kind; `cost_max` always fits into a bucket."""

    def __init__(self, rate: float, burst_s: float, cost_max: int, entries_max: int) -> None:
        self._rate = rate
        self._most = max(rate * burst_s, float(cost_max))
        self._entries_max = entries_max
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def bucket(self, key: str, now: float) -> Bucket | None:
        """Return the bucket of a caller, None where there is no limit."""
        if not self._rate:
            return None
        found = self._buckets.get(key)
        if found is not None:
            self._buckets.move_to_end(key)
            return found
        made = self._buckets[key] = Bucket(self._rate, self._most, now)
        if len(self._buckets) > self._entries_max:
            self._buckets.popitem(last=False)
        return made


@lru_cache(maxsize=ADDRESSES_CACHED)
def address_key(host: str) -> tuple[str, bool]:
    """Return under which name an IP address is counted, and whether it is this machine's own."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host, False
    if isinstance(address, ipaddress.IPv6Address):
        mapped = address.ipv4_mapped
        if mapped is None:
            network = ipaddress.ip_network((address, IPV6_PREFIX_BITS), strict=False)
            return str(network), address.is_loopback
        address = mapped
    return str(address), address.is_loopback
