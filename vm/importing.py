"""Import a public Ethereum chain: from its genesis, block by block, all rules but proof of work.

`PublicGenesis` is geth's genesis.json. `ChainImporter` takes encoded blocks in order, checks
header, ommers and body, executes, compares every root, and writes the state to its store. What it
does not check is the ethash proof (see `vm.mining`) and the signatures of a consensus layer: an
imported chain is trusted by its head hash. It keeps no blocks; each `add` returns all that follows
from a block, and writes in the same batch what the caller wants beside the state. Writes are not
synced, but they keep their order: after a crash the store holds some block's state whole, and an
importer can begin again there (`Resumption`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from primitives.account import GenesisAccount
from primitives.codec import encode
from primitives.crypto.keccak import keccak
from primitives.errors import ConfigError, InvalidBlock
from primitives.ethereum import (
    PublicBlock,
    PublicHeader,
    decode_public_block,
    encode_withdrawal,
    header_items,
)
from primitives.keyvalue import KeyValue, MemoryStore, Write
from primitives.receipt import EMPTY_BLOOM, Receipt, encode_receipt, join_blooms
from primitives.types import (
    ADDRESS_BYTES,
    EMPTY_OMMERS_HASH,
    EMPTY_REQUESTS_HASH,
    EMPTY_ROOT,
    GAS_ZERO,
    HASH_BYTES,
    WEI_ZERO,
    ZERO_HASH,
    Address,
    ChainId,
    Gas,
    Hash32,
    Height,
    Nonce,
    Wei,
)
from vm.engine import BlockContext, Engine, Execution
from vm.forks import Fork, ForkSchedule, Rules, number
from vm.headers import BASE_FEE_FIRST, check_body, check_dao_mark, check_field, check_header
from vm.mining import rewards
from vm.requests import requests_hash
from vm.state.roots import ordered_root
from vm.state.store import StateStore, StateUpdate, genesis_changes

HASHES_KEPT_MAX: Final = 256
"""How far BLOCKHASH sees."""

OMMER_GENERATIONS_MAX: Final = 6


@dataclass(frozen=True, slots=True)
class PublicGenesis:
    """What a public chain begins with."""

    chain_id: ChainId
    schedule: ForkSchedule
    header: PublicHeader
    alloc: Mapping[Address, GenesisAccount]
    netsplit_height: int | None = None

    @classmethod
    def of_document(cls, document: Any) -> PublicGenesis:
        """Return the genesis that geth's JSON document describes; raises ConfigError."""
        try:
            config = document["config"]
            schedule = ForkSchedule.of_config(config)
            alloc = {
                Address(_hex(address, ADDRESS_BYTES)): _account(entry)
                for address, entry in document["alloc"].items()
            }
            header = _genesis_header(document, schedule, alloc)
            split = config.get("mergeNetsplitBlock")
            netsplit = None if split is None else number(split)
            return cls(ChainId(number(config["chainId"])), schedule, header, alloc, netsplit)
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise ConfigError(f"genesis document: {type(error).__name__} {error}") from error


@dataclass(frozen=True, slots=True)
class Imported:
    """A block of a public chain, executed; its state is in the store."""

    block: PublicBlock
    rules: Rules
    receipts: tuple[Receipt, ...]
    execution: Execution
    update: StateUpdate
    total_difficulty: int


@dataclass(frozen=True, slots=True)
class Resumption:
    """Where an importer goes on: the newest blocks in order, and the difficulty of all up to them.

    Without blocks the head is the genesis; with them the last one is, and `blocks` holds at least
    the newest HASHES_KEPT_MAX, or all.
    """

    blocks: tuple[PublicBlock, ...]
    total_difficulty: int


@dataclass(frozen=True, slots=True)
class _Ancestor:
    """What ommers and BLOCKHASH need of an earlier block."""

    header: PublicHeader
    hash: Hash32
    ommers: frozenset[Hash32]


