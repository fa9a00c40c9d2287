"""The measuring program counts right: signed transfers, retries, percentiles and rates."""

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from primitives.transaction import decode_transaction
from primitives.types import ChainId
from scripts import bench, bench_client, bench_rpc, load
from scripts.tidy import ROOT


class Refusing(load.Node):
    """A node that refuses the transactions of some ids, with given words."""

    def __init__(self, refused: dict[int, str]) -> None:
        super().__init__("http://127.0.0.1:1")
        self.refused = refused

    def post(self, body: bytes) -> Any:
        """Answer every call of a batch, the last one first: order is free in JSON-RPC."""
        answers = []
        for call in json.loads(body):
            answer: dict[str, Any] = {"jsonrpc": "2.0", "id": call["id"], "result": "0x"}
            if call["id"] in self.refused:
                del answer["result"]
                answer["error"] = {"code": -32000, "message": self.refused[call["id"]]}
            answers.append(answer)
        return answers[::-1]


def calls(count: int) -> list[bytes]:
    """Return calls whose parameter tells them apart, numbered from 0."""
    return [load.request("eth_sendRawTransaction", [f"0x{n:02x}"], n) for n in range(count)]


def test_transfer_is_what_was_asked() -> None:
    """A signed transfer decodes to its sender, chain, nonce, recipient and value."""
    sender, other = load.accounts(2)
    found = decode_transaction(load.sign_transfer(sender, 20260, 7, other.address, 5))
    assert (found.sender, found.chain_id, found.nonce) == (sender.address, ChainId(20260), 7)
    assert (found.to, found.value, found.gas) == (other.address, 5, load.TRANSFER_GAS)


def test_batches_keep_nonces_in_order() -> None:
    """Every key sends each nonce once, in order, and never twice in one batch."""
    keys = load.accounts(5)
    sent: dict[bytes, list[int]] = {key.address: [] for key in keys}
    for batch in load.batches(keys, 1, rounds=3, size=2):
        raws = [bytes.fromhex(json.loads(call)["params"][0][2:]) for call in batch]
        found = [decode_transaction(raw) for raw in raws]
        assert len({each.sender for each in found}) == len(batch) <= 2
        assert [json.loads(call)["id"] for call in batch] == list(range(len(batch)))
        for each in found:
            sent[each.sender].append(each.nonce)
    assert all(nonces == [0, 1, 2] for nonces in sent.values())


def test_refused_calls_are_sent_again() -> None:
    """Refused calls come back with new numbers; what is already there counts as taken."""
    node = Refusing({1: "txpool is full", 3: "already known", 4: "nonce too low: next nonce 5"})
    taken, again, reason = load.send_batch(node, calls(6))
    assert (taken, reason) == (5, "txpool is full")
    assert [json.loads(call) for call in again] == [
        {"jsonrpc": "2.0", "id": 0, "method": "eth_sendRawTransaction", "params": ["0x01"]}
    ]


@given(st.lists(st.integers(0, 1000), min_size=1), st.integers(1, 100))
def test_percentile_is_nearest_rank(values: list[int], percent: int) -> None:
    """At least that share of the values is not above the percentile, and it is the least such."""
    found = load.nearest_rank(values, percent)
    assert found in values
    assert 100 * sum(value <= found for value in values) >= percent * len(values)
    assert 100 * sum(value < found for value in values) < percent * len(values)


@pytest.mark.parametrize(
    ("seen", "rate"),
    [
        ([(0.0, 0), (1.0, 50), (2.0, 100), (3.0, 300), (4.0, 0)], (200.0, 400, 2.0)),
        ([(1.0, 9), (1.5, 10)], (20.0, 10, 0.5)),
    ],
)
def test_rate_leaves_out_what_had_gathered(
    seen: Sequence[tuple[float, int]], rate: tuple[float, int, float]
) -> None:
    """The first full block starts the clock and does not count; empty ends are left out."""
    assert bench.rate_of(list(seen)) == rate


