"""Logs are found exactly, by any mixture of addresses, topics and blocks, and by polling."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.rpc.arguments import FilterObject
from node.rpc.logs import bloom_check, is_match
from node.rpc.settings import RpcSettings
from primitives.crypto.keccak import keccak
from primitives.receipt import Log, bloom_of
from primitives.types import Address, Hash32
from tests.node.rpc.devchain import DevChain, funded_keys
from tests.node.rpc.harness import Rpc, sign, to_hex
from tests.node.rpc.test_methods import (
    OWNER,
    SECOND,
    SECOND_TEXT,
    TRANSFER_TOPIC,
    deploy,
    send,
    transfer_data,
)


def _topic(address: str) -> str:
    return "0x" + "00" * 12 + address[2:]


class Coins:
    """A chain with two tokens; tokens[i] emitted `values[i]` in one transfer per block."""

    def __init__(self, rpc: Rpc) -> None:
        self.rpc = rpc
        self.first = deploy(rpc)
        self.nonce = 1

    def transfer(self, value: int) -> str:
        """Transfer once to the second account."""
        data = transfer_data(SECOND.address, value)
        raw = sign(OWNER, self.nonce, to=self.first, data=data, gas=90_000)
        self.nonce += 1
        return send(self.rpc, raw)

    def values(self, logs: list[dict[str, Any]]) -> list[int]:
        """Return the transferred values of the logs."""
        return [int(each["data"], 16) for each in logs]


@pytest.fixture
def coins(rpc: Rpc) -> Coins:
    """A token at height 1 and transfers of 1, 2 and 3 at heights 2, 3 and 4."""
    made = Coins(rpc)
    for value in (1, 2, 3):
        made.transfer(value)
    return made


def test_logs_by_range_address_and_topics(coins: Coins) -> None:
    """Ranges are inclusive; address lists and topic alternatives match any of their members."""

    def found(**wanted: object) -> list[int]:
        return coins.values(coins.rpc.call("eth_getLogs", wanted))

    assert found() == [3]
    assert found(fromBlock="earliest", toBlock="latest")[1:] == [1, 2, 3]
    assert found(fromBlock="0x2", toBlock="0x3") == [1, 2]
    assert found(fromBlock="0x2", address=coins.first) == [1, 2, 3]
    assert found(fromBlock="0x2", address=[SECOND_TEXT, coins.first]) == [1, 2, 3]
    assert found(fromBlock="0x2", address=SECOND_TEXT) == []
    assert found(fromBlock="0x2", topics=[TRANSFER_TOPIC]) == [1, 2, 3]
    assert found(fromBlock="0x2", topics=[None, None, _topic(SECOND_TEXT)]) == [1, 2, 3]
    assert found(fromBlock="0x0", topics=[[], [], [_topic(coins.first)]]) == []
    assert found(fromBlock="0x2", topics=[["0x" + "00" * 32, TRANSFER_TOPIC]]) == [1, 2, 3]
    assert found(fromBlock="0x2", topics=[None, None, None, None]) == []
    block = coins.rpc.call("eth_getBlockByNumber", "0x3")
    assert found(blockHash=block["hash"]) == [2]


def test_bad_ranges_and_filters_are_refused(coins: Coins) -> None:
    """Reversed and future ranges, hash with range, too many topics and alternatives are errors."""
    error = coins.rpc.error
    assert error("eth_getLogs", {"fromBlock": "0x3", "toBlock": "0x2"}) == (
        -32602,
        "invalid block range params",
    )
    assert error("eth_getLogs", {"toBlock": "0x99"}) == (
        -32602,
        "block range extends beyond current head block",
    )
    assert error("eth_getLogs", {"fromBlock": "0x99", "toBlock": "0x99"})[0] == -32602
    assert error("eth_getLogs", {"blockHash": "0x" + "ab" * 32}) == (-32000, "unknown block")
    both = {"blockHash": "0x" + "ab" * 32, "fromBlock": "0x1"}
    assert error("eth_getLogs", both)[0] == -32602
    assert error("eth_getLogs", {"topics": [None] * 5}) == (
        -32602,
        "invalid argument 0: exceed max topics",
    )
    many = [to_hex(index.to_bytes(20)) for index in range(1_001)]
    assert error("eth_getLogs", {"address": many})[0] == -32602
    assert error("eth_getLogs", {"topics": "x"})[0] == -32602


def test_limits_of_range_and_results() -> None:
    """Above the settings' limits a search is refused, at them it is not."""
    rpc = Rpc(DevChain(), RpcSettings(logs_range_max=3, logs_max=2))
    coins = Coins(rpc)
    for value in (1, 2):
        coins.transfer(value)
    assert rpc.error("eth_getLogs", {"fromBlock": "0x0"})[0] == -32602
    assert rpc.error("eth_getLogs", {"fromBlock": "0x1"}) == (
        -32005,
        "query returned more than 2 results",
    )
    assert coins.values(rpc.call("eth_getLogs", {"fromBlock": "0x2"})) == [1, 2]
    rpc.close()


