"""Peer ids and addresses of nodes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genesis.nodes import check_multiaddr, check_peer_id
from p2p.keys import NodeKey
from primitives.errors import ConfigError


@given(st.binary(min_size=32, max_size=32))
def test_peer_ids_of_node_keys_pass(seed: bytes) -> None:
    """Every node key's peer id is accepted, and no other text of its length."""
    peer_id = NodeKey(seed).peer_id
    check_peer_id(peer_id)
    for wrong in (peer_id[:-1], peer_id + "1", "1" + peer_id, peer_id.replace("K", "0", 1)):
        with pytest.raises(ConfigError):
            check_peer_id(wrong)


@pytest.mark.parametrize(
    "text",
    [
        "/ip4/127.0.0.1/tcp/30303",
        "/ip6/::1/tcp/1",
        "/dns4/node-1.example.org/tcp/65535",
        "/dns/localhost/tcp/80",
    ],
)
def test_good_addresses(text: str) -> None:
    """IP addresses and names with a TCP port pass."""
    check_multiaddr(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "127.0.0.1:30303",
        "/ip4/127.0.0.1/tcp/0",
        "/ip4/127.0.0.1/tcp/65536",
        "/ip4/127.0.0.1/tcp/030",
        "/ip4/127.0.0.1/udp/30303",
        "/ip4/127.0.0.1/tcp/30303/p2p/12D3KooW",
        "/ip4/::1/tcp/30303",
        "/ip6/127.0.0.1/tcp/30303",
        "/ip6/fe80::1%eth0/tcp/30303",
        "/ip4/256.0.0.1/tcp/30303",
        "/dns4/-bad-/tcp/30303",
        "/dns4//tcp/30303",
        "/dns4/a b/tcp/30303",
        "/unix/tmp/tcp/30303",
        "/ip4/127.0.0.1/tcp/\uff13\uff10",
    ],
)
def test_bad_addresses(text: str) -> None:
    """Everything else is refused."""
    with pytest.raises(ConfigError):
        check_multiaddr(text)
