"""Messages of heights that consensus does not take yet, by the peer that sent them.

Consensus keeps the messages of its own height and of the next one. A node that is further behind
gets the blocks by sync; the messages of the height where it meets the others have come meanwhile,
and the others do not repeat them before a second has passed, when they are gone from that height
again. So they are held here and handed in when consensus gets there. Nothing here is verified:
consensus does that. What one peer sends displaces only what it sent before.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from consensus.messages import Message, Proposal
from primitives.types import Height

HEIGHTS_TAKEN: Final = 2
"""Above the head consensus takes this many: the height it decides and the next."""
PEER_MESSAGES_MAX: Final = 64
PEER_BYTES_MAX: Final = 1_048_576
MESSAGE_BYTES: Final = 512
"""What a message counts for beside its body."""


class EarlyMessages:
    """The newest messages of each peer, at most PEER_MESSAGES_MAX and PEER_BYTES_MAX of them."""

    def __init__(self) -> None:
        self._by_peer: dict[str, deque[Message]] = {}

    def hold(self, peer: str, message: Message, head: Height) -> bool:
        """Keep a message when consensus, with this head, would not; answer whether it is so."""
        if message.height <= head + HEIGHTS_TAKEN:
            return False
        held = self._by_peer.setdefault(peer, deque())
        if message not in held:
            held.append(message)
            while len(held) > PEER_MESSAGES_MAX or _size_bytes(held) > PEER_BYTES_MAX:
                held.popleft()
        return True

    def take(self, head: Height) -> list[Message]:
        """Return, and forget, what consensus takes with this head: by height, then as it came.

        What the head has passed is forgotten too.
        """
        taken: list[Message] = []
        for peer, held in list(self._by_peer.items()):
            taken += [each for each in held if head < each.height <= head + HEIGHTS_TAKEN]
            later = deque(each for each in held if each.height > head + HEIGHTS_TAKEN)
            if later:
                self._by_peer[peer] = later
            else:
                del self._by_peer[peer]
        return sorted(taken, key=lambda each: each.height)

    def forget(self, peer: str) -> None:
        """Drop what a peer sent that is gone."""
        self._by_peer.pop(peer, None)

    def __len__(self) -> int:
        return sum(map(len, self._by_peer.values()))


def _size_bytes(held: deque[Message]) -> int:
    """Return what the messages weigh."""
    return sum(
        MESSAGE_BYTES + (len(each.body) if isinstance(each, Proposal) else 0) for each in held
    )
