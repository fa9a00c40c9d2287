"""Evidence of double signing, kept for ever in the node's store."""

from __future__ import annotations

from typing import Final

from consensus.messages import Evidence, decode_message, encode_message
from primitives.crypto.keccak import keccak
from primitives.errors import StoreCorrupt
from primitives.keyvalue import Column, KeyValue

EVIDENCE_PREFIX: Final = b"evidence/"
EVIDENCE_LISTED_MAX: Final = 1_000


class EvidenceStore:
    """Evidence by its hash; adding the same one twice changes nothing. Any thread."""

    def __init__(self, store: KeyValue) -> None:
        self._store = store

    def add(self, evidence: Evidence) -> None:
        """Make `evidence` durable."""
        raw = encode_message(evidence)
        self._store.write([(Column.META, EVIDENCE_PREFIX + keccak(raw), raw)], sync=True)

    def all(self) -> list[Evidence]:
        """Return up to EVIDENCE_LISTED_MAX pieces of evidence; raises StoreCorrupt."""
        found: list[Evidence] = []
        for _, raw in self._store.scan(Column.META, EVIDENCE_PREFIX):
            evidence = decode_message(raw)
            if not isinstance(evidence, Evidence):
                raise StoreCorrupt("a message that is no evidence is stored as evidence")
            found.append(evidence)
            if len(found) == EVIDENCE_LISTED_MAX:
                break
        return found
