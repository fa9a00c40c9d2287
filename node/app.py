"""Assembly of a node: settings and folder in, a running process out.

Everything is opened in one order and closed in the reverse: lock, store, chain, log, key, pool,
network, JSON-RPC. What is wrong with the folder or the settings stops the start with one clear
line; a broken invariant stops the node the same way. SIGTERM and Ctrl-C end it cleanly.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial
from shutil import rmtree
from typing import Final, cast

import trio

from consensus.algorithm import Settings as CoreSettings
from consensus.core import Consensus
from consensus.signing import verifier
from genesis.document import Genesis, load
from node.api import LocalNode
from node.blockstore import BlockStore, ChainView, is_empty, read_document, read_genesis_hash
from node.config import Settings
from node.evidence import EvidenceStore
from node.folder import DataFolder
from node.intake import Intake
from node.journal import Journal
from node.keys import load_validator_key
from node.ledger import Ledger
from node.log import get_log, set_up_logs
from node.logindex import Indexer
from node.operator import NodeOperator
from node.permissions import Permissions, preferred_addresses
from node.pool import Pool, PoolLimits
from node.proposals import Proposals
from node.readonly import run_read_only
from node.rpc.server import RpcServer
from node.rpc.settings import RpcSettings
from node.runtime import Parts, Runtime
from node.serve import PeerService
from node.setting import MEBIBYTE
from node.signer import LocalSigner, Signer
from node.snapshot_build import install, part_folder
from node.snapshot_sync import SnapshotReady, SnapshotSync
from node.store import RocksStore
from node.storemeter import StoreMeter
from node.sync import Sync
from node.wal import Wal
from p2p.keys import NodeKey, load_node_key
from p2p.network import Network, NetworkConfig
from p2p.status import Role, Status
from primitives.errors import ConfigError, Fatal, QenexError
from primitives.keyvalue import KeyValue, Write
from primitives.meter import METER, Stage
from primitives.types import ZERO_ADDRESS, Address, Hash32, Height, Wei
from vm.blocks import BlockExecutor, Executed
from vm.engine import Engine
from vm.pyevm.engine import make_engine
from vm.state.cache import CachedStore
from vm.state.first import WriteRows

CLIENT_VERSION: Final = "QENEX/0.1.0"
SWITCH_INTERVAL_S: Final = 0.0005
"""Threads hand over the interpreter this often, so that reads are not stuck behind execution."""
THREAD_STACK_BYTES: Final = 16 << 20
"""Workers run contracts that call each other 1,024 deep, which takes 1 MiB of a thread's stack."""
EXIT_OVERDUE: Final = 4
ACCOUNTS_PER_LINE: Final = 100_000
"""A first state says how far it is after so many accounts."""
YAMUX_LARGE_CREDITS: Final = ("PY_YAMUX_RELEASE_ON_READ", "0")
"""Makes libp2p's yamux credit senders in large steps: half again the throughput of bulk."""


class StopFromAfar:
    """Ends the node with an error that another thread found."""

    def __init__(self) -> None:
        self._token: trio.lowlevel.TrioToken | None = None
        self._found = trio.Event()
        self._error: Fatal | None = None

    def stop(self, error: Fatal) -> None:
        """Make `wait_error` raise `error`; from any thread, the first one counts."""
        self._error = self._error or error
        if self._token is not None:
            with suppress(trio.RunFinishedError):
                self._token.run_sync_soon(self._found.set)

    async def wait_error(self) -> None:
        """Wait for an error and raise it."""
        self._token = trio.lowlevel.current_trio_token()
        if self._error is None:
            await self._found.wait()
        raise cast("Fatal", self._error)


@dataclass(frozen=True, slots=True)
class Node:
    """The opened parts that a process runs."""

    runtime: Runtime
    network: Network
    rpc: RpcServer | None
    stop: StopFromAfar


