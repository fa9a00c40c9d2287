"""Multi-signature accounts: weights, nonces, and every forged or repeated signature refused."""

from __future__ import annotations

from typing import Any

import pytest
from eth_abi.abi import encode

from contracts import artifact
from contracts.addresses import MULTISIG_ACCOUNT, QXC, STAKING
from primitives.crypto.keccak import keccak
from primitives.types import Address
from qenex.abi import call_data
from tests.contracts.world import (
    ALICE,
    BOB,
    CAROL,
    DAVE,
    EVE,
    KEY_OF,
    Reverted,
    World,
    hexed,
    sign,
    topped,
)

ONE = 10**18
FOREVER = 2**64


@pytest.fixture
def world() -> World:
    """An account of Alice (weight 1), Bob (1) and Carol (2), threshold 2, with QXC."""
    made = World.standard()
    topped(made, [DAVE], 1_000 * ONE)
    account = create(made, [ALICE, BOB, CAROL], [1, 1, 2], 2)
    made.send(DAVE, "QXC", "transfer", account, 500 * ONE)
    return made


def create(world: World, people: list[Address], weights: list[int], threshold: int) -> Address:
    values = (list(map(bytes, people)), weights, threshold, bytes(32))
    place = world.read("MultiSigFactory", "addressOf", *values)
    done = world.send(EVE, "MultiSigFactory", "create", *values)
    assert done.fields("AccountCreated")["account"] == place
    address = Address(bytes.fromhex(place[2:]))
    world.name("MultiSigAccount", address, "account")
    return address


def signature(digest: bytes, signers: list[Address]) -> bytes:
    ordered = sorted(signers, key=keccak)
    raws = [sign(KEY_OF[each], digest) for each in ordered]
    return encode(["bytes[]", "bytes[]"], [list(map(bytes, ordered)), raws])


def pay(value: int) -> tuple[Any, ...]:
    return (QXC, 0, call_data("QXC", "transfer", (EVE, value)))


def execute(
    world: World, calls: list[tuple[Any, ...]], signers: list[Address], deadline: int = FOREVER
) -> Any:
    digest = world.read("account", "operationHash", calls, deadline)
    raw = signature(digest, signers)
    return world.send(EVE, "account", "execute", calls, deadline, raw)


def test_enough_weight(world: World) -> None:
    """Two light signers, or the heavy one; whoever submits is nobody."""
    for signers in ([ALICE, BOB], [CAROL], [ALICE, CAROL]):
        done = execute(world, [pay(10), pay(20)], signers)
        assert done.names()[-1] == "Executed"
    assert world.qxc(EVE) == 90
    assert world.read("account", "nonce") == 3


def test_too_little_weight(world: World) -> None:
    """One light signer, a stranger, or one signer twice do not suffice. Kills: counting a
    repeated signer."""
    for signers in ([ALICE], [EVE, CAROL], [ALICE, ALICE], []):
        with pytest.raises(Reverted, match="NotSigned"):
            execute(world, [pay(1)], signers)


def test_what_is_signed(world: World) -> None:
    """Calls, nonce, deadline, chain and account are all signed."""
    calls, other = [pay(1)], [pay(2)]
    digest = world.read("account", "operationHash", calls, FOREVER)
    raw = signature(digest, [CAROL])
    with pytest.raises(Reverted, match="NotSigned"):
        world.send(EVE, "account", "execute", other, FOREVER, raw)
    with pytest.raises(Reverted, match="NotSigned"):
        world.send(EVE, "account", "execute", calls, FOREVER + 1, raw)
    world.send(EVE, "account", "execute", calls, FOREVER, raw)
    with pytest.raises(Reverted, match="NotSigned"):
        world.send(EVE, "account", "execute", calls, FOREVER, raw)
    first = world.places["account"]
    create(world, [CAROL], [2], 2)
    assert world.places["account"] != first
    with pytest.raises(Reverted, match="NotSigned"):
        world.send(EVE, "account", "execute", calls, FOREVER, raw)


def test_the_hash_is_eip712(world: World) -> None:
    """What wallets sign: the typed data of EIP-712, with this chain and this account."""
    calls = [pay(1)]
    one = b"Call(address target,uint256 value,bytes data)"
    kind = b"Execute(Call[] calls,uint256 nonce,uint256 deadline)" + one
    row = encode(
        ["bytes32", "address", "uint256", "bytes32"], [keccak(one), QXC, 0, keccak(calls[0][2])]
    )
    struct = encode(
        ["bytes32", "bytes32", "uint256", "uint256"], [keccak(kind), keccak(keccak(row)), 0, 9]
    )
    domain = b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
    facts = [keccak(domain), keccak(b"QENEX MultiSig"), keccak(b"1"), 20_260]
    kinds = ["bytes32", "bytes32", "bytes32", "uint256", "address"]
    separator = keccak(encode(kinds, [*facts, world.places["account"]]))
    digest = keccak(b"\x19\x01" + separator + keccak(struct))
    assert world.read("account", "operationHash", calls, 9) == digest


def test_all_or_nothing(world: World) -> None:
    """One failing call undoes the others, with its own error, and the nonce is not used."""
    with pytest.raises(Reverted, match="ERC20InsufficientBalance"):
        execute(world, [pay(1), pay(501 * ONE)], [CAROL])
    assert world.qxc(EVE) == world.read("account", "nonce") == 0


