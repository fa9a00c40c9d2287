"""The rules of a public chain's header that need no execution, for every fork.

Sources: Yellow Paper 4.4.4; EIP-1559 (gas limit and base fee), 3675 (proof of stake), 4895, 4844,
4788, 7685 (fields), 7934 (size of a block).
"""

from __future__ import annotations

from typing import Final

from primitives.errors import InvalidBlock
from primitives.ethereum import PublicBlock, PublicHeader
from primitives.params import BLOCK_BYTES_MAX, ELASTICITY_MULTIPLIER
from primitives.types import EMPTY_OMMERS_HASH, GAS_ZERO, WEI_ZERO, Gas, Wei
from vm.fees import BLOB_GAS, excess_blob_gas, public_base_fee
from vm.forks import Fork, Rules
from vm.mining import difficulty

EXTRA_DATA_BYTES_MAX: Final = 32
GAS_LIMIT_MIN: Final = 5_000
GAS_LIMIT_MAX: Final = 2**63 - 1
GAS_LIMIT_DIVISOR: Final = 1_024
BASE_FEE_FIRST: Final = Wei(1_000_000_000)
DAO_EXTRA_DATA: Final = b"dao-hard-fork"
DAO_EXTRA_HEIGHTS: Final = 10

_FIELDS_SINCE: Final = (
    ("base_fee_per_gas", Fork.LONDON),
    ("withdrawals_root", Fork.SHANGHAI),
    ("blob_gas_used", Fork.CANCUN),
    ("excess_blob_gas", Fork.CANCUN),
    ("parent_beacon_block_root", Fork.CANCUN),
    ("requests_hash", Fork.PRAGUE),
)


def check_field(name: str, expected: object, found: object) -> None:
    """Raise InvalidBlock, naming the field, unless both are equal."""
    if expected != found:
        raise InvalidBlock(
            f"wrong {name}: expected {_show(expected)}, found {_show(found)}",
            field=name,
            expected=expected,
            found=found,
        )


def check_header(header: PublicHeader, parent: PublicHeader, rules: Rules) -> None:
    """Raise InvalidBlock unless `header` may follow `parent`, as far as no execution tells."""
    fork = rules.fork
    check_field("parent_hash", parent.hash, header.parent_hash)
    check_field("height", parent.height + 1, header.height)
    if header.timestamp <= parent.timestamp:
        raise InvalidBlock("timestamp is not after the parent's", field="timestamp")
    if len(header.extra_data) > EXTRA_DATA_BYTES_MAX:
        raise InvalidBlock("extra data is longer than 32 bytes", field="extra_data")
    for name, since in _FIELDS_SINCE:
        check_field(f"presence of {name}", fork >= since, getattr(header, name) is not None)
    _check_gas(header, parent, fork)
    if fork >= Fork.PARIS:
        check_field("difficulty", 0, header.difficulty)
        check_field("nonce", bytes(8), header.nonce)
        check_field("ommers_hash", EMPTY_OMMERS_HASH, header.ommers_hash)
    else:
        check_field("difficulty", difficulty(parent, header.timestamp, fork), header.difficulty)
    if fork >= Fork.CANCUN:
        check_field("excess_blob_gas", child_excess(parent, rules), header.excess_blob_gas)


def child_excess(parent: PublicHeader, rules: Rules) -> Gas:
    """Return the excess blob gas of a child of `parent` under `rules`."""
    return excess_blob_gas(
        parent.excess_blob_gas or GAS_ZERO,
        parent.blob_gas_used or GAS_ZERO,
        parent.base_fee_per_gas or WEI_ZERO,
        rules,
    )


def check_body(block: PublicBlock, rules: Rules) -> None:
    """Raise InvalidBlock unless the body's size and blobs are legal and as the header says."""
    if rules.fork >= Fork.OSAKA and block.size_bytes > BLOCK_BYTES_MAX:
        raise InvalidBlock(
            f"block RLP-encoded size exceeds maximum: {block.size_bytes} > {BLOCK_BYTES_MAX}",
            field="size",
        )
    if rules.fork >= Fork.CANCUN:
        blobs = sum(len(tx.blob_hashes) for tx in block.transactions)
        check_field("blob_gas_used", blobs * BLOB_GAS, block.header.blob_gas_used)
    has_withdrawals = block.withdrawals is not None
    check_field("presence of withdrawals", rules.fork >= Fork.SHANGHAI, has_withdrawals)


def check_dao_mark(header: PublicHeader, dao_height: int | None) -> None:
    """Raise InvalidBlock unless the first blocks after the DAO fork carry its mark (EIP-779)."""
    if dao_height is not None and 0 <= header.height - dao_height < DAO_EXTRA_HEIGHTS:
        check_field("extra_data", DAO_EXTRA_DATA, header.extra_data)


def _check_gas(header: PublicHeader, parent: PublicHeader, fork: Fork) -> None:
    if header.gas_used > header.gas_limit:
        raise InvalidBlock("gas used exceeds gas limit", field="gas_used")
    limit = parent.gas_limit
    is_first_london = fork >= Fork.LONDON and parent.base_fee_per_gas is None
    if is_first_london:
        limit = Gas(limit * ELASTICITY_MULTIPLIER)
    is_near = abs(header.gas_limit - limit) < limit // GAS_LIMIT_DIVISOR
    if not is_near or not GAS_LIMIT_MIN <= header.gas_limit <= GAS_LIMIT_MAX:
        raise InvalidBlock(
            f"invalid gas limit: have {header.gas_limit}, parent {limit}", field="gas_limit"
        )
    if fork < Fork.LONDON:
        return
    fee = BASE_FEE_FIRST
    if parent.base_fee_per_gas is not None:
        fee = public_base_fee(parent.base_fee_per_gas, parent.gas_used, parent.gas_limit)
    check_field("base_fee_per_gas", fee, header.base_fee_per_gas)


def _show(value: object) -> str:
    return f"0x{value.hex()}" if isinstance(value, bytes) else str(value)
