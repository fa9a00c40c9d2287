"""The transactions root and the receipts root of a block.

Source: Yellow Paper 4.3.2: a trie whose keys are the RLP of the index and whose values are the
encoded items; EIP-2718 for typed items.
"""

from __future__ import annotations

from collections.abc import Sequence

from primitives.types import EMPTY_ROOT, Hash32
from vm.state.encoding import rlp_uint
from vm.state.trie import build_trie


def ordered_root(items: Sequence[bytes]) -> Hash32:
    """Return the trie root of `items` by index; EMPTY_ROOT for none. No item may be empty."""
    if not items:
        return EMPTY_ROOT
    return build_trie((rlp_uint(index), item) for index, item in enumerate(items)).root
