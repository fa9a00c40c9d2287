"""Every rule that a transaction must meet before it runs; pool and engine share them.

Which rules hold depends on the fork of the block (`vm.forks.Rules`); Prague is the default.

`check_static` needs no state and is asked once, when a transaction arrives; `check_against_state`
is asked again whenever the sender's account or the base fee may have changed. Form (canonical
bytes, ranges, low s, recoverable sender) is checked by the decoder. Messages are geth's words
(core/error.go, core/state_transition.go); the facts stand beside them as fields.
Sources: Yellow Paper 6.2; EIP-2, 155, 1559, 2028, 2681, 2930, 3607, 3860, 4844, 7594, 7623, 7702,
7825.
"""

from __future__ import annotations

from typing import Final, Protocol

from primitives.account import Account
from primitives.crypto.keccak import keccak
from primitives.crypto.secp256k1 import BAD_VALUES, HALF_ORDER
from primitives.errors import (
    BadBlobs,
    BadSignature,
    EmptyAuthorizations,
    FeeTooLow,
    GasLimitExceeded,
    InitcodeTooLarge,
    InsufficientFunds,
    IntrinsicGasTooLow,
    NonceTooHigh,
    NonceTooLow,
    SenderNotEOA,
    TipAboveFeeCap,
    UnsupportedType,
    WrongChain,
)
from primitives.params import ChainParams
from primitives.transaction import AccessList, Transaction
from primitives.types import UINT64_MAX, WEI_ZERO, Address, Gas, Wei
from vm.fees import BLOB_GAS
from vm.forks import PRAGUE, Fork, Rules

LEGACY: Final = 0
ACCESS_LIST: Final = 1
DYNAMIC_FEE: Final = 2
BLOB: Final = 3
SET_CODE: Final = 4
SINCE: Final = {
    LEGACY: Fork.FRONTIER,
    ACCESS_LIST: Fork.BERLIN,
    DYNAMIC_FEE: Fork.LONDON,
    BLOB: Fork.CANCUN,
    SET_CODE: Fork.PRAGUE,
}
"""The fork that brought each type of transaction. Blobs need a chain that takes them besides."""

GAS_BASE: Final = 21_000
GAS_CREATE: Final = 32_000
GAS_ZERO_BYTE: Final = 4
GAS_BYTE: Final = 16
GAS_BYTE_FRONTIER: Final = 68
GAS_INITCODE_WORD: Final = 2
GAS_ACCESS_ADDRESS: Final = 2_400
GAS_ACCESS_SLOT: Final = 1_900
GAS_AUTHORIZATION: Final = 25_000
GAS_FLOOR_TOKEN: Final = 10
TOKENS_PER_BYTE: Final = 4
INITCODE_BYTES_MAX: Final = 49_152
TRANSACTION_GAS_MAX: Final = 1 << 24
"""Most gas of one transaction from Osaka on. Source: EIP-7825."""

TRANSACTION_BLOBS_MAX: Final = 6
"""Most blobs of one transaction from Osaka on. Source: EIP-7594."""

BLOB_VERSION: Final = 1

DELEGATION_PREFIX: Final = bytes.fromhex("ef0100")
DELEGATION_BYTES: Final = 23


class Charged(Protocol):
    """What intrinsic gas depends on: a transaction or a call."""

    @property
    def to(self) -> Address | None: ...  # noqa: D102 (names of Transaction)

    @property
    def data(self) -> bytes: ...  # noqa: D102

    @property
    def access_list(self) -> AccessList: ...  # noqa: D102


def intrinsic_gas(message: Charged, authorizations: int = 0, fork: Fork = Fork.PRAGUE) -> Gas:
    """Return the gas that `message` costs before its first instruction.

    Sources: Yellow Paper g0; EIP-2 (creation), 2028 (data), 2930 (access list), 3860 (initcode),
    7702.
    """
    data = message.data
    if not data and message.to is not None and not message.access_list:
        return Gas(GAS_BASE + authorizations * GAS_AUTHORIZATION)
    zeros = data.count(0)
    byte = GAS_BYTE if fork >= Fork.ISTANBUL else GAS_BYTE_FRONTIER
    gas = GAS_BASE + zeros * GAS_ZERO_BYTE + (len(data) - zeros) * byte
    if message.to is None and fork >= Fork.HOMESTEAD:
        gas += GAS_CREATE
        if fork >= Fork.SHANGHAI:
            gas += (len(data) + 31) // 32 * GAS_INITCODE_WORD
    for _, slots in message.access_list:
        gas += GAS_ACCESS_ADDRESS + len(slots) * GAS_ACCESS_SLOT
    return Gas(gas + authorizations * GAS_AUTHORIZATION)


