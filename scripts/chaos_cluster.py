"""The validators of `scripts.chaos`, whatever their links and clocks are made of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from pathlib import Path
from typing import Final, Protocol

from p2p.keys import load_node_key
from scripts.chaos_clocks import Clocks
from scripts.chaos_packets import Weather
from tests.system.cluster import Cluster

VALIDATORS: Final = 4


class Links(Protocol):
    """What joins the nodes, and can be spoilt; every call is in force when it returns."""

    has_packets: bool
    """Whether single packets are lost, doubled and overtaken; else a stream is held up."""

    def cut(self, one: Collection[int], other: Collection[int]) -> None:
        """Let nothing pass between two groups."""

    def cut_one_way(self, one: Collection[int], other: Collection[int]) -> None:
        """Let nothing pass from the first group to the second."""

    def spoil(self, weather: Weather) -> None:
        """Give all links between nodes this weather."""

    def heal(self) -> None:
        """Let everything pass again."""

    def counts(self) -> dict[str, int]:
        """Return what was done to the traffic since the start."""


class ChaosCluster(Cluster, ABC):
    """Validators that reach each other through links; `clocks` None leaves them the machine's."""

    def __init__(self, path: Path, clocks: Clocks | None) -> None:
        super().__init__(path, VALIDATORS)
        self.clocks = clocks

    def command(self, index: int) -> list[str]:
        """Return the command line of one node, the others at their ends of the links."""
        plain = super().command(index)
        at = plain.index("--p2p.addresses")
        addresses = [
            f"{self.way(index, each)}/p2p/{self._peer_id(each)}"
            for each in self.indexes
            if each != index
        ]
        clock = self.clocks.prefix(index) if self.clocks else []
        flags = ["--p2p.addresses", ",".join(addresses)]
        return [*self.entry(index), *clock, *plain[:at], *flags, *plain[at + 2 :]]

    @abstractmethod
    def entry(self, index: int) -> list[str]:
        """Return the words before a node's command line that lead it to its place."""

    @abstractmethod
    def way(self, origin: int, target: int) -> str:
        """Return the multiaddr at which one node dials another."""

    def start(self, *indexes: int) -> None:
        """Start these nodes, or all."""
        super().start(*indexes)
        if self.clocks:
            self.clocks.started(each.pid for each in self.processes.values())

    def _peer_id(self, index: int) -> str:
        return load_node_key(self.folder(index).path / "node.key").peer_id
