"""How a block's transactions and receipts stand in the store: one encoded list each."""

from __future__ import annotations

from collections.abc import Iterable

from primitives.codec import as_bytes, decode_list
from primitives.receipt import Receipt, decode_receipt
from primitives.transaction import Transaction, decode_transactions
from vm.state.encoding import LIST, rlp_list, rlp_string, split_list, string_of


def transactions_row(transactions: Iterable[Transaction]) -> bytes:
    """Return the list of transactions as the block's encoding has it."""
    return rlp_list([rlp_string(each.raw) if each.type else each.raw for each in transactions])


def raw_transactions(row: bytes) -> list[bytes]:
    """Return the encodings of the transactions in a row; raises StoreCorrupt."""
    return [item if item[0] >= LIST else string_of(item) for item in split_list(row)]


def transactions_of(row: bytes) -> tuple[Transaction, ...]:
    """Return the transactions in a row, senders recovered; raises Invalid or StoreCorrupt."""
    found = []
    for each in decode_transactions(raw_transactions(row)):
        if not isinstance(each, Transaction):
            raise each
        found.append(each)
    return tuple(found)


def receipts_of(row: bytes) -> tuple[Receipt, ...]:
    """Return the receipts in a row; raises Invalid."""
    return tuple(decode_receipt(as_bytes(item)) for item in decode_list(row))
