"""Account permissions: nodes read what the contract says, in pool and blocks, from the next on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from contracts import artifact
from genesis.predeploys import Permissions, permissions_account, registry_account
from node.pool import Pool, PoolLimits
from primitives.account import GenesisAccount
from primitives.block import Block
from primitives.codec import Item, uint
from primitives.codec import encode as encode_rlp
from primitives.crypto.keccak import keccak
from primitives.crypto.secp256k1 import PrivateKey
from primitives.errors import InvalidTransaction, SenderNotPermitted
from primitives.keyvalue import MemoryStore
from primitives.params import ACCOUNT_PERMISSIONS, DEPLOYMENT_PROXY, ChainParams
from primitives.transaction import Transaction, decode_transaction
from primitives.types import WEI_ZERO, Address, ChainId, Gas, Hash32, Nonce
from primitives.validators import Validator, ValidatorSet
from tests.contracts.world import ALICE, BOB, CAROL, DAVE, EVE, KEYS, Reverted, World
from vm.blocks import BlockExecutor, Executed, Refused
from vm.permissions import HEAD_SLOT, RIGHTS_SLOT, account_rules
from vm.pyevm.engine import PyEvmEngine

PARAMS = ChainParams(ChainId(1), account_permissions=True)


def world(rights: Permissions) -> World:
    made = World({ACCOUNT_PERMISSIONS: permissions_account(rights), DAVE: GenesisAccount()})
    made.name("AccountPermissions", ACCOUNT_PERMISSIONS)
    return made


def tx(sender: Address, to: Address | None = EVE) -> Transaction:
    gas, price = Gas(21_000), WEI_ZERO
    fields = (0, ChainId(1), Nonce(0), price, price, gas, to, WEI_ZERO, b"", (), ())
    return Transaction(*fields, 0, 1, 1, sender, Hash32(bytes(32)), b"\xc0")


def may(made: World, sender: Address, to: Address | None = EVE) -> bool:
    rules = account_rules(made.state, PARAMS)
    if rules is None:
        return True
    refused: list[tuple[Transaction, InvalidTransaction]] = []
    passed = list(rules.permitted([tx(sender, to)], refused))
    assert len(passed) + len(refused) == 1
    return bool(passed)


def test_slots_are_the_compilers() -> None:
    """The node reads the slots that the compiler gave. Kills: a variable put before others."""
    layout = artifact("AccountPermissions").storage_layout["storage"]
    place = {each["label"]: (int(each["slot"]), each["offset"]) for each in layout}
    assert place["manager"] == (HEAD_SLOT, 0)
    assert (place["sendersLimited"], place["deployersLimited"]) == ((0, 20), (0, 21))
    assert place["_rights"] == (RIGHTS_SLOT, 0)


def test_off_by_default() -> None:
    """Without limits, and in networks that did not turn it on, everybody may."""
    made = world(Permissions(manager=DAVE))
    assert may(made, EVE)
    assert may(made, EVE, None)
    limited = world(Permissions(DAVE, limits_senders=True, senders=(ALICE,)))
    assert account_rules(limited.state, replace(PARAMS, account_permissions=False)) is None


@pytest.mark.parametrize("by_contract", [True, False])
def test_node_and_contract_agree(*, by_contract: bool) -> None:
    """Rights written by genesis and rights given by the manager are read alike."""
    if by_contract:
        made = world(Permissions(manager=DAVE))
        made.send(DAVE, "AccountPermissions", "setPermissions", ALICE, True, False)
        made.send(DAVE, "AccountPermissions", "setPermissions", BOB, True, True)
        made.send(DAVE, "AccountPermissions", "setPermissions", CAROL, False, True)
        made.send(DAVE, "AccountPermissions", "setLimits", True, True)
    else:
        made = world(Permissions(DAVE, True, True, (ALICE, BOB), (BOB, CAROL)))
    assert made.read("AccountPermissions", "senderCount") == 2
    expected = {ALICE: (True, False), BOB: (True, True), CAROL: (False, True), EVE: (False, False)}
    for who, (send, deploy) in expected.items():
        assert made.read("AccountPermissions", "permissionsOf", who) == (send, deploy)
        assert made.read("AccountPermissions", "maySend", who) is send is may(made, who)
        assert made.read("AccountPermissions", "mayDeploy", who) is deploy
        assert may(made, who, None) is may(made, who, DEPLOYMENT_PROXY) is (send and deploy)


def test_only_deployers_limited() -> None:
    """With one limit the other right is not asked."""
    made = world(Permissions(DAVE, limits_deployers=True, deployers=(BOB,)))
    assert may(made, EVE)
    assert may(made, BOB, None)
    assert not may(made, EVE, None)
    rules = account_rules(made.state, PARAMS)
    assert rules is not None
    with pytest.raises(SenderNotPermitted, match="may not deploy contracts"):
        rules.check(tx(EVE, None))


def test_the_network_is_never_locked() -> None:
    """The last sender stays while senders are limited. Kills: a count that forgets repeats."""
    made = world(Permissions(manager=DAVE))
    with pytest.raises(Reverted, match="LastSender"):
        made.send(DAVE, "AccountPermissions", "setLimits", True, False)
    for _ in range(2):
        made.send(DAVE, "AccountPermissions", "setPermissions", ALICE, True, False)
    made.send(DAVE, "AccountPermissions", "setLimits", True, False)
    with pytest.raises(Reverted, match="LastSender"):
        made.send(DAVE, "AccountPermissions", "setPermissions", ALICE, False, False)
    made.send(DAVE, "AccountPermissions", "setPermissions", BOB, True, False)
    made.send(DAVE, "AccountPermissions", "setPermissions", ALICE, False, False)
    assert not may(made, ALICE)


def limited() -> tuple[BlockExecutor, MemoryStore, Executed, BlockExecutor]:
    """Return a chain whose first block limits senders to Alice, and one without the limit."""
    params = ChainParams(ChainId(1), account_permissions=True, base_fee_initial=WEI_ZERO)
    rights = Permissions(DAVE, True, True, (KEYS[1].address, KEYS[2].address), (KEYS[2].address,))
    members = ValidatorSet.of([Validator(DAVE)])
    alloc = {
        ACCOUNT_PERMISSIONS: permissions_account(rights),
        params.validator_registry: registry_account(members),
    }
    free = replace(params, account_permissions=False)
    here, there = BlockExecutor(PyEvmEngine(), params), BlockExecutor(PyEvmEngine(), free)
    first, store = here.genesis(alloc, timestamp=1), MemoryStore()
    store.write(first.update.writes, sync=False)
    return here, store, first, there


def signed(key: PrivateKey, to: Address | None = EVE) -> Transaction:
    gas = 60_000
    items: list[Item] = [uint(0), uint(0), uint(gas), b"" if to is None else bytes(to), uint(0)]
    digest = keccak(encode_rlp([*items, b"", uint(1), b"", b""]))
    raw = key.sign(digest)
    parts = (raw[64] + 37, *(int.from_bytes(raw[i : i + 32], "big") for i in (0, 32)))
    return decode_transaction(encode_rlp([*items, b"", *map(uint, parts)]))


def test_blocks_hold_to_it() -> None:
    """A proposer leaves out what is not permitted, and a validator refuses a block with it.

    Kills: asking in the pool alone, which a proposer of bad will does not have to use.
    """
    here, store, first, there = limited()
    wanted = [signed(KEYS[1]), signed(KEYS[2], None), signed(KEYS[3])]
    denied = wanted[2]

    def build(executor: BlockExecutor) -> tuple[Executed, Refused]:
        return executor.build(
            store,
            first.block.header,
            validators=first.validators,
            fee_recipient=DAVE,
            timestamp=2,
            transactions=wanted,
            block_hash=lambda _: None,
        )

    made, refused = build(here)
    assert made.block.transactions == tuple(wanted[:2])
    assert [(each, type(error)) for each, error in refused] == [(denied, SenderNotPermitted)]
    bad, _ = build(there)
    assert len(bad.block.transactions) == 3

    def execute(block: Block) -> Block:
        return here.execute(
            store,
            first.block.header,
            block,
            validators=first.validators,
            now=None,
            block_hash=lambda _: None,
        ).block

    assert execute(made.block) == made.block
    with pytest.raises(SenderNotPermitted, match="may not send"):
        execute(bad.block)


def test_the_pool_holds_to_it() -> None:
    """What no block may hold is told to its sender at once."""
    made = world(Permissions(DAVE, limits_senders=True, senders=(KEYS[1].address,)))
    pool = Pool(PoolLimits(), PARAMS, lambda: 0.0)
    pool.add(signed(KEYS[1]), made.state, WEI_ZERO)
    with pytest.raises(SenderNotPermitted, match="ask its operators"):
        pool.add(signed(KEYS[3]), made.state, WEI_ZERO)


def test_only_the_manager() -> None:
    """Rights, limits and the management itself are the manager's."""
    made = world(Permissions(manager=DAVE))
    for function, values in (
        ("setPermissions", (EVE, True, True)),
        ("setLimits", (False, False)),
        ("setManager", (EVE,)),
    ):
        with pytest.raises(Reverted, match="NotManager"):
            made.send(EVE, "AccountPermissions", function, *values)
    made.send(DAVE, "AccountPermissions", "setManager", EVE)
    made.send(EVE, "AccountPermissions", "setPermissions", EVE, True, True)
