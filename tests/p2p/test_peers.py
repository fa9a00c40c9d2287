"""The peer book: who is dialled when, scores that heal, bans that double."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from p2p.peers import (
    BACKOFF_SECONDS_MAX,
    BAN_SECONDS,
    BAN_SECONDS_MAX,
    HALF_LIFE_SECONDS,
    HIGHER_DELAY_SECONDS,
    PEERS_MAX,
    REFUSED_SECONDS,
    STEADY_SECONDS,
    Offence,
    PeerBook,
)

LOW, HIGH, OTHER = "a", "z", "y"


def book(own: str, *peers: str) -> PeerBook:
    made = PeerBook(own)
    made.set_addresses(dict.fromkeys(peers, ("/one", "/two")), 0.0)
    return made


def test_lower_dials_first() -> None:
    """The lower peer id dials at once, the higher one after its delay; nobody dials itself."""
    assert book(LOW, LOW, HIGH).due(0.0) == [(HIGH, "/one")]
    higher = book(HIGH, LOW)
    assert higher.due(0.0) == []
    assert higher.next_due() == HIGHER_DELAY_SECONDS
    assert higher.due(HIGHER_DELAY_SECONDS) == [(LOW, "/one")]


def test_busy_and_up_are_not_dialled() -> None:
    """A peer that is being dialled or is up is not dialled again."""
    peers = book(LOW, HIGH)
    assert peers.due(0.0)
    assert peers.due(100.0) == []
    peers.link_up(HIGH, 100.0)
    peers.dial_done(HIGH)
    assert (peers.due(200.0), peers.next_due()) == ([], None)
    peers.link_down(HIGH, 200.0)
    assert peers.due(200.0 + BACKOFF_SECONDS_MAX) == [(HIGH, "/two")]


def test_backoff_grows_to_its_maximum() -> None:
    """Delays stay under a doubling span and never above the maximum; addresses take turns."""
    peers, now, addresses = book(LOW, HIGH), 0.0, []
    for failure in range(20):
        [(peer, address)] = peers.due(now)
        addresses.append(address)
        peers.dial_failed(peer, now)
        due = peers.next_due()
        assert due is not None
        assert 0.0 <= due - now <= min(0.1 * 2**failure, BACKOFF_SECONDS_MAX)
        now = due
    assert addresses[:4] == ["/one", "/two", "/one", "/two"]


def test_uptime_resets_the_backoff() -> None:
    """After half a minute of uptime the first redial is quick again; after a short one it is not.

    Kills: forgetting failures at every link (a flapping peer would be dialled in a tight loop).
    """
    for uptime, is_reset in ((STEADY_SECONDS, True), (STEADY_SECONDS - 1, False)):
        peers = book(LOW, HIGH)
        for _ in range(10):
            peers.dial_failed(HIGH, 0.0)
        peers.link_up(HIGH, 10.0)
        peers.link_down(HIGH, 10.0 + uptime)
        assert (peers._entries[HIGH].failures == 1) is is_reset


def test_refused_waits_long() -> None:
    """A refused peer is tried again after a minute, or at once when permissions change."""
    peers = book(LOW, HIGH)
    peers.due(0.0)
    peers.dial_failed(HIGH, 0.0, refused=True)
    assert peers.next_due() == REFUSED_SECONDS
    peers.dial_soon(1.0)
    assert peers.due(1.0)


def test_addresses_change() -> None:
    """A peer taken out is dialled no more; one put in again is; the others keep their backoff."""
    peers = book(LOW, HIGH, OTHER)
    peers.due(0.0)
    peers.dial_failed(HIGH, 0.0, refused=True)
    peers.dial_failed(OTHER, 0.0, refused=True)
    peers.set_addresses({OTHER: ("/three",)}, 1.0)
    assert peers.due(REFUSED_SECONDS) == [(OTHER, "/three")]
    peers.set_addresses({HIGH: ("/four",), OTHER: ("/three",)}, 2.0)
    assert peers.due(2.0) == [(HIGH, "/four")]


def test_ban_at_minus_hundred() -> None:
    """Points add up to a ban at -100, not before; a ban ends and its next one is twice as long."""
    peers = book(LOW, HIGH)
    assert not peers.penalise(HIGH, Offence.BAD_SIGNATURE, 0.0)
    assert peers.score(HIGH, 0.0) == -50
    assert peers.penalise(HIGH, Offence.BAD_SIGNATURE, 0.0)
    assert peers.is_banned(HIGH, BAN_SECONDS - 1)
    assert not peers.is_banned(HIGH, BAN_SECONDS)
    assert peers.bans(0.0) == {HIGH: BAN_SECONDS}
    assert peers.due(BAN_SECONDS - 1) == []
    assert peers.due(BAN_SECONDS) == [(HIGH, "/one")]
    assert peers.penalise(HIGH, Offence.WRONG_PROOF, BAN_SECONDS)
    assert peers.bans(BAN_SECONDS) == {HIGH: 2 * BAN_SECONDS}
    for _ in range(2_000):
        peers.penalise(HIGH, Offence.MEMORY, 0.0)
    assert peers.bans(0.0) == {HIGH: BAN_SECONDS_MAX}


def test_points_are_forgiven() -> None:
    """Half of the points are gone after the half-life."""
    peers = book(LOW)
    peers.penalise(HIGH, Offence.BAD_SIGNATURE, 0.0)
    assert peers.score(HIGH, HALF_LIFE_SECONDS) == -25
    assert not peers.penalise(HIGH, Offence.BAD_SIGNATURE, HALF_LIFE_SECONDS)
    assert peers.score(OTHER, 0.0) == 0


def test_book_is_bounded() -> None:
    """Strangers do not fill memory: idle ones are forgotten, those we dial are kept."""
    peers = book(LOW, HIGH)
    for number in range(2 * PEERS_MAX):
        peers.penalise(f"stranger {number}", Offence.DUPLICATE, 0.0)
    assert len(peers._entries) <= PEERS_MAX
    assert peers.due(0.0) == [(HIGH, "/one")]


@given(st.lists(st.sampled_from(["due", "fail", "refuse", "up", "down", "ban", "change"])))
def test_dialling_never_sticks(steps: list[str]) -> None:
    """Whatever happens, a peer with an address that is neither up nor busy gets a next dial."""
    peers, now, busy = book(LOW, HIGH), 0.0, False
    for step in steps:
        now += 1.0
        match step:
            case "due":
                busy = bool(peers.due(now)) or busy
            case "fail" | "refuse" if busy:
                peers.dial_failed(HIGH, now, refused=step == "refuse")
                busy = False
            case "up":
                peers.link_up(HIGH, now)
            case "down":
                peers.link_down(HIGH, now)
            case "ban":
                peers.penalise(HIGH, Offence.MEMORY, now)
            case "change":
                peers.set_addresses({HIGH: ("/three",)}, now)
            case _:
                continue
    peers.link_down(HIGH, now)
    if busy:
        peers.dial_failed(HIGH, now)
    assert peers.due(now + 10 * BAN_SECONDS_MAX)
