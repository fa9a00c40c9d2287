"""A new node gets a proven state from whoever is honest; liars are charged and change nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest
import trio
import trio.testing

from node.blockstore import ChainView
from node.folder import DataFolder
from node.ledger import Ledger
from node.serve import PeerService
from node.snapshot import decode_rows, encode_rows
from node.snapshot_build import install, part_folder, ready_folder
from node.snapshot_sync import SnapshotReady, SnapshotSync
from node.store import RocksStore
from node.wire import GET_CODES, GET_POINT, GET_STATE, GET_STEP, encode_get_state
from p2p.network import Network
from p2p.peers import Offence
from p2p.requests import RequestRefused
from primitives.errors import InvalidMessage, QenexError
from tests.node.nodes import extend, make_ledger, transfer
from tests.node.test_snapshot import CREATION, FIRST
from tests.node.test_sync import Info
from vm.state.store import StateStore

BLOCKS = 7
Tamper = Callable[[int, list[bytes]], list[bytes]]


@dataclass
class Peers:
    """Peers that serve one chain; each may tamper with what it sends."""

    service: PeerService
    height: int
    tampers: dict[str, Tamper]
    offences: list[tuple[str, Offence]] = field(default_factory=list)
    asked: list[tuple[str, int]] = field(default_factory=list)

    def peers(self) -> list[Info]:
        return [Info(each, self.height, 0.0) for each in self.tampers]

    def penalise(self, peer: str, offence: Offence) -> None:
        self.offences.append((peer, offence))

    async def request(self, peer: str, kind: int, body: bytes, *, timeout_s: float) -> list[bytes]:
        self.asked.append((peer, kind))
        try:
            items = await self.service.serve(peer, kind, body)
        except QenexError as error:
            raise RequestRefused(error.message) from None
        return self.tampers[peer](kind, items)


@pytest.fixture(scope="module")
def full() -> Ledger:
    ledger = make_ledger()
    for nonce in range(BLOCKS):
        made = transfer(sender=1, nonce=nonce, to=None, data=CREATION, gas=200_000)
        extend(ledger, [transfer(nonce=nonce), made])
    return ledger


@pytest.fixture
def home(tmp_path: Path) -> DataFolder:
    folder = DataFolder(tmp_path / "new")
    folder.make()
    return folder


def join(full: Ledger, home: DataFolder, tampers: dict[str, Tamper]) -> Peers:
    """Let a new node try to begin with a snapshot from these peers; returns when it gave up."""
    peers = Peers(PeerService(full), BLOCKS, tampers)
    sync = SnapshotSync(home, make_ledger(), cast("Network", peers), FIRST, 3)
    assert sync.is_wanted(BLOCKS)
    assert not sync.is_wanted(2)
    clock = trio.testing.MockClock(autojump_threshold=0.01)
    try:
        trio.run(sync.run, clock=clock)
    except SnapshotReady:
        assert ready_folder(home).exists()
        install(home)
        check_joined(full, home)
    else:
        assert not ready_folder(home).exists()
        assert not part_folder(home).exists()
    return peers


def check_joined(full: Ledger, home: DataFolder) -> None:
    store = RocksStore(home.chain)
    try:
        view = ChainView(store.snapshot())
        assert view.height == BLOCKS - 2
        assert view.head_hash == full.view.block_hash(BLOCKS - 2)
        assert StateStore(store).root() == view.head.state_root
        assert view.block(BLOCKS - 2) == full.view.block(BLOCKS - 2)
    finally:
        store.close()


def honest(kind: int, items: list[bytes]) -> list[bytes]:
    return items


def lying(about: int, how: Callable[[list[bytes]], list[bytes]]) -> Tamper:
    return lambda kind, items: how(items) if kind == about else items


def richer(items: list[bytes]) -> list[bytes]:
    rows = decode_rows(items[0])
    changed = [(key, value[:-1] + bytes((value[-1] ^ 1,))) for key, value in rows[:1]] + rows[1:]
    return [encode_rows(changed), items[1]]


LIES: dict[str, Tamper] = {
    "other rows": lying(GET_STATE, richer),
    "rows left out": lying(GET_STATE, lambda items: [encode_rows([]), b""]),
    "no end": lying(GET_STATE, lambda items: [encode_rows([]), b"\x01"]),
    "reversed": lying(
        GET_STATE, lambda items: [encode_rows(decode_rows(items[0])[::-1] * 2), items[1]]
    ),
    "no rows at all": lying(GET_STATE, lambda items: [b"garbage", b""]),
    "too many items": lying(GET_STATE, lambda items: items * 2),
    "another code": lying(GET_CODES, lambda items: [b"\x00" + each for each in items]),
    "more code": lying(GET_CODES, lambda items: [*items, b"more"]),
    "another point": lying(GET_POINT, lambda items: [items[0][:-40] + bytes(40), items[1]]),
    "another root": lying(GET_POINT, lambda items: [items[0], items[1][:-1] + b"\x01"]),
    "forged step": lying(GET_STEP, lambda items: [items[0][:-1] + b"\x77"]),
}


def test_joins_from_several_peers(full: Ledger, home: DataFolder) -> None:
    """The state comes from all peers, is the chain's, and nobody is charged."""
    peers = join(full, home, dict.fromkeys("abc", honest))
    assert home.chain.exists()
    assert {peer for peer, kind in peers.asked if kind == GET_STATE} == set("abc")
    assert peers.offences == []


