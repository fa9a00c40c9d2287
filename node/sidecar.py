"""Blob transactions as wallets send them: with their blobs, which no block holds.

`rlp([transaction, blobs, commitments, proofs])` behind the type byte, or with a version byte of 1
after the transaction, where proofs are per cell. The commitments must be those that the
transaction names by hash. Sources: EIP-4844 "Networking"; EIP-7594.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

from primitives.codec import Item, as_bytes, as_list, decode_list, encode
from primitives.errors import BadBlobs, InvalidMessage

BLOB_TYPE: Final = 3
BLOB_BYTES: Final = 131_072
POINT_BYTES: Final = 48
CELLS: Final = 128
BARE_FIELDS: Final = 14
CELL_PROOFS: Final = b"\x01"
SIDECAR_BYTES_MAX: Final = 6 * (BLOB_BYTES + POINT_BYTES * (CELLS + 1)) + 131_072


def without_blobs(raw: bytes) -> bytes:
    """Return the transaction as blocks hold it; one without blobs comes back as it is.

    Raises BadBlobs when the blobs are not those that the transaction names.
    """
    if raw[:1] != bytes([BLOB_TYPE]):
        return raw
    if len(raw) > SIDECAR_BYTES_MAX:
        raise BadBlobs(f"blob transaction of {len(raw)} bytes, limit {SIDECAR_BYTES_MAX}")
    try:
        items = decode_list(raw[1:])
        if len(items) == BARE_FIELDS:
            return raw
        return raw[:1] + _checked(items)
    except InvalidMessage as error:
        raise BadBlobs(f"blob sidecar: {error.message}") from None


def _checked(items: list[Item]) -> bytes:
    has_cells = len(items) == 5 and items[1] == CELL_PROOFS
    if len(items) != 4 and not has_cells:
        raise BadBlobs("blob sidecar: want transaction, blobs, commitments and proofs")
    inner = as_list(items[0], BARE_FIELDS)
    blobs, commitments, proofs = (as_list(each) for each in items[-3:])
    wanted = [as_bytes(each) for each in as_list(inner[10])]
    per_blob = CELLS if has_cells else 1
    if not len(blobs) == len(commitments) == len(wanted) or len(proofs) != per_blob * len(blobs):
        raise BadBlobs("blob sidecar: blobs, commitments, proofs and hashes differ in number")
    for blob in blobs:
        as_bytes(blob, BLOB_BYTES)
    for index, commitment in enumerate(commitments):
        digest = sha256(as_bytes(commitment, POINT_BYTES)).digest()
        if b"\x01" + digest[1:] != wanted[index]:
            raise BadBlobs(f"blob {index}: the commitment is not that of its hash", index=index)
    for proof in proofs:
        as_bytes(proof, POINT_BYTES)
    return encode(inner)
