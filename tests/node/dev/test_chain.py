"""Mining, going back, editing by hand and sending without a key, through JSON-RPC.

Planted bugs that these kill: `DevChain.revert` keeps the pool as it is; an edit writes no old
values, so that earlier heights change with it; `DevView.block` believes no marks once the cache is
cold; `_take` checks an impersonated contract as if it could not send.
"""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.blockstore import BlockStore
from node.dev.view import DevView
from primitives.types import Address
from tests.node.dev.support import (
    ALICE,
    BOB,
    KEYS,
    NOBODY,
    RETURNS_42,
    REVERTS,
    START,
    Bench,
    bench,
)
from tests.node.rpc.harness import sign, to_hex

ETHER = 10**18


def test_each_transaction_is_mined_when_its_sending_returns(dev: Bench) -> None:
    """Raw or of an unlocked account: the receipt is there at once, in a block of its own."""
    first = dev.send(value="0x1")
    second = dev.call("eth_sendRawTransaction", to_hex(sign(KEYS[1], 0, chainId=31_337)))
    heights = [
        dev.call("eth_getTransactionReceipt", each)["blockNumber"] for each in (first, second)
    ]
    assert heights == ["0x1", "0x2"]


def test_blocks_have_certificates_of_the_validator(dev: Bench) -> None:
    """A block of a developer chain is proved like any other."""
    dev.call("evm_mine")
    proof = dev.call("qenex_getCertificate", "latest")
    assert proof["blockHash"] == dev.block()["hash"]
    assert len(proof["signatures"]) == 1


def test_without_automine_transactions_wait(dev: Bench) -> None:
    """They wait in the pool until a block is asked for, which then holds them in order."""
    dev.call("evm_setAutomine", False)
    assert dev.call("hardhat_getAutomine") is False
    sent = [dev.send(value="0x1") for _ in range(3)]
    assert dev.call("txpool_status")["pending"] == "0x3"
    assert dev.call("eth_getTransactionCount", ALICE, "pending") == "0x3"
    dev.call("evm_mine")
    assert [each["hash"] for each in dev.block()["transactions"]] == sent


def test_gap_waits_for_what_fills_it(dev: Bench) -> None:
    """With a nonce too high nothing is mined; the missing one brings both in."""
    dev.send(nonce="0x1")
    assert dev.height() == 0
    dev.send(nonce="0x0")
    assert len(dev.block()["transactions"]) == 2


def test_fee_below_the_next_base_fee_is_refused(dev: Bench) -> None:
    """Mining at once, it would wait for ever without a word."""
    code, message = dev.error(
        "eth_sendTransaction", {"from": ALICE, "to": BOB, "maxFeePerGas": "0x1"}
    )
    assert code == -32000
    assert message.startswith("max fee per gas less than block base fee")


def test_revert_is_an_answer_with_its_data(dev: Bench) -> None:
    """Refused when gas is to be estimated; with gas it is mined and answered by the error."""
    assert dev.error("eth_sendTransaction", {"from": ALICE, "data": REVERTS})[0] == 3
    assert dev.height() == 0
    with_gas = {"from": ALICE, "data": REVERTS, "gas": "0x186a0"}
    answer = dev.rpc.ask("eth_sendTransaction", with_gas)
    assert answer["error"] == {"code": 3, "message": "execution reverted", "data": "0x"}
    (mined,) = dev.block()["transactions"]
    assert dev.call("eth_getTransactionReceipt", mined["hash"])["status"] == "0x0"


def test_revert_brings_everything_back(dev: Bench) -> None:
    """Height, state, pool, time and fee recipient are those of the snapshot."""
    dev.send(value="0x1")
    dev.call("evm_setAutomine", False)
    waiting = dev.send(value="0x2")
    before = dev.block()
    balance = dev.balance(BOB)
    name = dev.call("evm_snapshot")
    dev.call("hardhat_setBalance", BOB, "0x0")
    dev.call("hardhat_setCoinbase", NOBODY)
    dev.call("evm_increaseTime", 1_000)
    dev.call("hardhat_mine", "0x5")
    later = dev.call("evm_snapshot")
    assert dev.block()["miner"] == NOBODY
    assert dev.call("evm_revert", name) is True
    assert dev.block() == before
    assert dev.balance(BOB) == balance
    assert dev.call("txpool_status")["pending"] == "0x1"
    assert dev.call("evm_revert", later) is False
    assert dev.call("evm_revert", name) is False
    dev.call("evm_mine")
    after = dev.block()
    assert [each["hash"] for each in after["transactions"]] == [waiting]
    assert after["miner"] != NOBODY
    assert int(after["timestamp"], 16) < START + 100


@settings(max_examples=12, deadline=None)
@given(steps=st.lists(st.sampled_from(["send", "mine", "edit", "snapshot", "revert"]), max_size=14))
def test_going_back_is_going_back(steps: list[str]) -> None:
    """Whatever happened, a revert gives the very head, root and balances of its snapshot."""
    with bench() as dev:
        known: list[tuple[str, object]] = []

        def now() -> object:
            head = dev.chain.view()
            prover = head.prover_at(head.height)
            return head.head_hash, head.height, dev.balance(BOB), prover.prove(KEYS[1].address, ())

        for step in steps:
            if step == "send":
                dev.send(value="0x1")
            elif step == "mine":
                dev.call("evm_mine")
            elif step == "edit":
                dev.call("hardhat_setBalance", BOB, hex(dev.balance(BOB) + 7))
            elif step == "snapshot":
                known.append((dev.call("evm_snapshot"), now()))
            elif known:
                name, then = known.pop()
                assert dev.call("evm_revert", name) is True
                assert now() == then


