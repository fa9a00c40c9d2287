"""What the tests of the room share: keys, signed transactions, states, a chain with a registry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from contracts import artifact
from primitives.account import GenesisAccount
from primitives.codec import Item, encode, uint
from primitives.crypto.keccak import keccak
from primitives.crypto.secp256k1 import PrivateKey
from primitives.params import VALIDATOR_REGISTRY, ChainParams
from primitives.transaction import Authorization, Transaction, decode_transaction
from primitives.types import (
    ZERO_HASH,
    Address,
    ChainId,
    Gas,
    Hash32,
    Height,
    Nonce,
    Power,
    Wei,
)
from primitives.validators import Validator, ValidatorSet
from vm.engine import BlockContext, Execution
from vm.pyevm.engine import PyEvmEngine
from vm.state.layered import LayeredState
from vm.state.memory import MemoryState

CHAIN = ChainId(7_001)
GWEI = 10**9
ETHER = 10**18
PARAMS = ChainParams(chain_id=CHAIN, gas_limit=Gas(10_000_000))
KEYS = [PrivateKey(bytes([index]) * 32) for index in range(1, 7)]
ALICE, BOB, CAROL, DAVE = (key.address for key in KEYS[:4])
COINBASE = Address(b"\xc0" * 20)
CONTRACT = Address(b"\xcc" * 20)
NOBODY = Address(b"\x99" * 20)
ENGINE = PyEvmEngine()

BALANCE_OF = b"\x73%s\x31\x00"
"""PUSH20 address, BALANCE, STOP."""

RETURN_42 = bytes.fromhex("602a5f5260205ff3")
"""PUSH1 42, MSTORE at 0, RETURN 32 bytes."""

STORE_1 = bytes.fromhex("60015f5500")
"""SSTORE slot 0 = 1, STOP."""

LOG_ONE = bytes.fromhex("60ff5f526007602060 00a100".replace(" ", ""))
"""MSTORE(0, 255), LOG1(offset 0, size 32, topic 7)."""

REVERT_TEXT = bytes.fromhex("08c379a0") + b"".join(
    (
        (32).to_bytes(32, "big"),
        (4).to_bytes(32, "big"),
        b"nope".ljust(32, b"\0"),
    )
)


def reverting(data: bytes) -> bytes:
    """Code that reverts with `data`, which it carries at its end."""
    size = len(data).to_bytes(2, "big")
    head = b"\x61" + size + b"\x60\x0d\x5f\x39" + b"\x61" + size + b"\x5f\xfd"
    return head.ljust(13, b"\0") + data


def initcode(code: bytes) -> bytes:
    """Initcode that deploys `code`."""
    size = len(code).to_bytes(2, "big")
    head = b"\x61" + size + b"\x60\x0c\x5f\x39" + b"\x61" + size + b"\x5f\xf3"
    return head.ljust(12, b"\0") + code


def signed(key: PrivateKey = KEYS[0], **changes: Any) -> Transaction:
    """Return a signed transaction: type 2, 1 wei to Bob, changed by keyword."""
    fields: dict[str, Any] = {
        "kind": 2,
        "chain_id": CHAIN,
        "nonce": 0,
        "tip": GWEI,
        "cap": 3 * GWEI,
        "gas": 21_000,
        "to": BOB,
        "value": 1,
        "data": b"",
        "access_list": (),
        "authorizations": (),
    } | changes
    return decode_transaction(_sign(key, **fields))


def _sign(key: PrivateKey, *, kind: int, chain_id: int | None, **fields: Any) -> bytes:
    to: bytes = fields["to"] or b""
    rest: list[Item] = [uint(fields["gas"]), to, uint(fields["value"]), fields["data"]]
    nonce, cap, tip = uint(fields["nonce"]), uint(fields["cap"]), uint(fields["tip"])
    if kind == 0:
        items: list[Item] = [nonce, cap, *rest]
        domain: list[Item] = [] if chain_id is None else [uint(chain_id), b"", b""]
        signature = key.sign(keccak(encode([*items, *domain])))
        v = signature[64] + (27 if chain_id is None else 35 + 2 * chain_id)
        return encode([*items, *_signature(uint(v), signature)])
    access: Item = [
        [address, [slot.to_bytes(32, "big") for slot in slots]]
        for address, slots in fields["access_list"]
    ]
    fees = [cap] if kind == 1 else [tip, cap]
    items = [uint(chain_id or 0), nonce, *fees, *rest, access]
    if kind == 4:
        items.append([_authorization_item(each) for each in fields["authorizations"]])
    prefix = bytes([kind])
    signature = key.sign(keccak(prefix + encode(items)))
    return prefix + encode([*items, *_signature(uint(signature[64]), signature)])


def _signature(v: bytes, signature: bytes) -> list[Item]:
    return [v, signature[:32].lstrip(b"\0"), signature[32:64].lstrip(b"\0")]


def _authorization_item(each: Authorization) -> Item:
    return [
        uint(each.chain_id),
        each.address,
        uint(each.nonce),
        uint(each.y_parity),
        uint(each.r),
        uint(each.s),
    ]


def authorization(
    key: PrivateKey, target: Address, *, chain_id: int = CHAIN, nonce: int = 0
) -> Authorization:
    """Return the authority's signature to run the code of `target` (EIP-7702)."""
    digest = keccak(b"\x05" + encode([uint(chain_id), target, uint(nonce)]))
    signature = key.sign(digest)
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
    return Authorization(chain_id, target, nonce, signature[64], r, s)