_addresses = st.sampled_from([Address(bytes([each]) * 20) for each in range(3)])
_topics = st.sampled_from([Hash32(bytes([each]) * 32) for each in range(3)])
_logs = st.builds(Log, _addresses, st.lists(_topics, max_size=4).map(tuple), st.just(b""))
_filters = st.builds(
    FilterObject,
    addresses=st.lists(_addresses, max_size=2).map(tuple),
    topics=st.lists(st.lists(_topics, max_size=2).map(tuple), max_size=4).map(tuple),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(_logs, max_size=4), _filters)
def test_the_bloom_never_hides_a_match(logs: list[Log], wanted: FilterObject) -> None:
    """Where a log matches, the block's bloom says that it may.

    Planted bug it kills: requiring all alternatives of a position, or masking one bit of three.
    """
    may_match = bloom_check(wanted)(bloom_of(logs))
    if any(is_match(wanted, log) for log in logs):
        assert may_match
    if not logs and (wanted.addresses or any(wanted.topics)):
        assert not may_match


@given(_logs, _filters)
def test_matching_is_what_the_specification_says(log: Log, wanted: FilterObject) -> None:
    """A naive reading of eth_getLogs agrees with `is_match`."""
    naive = not wanted.addresses or log.address in wanted.addresses
    for position in range(len(wanted.topics)):
        topic = log.topics[position] if position < len(log.topics) else None
        if topic is None or (wanted.topics[position] and topic not in wanted.topics[position]):
            naive = False
    assert is_match(wanted, log) == naive


def test_polling_shows_everything_once(coins: Coins) -> None:
    """Each poll of a block or log filter shows what came since the last, without gap or double."""
    rpc = coins.rpc
    blocks, logs = rpc.call("eth_newBlockFilter"), rpc.call("eth_newFilter", {})
    none = rpc.call("eth_newFilter", {"address": SECOND_TEXT})
    assert rpc.call("eth_getFilterChanges", blocks) == []
    assert rpc.call("eth_getFilterChanges", logs) == []
    coins.transfer(4)
    coins.transfer(5)
    hashes = [rpc.call("eth_getBlockByNumber", tag)["hash"] for tag in ("0x5", "0x6")]
    assert rpc.call("eth_getFilterChanges", blocks) == hashes
    assert coins.values(rpc.call("eth_getFilterChanges", logs)) == [4, 5]
    assert rpc.call("eth_getFilterChanges", none) == []
    coins.transfer(6)
    assert coins.values(rpc.call("eth_getFilterChanges", logs)) == [6]
    assert rpc.call("eth_getFilterChanges", logs) == []
    assert rpc.error("eth_getFilterLogs", blocks) == (-32000, "filter not found")


def test_log_filters_keep_their_range(coins: Coins) -> None:
    """getFilterLogs shows a filter's whole range, getFilterChanges only what is new in it."""
    rpc = coins.rpc
    name = rpc.call("eth_newFilter", {"fromBlock": "0x2", "toBlock": "0x5"})
    assert coins.values(rpc.call("eth_getFilterLogs", name)) == [1, 2, 3]
    for value in (4, 5):
        coins.transfer(value)
    assert coins.values(rpc.call("eth_getFilterChanges", name)) == [4]
    assert coins.values(rpc.call("eth_getFilterLogs", name)) == [1, 2, 3, 4]
    assert rpc.error("eth_newFilter", {"fromBlock": "0x3", "toBlock": "0x2"})[0] == -32602


def test_pending_filters_show_hashes_or_transactions(rpc: Rpc) -> None:
    """A pool filter shows what entered the pool since the last poll."""
    rpc.chain.automine = False
    hashes = rpc.call("eth_newPendingTransactionFilter")
    whole = rpc.call("eth_newPendingTransactionFilter", True)
    sent = [send(rpc, sign(key, 0)) for key in funded_keys(2)]
    rpc.turn()
    assert rpc.call("eth_getFilterChanges", hashes) == sent
    assert [each["hash"] for each in rpc.call("eth_getFilterChanges", whole)] == sent
    assert rpc.call("eth_getFilterChanges", hashes) == []


class _Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def timed() -> Iterator[tuple[Rpc, _Clock]]:
    """A dispatcher with room for two filters and a clock to set."""
    clock = _Clock()
    rpc = Rpc(DevChain(), RpcSettings(filters_max=2, filter_timeout_s=300.0), clock)
    yield rpc, clock
    rpc.close()


def test_filters_are_bounded_and_time_out(timed: tuple[Rpc, _Clock]) -> None:
    """A filter lives while it is polled; too many are refused; it can be removed once."""
    rpc, clock = timed
    polled, idle = rpc.call("eth_newBlockFilter"), rpc.call("eth_newFilter", {})
    assert rpc.error("eth_newBlockFilter") == (-32005, "too many filters")
    clock.now = 200.0
    assert rpc.call("eth_getFilterChanges", polled) == []
    clock.now = 301.0
    assert rpc.error("eth_getFilterChanges", idle) == (-32000, "filter not found")
    assert rpc.call("eth_getFilterChanges", polled) == []
    assert rpc.call("eth_uninstallFilter", polled) is True
    assert rpc.call("eth_uninstallFilter", polled) is False
    assert rpc.error("eth_getFilterChanges", "0x1") == (-32000, "filter not found")


def test_the_transfer_topic_is_that_of_erc_20() -> None:
    """The constant that these tests look for is the known one."""
    assert keccak(b"Transfer(address,address,uint256)").hex().startswith("ddf252ad")