def floor_gas(data: bytes, fork: Fork = Fork.PRAGUE) -> Gas:
    """Return the least gas that a transaction with `data` pays: 0 before Prague (EIP-7623)."""
    if fork < Fork.PRAGUE:
        return Gas(0)
    if not data:
        return Gas(GAS_BASE)
    zeros = data.count(0)
    return Gas(GAS_BASE + (zeros + (len(data) - zeros) * TOKENS_PER_BYTE) * GAS_FLOOR_TOKEN)


def check_gas_covers(
    message: Charged, gas: Gas, authorizations: int = 0, fork: Fork = Fork.PRAGUE
) -> None:
    """Raise IntrinsicGasTooLow unless `gas` covers the intrinsic gas and the EIP-7623 floor."""
    need = intrinsic_gas(message, authorizations, fork)
    if gas < need:
        raise IntrinsicGasTooLow(
            f"intrinsic gas too low: have {gas}, want {need}", have=gas, want=need
        )
    need = floor_gas(message.data, fork)
    if gas < need:
        raise IntrinsicGasTooLow(
            f"insufficient gas for floor data gas cost: have {gas}, want {need}",
            have=gas,
            want=need,
        )


def check_initcode(message: Charged, fork: Fork = Fork.PRAGUE) -> None:
    """Raise InitcodeTooLarge if `message` creates from more than 49,152 bytes (EIP-3860)."""
    is_limited = message.to is None and fork >= Fork.SHANGHAI
    if is_limited and len(message.data) > INITCODE_BYTES_MAX:
        raise InitcodeTooLarge(
            f"max initcode size exceeded: code size {len(message.data)} limit {INITCODE_BYTES_MAX}",
            have=len(message.data),
            limit=INITCODE_BYTES_MAX,
        )


def check_static(
    tx: Transaction,
    params: ChainParams,
    *,
    rules: Rules = PRAGUE,
    allow_unprotected: bool = False,
) -> None:
    """Raise the InvalidTransaction that `tx` deserves on the chain of `params`, whatever its state.

    `rules` are those of the block that `tx` is to enter. `allow_unprotected` lets legacy
    transactions without a chain id pass; our networks refuse them.
    """
    _check_type(tx, rules)
    _check_chain(tx, params, rules.fork, allow_unprotected)
    if tx.s > HALF_ORDER and rules.fork >= Fork.HOMESTEAD:
        raise BadSignature(BAD_VALUES, s=tx.s)
    _check_gas_limit(tx, params.gas_limit, rules.fork)
    if tx.nonce >= UINT64_MAX:
        raise NonceTooHigh(
            f"nonce has max value: address {checksum(tx.sender)}, nonce: {tx.nonce}",
            address=tx.sender,
            nonce=tx.nonce,
        )
    if tx.max_priority_fee_per_gas > tx.max_fee_per_gas:
        raise TipAboveFeeCap(
            "max priority fee per gas higher than max fee per gas: "
            f"address {checksum(tx.sender)}, "
            f"maxPriorityFeePerGas: {tx.max_priority_fee_per_gas}, "
            f"maxFeePerGas: {tx.max_fee_per_gas}",
            address=tx.sender,
            max_priority_fee_per_gas=tx.max_priority_fee_per_gas,
            max_fee_per_gas=tx.max_fee_per_gas,
        )
    check_initcode(tx, rules.fork)
    check_gas_covers(tx, tx.gas, len(tx.authorizations), rules.fork)


def _check_gas_limit(tx: Transaction, block_limit: Gas, fork: Fork) -> None:
    if tx.gas > TRANSACTION_GAS_MAX and fork >= Fork.OSAKA:
        raise GasLimitExceeded(
            f"transaction gas limit too high (cap: {TRANSACTION_GAS_MAX}, tx: {tx.gas})",
            gas=tx.gas,
            limit=TRANSACTION_GAS_MAX,
        )
    if tx.gas > block_limit:
        raise GasLimitExceeded(
            f"exceeds block gas limit: tx gas {tx.gas}, block limit {block_limit}",
            gas=tx.gas,
            limit=block_limit,
        )


def _check_type(tx: Transaction, rules: Rules) -> None:
    since = SINCE.get(tx.type)
    if since is None or rules.fork < since or (tx.type == BLOB and rules.blobs is None):
        raise UnsupportedType("transaction type not supported", type=tx.type)
    if tx.type == BLOB:
        _check_blobs(tx, rules)
    if tx.type == SET_CODE:
        if tx.to is None:
            raise EmptyAuthorizations(
                "EIP-7702 transaction cannot be used to create contract "
                f"(sender {checksum(tx.sender)})",
                address=tx.sender,
            )
        if not tx.authorizations:
            raise EmptyAuthorizations(
                f"EIP-7702 transaction with empty auth list (sender {checksum(tx.sender)})",
                address=tx.sender,
            )
    elif tx.authorizations:
        raise UnsupportedType(f"transaction type {tx.type} carries no authorizations", type=tx.type)


