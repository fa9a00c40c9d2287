"""The folder of a local network: one data folder per node, and which ports they take.

    localnet/localnet.json    chain id, number of nodes, ports of the last start
    localnet/LOCK             held while the network runs
    localnet/unfinished       there while a network is being made; what it left is made anew
    localnet/node1/ ...       data folders of the nodes, each with its own keys and node.log

The keys are made for this folder alone and lie beside their passwords: fit for development only.
"""

from __future__ import annotations

import json
import shutil
import socket
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from genesis.fields import Field, parse_json
from genesis.nodes import NodeEntry, Role
from genesis.profiles import TEST_KEYS, localnet
from genesis.writing import save
from node.config import Value, sample_toml
from node.folder import DataFolder
from node.keys import write_secret
from p2p.keys import load_node_key
from primitives.errors import ConfigError
from primitives.params import VALIDATORS_MAX
from primitives.types import ChainId
from qenex.commands.keys import new_keys
from qenex.predeploys import quick, standard

RPC_PORT: Final = 8545
P2P_PORT: Final = 30303
PORT_MAX: Final = 65_535
PORT_STEP: Final = 100
PORT_TRIES: Final = 24
PASSWORD: Final = "localnet"  # noqa: S105 (a development password, written beside its key)
HOST: Final = "127.0.0.1"
_LISTING: Final = "localnet.json"
_UNFINISHED: Final = "unfinished"


@dataclass(frozen=True, slots=True)
class Localnet:
    """A local network on disk. Ports stand in order of the nodes."""

    path: Path
    chain_id: ChainId
    rpc_ports: tuple[int, ...]
    p2p_ports: tuple[int, ...]

    @property
    def folders(self) -> list[DataFolder]:
        """Data folders of the nodes, in order."""
        return [DataFolder(self.path / f"node{i + 1}") for i in range(len(self.rpc_ports))]

    @property
    def urls(self) -> list[str]:
        """JSON-RPC addresses of the nodes, in order."""
        return [f"http://{HOST}:{port}" for port in self.rpc_ports]

    def node_flags(self, index: int) -> list[str]:
        """Return the flags of `qenex node` for one node.

        The addresses of the others go along, because ports may differ from those in genesis.
        """
        others = [
            f"/ip4/{HOST}/tcp/{port}/p2p/{load_node_key(folder.path / 'node.key').peer_id}"
            for i, (folder, port) in enumerate(zip(self.folders, self.p2p_ports, strict=True))
            if i != index
        ]
        flags = ["--rpc.port", str(self.rpc_ports[index]), "--p2p.port", str(self.p2p_ports[index])]
        return [*flags, "--p2p.addresses", ",".join(others)] if others else flags


def is_localnet(path: Path) -> bool:
    """True when `path` holds a local network."""
    return (path / _LISTING).is_file()


def create(
    path: Path,
    count: int,
    chain_id: ChainId,
    rpc_port: int | None = None,
    p2p_port: int | None = None,
) -> Localnet:
    """Make a network of `count` validators in `path`, which must be empty; raises ConfigError.

    A port that is given is that of the first node; it and the following ones must be free.
    """
    if not 1 <= count <= VALIDATORS_MAX:
        raise ConfigError(f"a network has 1 to {VALIDATORS_MAX} validators, found {count}")
    if (path / _UNFINISHED).exists():
        _remove_nodes(path)
    if path.exists() and any(each.name not in ("LOCK", _UNFINISHED) for each in path.iterdir()):
        raise ConfigError(f"{path} is not empty and no local network; choose another --dir")
    made = Localnet(
        path, chain_id, _choose(RPC_PORT, count, rpc_port), _choose(P2P_PORT, count, p2p_port)
    )
    path.mkdir(parents=True, exist_ok=True)
    (path / _UNFINISHED).touch()
    entries = []
    for folder, port in zip(made.folders, made.p2p_ports, strict=True):
        address, peer_id = new_keys(folder, PASSWORD, light=True)
        entries.append(NodeEntry(peer_id, (f"/ip4/{HOST}/tcp/{port}",), address, Role.VALIDATOR))
    contracts = standard(quick(next(iter(TEST_KEYS))), chain_id)
    document = localnet(entries, timestamp=int(time.time()), chain_id=chain_id, contracts=contracts)
    for folder in made.folders:
        save(document, folder.genesis)
        write_secret(folder.path / "password", PASSWORD)
        chosen: dict[str, Value] = {"keys.password_file": "password", "rpc.origins": ("*",)}
        folder.config.write_text(sample_toml(chosen), encoding="utf-8")
    _save(made)
    (path / _UNFINISHED).unlink()
    return made


