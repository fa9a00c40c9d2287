"""Who may connect follows the NodeRegistry of the newest state, in the files and on the wire."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import trio
from eth_abi.abi import encode

from genesis.nodes import NodeEntry, peer_id_bytes
from genesis.profiles import localnet
from node.blockstore import BlockStore
from node.ledger import Ledger
from node.permissions import Permissions, preferred_addresses
from p2p.events import PeerDown, PeerUp
from primitives.account import GenesisAccount
from primitives.crypto.keccak import keccak
from primitives.errors import ConfigError
from primitives.keyvalue import MemoryStore
from primitives.params import NODE_REGISTRY
from primitives.transaction import Transaction
from primitives.types import ZERO_ADDRESS
from tests.node.nodes import GENESIS_TIME, VALIDATOR, extend
from tests.p2p.memory import Hub
from tests.p2p.nodes import PEERS, mocked, network, wait_up
from tests.vm.support import signed
from vm.blocks import BlockExecutor
from vm.pyevm.engine import PyEvmEngine

ENGINE = PyEvmEngine()
WHERE = "/ip4/127.0.0.1/tcp/30303"
GENESIS = localnet(
    [NodeEntry(PEERS[0], (WHERE,), VALIDATOR.address), NodeEntry(PEERS[1]), NodeEntry(PEERS[2])],
    timestamp=GENESIS_TIME,
)


def ledger_of(code: bytes | None = None) -> Ledger:
    """A chain whose registry holds the first three peers, or has other code."""
    alloc = dict(GENESIS.alloc)
    if code is not None:
        alloc[NODE_REGISTRY] = GenesisAccount(code=code)
    first = BlockExecutor(ENGINE, GENESIS.params).genesis(alloc, timestamp=GENESIS_TIME)
    return Ledger(BlockStore.create(MemoryStore(), first), ENGINE, GENESIS.params)


def permissions(ledger: Ledger, own: int = 0, *preferred: str) -> Permissions:
    more = preferred_addresses(preferred)
    return Permissions(ENGINE, ledger.params, ledger.view, PEERS[own], more)


def change(nonce: int, name: str, types: str, *values: object) -> Transaction:
    """A vote of the only validator, whose approval is the quorum."""
    data = keccak(f"{name}({types})".encode())[:4] + encode(_split(types), values)
    return signed(
        VALIDATOR,
        chain_id=GENESIS.params.chain_id,
        to=NODE_REGISTRY,
        data=data,
        gas=3_000_000,
        value=0,
        nonce=nonce,
    )


def _split(types: str) -> list[str]:
    return types.split(",")


def removal(nonce: int, peer: int) -> Transaction:
    return change(nonce, "proposeRemoval", "bytes", peer_id_bytes(PEERS[peer]))


def admission(nonce: int, peer: int, addresses: Sequence[str] = ()) -> Transaction:
    values = peer_id_bytes(PEERS[peer]), ZERO_ADDRESS, list(addresses)
    return change(nonce, "proposeNode", "bytes,address,string[]", *values)


def permitted(found: Permissions) -> list[int]:
    return [index for index, peer in enumerate(PEERS) if found.is_permitted(peer)]


def test_permissions_begin_with_the_state() -> None:
    """What genesis names is permitted; own address is not dialled, the settings' come first."""
    ledger = ledger_of()
    assert permitted(permissions(ledger)) == [0, 1, 2]
    assert permissions(ledger).addresses == {}
    there = "/dns4/example/tcp/1"
    found = permissions(ledger, 1, f"{there}/p2p/{PEERS[0]}", f"{there}/p2p/{PEERS[5]}")
    assert found.addresses == {PEERS[0]: (there, WHERE)}
    assert permitted(found) == [0, 1, 2]


