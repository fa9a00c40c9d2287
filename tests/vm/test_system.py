"""System contracts, requests and credits: what a block does besides its transactions."""

from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest

from primitives.account import GenesisAccount
from primitives.errors import InvalidBlock
from primitives.ethereum import decode_public_block, header_items
from primitives.types import EMPTY_OMMERS_HASH, EMPTY_REQUESTS_HASH, Address, Hash32, Height, Wei
from tests.primitives.test_ethereum import HEADER
from tests.primitives.test_ethereum import block as public_block
from tests.vm.support import (
    ALICE,
    CONTRACT,
    ENGINE,
    ETHER,
    STORE_1,
    account,
    balance,
    context,
    execute,
    initcode,
    reverting,
    signed,
)
from vm.engine import BlockContext
from vm.forks import Fork, Rules
from vm.mining import block_reward, difficulty, rewards
from vm.pyevm.forks.system import (
    CONSOLIDATIONS,
    DEPOSIT_FIELDS,
    DEPOSIT_TOPIC,
    WITHDRAWALS,
    deposit_of,
)
from vm.requests import requests_hash
from vm.state.layered import LayeredState
from vm.state.memory import MemoryState
from vm.state.store import genesis_changes

BEACON = Address(bytes.fromhex("000f3df6d732807ef1319fb7b8bb8522d0beac02"))
HISTORY = Address(bytes.fromhex("0000f90827f1c53a10cb7a02335b175320002935"))
KEEP = bytes.fromhex("5f355f5500")
"""SSTORE slot 0 = the first word of calldata."""


def returning(data: bytes) -> bytes:
    """Code that returns `data`, at most 32 bytes."""
    word = data.ljust(32, b"\0")
    return b"\x7f" + word + b"\x5f\x52\x60" + bytes([len(data)]) + b"\x5f\xf3"


def queues(first: bytes = b"", second: bytes = b"") -> dict[Address, GenesisAccount]:
    return {
        Address(WITHDRAWALS): account(code=returning(first)),
        Address(CONSOLIDATIONS): account(code=returning(second)),
    }


def block(
    fork: Fork = Fork.PRAGUE, contract: Address | None = CONTRACT, **more: Any
) -> BlockContext:
    rules = Rules(fork, None, contract if fork >= Fork.PRAGUE else None)
    return context(rules=rules, parent_beacon_block_root=Hash32(b"\x0b" * 32), **more)


@pytest.mark.parametrize(
    ("fork", "kept"),
    [(Fork.SHANGHAI, (0, 0)), (Fork.CANCUN, (1, 0)), (Fork.PRAGUE, (1, 1)), (Fork.OSAKA, (1, 1))],
)
def test_roots_and_hashes_are_kept_from_their_forks_on(fork: Fork, kept: tuple[int, int]) -> None:
    """EIP-4788 in Cancun, EIP-2935 in Prague, and neither where the contract is missing."""
    more = {BEACON: account(code=KEEP), HISTORY: account(code=KEEP), **queues()}
    _, after = execute(more=more, block=block(fork))
    assert after.storage(BEACON, 0) == kept[0] * int.from_bytes(b"\x0b" * 32, "big")
    assert after.storage(HISTORY, 0) == kept[1] * 9
    bare, _ = execute(block=block(fork, None))
    assert not bare.changes.accounts


def test_without_system_calls_the_transactions_stand_alone() -> None:
    """As the official state tests are made: nothing before, no requests after."""
    more = {BEACON: account(code=KEEP), HISTORY: account(code=KEEP)}
    result, after = execute(more=more, block=replace(block(), system_calls=False))
    assert (after.storage(BEACON, 0), after.storage(HISTORY, 0)) == (0, 0)
    assert result.requests == ()


def test_requests_come_in_order_and_empty_ones_are_left_out() -> None:
    """EIP-7685: type byte and data; what holds no data does not count for the hash."""
    result, _ = execute(more=queues(b"w" * 20, b"c" * 7), block=block())
    assert result.requests == (b"\x01" + b"w" * 20, b"\x02" + b"c" * 7)
    result, _ = execute(more=queues(b"", b"c"), block=block())
    assert result.requests == (b"\x02c",)
    result, _ = execute(more=queues(), block=block())
    assert requests_hash(result.requests) == EMPTY_REQUESTS_HASH
    one = sha256(b"\x02c").digest()
    assert requests_hash([b"\x00", b"\x02c"]) == sha256(one).digest()