def resume(path: Path, *, rpc_port: int | None = None, p2p_port: int | None = None) -> Localnet:
    """Return the network in `path`, on its old ports when these are free; raises ConfigError."""
    listing = path / _LISTING
    root = Field("", parse_json(listing.read_bytes(), str(listing)))
    root.keys(required={"chainId", "rpcPorts", "p2pPorts"}, optional=set())
    rpc_ports = tuple(each.uint(1, PORT_MAX) for each in root.at("rpcPorts").items())
    p2p_ports = tuple(each.uint(1, PORT_MAX) for each in root.at("p2pPorts").items())
    if not rpc_ports or len(rpc_ports) != len(p2p_ports):
        raise ConfigError(f"{listing}: damaged; start anew with --fresh")
    found = Localnet(path, ChainId(root.at("chainId").uint()), rpc_ports, p2p_ports)
    for folder in found.folders:
        folder.check()
    if rpc_port is not None or not _are_free(rpc_ports):
        found = replace(found, rpc_ports=_choose(RPC_PORT, len(rpc_ports), rpc_port))
    if p2p_port is not None or not _are_free(p2p_ports):
        found = replace(found, p2p_ports=_choose(P2P_PORT, len(p2p_ports), p2p_port))
    _save(found)
    return found


def remove(path: Path) -> None:
    """Delete the network in `path`, and nothing that it did not make; refuses other folders."""
    if not path.exists():
        return
    if not is_localnet(path) and not (path / _UNFINISHED).exists():
        if any(each.name != "LOCK" for each in path.iterdir()):
            raise ConfigError(f"{path} holds no local network; --fresh deletes nothing else")
        return
    _remove_nodes(path)
    (path / _LISTING).unlink(missing_ok=True)
    (path / _UNFINISHED).unlink(missing_ok=True)


def _remove_nodes(path: Path) -> None:
    for each in sorted(path.glob("node[0-9]*")):
        shutil.rmtree(each)


def _save(made: Localnet) -> None:
    rows = asdict(made)
    listing = {
        "chainId": int(rows["chain_id"]),
        "rpcPorts": list(rows["rpc_ports"]),
        "p2pPorts": list(rows["p2p_ports"]),
    }
    scratch = made.path / f"{_LISTING}.new"
    scratch.write_text(json.dumps(listing, indent=1) + "\n", encoding="utf-8")
    scratch.replace(made.path / _LISTING)


def _choose(usual: int, count: int, wanted: int | None) -> tuple[int, ...]:
    """Return `count` free ports: from `wanted` up, else the usual ones or some hundreds above.

    These lie below the ports that systems give to outgoing connections, so that no connection of
    one node takes the port of another that is not up yet.
    """
    firsts = (
        range(usual, usual + PORT_STEP * PORT_TRIES, PORT_STEP) if wanted is None else (wanted,)
    )
    for first in firsts:
        ports = tuple(range(first, first + count))
        if ports[-1] <= PORT_MAX and _are_free(ports):
            return ports
    raise ConfigError(
        f"ports {firsts[0]} to {firsts[0] + count - 1} are not all free; choose others "
        "with --rpc-port and --p2p-port"
    )


def _are_free(ports: tuple[int, ...]) -> bool:
    with ExitStack() as stack:
        for port in ports:
            holder = stack.enter_context(socket.socket())
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                holder.bind((HOST, port))
            except OSError:
                return False
    return True
