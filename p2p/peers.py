"""The book of peers: where they are, when to dial, how they behave.

Pure bookkeeping with the time handed in (seconds of any steady clock); the network asks and acts.

Dialling: the lower peer id of a pair dials at once, the higher one only when the other has not
come within HIGHER_DELAY_SECONDS, so that a pair normally makes one connection and yet a pair of
which one side alone knows the other's address is joined too. Failures back off from 0.1 s,
doubling to 5 s, with full jitter; 30 s of uptime reset that. A peer on another chain is tried
again after a minute.

Scores: each offence takes points, half of which are forgiven every five minutes. At SCORE_BAN the
peer is banned for ten minutes, then twenty, and so on up to a day. Equivocation is not an
offence: it is evidence for consensus.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

BACKOFF_SECONDS_MIN: Final = 0.1
BACKOFF_SECONDS_MAX: Final = 5.0
REFUSED_SECONDS: Final = 60.0
HIGHER_DELAY_SECONDS: Final = 1.0
STEADY_SECONDS: Final = 30.0
SCORE_BAN: Final = -100.0
HALF_LIFE_SECONDS: Final = 300.0
BAN_SECONDS: Final = 600.0
BAN_SECONDS_MAX: Final = 86_400.0
PEERS_MAX: Final = 1_024


class Offence(IntEnum):
    """What a peer may do wrong; the value is the points it loses."""

    DUPLICATE = 1
    TIMEOUT = 5
    FLOOD = 10
    UNDECODABLE = 20
    BAD_SIGNATURE = 50
    BAD_FRAME = 51
    OVERSIZED = 52
    WRONG_CHAIN = 99
    WRONG_PROOF = 100
    MEMORY = 101


@dataclass(slots=True)
class _Entry:
    """What we know of one peer."""

    addresses: tuple[str, ...] = ()
    next_address: int = 0
    dial_at: float = 0.0
    busy: bool = False
    failures: int = 0
    up_since: float | None = None
    score: float = 0.0
    scored_at: float = 0.0
    banned_until: float = 0.0
    bans: int = 0


@dataclass(slots=True)
class PeerBook:
    """All peers by id; `own` is our own peer id and is never dialled."""

    own: str
    _entries: dict[str, _Entry] = field(default_factory=dict)

    def set_addresses(self, addresses: Mapping[str, tuple[str, ...]], now: float) -> None:
        """Replace what is dialled; known peers keep their backoff, score and ban."""
        for peer, entry in self._entries.items():
            if peer not in addresses:
                entry.addresses = ()
        for peer in sorted(addresses):
            if peer == self.own:
                continue
            entry = self._entry(peer)
            if not entry.addresses:
                entry.dial_at = now + self._head_start(peer)
            if entry.addresses != addresses[peer]:
                entry.addresses, entry.next_address = tuple(addresses[peer]), 0

    def due(self, now: float) -> list[tuple[str, str]]:
        """Return (peer, address) for each peer to dial now, and mark them busy."""
        chosen = []
        for peer, entry in self._entries.items():
            if not self._is_dialable(entry) or max(entry.dial_at, entry.banned_until) > now:
                continue
            entry.busy = True
            chosen.append((peer, entry.addresses[entry.next_address % len(entry.addresses)]))
            entry.next_address += 1
        return chosen

    def next_due(self) -> float | None:
        """Return when the next dial is due, or None when there is nobody to dial."""
        times = [
            max(entry.dial_at, entry.banned_until)
            for entry in self._entries.values()
            if self._is_dialable(entry)
        ]
        return min(times, default=None)

    def dial_failed(self, peer: str, now: float, *, refused: bool = False) -> None:
        """Note that a dial led to no link; `refused` means that trying soon is pointless."""
        entry = self._entry(peer)
        entry.busy = False
        self._back_off(entry, now, 0.0)
        if refused:
            entry.dial_at = now + REFUSED_SECONDS

    def dial_soon(self, now: float) -> None:
        """Forget the waits (not the bans): permissions have changed."""
        for peer, entry in self._entries.items():
            entry.dial_at = min(entry.dial_at, now + self._head_start(peer))

    def dial_done(self, peer: str) -> None:
        """Note that a dial's task has ended after a link that `link_down` has booked."""
        self._entry(peer).busy = False

    def link_up(self, peer: str, now: float) -> None:
        """Note that a link with the peer is up: it is not dialled meanwhile."""
        self._entry(peer).up_since = now

    def link_down(self, peer: str, now: float) -> None:
        """Note that the link is gone and plan the next dial."""
        entry = self._entry(peer)
        since, entry.up_since = entry.up_since, None
        if since is not None and now - since >= STEADY_SECONDS:
            entry.failures = 0
        self._back_off(entry, now, self._head_start(peer))

    def penalise(self, peer: str, offence: Offence, now: float) -> bool:
        """Take the offence's points and return whether the peer is banned by it."""
        entry = self._entry(peer)
        entry.score = self.score(peer, now) - offence
        entry.scored_at = now
        if entry.score > SCORE_BAN:
            return False
        entry.banned_until = now + min(BAN_SECONDS * 2.0**entry.bans, BAN_SECONDS_MAX)
        entry.bans = min(entry.bans + 1, 32)
        entry.score = 0.0
        return True

    def score(self, peer: str, now: float) -> float:
        """Return the peer's points: 0 is spotless, SCORE_BAN bans."""
        entry = self._entries.get(peer)
        if entry is None:
            return 0.0
        return entry.score * math.exp2((entry.scored_at - now) / HALF_LIFE_SECONDS)

    def is_banned(self, peer: str, now: float) -> bool:
        """Return whether the peer is banned at this time."""
        entry = self._entries.get(peer)
        return entry is not None and entry.banned_until > now

    def bans(self, now: float) -> dict[str, float]:
        """Return the banned peers and the seconds that each ban still lasts."""
        return {
            peer: entry.banned_until - now
            for peer, entry in sorted(self._entries.items())
            if entry.banned_until > now
        }

    def _entry(self, peer: str) -> _Entry:
        """Return the peer's entry, making room for a new one by forgetting an idle one."""
        entry = self._entries.get(peer)
        if entry is None:
            if len(self._entries) >= PEERS_MAX:
                self._forget_one()
            entry = self._entries[peer] = _Entry()
        return entry

    def _forget_one(self) -> None:
        for peer, entry in self._entries.items():
            if not entry.addresses and not entry.busy and entry.up_since is None:
                del self._entries[peer]
                return

    def _head_start(self, peer: str) -> float:
        """Return how long this side leaves the dialling to the other one."""
        return HIGHER_DELAY_SECONDS if self.own > peer else 0.0

    @staticmethod
    def _is_dialable(entry: _Entry) -> bool:
        return bool(entry.addresses) and not entry.busy and entry.up_since is None

    @staticmethod
    def _back_off(entry: _Entry, now: float, least: float) -> None:
        """Plan the next dial: full jitter over a span that doubles with each failure."""
        span = min(BACKOFF_SECONDS_MIN * 2.0 ** min(entry.failures, 16), BACKOFF_SECONDS_MAX)
        entry.failures += 1
        entry.dial_at = now + least + random.uniform(0.0, span)  # noqa: S311 - spreads load only