def test_rate_needs_two_blocks() -> None:
    """One block with transfers is no rate."""
    with pytest.raises(load.LoadError):
        bench.rate_of([(0.0, 0), (1.0, 7), (2.0, 0)])


def test_silent_node_is_named() -> None:
    """A node that does not answer is named in the error."""
    with pytest.raises(load.LoadError, match=r"127\.0\.0\.1:1 does not answer"):
        load.Node("http://127.0.0.1:1", 0.2).call("eth_chainId")


@pytest.mark.slow
@pytest.mark.process
def test_growing_state_is_measured() -> None:
    """A short run gives a column of figures for each size, and leaves no folder behind."""
    command = [sys.executable, "-m", "scripts.bench", "state", "--json", "--accounts", "1500"]
    command += ["--blocks", "2", "--transfers", "20"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=150, check=False
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["sizes"]
    assert [row["accounts"] for row in rows] == [1_000, 1_500]
    assert all(value > 0 for row in rows for value in row.values())


@pytest.mark.slow
@pytest.mark.process
def test_network_is_measured() -> None:
    """A short run on a real network of one validator gives every figure, and ends by itself."""
    command = [sys.executable, "-m", "scripts.bench", "network", "--json", "--validators", "1"]
    command += ["--sends", "3", "--pause-ms", "100", "--seconds", "3"]
    command += ["--accounts", "20", "--rounds", "50", "--batch", "10"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=150, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert 0 < found["latency"]["p50_ms"] <= found["latency"]["p99_ms"] < 30_000
    assert found["throughput"]["transfers_per_second"] > 0
    assert found["throughput"]["transfers"] <= 20 * 50
    assert found["memory_mb"] > 10


@pytest.mark.parametrize("size", [1, 2, 7, 64, 10_000])
def test_answers_are_cut_wherever_the_packets_end(size: int) -> None:
    """Answers with a length and in chunks are counted once each, in packets of any size."""
    long = b'{"id":1,"jsonrpc":"2.0","result":"' + b"x" * 500 + b'"}'
    plain = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(long), long)
    chunked = b"HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (
        len(long),
        long,
    )
    for data, count in ((plain * 3, 3), (chunked, 1), (bench_client.STUB * 5, 5)):
        frames = bench_client.Frames()
        packets = [data[at : at + size] for at in range(0, len(data), size)]
        assert sum(map(frames.feed, packets)) == count


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 503 Busy\r\ncontent-length: 2\r\n\r\n{}",
        b'HTTP/1.1 200 OK\r\ncontent-length: 25\r\n\r\n{"error":{"code":-32000}}\n',
        b'HTTP/1.1 200 OK\r\ncontent-length: 15\r\n\r\n{"result":null}',
    ],
)
def test_an_answer_without_a_result_ends_the_measurement(answer: bytes) -> None:
    """A rate never counts refusals, errors or nulls."""
    with pytest.raises(load.LoadError):
        bench_client.Frames().feed(answer)


def test_ratios_say_how_much_better_ours_is() -> None:
    """More answers a second and less time to a receipt are both above 1; `report` shows both."""
    ours = {"blockNumber": {"per_second": 50.0, "node_us": 2.0}, "receipt_p50_ms": 4.0}
    other = {"blockNumber": {"per_second": 100.0, "node_us": 1.0}, "receipt_p50_ms": 8.0}
    assert bench_rpc.ratio(ours, other, "blockNumber") == 0.5
    assert bench_rpc.ratio(ours, other, "receipt_p50_ms") == 2.0
    result = {
        "cores": 2,
        "python": "3",
        "load": [],
        "connections": 8,
        "client_ceiling": 1,
        "nodes": {"ours": ours, "anvil": other},
        "left_out": {"ganache": "it did not start:\nand more"},
    }
    lines = list(bench_rpc.report(result))
    assert "(0.50x)" in lines[2]
    assert "(2.00x)" in lines[3]
    assert lines[-1] == "left out: ganache: it did not start:"
