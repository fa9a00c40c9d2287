"""Begins a new node with a snapshot from its peers, so that it need not execute a long chain.

    point     the block two below the best head, with its proof (`node.snapshot`), from any peer
    units     sixteen parts of the state, from all peers at once, each proven by the state's root
    code      what the accounts have, by hash
    ready     `node.snapshot_build` makes it the chain when the node opens its folder anew

Every answer is proven before it counts, so a liar is known by the part that it sent, penalised, and
not asked again; the part comes from another peer. A peer that forgot the height refuses; when all
do, a newer block is taken, and parts that did not change meanwhile stay. A stop loses the part that
was under way. When it cannot be done, the node catches up block by block.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from shutil import rmtree
from typing import Final, TypeVar

import trio

from node.folder import DataFolder
from node.ledger import Ledger
from node.log import get_log
from node.snapshot import (
    UNITS,
    InvalidSnapshot,
    Place,
    Point,
    check_point,
    decode_point,
    decode_rows,
    last_place,
    prove,
    unit_reference,
)
from node.snapshot_build import Builder, kept_rows, part_folder
from node.snapshot_files import trusted_genesis
from node.wire import (
    CODES_MAX,
    GET_CODES,
    GET_POINT,
    GET_STATE,
    GET_STEP,
    encode_get_codes,
    encode_get_height,
    encode_get_state,
)
from p2p.link import PeerInfo
from p2p.network import Network
from p2p.peers import Offence
from primitives.block import Block
from primitives.crypto.keccak import keccak
from primitives.errors import Invalid, StoreCorrupt, Unavailable
from primitives.types import Hash32
from vm.blocks import Executed

BEHIND: Final = 2
"""Blocks below the best head, so that most peers have the block and keep its state for a while."""
POINTS_MAX: Final = 20
PEERS_MAX: Final = 8
REQUEST_TIMEOUT_S: Final = 20.0
UNIT_BYTES_MAX: Final = 8 * 2**30
RETRY_S: Final = 0.5

T = TypeVar("T")


class SnapshotReady(Exception):
    """The snapshot waits to become the chain: close everything and open the folder anew."""


class SnapshotSync:
    """One try to begin with a snapshot; `distance` blocks behind is far enough to want one."""

    def __init__(
        self,
        folder: DataFolder,
        ledger: Ledger,
        network: Network,
        genesis: Executed,
        distance: int,
    ) -> None:
        self._folder = folder
        self._ledger = ledger
        self._network = network
        self._genesis = genesis
        self._distance = distance
        self._bad: set[str] = set()
        self._log = get_log("snapshot")

    def is_wanted(self, highest: int) -> bool:
        """Return whether a node at our height with peers at `highest` begins with a snapshot."""
        return self._ledger.view.height == 0 and highest >= max(self._distance, BEHIND + 1)

    async def run(self) -> None:
        """Fetch a snapshot and raise SnapshotReady; return when it cannot be had."""
        builder = await trio.to_thread.run_sync(partial(Builder, self._folder, fresh=False))
        try:
            for attempt in range(POINTS_MAX):
                try:
                    await self._fetch(builder, is_first=attempt == 0)
                except Unavailable as error:
                    self._log.info("snapshot interrupted", reason=error.message)
                    await trio.sleep(RETRY_S)
                    continue
                except InvalidSnapshot as error:
                    self._log.warning("snapshot refused", reason=error.message)
                    break
                raise SnapshotReady
        finally:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(builder.close)
        await trio.to_thread.run_sync(
            partial(rmtree, part_folder(self._folder), ignore_errors=True)
        )
        self._log.warning("no snapshot to be had, catching up block by block")

    def _peers(self) -> list[PeerInfo]:
        """Return who may be asked, the best first."""
        found = [peer for peer in self._network.peers() if peer.peer not in self._bad]
        return sorted(found, key=lambda peer: (-peer.head_height, -peer.score))[:PEERS_MAX]

    async def _fetch(self, builder: Builder, *, is_first: bool) -> None:
        point, block, steps, root = await self._point(builder, is_first=is_first)
        await trio.to_thread.run_sync(builder.begin, point)
        self._log.info("snapshot begun", height=point.header.height, hash=point.header.hash)
        await self._units(builder, point, root)
        await self._codes(builder)
        finish = partial(
            builder.finish,
            point,
            block,
            steps,
            self._genesis,
            kept_rows(self._ledger.view.store),
        )
        await trio.to_thread.run_sync(finish)
        self._log.info("snapshot complete", height=point.header.height)

    # --- the point --------------------------------------------------------------------------------

    async def _point(
        self, builder: Builder, *, is_first: bool
    ) -> tuple[Point, Block, list[bytes], bytes]:
        """Return a proven point, its block, the steps to it and the state's root node."""
        peers = self._peers()
        if not peers:
            raise Unavailable("no peer to ask for a snapshot")
        height = max(1, peers[0].head_height - BEHIND)
        begun = builder.point()
        if is_first and begun is not None:
            height = decode_point(begun).header.height
        for peer in peers:
            try:
                return await self._point_from(peer.peer, height)
            except Unavailable as error:
                self._log.info("no snapshot from peer", peer=peer.peer, reason=error.message)
            except Invalid as error:
                self._blame(peer.peer, error)
        raise Unavailable(f"no peer gave a snapshot of block {height}")

    async def _point_from(self, peer: str, height: int) -> tuple[Point, Block, list[bytes], bytes]:
        raw, root = await self._ask(peer, GET_POINT, encode_get_height(height), 2)
        chain_id = self._ledger.params.chain_id
        search = prove(trusted_genesis(self._genesis), height, chain_id)
        step: bytes | None = None
        while True:
            try:
                move = search.__next__ if step is None else partial(search.send, step)
                wanted = await trio.to_thread.run_sync(_until_return, move)
            except _Returned as found:
                trusted, steps = found.value
                break
            [step] = await self._ask(peer, GET_STEP, encode_get_height(wanted), 1)
        point = decode_point(raw)
        block = await trio.to_thread.run_sync(check_point, point, trusted)
        if keccak(root) != point.header.state_root:
            raise InvalidSnapshot("the root node of the snapshot's state is not its header's")
        return point, block, steps, root

    async def _ask(self, peer: str, kind: int, body: bytes, count: int) -> list[bytes]:
        """Return exactly `count` items of an answer; raises Unavailable or InvalidSnapshot."""
        items = await self._network.request(peer, kind, body, timeout_s=REQUEST_TIMEOUT_S)
        if len(items) != count:
            raise InvalidSnapshot(f"an answer of {len(items)} items instead of {count}")
        return items

    def _blame(self, peer: str, error: Invalid) -> None:
        self._log.warning("bad snapshot from peer", peer=peer, reason=error.message)
        self._bad.add(peer)
        self._network.penalise(peer, Offence.BAD_SIGNATURE)

    # --- the state --------------------------------------------------------------------------------

    async def _units(self, builder: Builder, point: Point, root: bytes) -> None:
        """Fetch the units that are not here yet from all peers at once."""
        references = _references(root)
        waiting = deque(
            unit for unit in range(UNITS) if not builder.has_unit(unit, references[unit])
        )
        while waiting:
            before = len(waiting)
            async with trio.open_nursery() as nursery:
                for peer in self._peers():
                    if peer.head_height >= point.header.height:
                        nursery.start_soon(
                            self._worker, peer.peer, builder, point, references, waiting
                        )
            if len(waiting) >= before:
                raise Unavailable(f"no peer keeps the state of block {point.header.height}")

    async def _worker(
        self,
        peer: str,
        builder: Builder,
        point: Point,
        references: list[bytes],
        waiting: deque[int],
    ) -> None:
        """Take units from `waiting` for one peer until it fails or none is left."""
        while waiting:
            unit = waiting.popleft()
            try:
                rows = await self._unit(peer, builder, point.header.height, unit, references[unit])
            except Unavailable as error:
                waiting.append(unit)
                self._log.info("snapshot part not fetched", peer=peer, reason=error.message)
                return
            except Invalid as error:
                waiting.append(unit)
                self._blame(peer, error)
                return
            self._log.info(
                "snapshot part", part=unit + 1, of=UNITS, rows=rows, waiting=len(waiting), peer=peer
            )

    async def _unit(
        self, peer: str, builder: Builder, height: int, unit: int, reference: bytes
    ) -> int:
        await trio.to_thread.run_sync(builder.start_unit, unit)
        place: Place | None = Place()
        count = size = 0
        while place is not None:
            body = encode_get_state(height, unit, place.account, place.slot)
            raw, more = await self._ask(peer, GET_STATE, body, 2)
            rows = decode_rows(raw)
            size += len(raw)
            if size > UNIT_BYTES_MAX or (more and not rows):
                raise InvalidSnapshot("a part of the snapshot has no end")
            await trio.to_thread.run_sync(builder.add, unit, rows)
            count += len(rows)
            place = last_place(place, rows) if more else None
        await trio.to_thread.run_sync(builder.finish_unit, unit, reference)
        return count

    async def _codes(self, builder: Builder) -> None:
        missing = await trio.to_thread.run_sync(builder.missing_codes)
        peers = deque(peer.peer for peer in self._peers())
        while missing:
            if not peers:
                raise Unavailable("no peer has the code of all contracts")
            peer = peers[0]
            try:
                codes = await self._codes_from(peer, missing[:CODES_MAX])
            except Unavailable as error:
                self._log.info("code not fetched", peer=peer, reason=error.message)
                peers.popleft()
                continue
            except Invalid as error:
                self._blame(peer, error)
                peers.popleft()
                continue
            for code in codes:
                await trio.to_thread.run_sync(builder.add_code, code)
            missing = missing[len(codes) :]

    async def _codes_from(self, peer: str, wanted: list[Hash32]) -> list[bytes]:
        codes = await self._network.request(
            peer, GET_CODES, encode_get_codes(wanted), timeout_s=REQUEST_TIMEOUT_S
        )
        if not codes:
            raise Unavailable("the peer has none of the code")
        _check_codes(wanted, codes)
        return codes


class _Returned(Exception):
    """A search has come to its end; StopIteration cannot cross a task."""

    def __init__(self, value: tuple[object, list[bytes]]) -> None:
        super().__init__()
        self.value = value


def _until_return(move: Callable[[], T]) -> T:
    try:
        return move()
    except StopIteration as found:
        raise _Returned(found.value) from None


def _references(root: bytes) -> list[bytes]:
    try:
        return [unit_reference(root, unit) for unit in range(UNITS)]
    except (StoreCorrupt, IndexError):
        raise InvalidSnapshot("the root node of the snapshot's state is no trie node") from None


def _check_codes(wanted: list[Hash32], codes: list[bytes]) -> None:
    for code_hash, code in zip(wanted, codes, strict=False):
        if keccak(code) != code_hash:
            raise InvalidSnapshot("code with another hash than asked for")
    if len(codes) > len(wanted):
        raise InvalidSnapshot("more code than asked for")