def test_edits_change_the_newest_height_alone(dev: Bench) -> None:
    """Balance, nonce, code and storage are there at once, and stay; heights before keep theirs."""
    for _ in range(2):
        dev.call("evm_mine")
    dev.call("hardhat_setBalance", NOBODY, "0x5")
    dev.call("anvil_setNonce", NOBODY, 9)
    dev.call("hardhat_setCode", NOBODY, "0x" + RETURNS_42)
    dev.call("anvil_setStorageAt", NOBODY, "0x1", "0x" + "07".zfill(64))
    dev.call("evm_mine")
    for block in ("0x2", "latest"):
        assert dev.balance(NOBODY, block) == 5
        assert dev.call("eth_getTransactionCount", NOBODY, block) == "0x9"
        assert int(dev.call("eth_call", {"to": NOBODY}, block), 16) == 42
        assert int(dev.call("eth_getStorageAt", NOBODY, "0x1", block), 16) == 7
    assert dev.balance(NOBODY, "0x1") == 0
    assert dev.call("eth_getCode", NOBODY, "0x1") == "0x"
    assert int(dev.call("eth_getStorageAt", NOBODY, "0x1", "0x1"), 16) == 0


def test_edited_state_is_proved_and_built_upon(dev: Bench) -> None:
    """The proof is of the state as it is; the next header has its root."""
    dev.call("evm_mine")
    dev.call("hardhat_setBalance", NOBODY, "0x5")
    edited = dev.chain.view()
    assert (
        edited.prover_at(edited.height).prove(Address(bytes.fromhex(NOBODY[2:])), ()).account
        is not None
    )
    proof = dev.call("eth_getProof", NOBODY, [], "latest")
    assert proof["balance"] == "0x5"
    dev.call("evm_mine")
    assert dev.call("eth_getProof", NOBODY, [], "latest")["balance"] == "0x5"
    assert BlockStore.open(dev.store, dev.chain.view().genesis_hash).view().height == 2


def test_nonce_is_never_lowered(dev: Bench) -> None:
    """A lower nonce would make transactions with the hashes of old ones."""
    dev.send()
    code, message = dev.error("hardhat_setNonce", ALICE, "0x0")
    assert (code, "must not be smaller" in message) == (-32602, True)


def test_impersonated_contract_sends(dev: Bench) -> None:
    """An account with code and no key sends, and its block reads the same from a cold store."""
    dev.call("hardhat_setCode", NOBODY, "0x" + RETURNS_42)
    dev.call("hardhat_setBalance", NOBODY, hex(ETHER))
    wanted = {"from": NOBODY, "to": BOB, "value": "0x3"}
    assert "unknown account" in dev.error("eth_sendTransaction", wanted)[1]
    dev.call("hardhat_impersonateAccount", NOBODY)
    sent = dev.call("eth_sendTransaction", wanted)
    assert dev.call("eth_getTransactionReceipt", sent)["status"] == "0x1"
    cold = DevView.of(BlockStore(dev.store).view()).block(1)
    assert cold is not None
    assert cold.transactions == dev.chain.view().block(1).transactions  # type: ignore[union-attr]
    raw = to_hex(cold.transactions[0].raw)
    assert "invalid sender" in dev.error("eth_sendRawTransaction", raw)[1]
    assert dev.call("hardhat_stopImpersonatingAccount", NOBODY) is True
    assert "unknown account" in dev.error("eth_sendTransaction", wanted)[1]
    dev.call("anvil_autoImpersonateAccount", True)
    dev.call("eth_sendTransaction", wanted)


def test_reset_begins_again(dev: Bench) -> None:
    """Only the genesis block is left; forking is refused in words."""
    first = dev.block("0x0")["hash"]
    dev.send()
    dev.call("evm_snapshot")
    dev.call("hardhat_reset")
    assert dev.height() == 0
    assert dev.block()["hash"] == first
    assert dev.balance(ALICE) == 10_000 * ETHER
    assert dev.error("hardhat_reset", {"forking": {"jsonRpcUrl": "http://x"}})[0] == -32602


def test_filters_follow_the_chain_back(dev: Bench) -> None:
    """A filter shows the blocks that come after a revert, although their heights were seen."""
    name = dev.call("evm_snapshot")
    blocks = dev.call("eth_newBlockFilter")
    dev.call("hardhat_mine", "0x3")
    assert len(dev.call("eth_getFilterChanges", blocks)) == 3
    dev.call("evm_revert", name)
    dev.call("evm_mine")
    assert dev.call("eth_getFilterChanges", blocks) == [dev.block()["hash"]]


@pytest.mark.parametrize("count", [0, 1, 300])
def test_many_blocks(dev: Bench, count: int) -> None:
    """hardhat_mine makes as many as it is asked for, at the interval that it is given."""
    dev.call("hardhat_mine", hex(count), "0xc")
    assert dev.height() == count
    if count > 1:
        times = [int(dev.block(hex(n))["timestamp"], 16) for n in range(1, count + 1)]
        assert {b - a for a, b in pairwise(times)} == {12}
