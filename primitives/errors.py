"""The error tree of QENEX: what went wrong decides who acts.

    QenexError
    ├ Invalid       somebody sent something wrong: refuse it, perhaps ban the sender
    ├ Rejected      right, but not now: the sender may try again later
    ├ Unavailable   the outside world failed: try again, with a limit
    ├ ConfigError   this machine is set up wrongly: stop at start with one clear line
    └ Fatal         an invariant of ours broke: stop the node

An error carries its facts as fields (`facts`) beside its text, so that JSON-RPC and tests never
parse words. Transaction messages keep geth's words, because wallets match them.
"""

from __future__ import annotations


class QenexError(Exception):
    """Root of every error that QENEX raises on purpose; `facts` holds its details."""

    def __init__(self, message: str, **facts: object) -> None:
        super().__init__(message)
        self.message = message
        self.facts = facts


class Invalid(QenexError):
    """Somebody sent something wrong."""


class Rejected(QenexError):
    """Right in form, but not acceptable now."""


class Unavailable(QenexError):
    """The outside world did not answer as it should."""


class ConfigError(QenexError):
    """A setting, key file or data folder is wrong; the message names it and the way out."""


class Fatal(QenexError):
    """An invariant of this node broke; it must stop before it does harm."""


class InvalidMessage(Invalid):
    """Bytes from a peer do not decode, or say what they must not."""


class InvalidBlock(Invalid):
    """A block breaks a rule of the chain."""


class InvalidCertificate(Invalid):
    """A certificate does not prove its block."""


class InvalidRequest(Invalid):
    """A JSON-RPC parameter is wrong; the message says which."""


class InvalidTransaction(Invalid):
    """A transaction breaks a rule and can never be accepted as it is, unless its state changes."""


class Malformed(InvalidTransaction):
    """The bytes are not one canonical transaction."""


class OversizedTransaction(InvalidTransaction):
    """More bytes than the limit."""


class UnsupportedType(InvalidTransaction):
    """A transaction type that this chain does not take (blob transactions among them)."""


class WrongChain(InvalidTransaction):
    """Signed for another chain id, or for none."""


class BadSignature(InvalidTransaction):
    """No sender can be recovered, or s is in the upper half."""


class NonceTooLow(InvalidTransaction):
    """The nonce was used already."""


class NonceTooHigh(InvalidTransaction):
    """The nonce leaves a gap (in a block) or exceeds 2^64 - 2."""


class InsufficientFunds(InvalidTransaction):
    """The balance does not cover value plus gas at the maximum fee."""


class IntrinsicGasTooLow(InvalidTransaction):
    """The gas limit is below the intrinsic gas or the EIP-7623 floor."""


class GasLimitExceeded(InvalidTransaction):
    """The gas limit is above what is left in the block, or above the block's limit."""


class FeeTooLow(InvalidTransaction):
    """The maximum fee per gas is below the block's base fee."""


class TipAboveFeeCap(InvalidTransaction):
    """The priority fee is above the maximum fee (EIP-1559)."""


class SenderNotEOA(InvalidTransaction):
    """The sender has code that is not a delegation (EIP-3607)."""


class SenderNotPermitted(InvalidTransaction):
    """The network's AccountPermissions contract does not let this account do it."""


class InitcodeTooLarge(InvalidTransaction):
    """Creation code above 49,152 bytes (EIP-3860)."""


class EmptyAuthorizations(InvalidTransaction):
    """A set-code transaction without authorizations, or one that creates a contract (EIP-7702)."""


class BadBlobs(InvalidTransaction):
    """A blob transaction with no blobs, too many, or hashes of another version (EIP-4844)."""


class PoolFull(Rejected):
    """The pool holds its maximum and this transaction does not outbid the cheapest."""


class SenderQuotaFull(Rejected):
    """The sender has its maximum of transactions in the pool."""


class AlreadyKnown(Rejected):
    """This very transaction is in the pool or in the chain."""


class Underpriced(Rejected):
    """Below the pool's minimum fee."""


class ReplacementUnderpriced(Rejected):
    """Same sender and nonce, but not 10 % above the fees of the one it would replace."""


class RateLimited(Rejected):
    """Too many requests."""


class Syncing(Rejected):
    """The node is catching up and cannot answer yet."""


class NotPermitted(Rejected):
    """The sender has no permission for this."""


class HistoryPruned(Rejected):
    """The state of that height is not kept by this node; others may keep it."""


class PeerGone(Unavailable):
    """The peer closed or reset the connection."""


class Timeout(Unavailable):
    """No answer in time."""


class UpstreamDown(Unavailable):
    """A service that we depend on does not answer."""


class EngineDiffers(Fatal):
    """Two engines executed the same thing and got different results."""


class StoreCorrupt(Fatal):
    """Bytes on disk are not what we wrote."""


class StateRootDiffers(Fatal):
    """Executing a decided block gave another state root than its header says."""


class DoubleSignRefused(Fatal):
    """The sign guard was asked for a second, different signature for one height, round and step."""


class WalFailed(Fatal):
    """The write-ahead log could not be made durable."""


class BrokenInvariant(Fatal):
    """A programmer's mistake, found by `ensure`."""


def ensure(condition: object, why: str, **facts: object) -> None:
    """Raise BrokenInvariant with `why` unless `condition` holds (`assert` that -O keeps)."""
    if not condition:
        raise BrokenInvariant(why, **facts)
