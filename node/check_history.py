"""The part of `qenex db check --deep` that proves state history: from the head back to the tail.

Each block's old values are put back, newest first, and the tries are updated with them: the state
root must be that of the header before, each storage root that of the old account, and the old trie
nodes that were kept those that come out. What is read at a height is thereby what was true there.
The older state lives in a scratch store, so memory does not grow with the chain.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from node.blockstore import ChainView
from primitives.errors import StoreCorrupt
from primitives.keyvalue import Column, KeyValue, KeyValueReader, Write
from primitives.types import EMPTY_ROOT, HASH_BYTES, Hash32
from vm.state.encoding import decode_slim, encode_account, rlp_string
from vm.state.history import height_key, index_key, split_diff, split_name
from vm.state.store import ACCOUNT_TRIE, STORAGE_TRIE, is_kept
from vm.state.trie import update_trie

PROGRESS_EVERY: Final = 100


class HistoryCheck:
    """One walk back; `wrong` takes each line of what is wrong."""

    def __init__(
        self,
        store: KeyValueReader,
        scratch: KeyValue,
        wrong: Callable[[str], None],
        progress: Callable[[str, int, int], None],
    ) -> None:
        self._store = store
        self._scratch = scratch
        self._wrong = wrong
        self._progress = progress
        self._rows = 0

    def run(self) -> None:
        """Check all retained heights and what is left over; stops at the first wrong root.

        Raises StoreCorrupt when a row cannot be what was written.
        """
        view = ChainView(self._store)
        total = view.height - view.tail
        for height in range(view.height, view.tail, -1):
            if not self._back(view, height):
                return
            done = view.height - height + 1
            if done % PROGRESS_EVERY == 0 or done == total:
                self._progress("history", done, total)
        diffs = sum(1 for _ in self._store.scan(Column.DIFF))
        if diffs != total:
            self._wrong(f"{diffs - total} lists of changed keys belong to no retained height")
        rows = sum(1 for _ in self._store.scan(Column.INDEX))
        if rows != self._rows:
            self._wrong(f"{rows - self._rows} old values belong to no retained height")

    def _back(self, view: ChainView, height: int) -> bool:
        """Undo one block in the scratch store; False when the roots do not fit any more."""
        old = self._old_values(height)
        self._rows += len(old)
        leaves: dict[bytes, bytes] = {}
        slots: dict[bytes, dict[bytes, bytes]] = {}
        for (column, key), raw in old.items():
            if column is Column.ACCOUNT:
                leaves[key] = encode_account(decode_slim(raw)) if raw else b""
                slots.setdefault(key, {})
            elif column is Column.SLOT:
                owned = slots.setdefault(key[:HASH_BYTES], {})
                owned[key[HASH_BYTES:]] = rlp_string(raw) if raw else b""
        for owner, changed in slots.items():
            expected = self._storage_root(old.get((Column.ACCOUNT, owner)), owner)
            found = self._undo_trie(STORAGE_TRIE + owner, self._root_now(owner), changed, old)
            if found != expected:
                self._wrong(
                    f"block {height}: the old slots of the account with hash 0x{owner.hex()} "
                    "give another storage root"
                )
                return False
        root = view.header(height)
        before = view.header(height - 1)
        if root is None or before is None:
            raise StoreCorrupt(f"header {height} is missing")
        found = self._undo_trie(ACCOUNT_TRIE, root.state_root, leaves, old)
        if found != before.state_root:
            self._wrong(
                f"block {height}: the old values lead to state root 0x{found.hex()}, "
                f"block {height - 1} says 0x{before.state_root.hex()}"
            )
            return False
        flat = [(column, key, raw) for (column, key), raw in old.items()]
        self._scratch.write([row for row in flat if row[0] is not Column.TRIE], sync=False)
        return True

    def _old_values(self, height: int) -> dict[tuple[Column, bytes], bytes]:
        """Return what the block at `height` replaced, b"" for what was not there."""
        diff = self._store.get(Column.DIFF, height_key(height))
        if diff is None:
            raise StoreCorrupt(f"the old values of block {height} are missing")
        found: dict[tuple[Column, bytes], bytes] = {}
        for name in split_diff(diff):
            old = self._store.get(Column.INDEX, name + height_key(height))
            if old is None:
                raise StoreCorrupt(f"an old value of block {height} is missing: {name.hex()}")
            found[split_name(name)] = old
        return found

    def _get(self, column: Column, key: bytes) -> bytes | None:
        """Return a value of the state that the walk has reached."""
        found = self._scratch.get(column, key)
        return self._store.get(column, key) if found is None else found or None

    def _root_now(self, owner: bytes) -> Hash32:
        raw = self._get(Column.ACCOUNT, owner)
        return EMPTY_ROOT if raw is None else decode_slim(raw).storage_root

    def _storage_root(self, old: bytes | None, owner: bytes) -> Hash32:
        """Return the storage root that the owner had before, from its old account if it changed."""
        if old is None:
            return self._root_now(owner)
        return decode_slim(old).storage_root if old else EMPTY_ROOT

    def _undo_trie(
        self,
        prefix: bytes,
        root: Hash32,
        leaves: dict[bytes, bytes],
        old: dict[tuple[Column, bytes], bytes],
    ) -> Hash32:
        """Put old leaves into one trie; compare the nodes that history keeps; return the root."""

        def read(path: bytes) -> bytes | None:
            return self._get(Column.TRIE, prefix + path)

        update = update_trie(read, root, leaves)
        rows: list[Write] = []
        for path, node in update.nodes.items():
            key = prefix + path
            now = self._get(Column.TRIE, key)
            if is_kept(Column.TRIE, key) and now != node:
                kept = old.get((Column.TRIE, key))
                if kept is None or (kept or None) != node:
                    self._wrong(
                        f"the old trie node {index_key(Column.TRIE, key).hex()} is not the one "
                        "that was there"
                    )
            rows.append((Column.TRIE, key, node or b""))
        self._scratch.write(rows, sync=False)
        return update.root