def test_bounds(world: World) -> None:
    """No empty and no endless operation, none after its deadline."""
    for count in (0, 65):
        with pytest.raises(Reverted, match="BadCount"):
            execute(world, [pay(0)] * count, [CAROL])
    with pytest.raises(Reverted, match="Expired"):
        execute(world, [pay(0)], [CAROL], world.now - 1)
    execute(world, [pay(0)], [CAROL], world.now)


def own(world: World, function: str, *values: Any) -> list[tuple[Any, ...]]:
    return [(world.places["account"], 0, call_data("MultiSigAccount", function, values))]


def test_signers_change_by_own_operations(world: World) -> None:
    """Only the account itself adds, removes and weighs signers and sets the threshold."""
    for function, values in (
        ("addSigners", ([bytes(DAVE)], [1])),
        ("removeSigners", ([bytes(ALICE)],)),
        ("setSignerWeights", ([bytes(ALICE)], [5])),
        ("setThreshold", (1,)),
    ):
        with pytest.raises(Reverted, match="OnlySelf"):
            world.send(CAROL, "account", function, *values)
    execute(world, own(world, "addSigners", [bytes(DAVE)], [2]), [CAROL])
    execute(world, own(world, "removeSigners", [bytes(CAROL)]), [DAVE])
    with pytest.raises(Reverted, match="NotSigned"):
        execute(world, [pay(1)], [CAROL])
    with pytest.raises(Reverted, match="UnreachableThreshold"):
        execute(world, own(world, "setThreshold", 5), [DAVE])
    execute(world, own(world, "setSignerWeights", [bytes(DAVE)], [1]), [DAVE])
    with pytest.raises(Reverted, match="NotSigned"):
        execute(world, [pay(1)], [DAVE])
    execute(world, own(world, "setThreshold", 3), [DAVE, ALICE])
    assert world.read("account", "totalWeight") == world.read("account", "threshold") == 3


def test_initialized_once(world: World) -> None:
    """Neither a clone nor the implementation can be taken over, and an account has signers."""
    world.name("MultiSigAccount", MULTISIG_ACCOUNT, "implementation")
    for place in ("account", "implementation"):
        with pytest.raises(Reverted, match="AlreadyInitialized"):
            world.send(EVE, place, "initialize", [bytes(EVE)], [1], 1)
    assert world.read("implementation", "isSigner", bytes(EVE)) is False
    for people, weights, threshold, error in (
        ([], [], 1, "BadCount"),
        ([bytes(EVE)], [1], 0, "ZeroThreshold"),
        ([bytes(EVE)], [1], 2, "UnreachableThreshold"),
        ([bytes(EVE)], [0], 1, "InvalidWeight"),
        ([bytes(EVE), bytes(EVE)], [1, 1], 1, "AlreadyExists"),
        ([b"short"], [1], 1, "InvalidSigner"),
        ([bytes([i]) * 20 for i in range(33)], [1] * 33, 1, "BadCount"),
    ):
        with pytest.raises(Reverted, match=error):
            world.send(EVE, "MultiSigFactory", "create", people, weights, threshold, bytes(32))


def test_no_delegatecall() -> None:
    """The account's own code holds no DELEGATECALL that an operation could reach: the ABI names
    plain calls alone, and a signer that is a verifier is asked by STATICCALL."""
    names = {each["name"] for each in artifact("MultiSigAccount").abi if each["type"] == "function"}
    assert not {each for each in names if "delegate" in each.lower() or "module" in each.lower()}
    code, at, opcodes = artifact("MultiSigAccount").deployed_bytecode, 0, set()
    while at < len(code):
        opcodes.add(code[at])
        at += 1 + max(0, code[at] - 0x5F) * (0x60 <= code[at] <= 0x7F)
    assert 0xF4 not in opcodes
    assert 0xF2 not in opcodes


def test_a_verifier_signs(world: World) -> None:
    """A signer may be a verifier contract and a key (ERC-7913), as post-quantum ones will be."""
    verifier = world.weak("KeccakVerifier")
    secret = b"one-time secret of a hash lock, 32"
    signer = bytes(verifier) + bytes(keccak(secret))
    values = ([signer], [1], 1, bytes(32))
    place = world.read("MultiSigFactory", "addressOf", *values)
    world.send(EVE, "MultiSigFactory", "create", *values)
    world.name("MultiSigAccount", Address(bytes.fromhex(place[2:])), "account")
    calls = [(STAKING, 0, call_data("Staking", "clock", ()))]
    bad, good = (encode(["bytes[]", "bytes[]"], [[signer], [each]]) for each in (b"no", secret))
    with pytest.raises(Reverted, match="NotSigned"):
        world.send(EVE, "account", "execute", calls, FOREVER, bad)
    world.send(EVE, "account", "execute", calls, FOREVER, good)


def test_coins(world: World) -> None:
    """The account receives and sends native coins."""
    account = world.places["account"]
    world.raw(DAVE, account, b"", 5)
    before = world.balance(EVE)
    execute(world, [(EVE, 5, b"")], [CAROL])
    assert (world.balance(account), world.balance(EVE) - before) == (0, 5)
    assert hexed(account)
