"""Room p2p: it carries bytes between permitted nodes. This text is the wire specification.

**Transport.** libp2p over TCP: multistream-select, exactly one security protocol (`/noise`, Noise
XX with the libp2p payload), then `/yamux/1.0.0`. No other transport, security protocol or muxer is
offered; there is no gossip, discovery or relay. A node's identity is an Ed25519 key of its own
(`p2p.keys`); its peer id is compared as base58 text wherever an order is needed. A peer that is not
permitted is cut off inside the handshake, before anything else is read.

**Connections.** For each pair the lower peer id dials; the higher one dials too when it has not
been reached within a second. Of two connections both sides keep the one that the lower peer id
dialled; of two dialled by the same side, or when the present one has been silent for 2 s, the newer
one. The side that dialled opens the streams, in this order:

    /qenex/status/1      once, before all else; both sides send one message and finish
    /qenex/consensus/1   one, for the life of the connection
    /qenex/tx/1          one, for the life of the connection
    /qenex/sync/1        one for each request, opened by either side once the status is exchanged

`/ipfs/ping/1.0.0` and `/ipfs/id/1.0.0` are answered. The accepting side may keep a connection
without long-lived streams for a minute (a light client), and one without a status for 5 s. When a
long-lived stream ends, fails, or breaks a rule, the whole connection is closed and dialled again.

**Frames** (`p2p.frames`), on every stream:

    frame = 4-byte big-endian length | 1-byte type | body          length counts type and body
    type  = kind (0..127) | 0x80 when another fragment of the same message follows

A frame is at most 64,000 bytes in all. A longer message is cut into fragments of one kind; all but
the last are full and the last is not empty. Message bodies are at most 4,000,000 bytes on consensus
and in an answer, 1,000,000 on tx, 64,000 in a request, 2,000 in a status. Bodies are RLP.

**Status** (`p2p.status`), kind 0: [version, chain id, genesis hash, height, head hash, role,
validator, proof]. Version (1), chain id and genesis hash must be equal, or the connection is closed
and tried again after a minute. A validator address must come with a signature by its key over
keccak(keccak("QENEX status") | uint256 chain id | keccak(peer id) | Noise handshake hash).

**Ping** (`p2p.ping`), on consensus, once a second: kind 0x7F [stamp, height, head hash], answered
by kind 0x7E [stamp]. A side that hears nothing for 3 s closes the connection. Kinds 0x70..0x7F are
reserved on both long-lived streams; kinds below belong to the runtime.

**Requests** (`p2p.requests`), on sync: one message, then the end of the writing side. The answer is
any number of kind 1 (an item), then kind 0 with an empty body; or kind 2 (refused) with a reason.
Two requests to a peer may be in flight from each side; ten silent seconds end one.

**Conduct** (`p2p.peers`). Offences cost points, half of which are forgiven in five minutes; at -100
a peer is banned for ten minutes, doubling. Every queue is bounded: a peer that does not take what
is sent to it loses its connection (8 MB or 4,096 messages a stream, 6 s a write); a peer that sends
faster than the node consumes waits (8 MB or 1,024 messages), and so does one that pushes more than
4 MB of transactions a second (8 MB at once; a message counts 2,000 bytes more than it has).

**Inside.** `p2p.network.Network` is what the runtime uses. `p2p.link` is the life of a connection,
`p2p.transport` what both need from below, `p2p.host` and `p2p.security` give it with libp2p.
"""

from primitives.deferred import defer

# What libp2p offers beside TCP, Noise and yamux. None of it is ever switched on (`p2p.host`, M6),
# and code that is not loaded cannot be reached either.
defer(
    "dns.quic",
    "libp2p.discovery.bootstrap.bootstrap",
    "libp2p.discovery.mdns.broadcaster",
    "libp2p.discovery.mdns.listener",
    "libp2p.discovery.mdns.mdns",
    "libp2p.discovery.upnp.upnp",
    "libp2p.kad_dht.kad_dht",
    "libp2p.rcmgr.prometheus_exporter",
    "libp2p.relay.circuit_v2.nat",
    "libp2p.security.tls.autotls.acme",
    "libp2p.security.tls.autotls.broker",
    "libp2p.transport.quic.config",
    "libp2p.transport.quic.stream",
    "libp2p.transport.quic.transport",
    "libp2p.transport.quic.utils",
    "libp2p.transport.websocket.connection",
    "libp2p.transport.websocket.listener",
    "libp2p.transport.websocket.transport",
)
