"""Which peers may connect, and where they are: what the NodeRegistry says in the newest state.

One `Permissions` holds the current answer. The handshake asks `is_permitted`; the runtime calls
`follow` after each commit, which reads the registry again only when its storage changed. The
addresses of this machine's settings come first; they count only for peers that are permitted, so
a peer that the validators removed stays out whatever the settings say.

What cannot be used is left out with a log line: a peer id that no Ed25519 key has, an address
that is no multiaddr of ours. A registry that cannot be read stops a start; later, the last answer
stays in force, because to cut every link would stop the chain that could repair it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from genesis.nodes import check_multiaddr, check_peer_id, peer_id_text
from node.blockstore import ChainView
from node.log import get_log
from p2p.network import Network
from primitives.errors import ConfigError
from primitives.params import NODE_REGISTRY, ChainParams
from primitives.types import Hash32
from vm.blocks import block_context
from vm.engine import Engine
from vm.nodes import NodesUnreadable, RegisteredNode, read_nodes


class Permissions:
    """The permitted peers of one node, and their addresses.

    `own` is this node's peer id, which is never dialled; `preferred` are the addresses of the
    settings by peer id. Raises ConfigError when `view`'s state has no readable registry.
    """

    def __init__(
        self,
        engine: Engine,
        params: ChainParams,
        view: ChainView,
        own: str,
        preferred: Mapping[str, tuple[str, ...]] | None = None,
    ) -> None:
        self._engine = engine
        self._params = params
        self._own = own
        self._preferred = dict(preferred or {})
        self._log = get_log("permissions")
        self._root = _root_of(view)
        try:
            self._peers = self._read(view)
        except NodesUnreadable as error:
            raise ConfigError(f"the node registry cannot be read: {error.message}") from None

    def is_permitted(self, peer: str) -> bool:
        """Return whether the peer may connect now; quick, from any thread."""
        return peer in self._peers

    @property
    def peers(self) -> tuple[str, ...]:
        """The peers that may connect."""
        return tuple(self._peers)

    def prefer(self, peer: str, address: str) -> None:
        """Dial a peer at `address` first."""
        self._preferred[peer] = (address, *self._preferred.get(peer, ()))

    @property
    def addresses(self) -> dict[str, tuple[str, ...]]:
        """Where to dial each permitted peer but this node: the settings' addresses first."""
        found = {}
        for peer, registered in self._peers.items():
            first = self._preferred.get(peer, ())
            known = (*first, *(each for each in registered if each not in first))
            if known and peer != self._own:
                found[peer] = known
        return found

    def follow(self, view: ChainView) -> bool:
        """Take over what the state of `view` says; return whether anything changed.

        Runs in a worker. Reads the account alone while the registry's storage stays as it was.
        """
        root = _root_of(view)
        if root == self._root:
            return False
        try:
            peers = self._read(view)
        except NodesUnreadable as error:
            self._log.error("node registry unreadable, permissions stay", reason=error.message)
            return False
        before, self._peers, self._root = self._peers, peers, root
        return peers != before

    def apply(self, network: Network) -> None:
        """Disconnect who is no longer permitted and dial who is new; in the network's thread."""
        network.set_addresses(self.addresses)
        network.recheck_permissions()
        self._log.info("node permissions changed", nodes=len(self._peers))

    def _read(self, view: ChainView) -> dict[str, tuple[str, ...]]:
        context = block_context(view.head, self._params, view.block_hash)
        return self._usable(read_nodes(view.state, self._engine, context))

    def _usable(self, nodes: Sequence[RegisteredNode]) -> dict[str, tuple[str, ...]]:
        peers: dict[str, tuple[str, ...]] = {}
        for node in nodes:
            try:
                peer = peer_id_text(node.peer_id)
            except ConfigError as error:
                self._log.warning("node registry: unusable peer id", reason=error.message)
                continue
            peers[peer] = tuple(each for each in node.addresses if self._is_address(each))
        return peers

    def _is_address(self, text: str) -> bool:
        try:
            check_multiaddr(text)
        except ConfigError as error:
            self._log.warning("node registry: unusable address", reason=error.message)
            return False
        return True


def preferred_addresses(texts: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the settings' addresses by peer id; raises ConfigError for one without peer id."""
    found: dict[str, tuple[str, ...]] = {}
    for text in texts:
        address, _, peer = text.partition("/p2p/")
        try:
            check_multiaddr(address)
            check_peer_id(peer)
        except ConfigError as error:
            raise ConfigError(f"p2p.addresses: {text}: {error.message}") from None
        found[peer] = (*found.get(peer, ()), address)
    return found


def _root_of(view: ChainView) -> Hash32 | None:
    account = view.state.account(NODE_REGISTRY)
    return None if account is None else account.storage_root