def run(settings: Settings) -> int:
    """Run one node until SIGTERM or SIGINT; returns the exit code 0.

    Raises ConfigError when the settings or the folder are wrong, Fatal when an invariant broke.
    """
    if settings.node.read_only:
        return run_read_only(settings, _pool_limits(settings), _rpc_settings(settings))
    DataFolder(settings.data_dir).check_not_imported()
    os.environ.setdefault(*YAMUX_LARGE_CREDITS)
    set_up_logs(settings.log.level, settings.log.format)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    threading.stack_size(THREAD_STACK_BYTES)
    while True:
        try:
            with ExitStack() as stack:
                node = _open(settings, stack)
                with METER.thread(Stage.P2P):
                    trio.run(_main, settings, node, instruments=[node.runtime.watchdog])
        except BaseExceptionGroup as group:
            if group.subgroup(QenexError) is None and group.subgroup(SnapshotReady) is not None:
                get_log("node").info("opening the folder anew with the snapshot")
                continue
            raise _cause(group) from group
        return 0


def _cause(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first of our own errors in a group of failed tasks, else the first of any."""
    ours = group.subgroup(QenexError)
    found: BaseException = ours if ours is not None else group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found


def _open(settings: Settings, stack: ExitStack) -> Node:
    folder = DataFolder(settings.data_dir)
    stack.enter_context(folder.locked())
    install(folder)
    engine = make_engine(
        settings.engine.kind, compiles=settings.engine.compile == "auto", dump=folder.keep_dump
    )
    store = CachedStore(RocksStore(folder.chain), settings.engine.cache_mb * MEBIBYTE)
    stack.callback(store.close)
    genesis = load(folder.genesis, known=read_document(store))
    blocks = open_chain(store, engine, genesis, settings)
    ledger = Ledger(blocks, engine, genesis.params)
    floor = blocks.view().base if blocks.view().base > 1 else 0
    indexer = Indexer(store, lambda height: blocks.view().receipts(height), floor)
    indexer.start()
    stack.callback(indexer.stop)
    wal = Wal(folder.wal, genesis.params.chain_id)
    stack.callback(wal.close)
    key = load_validator_key(folder, settings.keys)
    signer = None if key is None else LocalSigner(key)
    if signer is not None:
        _open_log(wal, folder, settings, signer.address, ledger)
    intake = _intake(settings, folder, ledger)
    stack.callback(intake.close)
    restored = intake.restore()
    runtime, network = _runtime(settings, engine, ledger, intake, (wal, signer), store)
    operator = NodeOperator(
        runtime, network, runtime.permissions, ledger, intake, signer, settings.data_dir
    )
    api = LocalNode(engine, intake, ledger, network, runtime, operator)
    stop = StopFromAfar()
    times, proposals = runtime.step_times, runtime.proposals
    meters = (times.families, proposals.families, StoreMeter(folder.chain).families)
    rpc = (
        RpcServer(api, _rpc_settings(settings), meters=meters, stop=stop.stop)
        if settings.rpc.enabled
        else None
    )
    get_log("node").info(
        "node opened",
        chain_id=genesis.params.chain_id,
        height=ledger.view.height,
        hash=ledger.view.head_hash,
        validator=None if signer is None else signer.address,
        restored_txs=restored,
        torn_log_bytes=wal.torn_bytes,
    )
    return Node(runtime, network, rpc, stop)


def open_chain(store: KeyValue, engine: Engine, genesis: Genesis, settings: Settings) -> BlockStore:
    """Open or begin the chain of `genesis`.

    The first block is computed once: later starts know it by the digest of the document.
    """
    keep = settings.state.keep
    if not genesis.has_alloc:
        blocks = BlockStore.open(store, read_genesis_hash(store), keep=keep)
    elif is_empty(store):
        return BlockStore.begin(
            store, partial(first_block, engine, genesis), keep=keep, document=genesis.summary
        )
    else:
        first = first_block(engine, genesis)
        blocks = BlockStore.open(store, first.block.hash, keep=keep, document=genesis.summary)
    view = blocks.view()
    _check_codes(view, genesis)
    oldest = 0 if keep is None else max(0, view.height - keep)
    if view.tail > oldest:
        get_log("node").warning("state of older blocks is not there any more", oldest=view.tail)
    return blocks


def _drop(rows: list[Write]) -> None:
    """Keep no row: only the block's hash is wanted."""


def first_block(engine: Engine, genesis: Genesis, write: WriteRows = _drop) -> Executed:
    """Return the block of `genesis`, all rows of whose state went to `write`.

    Raises ConfigError when the document contradicts itself.
    """

    def progress(done: int, total: int) -> None:
        if done // ACCOUNTS_PER_LINE > shown[-1]:
            shown.append(done // ACCOUNTS_PER_LINE)
            get_log("node").info("first state", accounts=done, of=total)

    shown = [0]
    first = BlockExecutor(engine, genesis.params).genesis(
        genesis.alloc, timestamp=genesis.timestamp, write=write, progress=progress
    )
    if first.validators != genesis.validators:
        raise ConfigError(
            "genesis: the validators in the registry's storage are not those of qenex.validators"
        )
    return first


def _check_codes(view: ChainView, genesis: Genesis) -> None:
    """Raise ConfigError unless the contracts that genesis names have the code that it names."""
    state = view.state_at(view.height)
    for each in genesis.contracts:
        found = state.account(each.address)
        if found is None or found.code_hash != each.code_hash:
            raise ConfigError(
                f"{each.name} at 0x{each.address.hex()} is not the code that the genesis document "
                "names; this data folder or document is not of this network",
                address=each.address,
            )


def _open_log(
    wal: Wal, folder: DataFolder, settings: Settings, address: Address, ledger: Ledger
) -> None:
    """Declare a key that has never signed, if it is known to be one, in the empty log.

    The mark goes only after the declaration is durable, and before the first signature.
    """
    alone = len(ledger.view.validators) == 1
    if wal.is_new and (
        folder.is_fresh_key(address) or settings.consensus.sign_with_empty_log or alone
    ):
        wal.begin(Height(ledger.view.height + 1))
    if not wal.is_new:
        folder.forget_fresh_key()


def _intake(settings: Settings, folder: DataFolder, ledger: Ledger) -> Intake:
    pool = Pool(_pool_limits(settings), ledger.params, time.monotonic)
    return Intake(pool, ledger, Journal(folder.pool_journal) if settings.pool.journal else None)


def _pool_limits(settings: Settings) -> PoolLimits:
    return PoolLimits(
        transactions_max=settings.pool.transactions_max,
        bytes_max=settings.pool.bytes_max,
        per_sender_max=settings.pool.per_sender_max,
        queued_per_sender_max=settings.pool.queued_per_sender_max,
        expiry_s=settings.pool.expiry_s,
        tip_min_wei=Wei(settings.pool.tip_min_wei),
    )


def _runtime(
    settings: Settings,
    engine: Engine,
    ledger: Ledger,
    intake: Intake,
    log: tuple[Wal, Signer | None],
    store: KeyValue,
) -> tuple[Runtime, Network]:
    params = ledger.params
    wal, signer = log
    node_key = load_node_key(DataFolder(settings.data_dir).resolve(settings.keys.node))
    permissions = Permissions(
        engine,
        params,
        ledger.view,
        node_key.peer_id,
        preferred_addresses(settings.p2p.addresses),
    )
    network = _network(settings, node_key, permissions, ledger, signer)
    own = None if signer is None else signer.address
    core = Consensus(
        CoreSettings(
            me=own,
            times=params.times,
            block_period_ms=params.block_period_ms,
            empty_block_period_ms=params.empty_block_period_ms,
        ),
        Height(ledger.view.height + 1),
        ledger.view.validators,
        verifier(params.chain_id),
    )
    parts = Parts(
        core=core,
        ledger=ledger,
        intake=intake,
        proposals=Proposals(ledger, intake, network, _fee_recipient(settings, signer), own),
        sync=Sync(ledger, network, params.chain_id, _snapshot(settings, engine, ledger, network)),
        network=network,
        permissions=permissions,
        wal=wal,
        signer=signer,
        evidence=EvidenceStore(store),
    )
    return Runtime(parts), network


def _snapshot(
    settings: Settings, engine: Engine, ledger: Ledger, network: Network
) -> SnapshotSync | None:
    """Return how to begin with a snapshot, if this node is new and wants one."""
    folder = DataFolder(settings.data_dir)
    if ledger.view.height or not settings.sync.snapshot_distance or settings.state.keep is None:
        rmtree(part_folder(folder), ignore_errors=True)
        return None
    first = first_block(engine, load(folder.genesis))
    return SnapshotSync(folder, ledger, network, first, settings.sync.snapshot_distance)


def _network(
    settings: Settings,
    node_key: NodeKey,
    permissions: Permissions,
    ledger: Ledger,
    signer: Signer | None,
) -> Network:
    """Return the network of the nodes that the registry permits, at their known addresses."""
    if not permissions.is_permitted(node_key.peer_id):
        get_log("node").warning("peers may refuse this node: the registry does not name its id")

    def own_status() -> Status:
        view = ledger.view
        validator = None if signer is None else signer.address
        return Status(
            chain_id=ledger.params.chain_id,
            genesis_hash=view.genesis_hash,
            height=view.height,
            head_hash=view.head_hash,
            role=Role.VALIDATOR if validator in view.validators else Role.OBSERVER,
            validator=validator,
        )

    def prove(digest: bytes) -> bytes | None:
        return None if signer is None else signer.sign(Hash32(digest))

    return Network(
        NetworkConfig(
            node_key=node_key,
            permitted=permissions.is_permitted,
            addresses=permissions.addresses,
            listen_host=settings.p2p.host,
            listen_port=settings.p2p.port,
        ),
        own_status=own_status,
        prove=prove,
        serve=PeerService(ledger).serve,
    )


def _fee_recipient(settings: Settings, signer: Signer | None) -> Address:
    if settings.node.fee_recipient:
        return Address(bytes.fromhex(settings.node.fee_recipient.removeprefix("0x")))
    return ZERO_ADDRESS if signer is None else signer.address


def _rpc_settings(settings: Settings) -> RpcSettings:
    """Return the section [rpc] with its files named from the data folder."""
    section, folder = settings.rpc, DataFolder(settings.data_dir)

    def resolved(name: str) -> str:
        return str(folder.resolve(name)) if name else ""

    return replace(
        section,
        ipc=resolved(section.ipc),
        jwt_secret_file=resolved(section.jwt_secret_file),
        jwt_key_file=resolved(section.jwt_key_file),
        client_version=CLIENT_VERSION,
        tip_min_wei=settings.pool.tip_min_wei,
    )


async def _main(settings: Settings, node: Node) -> None:
    log = get_log("node")
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with trio.open_nursery() as nursery:
            await nursery.start(node.network.run)
            nursery.start_soon(node.stop.wait_error)
            nursery.start_soon(node.runtime.run)
            try:
                if node.rpc is not None:
                    await trio.to_thread.run_sync(node.rpc.start)
                number = await anext(aiter(signals))
                log.info("stopping", signal=signal.Signals(number).name)
                _end_when_overdue(settings.node.stop_timeout_s)
            finally:
                if node.rpc is not None:
                    with trio.CancelScope(shield=True):
                        await trio.to_thread.run_sync(node.rpc.stop)
            nursery.cancel_scope.cancel()
    log.info("node stopped")


def _end_when_overdue(timeout_s: float) -> None:
    """End the process after `timeout_s` even if something hangs; all that counts is on disk."""
    overdue = threading.Timer(timeout_s, os._exit, [EXIT_OVERDUE])
    overdue.daemon = True
    overdue.start()
