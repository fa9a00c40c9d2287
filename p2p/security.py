"""The permission gate inside the security handshake. Wall file: libp2p is imported here.

Exactly one security protocol is offered, Noise XX, so nobody can choose a weaker one. After the
handshake has proven the peer's id and before anything else is read, `allowed` decides; a peer that
is not allowed gets its socket closed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import trio
from libp2p.abc import IRawConnection, ISecureConn
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.keys import KeyPair
from libp2p.crypto.x25519 import create_new_key_pair as create_noise_key_pair
from libp2p.custom_types import TProtocol
from libp2p.peer.id import ID
from libp2p.security.exceptions import HandshakeFailure
from libp2p.security.noise.transport import Transport as NoiseTransport

from p2p.keys import NodeKey

SECURITY_PROTOCOL: Final = TProtocol("/noise")


class GatedNoise(NoiseTransport):
    """libp2p's Noise transport that lets only allowed peers through."""

    def __init__(self, key: NodeKey, allowed: Callable[[str], bool]) -> None:
        super().__init__(key_pair_of(key), noise_privkey=create_noise_key_pair().private_key)
        self._allowed = allowed

    async def secure_inbound(self, conn: IRawConnection) -> ISecureConn:
        """Return the secured connection of an allowed peer; raises HandshakeFailure."""
        return await self._check(await super().secure_inbound(conn))

    async def secure_outbound(self, conn: IRawConnection, peer_id: ID) -> ISecureConn:
        """Return the secured connection with `peer_id`, if it is allowed."""
        return await self._check(await super().secure_outbound(conn, peer_id))

    async def _check(self, session: ISecureConn) -> ISecureConn:
        if not self._allowed(str(session.get_remote_peer())):
            await session.close()
            raise HandshakeFailure("peer not permitted")
        return session


def key_pair_of(key: NodeKey) -> KeyPair:
    """Return libp2p's form of a node key."""
    return create_new_key_pair(key.seed)


def handshake_hash_of(session: Any) -> bytes:
    """Return the 32-byte Noise handshake hash (channel binding) of a secured connection."""
    return bytes(session.conn.noise_state.get_handshake_hash())


def socket_of(session: Any) -> trio.socket.SocketType:
    """Return the TCP socket below a secured connection."""
    tcp: trio.SocketStream = session.conn.read_writer.read_write_closer.stream.stream
    return tcp.socket
