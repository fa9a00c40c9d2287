"""At which heights an account changed: read from the history of the state, newest or oldest first.

The history has a row for each height at which an account or its storage changed
(`vm.state.history`), so that a search costs what it finds.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from node.rpc.backend import Request
from primitives.keyvalue import Column
from primitives.types import Address, Height
from vm.state.history import HEIGHT_BYTES, height_key, index_key
from vm.state.store import hash_address

HEIGHTS_MAX: Final = 1_000_000
"""Most heights that one search looks at; an account with more is searched from the oldest."""


def heights_after(request: Request, address: Address, first: Height) -> Iterator[Height]:
    """Yield the heights from `first` on at which the account changed, the oldest first."""
    head = request.view.head.height
    for height, _ in _rows(request, address, first):
        if height > head:
            return
        yield height


def heights_before(request: Request, address: Address, last: Height) -> Iterator[Height]:
    """Yield the heights up to `last` at which the account changed, the newest first."""
    found: list[Height] = []
    for height, _ in _rows(request, address, Height(0)):
        if height > last or len(found) >= HEIGHTS_MAX:
            break
        found.append(height)
    return reversed(found)


def created_at(request: Request, address: Address) -> Height | None:
    """Return the height at which the account came to have code, or None if it is not known."""
    for height, _ in _rows(request, address, Height(0)):
        account = request.view.state_at(height).account(address)
        if account is not None and request.view.state.code(account.code_hash):
            return height
    return None


def _rows(request: Request, address: Address, first: Height) -> Iterator[tuple[Height, bytes]]:
    name = index_key(Column.ACCOUNT, hash_address(address))
    for key, old in request.view.store.scan(Column.INDEX, name, name + height_key(first)):
        yield Height(int.from_bytes(key[-HEIGHT_BYTES:], "big")), old
