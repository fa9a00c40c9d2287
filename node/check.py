"""What `qenex db check` does: prove that a data folder holds one whole, consistent chain.

The quick check walks all blocks: hashes and links, transactions and receipts roots, blooms, gas,
lookups, logs index, certificates, and the state root of the head. The deep check also rebuilds
every storage trie and the account trie from the flat tables and compares each node, so that a
reader of the tables and a proof from the tries can never disagree, and walks state history back to
its tail (`node.check_history`). Memory does not grow with the chain.

Nothing is written but to the scratch store. What is wrong comes back as plain lines; an unreadable
file ends the check.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from node.blockstore import ChainView, check_layout, lookup_value
from node.check_history import HistoryCheck
from node.logindex import index_writes, indexed_from
from primitives.crypto.keccak import keccak
from primitives.errors import Invalid, StoreCorrupt
from primitives.keyvalue import Column, KeyValue, KeyValueReader, MemoryStore
from primitives.receipt import Receipt, bloom_of, encode_receipt, join_blooms
from primitives.types import EMPTY_CODE_HASH, Gas, Hash32, Height
from primitives.validators import ValidatorSet
from vm.state.encoding import decode_slim, encode_account, rlp_string
from vm.state.roots import ordered_root
from vm.state.store import ACCOUNT_TRIE, STORAGE_TRIE, StateStore
from vm.state.walk import walk_trie

ERRORS_MAX: Final = 100
PROGRESS_EVERY: Final = 100

Progress = Callable[[str, int, int], None]
"""Called with what is being checked ("blocks", "accounts", "history"), how many are done, of how
many (0: not known)."""

Verify = Callable[[bytes, Height, Hash32, ValidatorSet], None]
"""Checks a certificate for (height, block hash) against the set that decides it; raises Invalid."""


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What was checked, and one plain line for each thing that is wrong."""

    height: int
    transactions: int
    accounts: int
    slots: int
    tail: int
    errors: tuple[str, ...]

    @property
    def is_good(self) -> bool:
        """True when nothing is wrong."""
        return not self.errors


class _TooManyErrors(Exception):
    """The list of errors is full."""


def no_progress(what: str, done: int, total: int) -> None:
    """Take no notice."""


def check(
    store: KeyValueReader,
    *,
    deep: bool,
    progress: Progress = no_progress,
    verify: Verify | None = None,
    scratch: KeyValue | None = None,
) -> CheckReport:
    """Check the chain in `store`, best a snapshot; return the report, with up to 100 errors.

    The deep check fills `scratch`, an empty store (None: in memory), with older states. Without
    `verify` certificates need only be there. Raises ConfigError when the store holds no chain, or
    one in a layout of another version.
    """
    check_layout(store)
    run = _Check(store, progress, verify)
    try:
        run.blocks()
        if deep:
            run.state()
            run.history(MemoryStore() if scratch is None else scratch)
    except StoreCorrupt as error:
        run.errors.append(str(error))
    except _TooManyErrors:
        run.errors.append(f"more than {ERRORS_MAX} errors; the rest is not checked")
    counts = (run.height, run.transactions, run.accounts, run.slots, run.tail)
    return CheckReport(*counts, tuple(run.errors))