def test_permissions_follow_each_block() -> None:
    """A removal and an admission count after the block that holds them.

    Kills: permissions fixed at genesis; the settings' address of a removed peer kept.
    """
    ledger = ledger_of()
    found = permissions(ledger, 0, f"{WHERE}/p2p/{PEERS[1]}")
    assert PEERS[1] in found.addresses
    extend(ledger, [removal(0, 1), admission(1, 3, [WHERE])])
    assert permitted(found) == [0, 1, 2]
    assert found.follow(ledger.view) is True
    assert permitted(found) == [0, 2, 3]
    assert found.addresses == {PEERS[3]: (WHERE,)}
    assert found.follow(ledger.view) is False


def test_blocks_without_changes_read_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The registry is called only when its storage changed."""
    ledger = ledger_of()
    found = permissions(ledger)
    extend(ledger)

    def refuse(*_: object) -> None:
        raise AssertionError("the registry was read")

    monkeypatch.setattr("node.permissions.read_nodes", refuse)
    assert found.follow(ledger.view) is False


def test_unusable_entries_are_left_out() -> None:
    """An address that is no multiaddr is skipped, its node stays."""
    ledger = ledger_of()
    found = permissions(ledger)
    extend(ledger, [admission(0, 4, ["http://x", "\xff", WHERE, "/ip4/999.1.1.1/tcp/1"])])
    assert found.follow(ledger.view) is True
    assert found.addresses == {PEERS[4]: (WHERE,)}


def test_an_unreadable_registry() -> None:
    """It stops a start with one line; while a node runs, the last answer stays in force."""
    with pytest.raises(ConfigError, match="node registry cannot be read"):
        permissions(ledger_of(b"\0"))
    found, other = permissions(ledger_of()), ledger_of(bytes.fromhex("60015f5500"))
    assert found.follow(other.view) is False
    assert permitted(found) == [0, 1, 2]


@pytest.mark.parametrize(
    "text", [WHERE, f"{WHERE}/p2p/me", f"http://x/p2p/{PEERS[0]}", "", "/p2p/"]
)
def test_bad_preferred_addresses(text: str) -> None:
    """An address of the settings needs a multiaddr and a peer id."""
    with pytest.raises(ConfigError, match=r"p2p\.addresses"):
        preferred_addresses([text])


def test_removed_peers_are_disconnected() -> None:
    """Real networks in memory: a removed peer loses its link and stays out, a new one comes in.

    Kills: recheck_permissions not called; a handshake that asks a copy of the old set.
    """

    async def scenario() -> None:
        hub, ledger = Hub(), ledger_of()
        found = [permissions(ledger, index) for index in range(4)]
        everywhere = {peer: (f"/memory/{peer}",) for peer in PEERS[:4]}
        networks = []
        async with trio.open_nursery() as nursery:
            for index in range(4):
                allowed = found[index].is_permitted if index < 3 else lambda _: True
                transport = hub.transport(PEERS[index], allowed)
                networks.append(network(index, transport, permitted=allowed, addresses=everywhere))
                await nursery.start(networks[-1].run)
            first = networks[0]
            assert {(await wait_up(first.events)).peer for _ in range(2)} == {PEERS[1], PEERS[2]}

            extend(ledger, [removal(0, 1), admission(1, 3, [WHERE])])
            assert found[0].follow(ledger.view)
            found[0].apply(first)
            first.set_addresses({PEERS[1]: everywhere[PEERS[1]], PEERS[3]: everywhere[PEERS[3]]})
            events = [await first.events.receive() for _ in range(2)]
            assert PeerDown(PEERS[1], "no longer permitted") in events
            assert [each.peer for each in events if isinstance(each, PeerUp)] == [PEERS[3]]
            await trio.sleep(120)
            assert [each.peer for each in first.peers()] == sorted([PEERS[2], PEERS[3]])
            nursery.cancel_scope.cancel()

    mocked(scenario)


def test_a_block_of_the_future_does_not_count() -> None:
    """Only committed state counts: a block that is executed but not decided changes nothing."""
    ledger = ledger_of()
    found = permissions(ledger)
    executed, _ = ledger.build([removal(0, 1)], VALIDATOR.address, GENESIS_TIME, lambda: False)
    ledger.keep(executed)
    assert found.follow(ledger.view) is False
    assert permitted(found) == [0, 1, 2]