def _check_blobs(tx: Transaction, rules: Rules) -> None:
    """Raise BadBlobs unless `tx` has a legal number of well-formed hashes (EIP-4844, 7594)."""
    if not tx.blob_hashes:
        raise BadBlobs("blob transaction missing blob hashes")
    most = 0 if rules.blobs is None else rules.blobs.maximum
    if rules.fork >= Fork.OSAKA:
        most = min(most, TRANSACTION_BLOBS_MAX)
    if len(tx.blob_hashes) > most:
        raise BadBlobs(
            f"too many blobs in transaction (have {len(tx.blob_hashes)}, max {most})",
            have=len(tx.blob_hashes),
            limit=most,
        )
    for index, each in enumerate(tx.blob_hashes):
        if each[0] != BLOB_VERSION:
            raise BadBlobs(f"blob {index} has invalid hash version", index=index)


def _check_chain(tx: Transaction, params: ChainParams, fork: Fork, allow_unprotected: bool) -> None:
    if tx.chain_id == params.chain_id and fork >= Fork.SPURIOUS_DRAGON:
        return
    if tx.chain_id is None:
        if allow_unprotected and tx.type == LEGACY:
            return
        raise WrongChain(
            "only replay-protected (EIP-155) transactions allowed over RPC",
            have=None,
            want=params.chain_id,
        )
    raise WrongChain(
        f"invalid chain id for signer: have {tx.chain_id} want {params.chain_id}",
        have=tx.chain_id,
        want=params.chain_id,
    )


def check_against_state(
    tx: Transaction,
    account: Account | None,
    code: bytes,
    base_fee: Wei,
    *,
    fork: Fork = Fork.PRAGUE,
    blob_fee: Wei = WEI_ZERO,
) -> None:
    """Raise the InvalidTransaction that `tx` deserves now.

    `account` and `code` are the sender's (None and empty where it has none); `base_fee` and
    `blob_fee` are the prices of gas and of blob gas in the block `tx` is to enter. The nonce must
    be exact: a pool that queues gaps compares nonces itself.
    """
    account = account or Account()
    check_nonce(tx, account)
    if code and not (fork >= Fork.PRAGUE and is_delegation(code)):
        raise SenderNotEOA(
            f"sender not an eoa: address {checksum(tx.sender)}, len(code): {len(code)}",
            address=tx.sender,
            code_bytes=len(code),
        )
    if tx.max_fee_per_gas < base_fee:
        raise FeeTooLow(
            f"max fee per gas less than block base fee: address {checksum(tx.sender)}, "
            f"maxFeePerGas: {tx.max_fee_per_gas}, baseFee: {base_fee}",
            address=tx.sender,
            max_fee_per_gas=tx.max_fee_per_gas,
            base_fee=base_fee,
        )
    if tx.blob_hashes and tx.max_fee_per_blob_gas < blob_fee:
        raise FeeTooLow(
            f"max fee per blob gas less than block blob gas fee: address {checksum(tx.sender)} "
            f"blobGasFeeCap: {tx.max_fee_per_blob_gas}, blobBaseFee: {blob_fee}",
            address=tx.sender,
            max_fee_per_blob_gas=tx.max_fee_per_blob_gas,
            blob_fee=blob_fee,
        )
    cost = tx.gas * tx.max_fee_per_gas + tx.value
    cost += len(tx.blob_hashes) * BLOB_GAS * tx.max_fee_per_blob_gas
    check_funds(tx.sender, account, Wei(cost))


def check_nonce(tx: Transaction, account: Account) -> None:
    """Raise NonceTooLow or NonceTooHigh unless the nonce of `tx` is the account's next."""
    if tx.nonce == account.nonce:
        return
    kind, word = (NonceTooLow, "low") if tx.nonce < account.nonce else (NonceTooHigh, "high")
    raise kind(
        f"nonce too {word}: address {checksum(tx.sender)}, tx: {tx.nonce} state: {account.nonce}",
        address=tx.sender,
        have=tx.nonce,
        want=account.nonce,
    )


def check_funds(sender: Address, account: Account, cost: Wei) -> None:
    """Raise InsufficientFunds unless the balance covers `cost`, in wei."""
    if account.balance < cost:
        raise InsufficientFunds(
            f"insufficient funds for gas * price + value: address {checksum(sender)} "
            f"have {account.balance} want {cost}",
            address=sender,
            have=account.balance,
            want=cost,
        )


def is_delegation(code: bytes) -> bool:
    """True when `code` is an EIP-7702 delegation: 0xef0100 and an address."""
    return len(code) == DELEGATION_BYTES and code.startswith(DELEGATION_PREFIX)


def checksum(address: Address) -> str:
    """Return the address in hex with EIP-55 capitals, as geth prints it."""
    digits = address.hex()
    digest = keccak(digits.encode()).hex()
    return "0x" + "".join(
        digit.upper() if int(mark, 16) >= 8 else digit
        for digit, mark in zip(digits, digest, strict=False)
    )