class _Check:
    """The counts and errors of one run."""

    def __init__(self, store: KeyValueReader, progress: Progress, verify: Verify | None) -> None:
        self._store = store
        self._progress = progress
        self._verify = verify
        self._codes: set[Hash32] = set()
        self._nodes = self._terms = 0
        self._indexed: int | None = None
        self.errors: list[str] = []
        self.height = self.transactions = self.accounts = self.slots = self.tail = 0

    def _wrong(self, line: str) -> None:
        if len(self.errors) >= ERRORS_MAX:
            raise _TooManyErrors
        self.errors.append(line)

    def _equal(self, found: object, expected: object, line: str) -> None:
        if found != expected:
            self._wrong(line)

    def blocks(self) -> None:
        """Check every block from genesis to head, the counts of lookups, and the head's state."""
        view = ChainView(self._store)
        self.height, self.tail = view.height, view.tail
        self._indexed = indexed_from(self._store)
        if view.tail > view.height:
            self._wrong(f"the oldest state is of block {view.tail}, above the head")
        self._equal(view.block_hash(0), view.genesis_hash, "block 0 is not the genesis block")
        for height in (0, *range(view.base, view.height + 1)):
            try:
                self._block(view, height)
            except StoreCorrupt as error:
                self._wrong(str(error))
            if height % PROGRESS_EVERY == 0 or height == view.height:
                self._progress("blocks", height + 1, view.height + 1)
        self._index_size()
        lookups = sum(1 for _ in self._store.scan(Column.TRANSACTION))
        self._equal(
            lookups,
            self.transactions,
            f"the chain has {self.transactions} transactions, the lookup has {lookups}",
        )
        root = StateStore(self._store).root()
        self._equal(
            root,
            view.head.state_root,
            f"the state root is 0x{root.hex()}, the head says 0x{view.head.state_root.hex()}",
        )

    def _block(self, view: ChainView, height: int) -> None:
        header, block_hash = view.header(height), view.block_hash(height)
        if header is None or block_hash is None:
            raise StoreCorrupt(f"block {height} is missing")
        self._equal(header.height, height, f"block {height} says it has height {header.height}")
        if height:
            parent = view.block_hash(height - 1)
            self._equal(header.parent_hash, parent, f"block {height} does not follow its parent")
            self._certificate(view, Height(height), block_hash)
        self._equal(view.height_of(block_hash), height, f"block {height} is not found by its hash")
        raws = view.raw_transactions(height) or []
        self.transactions += len(raws)
        self._equal(
            ordered_root(raws),
            header.transactions_root,
            f"block {height}: the transactions do not give the transactions root",
        )
        for index, raw in enumerate(raws):
            self._equal(
                self._store.get(Column.TRANSACTION, keccak(raw)),
                lookup_value(height, index),
                f"block {height}: transaction {index} is not found by its hash",
            )
        self._receipts(view, height, len(raws))

    def _receipts(self, view: ChainView, height: int, transactions: int) -> None:
        header, receipts = view.header(height), view.receipts(height)
        if header is None or receipts is None:
            raise StoreCorrupt(f"receipts of {height} are missing")
        self._equal(
            len(receipts),
            transactions,
            f"block {height} has {transactions} transactions and {len(receipts)} receipts",
        )
        self._equal(
            ordered_root([encode_receipt(each) for each in receipts]),
            header.receipts_root,
            f"block {height}: the receipts do not give the receipts root",
        )
        self._index(height, receipts)
        blooms = [bloom_of(each.logs) for each in receipts]
        self._equal(
            (join_blooms(blooms), blooms),
            (header.logs_bloom, [each.bloom for each in receipts]),
            f"block {height}: the logs do not give the bloom",
        )
        gas = receipts[-1].cumulative_gas_used if receipts else Gas(0)
        self._equal(
            gas,
            header.gas_used,
            f"block {height}: the receipts say {gas} gas, the header {header.gas_used}",
        )

    def _index(self, height: int, receipts: Sequence[Receipt]) -> None:
        """Check that the logs index holds every term of a block that it says it has."""
        if self._indexed is None or height < self._indexed:
            return
        for column, key, _ in index_writes(height, receipts):
            self._terms += 1
            if self._store.get(column, key) is None:
                self._wrong(f"block {height}: a log is not found by the logs index")

    def _index_size(self) -> None:
        if self._indexed is None:
            return
        rows = sum(1 for _ in self._store.scan(Column.LOG))
        self._equal(
            rows, self._terms, f"the blocks have {self._terms} terms, the logs index has {rows}"
        )

    def _certificate(self, view: ChainView, height: Height, block_hash: Hash32) -> None:
        validators = view.validators_at(height)
        certificate = view.certificate(height)
        if validators is None or not certificate:
            self._wrong(f"block {height} has no certificate")
        elif self._verify is not None:
            try:
                self._verify(certificate, height, block_hash, validators)
            except Invalid as error:
                self._wrong(f"block {height}: the certificate does not hold: {error}")

    def state(self) -> None:
        """Rebuild all tries from the flat tables; compare roots, nodes, and what is left over."""
        visit = self._visitor(ACCOUNT_TRIE, "account trie")
        root = walk_trie(self._leaves(), visit)
        expected = ChainView(self._store).head.state_root
        self._equal(
            root,
            expected,
            f"the accounts give state root 0x{root.hex()}, the head says 0x{expected.hex()}",
        )
        self._progress("accounts", self.accounts, self.accounts)
        slots = sum(1 for _ in self._store.scan(Column.SLOT))
        self._equal(slots, self.slots, f"{slots - self.slots} slots belong to no account")
        nodes = sum(1 for _ in self._store.scan(Column.TRIE))
        self._equal(nodes, self._nodes, f"{nodes - self._nodes} trie nodes belong to no trie")

    def history(self, scratch: KeyValue) -> None:
        """Walk the old values back from the head to the oldest height that is kept."""
        if not self.errors:
            HistoryCheck(self._store, scratch, self._wrong, self._progress).run()

    def _leaves(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield the account trie's leaves, each account checked on the way."""
        for key, raw in self._store.scan(Column.ACCOUNT):
            account = decode_slim(raw)
            name = f"account with hash 0x{key.hex()}"
            root = walk_trie(self._slots(key), self._visitor(STORAGE_TRIE + key, name))
            self._equal(root, account.storage_root, f"{name}: its slots give another storage root")
            self._code(account.code_hash, name)
            self.accounts += 1
            if self.accounts % PROGRESS_EVERY == 0:
                self._progress("accounts", self.accounts, 0)
            yield key, encode_account(account)

    def _slots(self, account: bytes) -> Iterator[tuple[bytes, bytes]]:
        for key, value in self._store.scan(Column.SLOT, account):
            self.slots += 1
            if not value or value[0] == 0:
                self._wrong(f"slot 0x{key.hex()} holds a value that is zero or not minimal")
            yield key[len(account) :], rlp_string(value)

    def _code(self, code_hash: Hash32, name: str) -> None:
        if code_hash == EMPTY_CODE_HASH or code_hash in self._codes:
            return
        self._codes.add(code_hash)
        code = self._store.get(Column.CODE, code_hash)
        if code is None or keccak(code) != code_hash:
            self._wrong(f"{name}: its code is missing or damaged")

    def _visitor(self, prefix: bytes, name: str) -> Callable[[bytes, bytes | None], None]:
        """Return what compares each node of one trie with the stored one."""

        def visit(path: bytes, node: bytes | None) -> None:
            self._nodes += 1
            if self._store.get(Column.TRIE, prefix + path) != node:
                self._wrong(f"{name}: the trie node at path {path.hex()!r} is wrong or missing")

        return visit