class ChainImporter:
    """Holds the head of one chain and takes the next block. Not for two threads at once."""

    def __init__(
        self,
        engine: Engine,
        genesis: PublicGenesis,
        store: KeyValue,
        resumption: Resumption | None = None,
    ) -> None:
        """Write the first state to `store`, which must be empty, or go on with the state in it.

        `engine` must take transactions without a chain id (`allow_unprotected`).
        """
        self._engine = engine
        self._genesis = genesis
        self._store = store
        self._total_difficulty = genesis.header.difficulty
        self._recent: dict[int, _Ancestor] = {}
        self._follow(genesis.header, genesis.header.hash, frozenset())
        if resumption is None:
            store.write(genesis_update(genesis.alloc).writes, sync=False)
            return
        for block in resumption.blocks:
            self._follow(block.header, block.hash, frozenset(each.hash for each in block.ommers))
        self._total_difficulty = resumption.total_difficulty

    @property
    def head(self) -> PublicHeader:
        """The header of the last block."""
        return self._head.header

    @property
    def head_hash(self) -> Hash32:
        """The hash of the last block."""
        return self._head.hash

    def rules_after(self, height: int, timestamp: int) -> Rules:
        """Return the rules of a block that follows the head."""
        terminal = self._genesis.schedule.terminal_total_difficulty
        merged = terminal is not None and self._total_difficulty >= terminal
        return self._genesis.schedule.rules(height, timestamp, merged=merged)

    def add(
        self, raw: bytes, beside: Callable[[Imported], Iterable[Write]] = lambda _: ()
    ) -> Imported:
        """Check and execute the encoded block that follows the head; the head moves to it.

        What `beside` returns is written in one batch with the state. Raises InvalidMessage,
        InvalidTransaction or InvalidBlock, and then changes nothing.
        """
        imported = self.check(raw)
        block = imported.block
        self._store.write([*imported.update.writes, *beside(imported)], sync=False)
        self._total_difficulty = imported.total_difficulty
        self._follow(block.header, block.hash, frozenset(each.hash for each in block.ommers))
        return imported

    def check(self, raw: bytes) -> Imported:
        """Return what `add` would return for the encoded block, and change nothing."""
        block = decode_public_block(raw)
        header = block.header
        rules = self.rules_after(header.height, header.timestamp)
        check_header(header, self.head, rules)
        check_dao_mark(header, self._genesis.schedule.dao_height)
        check_body(block, rules)
        self._check_roots(block)
        self._check_ommers(block)
        state = StateStore(self._store)
        execution = self._engine.execute(
            state.reader(), self._context(block, rules), block.transactions, skip_invalid=False
        )
        update = state.compute(execution.changes)
        _check_execution(block, execution, update, rules)
        total = self._total_difficulty + header.difficulty
        return Imported(block, rules, execution.receipts, execution, update, total)

    def _follow(self, header: PublicHeader, block_hash: Hash32, ommers: frozenset[Hash32]) -> None:
        self._head = self._recent[header.height] = _Ancestor(header, block_hash, ommers)
        self._recent.pop(header.height - HASHES_KEPT_MAX, None)

    def _block_hash(self, height: Height) -> Hash32 | None:
        found = self._recent.get(height)
        return None if found is None else found.hash

    def _context(self, block: PublicBlock, rules: Rules) -> BlockContext:
        header = block.header
        if rules.fork < Fork.PARIS:
            credits_due = rewards(block, rules.fork)
        else:
            credits_due = tuple((each.address, each.amount) for each in block.withdrawals or ())
        return BlockContext(
            height=header.height,
            timestamp=header.timestamp,
            coinbase=header.fee_recipient,
            gas_limit=header.gas_limit,
            base_fee=header.base_fee_per_gas or WEI_ZERO,
            mix_hash=header.mix_hash,
            chain_id=self._genesis.chain_id,
            block_hash=self._block_hash,
            excess_blob_gas=header.excess_blob_gas or GAS_ZERO,
            parent_beacon_block_root=header.parent_beacon_block_root or ZERO_HASH,
            rules=rules,
            difficulty=header.difficulty,
            credits=credits_due,
            root_of=lambda changes: StateStore(self._store).compute(changes).state_root,
        )

    def _check_roots(self, block: PublicBlock) -> None:
        header = block.header
        root = ordered_root([tx.raw for tx in block.transactions])
        check_field("transactions_root", root, header.transactions_root)
        ommers = keccak(encode([header_items(each) for each in block.ommers]))
        check_field("ommers_hash", ommers, header.ommers_hash)
        if block.withdrawals is not None:
            root = ordered_root([encode_withdrawal(each) for each in block.withdrawals])
            check_field("withdrawals_root", root, header.withdrawals_root)

    def _check_ommers(self, block: PublicBlock) -> None:
        """Raise InvalidBlock unless each ommer is new, valid and of a recent ancestor.

        Source: Yellow Paper 11.1.
        """
        lowest = block.header.height - OMMER_GENERATIONS_MAX - 1
        family = [each for height, each in self._recent.items() if height >= lowest]
        used = {each.hash for each in family}.union(*(each.ommers for each in family))
        parents = {each.hash: each.header for each in family}
        for ommer in block.ommers:
            if ommer.hash in used or ommer.hash == block.hash:
                raise InvalidBlock("duplicate or canonical ommer", field="ommers")
            used.add(ommer.hash)
            parent = parents.get(ommer.parent_hash)
            if parent is None or ommer.parent_hash == block.header.parent_hash:
                raise InvalidBlock("dangling ommer", field="ommers")
            rules = self._genesis.schedule.rules(ommer.height, ommer.timestamp, merged=False)
            check_header(ommer, parent, rules)