def context(**changes: Any) -> BlockContext:
    """Return a block at height 10 with a base fee of 1 gwei, changed by keyword."""
    fields: dict[str, Any] = {
        "height": Height(10),
        "timestamp": 1_000,
        "coinbase": COINBASE,
        "gas_limit": Gas(10_000_000),
        "base_fee": Wei(GWEI),
        "mix_hash": ZERO_HASH,
        "chain_id": CHAIN,
        "block_hash": lambda height: Hash32(height.to_bytes(32, "big")),
    } | changes
    return BlockContext(**fields)


def account(balance: int = 0, nonce: int = 0, code: bytes = b"", **slots: int) -> GenesisAccount:
    """Return an account; slots are given as s0=..., s1=..."""
    storage = {int(name[1:]): value for name, value in slots.items()}
    return GenesisAccount(Wei(balance), Nonce(nonce), code, storage)


def world(more: Mapping[Address, GenesisAccount] | None = None) -> MemoryState:
    """Return a state in which Alice, Bob and Carol own 10 ether each."""
    rich = {who: account(10 * ETHER) for who in (ALICE, BOB, CAROL)}
    return MemoryState.of({**rich, **(more or {})})


def registry(validators: Sequence[Validator]) -> GenesisAccount:
    """Return the ValidatorRegistry predeploy with this set in its storage."""
    base = int.from_bytes(keccak(bytes(32)), "big")
    storage = {0: len(validators)}
    for index, each in enumerate(validators):
        word = int.from_bytes(each.address, "big") | each.power << 160
        storage[base + 2 * index] = word
        storage[base + 2 * index + 1] = int.from_bytes(each.pq_key_hash, "big")
    code = artifact("ValidatorRegistry").deployed_bytecode
    return GenesisAccount(code=code, storage=storage)


def validator_set(count: int = 4) -> ValidatorSet:
    """Return a set of the first `count` keys with different powers."""
    return ValidatorSet.of(
        Validator(key.address, Power(1 + index), keccak(key.address))
        for index, key in enumerate(KEYS[:count])
    )


def allocation(validators: ValidatorSet) -> dict[Address, GenesisAccount]:
    """Return a genesis: six rich accounts and the registry."""
    alloc = {key.address: account(100 * ETHER) for key in KEYS}
    alloc[VALIDATOR_REGISTRY] = registry(validators.validators)
    return alloc


def execute(
    *txs: Transaction,
    more: Mapping[Address, GenesisAccount] | None = None,
    block: BlockContext | None = None,
) -> tuple[Execution, LayeredState]:
    """Run `txs` on `world(more)`; return what happened and the state after."""
    state = world(more)
    result = ENGINE.execute(state, block or context(), txs, skip_invalid=False)
    return result, LayeredState(state, result.changes)


def balance(state: LayeredState, address: Address) -> int:
    """Return a balance in wei."""
    found = state.account(address)
    return 0 if found is None else found.balance


def contract(code: bytes) -> dict[Address, GenesisAccount]:
    """Return an allocation in which CONTRACT has this code."""
    return {CONTRACT: account(code=code)}
