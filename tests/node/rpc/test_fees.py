"""Fee suggestions agree with each other and get transactions into blocks, with gas or without."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from node.rpc.settings import RpcSettings
from primitives.params import ChainParams
from primitives.types import ChainId, Wei
from tests.node.rpc.devchain import DevChain, funded_keys, gas_free_params
from tests.node.rpc.harness import GWEI, Rpc, sign, to_hex

OWNER = funded_keys(1)[0]


def _number(rpc: Rpc, method: str, *params: object) -> int:
    return int(rpc.call(method, *params), 16)


@pytest.fixture
def free() -> Iterator[Rpc]:
    """A chain on which gas costs nothing."""
    made = Rpc(DevChain(params=gas_free_params()))
    yield made
    made.close()


def test_a_gas_free_chain_suggests_zero_everywhere(free: Rpc) -> None:
    """gasPrice, tip, base fee and history are all zero, and such transactions are taken."""
    for nonce in range(3):
        assert _number(free, "eth_gasPrice") == 0
        assert _number(free, "eth_maxPriorityFeePerGas") == 0
        assert _number(free, "eth_baseFee") == 0
        raw = sign(OWNER, nonce, maxFeePerGas=0, maxPriorityFeePerGas=0)
        free.call("eth_sendRawTransaction", to_hex(raw))
        assert _number(free, "eth_blockNumber") == nonce + 1
    history = free.call("eth_feeHistory", "0x4", "latest", [50])
    assert history["baseFeePerGas"] == ["0x0"] * 5
    assert history["reward"] == [["0x0"]] * 4
    assert free.call("eth_getBlockByNumber", "latest")["baseFeePerGas"] == "0x0"


def test_suggestions_agree(rpc: Rpc) -> None:
    """gasPrice covers the next base fee and the tip; history ends with the next base fee."""
    for nonce in range(4):
        tip = _number(rpc, "eth_maxPriorityFeePerGas")
        price = _number(rpc, "eth_gasPrice")
        following = _number(rpc, "eth_baseFee")
        history = rpc.call("eth_feeHistory", "0x1", "latest", [])
        assert int(history["baseFeePerGas"][-1], 16) == following
        assert price >= following + tip
        raw = sign(OWNER, nonce, gasPrice=price)
        rpc.call("eth_sendRawTransaction", to_hex(raw))
        block = rpc.call("eth_getBlockByNumber", "latest")
        assert int(block["baseFeePerGas"], 16) == following
        assert len(block["transactions"]) == 1


def test_without_transactions_the_tip_is_at_most_the_base_fee() -> None:
    """A quiet chain suggests the next base fee as tip, at most one gwei, at least the minimum."""
    cases = [(7, 0, 7), (GWEI // 2, 0, None), (100 * GWEI, 0, GWEI), (7, 50, 50)]
    for base, least, expected in cases:
        params = ChainParams(ChainId(20_260), base_fee_min=Wei(7), base_fee_initial=Wei(base))
        rpc = Rpc(DevChain(params=params), RpcSettings(tip_min_wei=least))
        tip = _number(rpc, "eth_maxPriorityFeePerGas")
        assert tip == (_number(rpc, "eth_baseFee") if expected is None else expected)
        rpc.close()


def test_the_tip_is_the_median_of_recent_ones(rpc: Rpc) -> None:
    """The suggestion follows what recent transactions paid beyond the base fee."""
    for nonce, tip in enumerate((5, 9, 7)):
        raw = sign(OWNER, nonce, maxPriorityFeePerGas=tip * 10**6)
        rpc.call("eth_sendRawTransaction", to_hex(raw))
    assert _number(rpc, "eth_maxPriorityFeePerGas") == 7 * 10**6


def test_rewards_are_weighted_by_gas(rpc: Rpc) -> None:
    """A percentile's reward is the tip at that share of the block's gas, cheapest first."""
    rpc.chain.automine = False
    for nonce, tip in enumerate((30, 20, 10)):
        gas = {"data": "0x" + "ff" * 3_000, "gas": 200_000} if tip == 10 else {}
        raw = sign(OWNER, nonce, maxPriorityFeePerGas=tip, **gas)
        rpc.call("eth_sendRawTransaction", to_hex(raw))
    rpc.chain.mine()
    history = rpc.call("eth_feeHistory", 1, "latest", [0, 50, 90, 100])
    assert history["reward"] == [["0xa", "0xa", "0x1e", "0x1e"]]
    assert history["oldestBlock"] == "0x1"
    assert 0 < history["gasUsedRatio"][0] < 1


def test_fee_history_counts_and_refuses(rpc: Rpc) -> None:
    """More blocks than exist are cut; the future and wild percentiles are refused as by geth."""
    rpc.chain.mine()
    for count in ("0x3ff", "1023", 1023, 2**64 - 1):
        history = rpc.call("eth_feeHistory", count, "0x1", None)
        assert history["oldestBlock"] == "0x0"
        assert len(history["gasUsedRatio"]) == 2
        assert len(history["baseFeePerGas"]) == 3
        assert "reward" not in history
    assert rpc.call("eth_feeHistory", "0x0", "latest", [])["gasUsedRatio"] == []
    assert rpc.error("eth_feeHistory", "0x1", "0x5", []) == (
        -32000,
        "request beyond head block: requested 5, head 1",
    )
    for wrong in ([101], [-1], [50, 50], [60, 50]):
        code, message = rpc.error("eth_feeHistory", "0x1", "latest", wrong)
        assert code == -32000
        assert message.startswith("invalid reward percentile")
    for wrong_type in ("50", [True], ["50"], list(range(101))):
        assert rpc.error("eth_feeHistory", "0x1", "latest", wrong_type)[0] == -32602
    for wrong_count in ("x", "-1", -1, 2**64, True, 1.5, "1" * 30):
        assert rpc.error("eth_feeHistory", wrong_count, "latest", [])[0] == -32602