def _check_execution(
    block: PublicBlock, execution: Execution, update: StateUpdate, rules: Rules
) -> None:
    """Raise InvalidBlock unless the header says what execution gave."""
    header = block.header
    if len(execution.transactions) != len(block.transactions):
        raise InvalidBlock("transactions exceed the gas limit", field="transactions")
    check_field("gas_used", execution.gas_used, header.gas_used)
    root = ordered_root([encode_receipt(each) for each in execution.receipts])
    check_field("receipts_root", root, header.receipts_root)
    bloom = join_blooms(each.bloom for each in execution.receipts)
    check_field("logs_bloom", bloom, header.logs_bloom)
    if rules.fork >= Fork.PRAGUE:
        check_field("requests_hash", requests_hash(execution.requests), header.requests_hash)
    check_field("state_root", update.state_root, header.state_root)


def genesis_update(alloc: Mapping[Address, GenesisAccount]) -> StateUpdate:
    """Return what makes an empty store hold the first state."""
    return StateStore(MemoryStore()).compute(genesis_changes(alloc, keeps_empty=True))


def _genesis_header(
    document: Mapping[str, Any], schedule: ForkSchedule, alloc: Mapping[Address, GenesisAccount]
) -> PublicHeader:
    timestamp, hardness = _number(document, "timestamp"), number(document["difficulty"])
    terminal = schedule.terminal_total_difficulty
    merged = terminal is not None and hardness >= terminal
    fork = schedule.rules(0, timestamp, merged=merged).fork

    def since(first: Fork, value: Any) -> Any:
        return value if fork >= first else None

    return PublicHeader(
        parent_hash=Hash32(_hex(document.get("parentHash", ""), HASH_BYTES)),
        ommers_hash=EMPTY_OMMERS_HASH,
        fee_recipient=Address(_hex(document.get("coinbase", ""), ADDRESS_BYTES)),
        state_root=genesis_update(alloc).state_root,
        transactions_root=EMPTY_ROOT,
        receipts_root=EMPTY_ROOT,
        logs_bloom=EMPTY_BLOOM,
        difficulty=hardness,
        height=Height(0),
        gas_limit=Gas(number(document["gasLimit"])),
        gas_used=Gas(_number(document, "gasUsed")),
        timestamp=timestamp,
        extra_data=_hex(document.get("extraData", ""), 0),
        mix_hash=Hash32(_hex(document.get("mixHash", document.get("mixhash", "")), HASH_BYTES)),
        nonce=_number(document, "nonce").to_bytes(8, "big"),
        base_fee_per_gas=since(
            Fork.LONDON, Wei(_number(document, "baseFeePerGas", BASE_FEE_FIRST))
        ),
        withdrawals_root=since(Fork.SHANGHAI, EMPTY_ROOT),
        blob_gas_used=since(Fork.CANCUN, Gas(_number(document, "blobGasUsed"))),
        excess_blob_gas=since(Fork.CANCUN, Gas(_number(document, "excessBlobGas"))),
        parent_beacon_block_root=since(Fork.CANCUN, ZERO_HASH),
        requests_hash=since(Fork.PRAGUE, EMPTY_REQUESTS_HASH),
    )


def _account(entry: Mapping[str, Any]) -> GenesisAccount:
    storage = {
        int(slot, 16): int(value, 16) for slot, value in (entry.get("storage") or {}).items()
    }
    return GenesisAccount(
        balance=Wei(_number(entry, "balance")),
        nonce=Nonce(_number(entry, "nonce")),
        code=_hex(entry.get("code", ""), 0),
        storage={slot: value for slot, value in storage.items() if value},
    )


def _number(entry: Mapping[str, Any], key: str, missing: int = 0) -> int:
    value = entry.get(key)
    return missing if value is None else number(value)


def _hex(text: str | None, length: int) -> bytes:
    """Return the bytes of hex text; no text or an empty one stands for `length` zero bytes."""
    raw = bytes.fromhex((text or "").removeprefix("0x")) or bytes(length)
    if length and len(raw) != length:
        raise ValueError(f"{text} has not {length} bytes")
    return raw
