"""Names for bare bytes and ints, and the constants that every room shares.

A `NewType` costs nothing at run time and lets mypy tell a height from a round. All hashes are
Keccak-256. Source of the empty hashes: Ethereum Yellow Paper, appendix D and section 4.
"""

from __future__ import annotations

from typing import Final, NewType

Height = NewType("Height", int)
Round = NewType("Round", int)
Hash32 = NewType("Hash32", bytes)
Address = NewType("Address", bytes)
Wei = NewType("Wei", int)
Gas = NewType("Gas", int)
Nonce = NewType("Nonce", int)
ChainId = NewType("ChainId", int)
Power = NewType("Power", int)

ADDRESS_BYTES: Final = 20
HASH_BYTES: Final = 32
WEI_ZERO: Final = Wei(0)
GAS_ZERO: Final = Gas(0)
NONCE_ZERO: Final = Nonce(0)
UINT64_MAX: Final = 2**64 - 1
UINT256_MAX: Final = 2**256 - 1

ZERO_ADDRESS: Final = Address(bytes(ADDRESS_BYTES))
ZERO_HASH: Final = Hash32(bytes(HASH_BYTES))
EMPTY_ROOT: Final = Hash32(
    bytes.fromhex("56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421")
)
EMPTY_CODE_HASH: Final = Hash32(
    bytes.fromhex("c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470")
)
EMPTY_OMMERS_HASH: Final = Hash32(
    bytes.fromhex("1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347")
)
EMPTY_REQUESTS_HASH: Final = Hash32(
    bytes.fromhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
)
"""sha256 of nothing: the requests hash of a block without requests (EIP-7685)."""