@pytest.mark.parametrize("name", LIES)
def test_liars_are_charged(name: str, full: Ledger, home: DataFolder) -> None:
    """Each lie is found, charged once and replaced by an honest peer's part."""
    peers = join(full, home, {"liar": LIES[name], "honest": honest})
    assert home.chain.exists()
    if "liar" in {peer for peer, kind in peers.asked}:
        assert peers.offences.count(("liar", Offence.BAD_SIGNATURE)) <= 1
    alone = join(full, DataFolder(home.path / "alone"), {"liar": LIES[name]})
    assert alone.offences == [("liar", Offence.BAD_SIGNATURE)]
    assert not (home.path / "alone" / "chain").exists()


def test_goes_on_where_it_stopped(full: Ledger, home: DataFolder) -> None:
    """Units that are here already are not asked for again."""
    asked = 0

    def tiring(kind: int, items: list[bytes]) -> list[bytes]:
        nonlocal asked
        asked += kind == GET_STATE
        if asked > 5:
            raise KeyboardInterrupt
        return items

    with pytest.raises(BaseException):  # noqa: B017 - however trio wraps it
        join(full, home, {"a": tiring})
    peers = join(full, home, {"a": honest})
    assert home.chain.exists()
    assert sum(kind == GET_STATE for _, kind in peers.asked) == 11


def test_requests_are_bounded(full: Ledger) -> None:
    """Heights and places that are none are refused, never served from another height."""
    service = PeerService(full)

    async def main() -> None:
        for kind, body in (
            (GET_STATE, encode_get_state(BLOCKS + 1, 0, b"", b"")),
            (GET_STATE, encode_get_state(1, 16, b"", b"")),
            (GET_STATE, encode_get_state(1, 0, b"", b"\x01" * 32)),
            (GET_STATE, encode_get_state(1, 0, b"\x01", b"")),
            (GET_CODES, b"\xc0"),
            (GET_POINT, b"\xc1\x80"),
            (9, b""),
        ):
            with pytest.raises(QenexError):
                await service.serve("x", kind, body)
        with pytest.raises(InvalidMessage):
            await service.serve("x", 9, b"")

    trio.run(main)


def test_slots_are_cut_anywhere(
    full: Ledger, home: DataFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chunks of one row each make the same state."""
    monkeypatch.setattr("node.snapshot.CHUNK_BYTES_MAX", 1)
    join(full, home, {"a": honest, "b": honest})
    assert home.chain.exists()
