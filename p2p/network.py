"""The network as the runtime sees it: events in, messages and requests out.

    network = Network(config, own_status=..., prove=..., serve=...)
    await nursery.start(network.run)
    async for event in network.events: ...

`send` and `broadcast` never wait; a peer that does not keep up loses its link. `events` is
bounded per peer and makes a peer wait instead of dropping what it said. Everything that a peer
can do wrong ends at its link; only our own broken invariants leave `run`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog
import trio

from p2p.events import EventQueue, PeerDown, Stream
from p2p.frames import encode_message
from p2p.host import Host, HostLimits
from p2p.keys import NodeKey
from p2p.link import DUPLICATE_REASON, MESSAGE_BYTES_MAX, Link, PeerInfo
from p2p.peers import Offence, PeerBook
from p2p.ping import APPLICATION_KIND_MAX
from p2p.requests import Serve
from p2p.status import Status, proof_digest, with_proof
from p2p.transport import ByteStream, Connection, Transport
from primitives.errors import PeerGone, Timeout, ensure
from primitives.types import Hash32, Height

log = structlog.get_logger("p2p")


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """How this node takes part in the network.

    `listen_port` 0 lets the system choose (see `Network.listen_addresses`). `permitted` is asked
    at every handshake, so it must be quick. `addresses` are the multiaddrs to dial, by peer id,
    such as `/ip4/10.0.0.2/tcp/30333` or `/dns4/validator-2/tcp/30333`.
    """

    node_key: NodeKey
    permitted: Callable[[str], bool]
    addresses: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    listen_host: str = "127.0.0.1"
    listen_port: int = 0
    limits: HostLimits = field(default_factory=HostLimits)


class Network:
    """All links of one node.

    `own_status` gives our status without proof each time a connection is made; `prove` signs a
    32-byte digest with the validator key, or returns None for a node without one; `serve` answers
    a peer's request with the items of the answer.
    """

    def __init__(
        self,
        config: NetworkConfig,
        *,
        own_status: Callable[[], Status],
        prove: Callable[[bytes], bytes | None],
        serve: Serve,
        transport: Transport | None = None,
    ) -> None:
        self.peer_id = config.node_key.peer_id
        self.events = EventQueue()
        self.serve = serve
        self.head: tuple[Height, Hash32]
        status = own_status()
        self.set_head(status.height, status.head_hash)
        self._config = config
        self._own_status = own_status
        self._prove = prove
        self._book = PeerBook(self.peer_id)
        self._transport = transport or Host(
            config.node_key,
            self.is_allowed,
            host=config.listen_host,
            port=config.listen_port,
            limits=config.limits,
        )
        self._links: dict[str, Link] = {}
        self._connections: dict[Connection, Link] = {}
        self._refusals: dict[str, str] = {}
        self._dial_wake = trio.Event()
        self._addresses = dict(config.addresses)
        self._nursery: trio.Nursery | None = None

    # -- life ------------------------------------------------------------------------------------

    async def run(self, *, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        """Listen, dial and carry until cancelled; started when the port is bound.

        Raises ConfigError when the address cannot be bound. On cancellation every connection is
        closed before it returns.
        """
        self._transport.check()
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                self._book.set_addresses(self._addresses, trio.current_time())
                await nursery.start(self._transport.run, self._accept, self._accept_stream)
                log.info("listening", peer=self.peer_id, addresses=self.listen_addresses)
                task_status.started()
                await self._dial_loop()
        finally:
            self._nursery = None

    @property
    def listen_addresses(self) -> tuple[str, ...]:
        """Multiaddrs that others can dial, ending in our peer id; real ports once started."""
        return tuple(f"{each}/p2p/{self.peer_id}" for each in self._transport.addresses)

    # -- sending -----------------------------------------------------------------------------------

    def send(self, peer: str, stream: Stream, kind: int, body: bytes) -> bool:
        """Queue a message to one peer and return True; False when it is not up or not keeping up.

        `kind` is 0..111; `body` at most MESSAGE_BYTES_MAX of the stream.
        """
        link = self._links.get(peer)
        return link is not None and link.send(stream, _encode(stream, kind, body))

    def broadcast(self, stream: Stream, kind: int, body: bytes, skip: Collection[str] = ()) -> int:
        """Queue a message to every peer that is up, except `skip`; return to how many."""
        encoded = _encode(stream, kind, body)
        links = [link for peer, link in self._links.items() if peer not in skip]
        return sum(link.send(stream, encoded) for link in links)

    async def request(self, peer: str, kind: int, body: bytes, *, timeout_s: float) -> list[bytes]:
        """Return the items of one peer's answer.

        Raises PeerGone, Timeout, RequestRefused, or InvalidMessage (already charged to the peer).
        Waits while two requests to this peer are in flight; that counts into `timeout_s`.
        """
        link = self._links.get(peer)
        if link is None:
            raise PeerGone("no link with this peer", peer=peer)
        items: list[bytes] = []
        with trio.move_on_after(timeout_s) as scope:
            items = await link.request(kind, body)
        if scope.cancelled_caught:
            self.penalise(peer, Offence.TIMEOUT)
            raise Timeout("no answer in time", peer=peer, seconds=timeout_s)
        return items

    def set_head(self, height: Height, head_hash: Hash32) -> None:
        """Set what our pings tell the others about our head."""
        self.head = (height, head_hash)

    # -- peers -------------------------------------------------------------------------------------

    def peers(self) -> list[PeerInfo]:
        """Return the peers that are up, in order of peer id."""
        now = trio.current_time()
        return [
            link.info(self._book.score(peer, now))
            for peer, link in sorted(self._links.items())
            if link.is_up
        ]

    def refusals(self) -> dict[str, str]:
        """Return why each refused peer was refused last (another chain, a wrong proof)."""
        return dict(self._refusals)

    def bans(self) -> dict[str, float]:
        """Return the banned peers and the seconds that each ban still lasts."""
        return self._book.bans(trio.current_time())

    def score(self, peer: str) -> float:
        """Return the points of a peer, up or not: 0 is spotless; at -100 it is banned."""
        return self._book.score(peer, trio.current_time())

    def penalise(self, peer: str, offence: Offence) -> None:
        """Charge an offence to a peer; at -100 points it is banned and its links end."""
        banned = self._book.penalise(peer, offence, trio.current_time())
        log.info("offence", peer=peer, offence=offence.name, banned=banned)
        if banned:
            self._close_all(lambda link: link.peer == peer, f"banned for {offence.name}")

    def set_addresses(self, addresses: Mapping[str, tuple[str, ...]]) -> None:
        """Replace the addresses that are dialled, by peer id; links stay as they are."""
        self._addresses = dict(addresses)
        if self._nursery is not None:
            self._book.set_addresses(self._addresses, trio.current_time())
            self._dial_wake.set()

    def recheck_permissions(self) -> None:
        """Ask `permitted` again for every connection and end those of peers that lost it."""
        self._close_all(lambda link: not self._config.permitted(link.peer), "no longer permitted")
        self._book.dial_soon(trio.current_time())
        self._dial_wake.set()

    def disconnect(self, peer: str) -> bool:
        """End all links of a peer, which may come again; return whether it had one that was up."""
        was_up = any(each.peer == peer for each in self.peers())
        self._close_all(lambda link: link.peer == peer, "disconnected by the operator")
        return was_up

    def is_allowed(self, peer: str) -> bool:
        """Return whether the handshake lets this peer in: permitted and not banned."""
        return self._config.permitted(peer) and not self._book.is_banned(peer, trio.current_time())

    # -- what links call ---------------------------------------------------------------------------

    def proven_status(self, handshake_hash: bytes) -> Status:
        """Return our status with the proof for one connection."""
        status = self._own_status()
        if status.validator is None:
            return with_proof(status, None)
        digest = proof_digest(status.chain_id, self.peer_id, handshake_hash)
        return with_proof(status, self._prove(digest))

    async def admit(self, link: Link) -> bool:
        """Return whether `link` becomes the link of its peer; ends and awaits the one it replaces.

        Of two connections both sides keep the one dialled by the lower peer id; of two dialled by
        the same side, or when the present one has gone silent, the newer.
        """
        present = self._links.get(link.peer)
        if present is not None and not present.finished.is_set():
            if self._dialler(present) < self._dialler(link) and not present.is_suspect:
                return False
            present.close("replaced by a newer connection")
            self._links[link.peer] = link
            await present.finished.wait()
            return self._links.get(link.peer) is link
        self._links[link.peer] = link
        return True

    def link_up(self, link: Link) -> None:
        """Note that a link is up."""
        self._refusals.pop(link.peer, None)
        self._book.link_up(link.peer, trio.current_time())
        log.info("peer up", peer=link.peer, address=link.connection.address)

    def offend(self, peer: str, offence: Offence) -> None:
        """Charge an offence that a link has seen."""
        self.penalise(peer, offence)

    # -- connections -------------------------------------------------------------------------------

    def _accept(self, connection: Connection) -> None:
        """Start the link of a connection that a peer has made."""
        self._spawn(self._run_link, self._new_link(connection))

    def _accept_stream(self, connection: Connection, protocol: str, stream: ByteStream) -> None:
        """Hand a stream that a peer has opened to its link."""
        link = self._connections.get(connection)
        if link is None:
            self._spawn(stream.reset)
        else:
            self._spawn(link.adopt, protocol, stream)

    def _new_link(self, connection: Connection) -> Link:
        link = self._connections[connection] = Link(connection, self)
        return link

    async def _run_link(self, link: Link) -> None:
        """Run a link to its end and book what follows from it."""
        try:
            await link.run()
        finally:
            self._connections.pop(link.connection, None)
            if self._links.get(link.peer) is link:
                del self._links[link.peer]
            if link.was_up:
                self._book.link_down(link.peer, trio.current_time())
                self.events.put_down(PeerDown(link.peer, link.reason))
                log.info("peer down", peer=link.peer, reason=link.reason)
            elif link.refused:
                self._refusals[link.peer] = link.reason
                log.warning("peer refused", peer=link.peer, reason=link.reason)
            elif link.reason != DUPLICATE_REASON:
                log.debug("no link", peer=link.peer, reason=link.reason)
            self._dial_wake.set()

    def _close_all(self, chosen: Callable[[Link], bool], reason: str) -> None:
        for link in list(self._connections.values()):
            if chosen(link):
                link.close(reason)

    def _dialler(self, link: Link) -> str:
        """Return the peer id of the side that made the link's connection."""
        return self.peer_id if link.connection.dialled else link.peer

    # -- dialling ----------------------------------------------------------------------------------

    async def _dial_loop(self) -> None:
        """Dial whoever is due, for ever."""
        while True:
            self._dial_wake = trio.Event()
            for peer, address in self._book.due(trio.current_time()):
                self._spawn(self._dial, peer, address)
            next_due = self._book.next_due()
            with trio.move_on_at(float("inf") if next_due is None else next_due):
                await self._dial_wake.wait()

    async def _dial(self, peer: str, address: str) -> None:
        """Make one connection and stay with its link until it is over."""
        if not self._config.permitted(peer):
            self._book.dial_failed(peer, trio.current_time(), refused=True)
            return
        try:
            connection = await self._transport.dial(peer, address)
        except (PeerGone, Timeout) as error:
            log.debug("dial failed", peer=peer, address=address, reason=error.message)
            self._book.dial_failed(peer, trio.current_time())
        else:
            link = self._new_link(connection)
            await self._run_link(link)
            if link.was_up:
                self._book.dial_done(peer)
            else:
                self._book.dial_failed(peer, trio.current_time(), refused=link.refused)
        self._dial_wake.set()

    def _spawn(self, task: Callable[..., Awaitable[None]], *arguments: Any) -> None:
        """Start a task in the network's nursery, if it still runs."""
        if self._nursery is not None:
            self._nursery.start_soon(task, *arguments)


def _encode(stream: Stream, kind: int, body: bytes) -> bytes:
    """Return the frames of an application message; our own limits are invariants."""
    ensure(0 <= kind <= APPLICATION_KIND_MAX, "message kind is reserved", kind=kind)
    ensure(len(body) <= MESSAGE_BYTES_MAX[stream], "message above its limit", bytes=len(body))
    return encode_message(kind, body)