def test_our_networks_ask_no_queue() -> None:
    """Without a deposit contract there are no requests, whatever stands at the addresses."""
    result, _ = execute(more=queues(b"w"), block=block(contract=None))
    assert result.requests == ()


def test_a_queue_that_is_missing_or_fails_makes_the_block_invalid() -> None:
    """EIP-7002, EIP-7251: "if there is no code, or the call fails, the block is invalid"."""
    for broken in (
        {Address(WITHDRAWALS): account(code=returning(b""))},
        queues() | {Address(WITHDRAWALS): account(code=reverting(b""))},
        queues() | {Address(CONSOLIDATIONS): account(code=b"\xfe")},
    ):
        with pytest.raises(InvalidBlock, match="system contract"):
            execute(more=broken, block=block())


def deposit_log(fill: int = 7) -> bytes:
    words = b"".join(start.to_bytes(32, "big") for start, _ in DEPOSIT_FIELDS)
    for _, size in DEPOSIT_FIELDS:
        padded = (bytes([fill]) * size).ljust(-(-size // 32) * 32, b"\0")
        words += size.to_bytes(32, "big") + padded
    return words


def logging(data: bytes) -> bytes:
    """Code that emits the deposit event with `data`."""
    size = len(data).to_bytes(2, "big")
    head = (
        b"\x61" + size + b"\x60\x2e\x5f\x39\x7f" + DEPOSIT_TOPIC + b"\x61" + size + b"\x5f\xa1\x00"
    )
    return head.ljust(0x2E, b"\0") + data


def test_deposits_are_read_from_logs() -> None:
    """EIP-6110: 192 bytes each, in the order of the logs; other emitters do not count."""
    more = queues() | {CONTRACT: account(code=logging(deposit_log()))}
    tx = signed(to=CONTRACT, value=0, gas=200_000)
    result, _ = execute(tx, replace_nonce(tx), more=more, block=block())
    assert result.requests == (b"\x00" + b"\x07" * 192 * 2,)
    result, _ = execute(tx, more=more, block=block(contract=ALICE))
    assert result.requests == ()


def replace_nonce(tx: Any) -> Any:
    return signed(to=tx.to, value=0, gas=200_000, nonce=1)


@pytest.mark.parametrize("at", [31, 63, 159, 191, 287, 351, 415, 543])
def test_a_deposit_in_another_layout_is_refused(at: int) -> None:
    """Every offset and every length is fixed; so is the whole."""
    good = deposit_log()
    assert deposit_of(good) == b"\x07" * 192
    changed = bytearray(good)
    changed[at] ^= 1
    for wrong in (bytes(changed), good[:-1], good + b"\0", b""):
        with pytest.raises(InvalidBlock):
            deposit_of(wrong)


def test_a_malformed_deposit_makes_the_block_invalid() -> None:
    """The contract of a chain cannot emit one; another contract in its place could."""
    more = queues() | {CONTRACT: account(code=logging(deposit_log()[:-32]))}
    with pytest.raises(InvalidBlock, match="EIP-6110"):
        execute(signed(to=CONTRACT, value=0, gas=200_000), more=more, block=block())


def test_credits_are_paid_after_the_transactions() -> None:
    """Withdrawals and rewards come out of nothing; one of zero leaves no empty account behind."""
    poor, nobody = Address(b"\x70" * 20), Address(b"\x71" * 20)
    due = ((poor, Wei(5)), (poor, Wei(6)), (nobody, Wei(0)))
    result, after = execute(block=replace(context(), credits=due))
    assert balance(after, poor) == 11
    assert after.account(nobody) is None
    assert result.gas_used == 0


def test_receipts_before_byzantium_hold_a_root() -> None:
    """One per transaction, of the state after it; from Byzantium on none is asked for."""
    seen: list[int] = []

    def root_of(changes: Any) -> Hash32:
        seen.append(len(changes.accounts))
        return Hash32(bytes([len(seen)]) * 32)

    for fork, roots in (
        (Fork.SPURIOUS_DRAGON, [b"\1" * 32, b"\2" * 32]),
        (Fork.BYZANTIUM, [None] * 2),
    ):
        txs = [signed(kind=0, nonce=nonce) for nonce in range(2)]
        old = replace(context(rules=Rules(fork), base_fee=Wei(0)), root_of=root_of)
        result, _ = execute(*txs, block=old)
        assert [receipt.state_root for receipt in result.receipts] == roots
        assert [receipt.status for receipt in result.receipts] == [1, 1]


def test_the_dao_loses_its_ether_once() -> None:
    """EIP-779: what its accounts own goes to the refund contract, in that block alone."""
    child = Address(bytes.fromhex("d4fe7bc31cedb7bfb8a345f31e668033056b2728"))
    refund = Address(bytes.fromhex("bf4ed7b27f1d666546e30d74d50d173d20bca754"))
    for moves, owns in ((True, (0, 3 * ETHER)), (False, (3 * ETHER, 0))):
        rules = Rules(Fork.HOMESTEAD, moves_dao=moves)
        old = context(rules=rules, base_fee=Wei(0))
        _, after = execute(more={child: account(3 * ETHER)}, block=old)
        assert (balance(after, child), balance(after, refund)) == owns


def test_a_failed_message_to_ripemd_touches_it_for_good() -> None:
    """EIPs issue 716: an empty account 0x03 goes although the call that touched it was reverted.

    Kills: the exception left out, and one that removes an account that is not empty.
    """
    ripemd = Address(bytes(19) + b"\3")
    calling = bytes.fromhex("5f5f5f5f5f60035af1505f5ffd")
    for code, gone in ((calling, True), (STORE_1, False)):
        more = {CONTRACT: account(code=code), ripemd: account()}
        result, after = execute_keeping_empty(more, signed(to=CONTRACT, value=0, gas=200_000))
        assert (result.changes.accounts.get(ripemd, "kept") is None) == gone
        assert (after.account(ripemd) is None) == gone


def execute_keeping_empty(more: Any, tx: Any) -> Any:
    state = MemoryState()
    state.apply(genesis_changes({ALICE: account(10 * ETHER), **more}, keeps_empty=True))
    result = ENGINE.execute(state, context(), [tx], skip_invalid=False)
    return result, LayeredState(state, result.changes)


def test_rewards_and_difficulty() -> None:
    """Five, three and two ether; an ommer's finder gets eighths, its nephew a 32nd."""
    assert [
        block_reward(fork) // ETHER
        for fork in (Fork.TANGERINE_WHISTLE, Fork.BYZANTIUM, Fork.ISTANBUL)
    ] == [5, 3, 2]
    ommer = replace(HEADER, fee_recipient=ALICE, height=HEADER.height)
    found = decode_public_block(public_block([], [header_items(ommer)]))
    found = replace(found, header=replace(HEADER, height=Height(3)))
    assert rewards(found, Fork.FRONTIER) == (
        (ALICE, 5 * ETHER * 6 // 8),
        (HEADER.fee_recipient, 5 * ETHER + 5 * ETHER // 32),
    )
    parent = replace(HEADER, difficulty=2_048_000, timestamp=100)
    step = 1_000
    assert difficulty(parent, 112, Fork.FRONTIER) == 2_048_000 + step
    assert difficulty(parent, 113, Fork.FRONTIER) == 2_048_000 - step
    assert difficulty(parent, 109, Fork.HOMESTEAD) == 2_048_000 + step
    assert difficulty(parent, 130, Fork.HOMESTEAD) == 2_048_000 - 2 * step
    assert difficulty(parent, 10_000, Fork.HOMESTEAD) == 2_048_000 - 99 * step
    assert difficulty(parent, 108, Fork.BYZANTIUM) == 2_048_000 + 2 * step
    calm = replace(parent, ommers_hash=EMPTY_OMMERS_HASH)
    assert difficulty(calm, 108, Fork.BYZANTIUM) == 2_048_000 + step
    late = replace(parent, height=Height(4_369_999))
    assert difficulty(late, 130, Fork.HOMESTEAD) == 2_048_000 - 2 * step + 2**41
    assert difficulty(late, 118, Fork.BYZANTIUM) == 2_048_000 + 2**11
    assert difficulty(replace(parent, difficulty=131_072), 200, Fork.LONDON) == 131_072


def test_initcode_helper_runs() -> None:
    """The deposit log fits the code that emits it."""
    assert len(initcode(logging(deposit_log()))) < 24_576
