"""The measuring program counts right: signed transfers, retries, percentiles and rates."""

import json
import socket
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.metrics import render
from node.stages import stage_families
from primitives.crypto.secp256k1 import PrivateKey
from primitives.meter import Stage
from primitives.transaction import decode_transaction
from primitives.types import ChainId
from scripts import bench_client, bench_rpc, load
from scripts.bench_localnet import PORT_MAX, PORT_MIN, free_ports, stages_of
from scripts.bench_network import Rate, decisions_since, rate_of, report, stage_shares
from scripts.bench_token import GIVEN, check_balances, count_moves
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


def test_transaction_carries_a_call() -> None:
    """A signed call or creation decodes to its data, gas and recipient, none for a creation."""
    (key,) = load.accounts(1)
    call = load.sign_transaction(key, 1, 3, b"\x11" * 20, data=b"input", gas=60_000)
    creation = load.sign_transaction(key, 1, 4, b"", data=b"code", gas=2_000_000)
    found, made = decode_transaction(call), decode_transaction(creation)
    assert (found.to, found.data, found.gas, found.value) == (b"\x11" * 20, b"input", 60_000, 0)
    assert (made.to, made.data, made.nonce) == (None, b"code", 4)


def sign_one(chain_id: int, key: PrivateKey, nonce: int) -> bytes:
    """Return a transfer to the key's recipient."""
    return load.sign_transfer(key, chain_id, nonce, load.recipient_of(key), 1)


def test_loads_have_senders_of_their_own() -> None:
    """Two loads share no account: the second one's nonces begin at 0 as well."""
    first, second = load.accounts(3), load.accounts(3, first=3)
    assert len({each.address for each in first + second}) == 6
    assert [each.address for each in load.accounts(6)] == [each.address for each in first + second]


def test_batches_keep_nonces_in_order() -> None:
    """Every key sends each nonce once, in order, and never twice in one batch."""
    keys = load.accounts(5)
    sent: dict[bytes, list[int]] = {key.address: [] for key in keys}
    sign = partial(sign_one, 1)
    for batch in load.batches(keys, rounds=3, size=2, sign=sign):
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
        ([(0.0, 0), (1.0, 50), (2.0, 100), (3.0, 300), (4.0, 0)], Rate(200.0, 400, 2.0, 2)),
        ([(1.0, 9), (1.5, 10)], Rate(20.0, 10, 0.5, 1)),
        ([(1.0, 9), (2.0, 0), (3.0, 10), (9.0, 0)], Rate(5.0, 10, 2.0, 2)),
    ],
)
def test_rate_leaves_out_what_had_gathered(seen: Sequence[tuple[float, int]], rate: Rate) -> None:
    """The first full block starts the clock and does not count; empty ends are left out."""
    assert rate_of(list(seen)) == rate


def test_rate_needs_two_blocks() -> None:
    """One block with transfers is no rate."""
    with pytest.raises(load.LoadError):
        rate_of([(0.0, 0), (1.0, 7), (2.0, 0)])


def test_silent_node_is_named() -> None:
    """A node that does not answer is named in the error."""
    with pytest.raises(load.LoadError, match=r"127\.0\.0\.1:1 does not answer"):
        load.Node("http://127.0.0.1:1", 0.2).call("eth_chainId")
    with pytest.raises(load.LoadError, match=r"127\.0\.0\.1:1 does not answer"):
        load.Node("http://127.0.0.1:1", 0.2).get("/metrics")


def test_stages_are_read_from_what_a_node_shows() -> None:
    """The seconds of all pages add up by stage, as the node itself writes them; none is an error.

    Kills: a metric renamed on one side, and a table of zeros in the place of an error.
    """
    families = stage_families()
    page = render(families).decode()
    shown = {labels[0][1]: seconds for _, labels, seconds in families[0].samples}
    assert stages_of([page, page]) == {stage: 2 * each for stage, each in shown.items()}
    with pytest.raises(load.LoadError, match="by stage"):
        stages_of([page, "# nothing\n"])


def test_stage_shares_are_of_the_load_alone() -> None:
    """Seconds from before the load do not count; shares are of what all stages used in it."""
    found = stage_shares({"decode": 10.0, "p2p": 5.0}, {"decode": 13.0, "p2p": 6.0}, 1_000)
    assert found["decode"] == {"seconds": 3.0, "percent": 75.0, "ms_per_transfer": 3.0}
    assert found["p2p"] == {"seconds": 1.0, "percent": 25.0, "ms_per_transfer": 1.0}


def test_decisions_are_of_the_load_alone() -> None:
    """Of each log only the lines after the first reading count, and a new log's all."""
    one, two = Path("node1.log"), Path("node2.log")
    found = decisions_since({one: [1.0, 900.0]}, {one: [1.0, 900.0, 4.0], two: [2.0]})
    assert found == {"decisions": 2, "p50_ms": 2.0, "p99_ms": 4.0}
    assert decisions_since({one: [1.0]}, {one: [1.0]}) == {"decisions": 0}


def test_ports_that_are_taken_are_passed_over() -> None:
    """The ports found are free, in a row, and others once somebody listens on one of them."""
    first = free_ports(3)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", first + 1))
        other = free_ports(3)
    assert abs(other - first) >= 3
    assert PORT_MIN <= min(first, other) <= max(first, other) + 3 <= PORT_MAX


TOKEN = b"\x22" * 20
MOVE = {"status": "0x1", "to": "0x" + TOKEN.hex(), "logs": [{}]}


class Blocks(load.Node):
    """A node with blocks of given receipts and a holder of each balance."""

    def __init__(self, blocks: list[list[dict[str, Any]]], balances: dict[bytes, int]) -> None:
        super().__init__("http://127.0.0.1:1")
        self.blocks, self.balances = blocks, balances

    def call(self, method: str, *params: Any) -> Any:
        """Return the receipts of a block."""
        assert method == "eth_getBlockReceipts"
        return self.blocks[int(params[0], 16)]

    def call_all(self, method: str, params: Sequence[Sequence[Any]]) -> list[Any]:
        """Return the balances that are asked for."""
        assert method == "eth_call"
        holders = [bytes.fromhex(each[0]["data"][2:])[-20:] for each in params]
        return [hex(self.balances.get(each, 0)) for each in holders]


@pytest.mark.parametrize(
    "wrong", [{"status": "0x0"}, {"to": "0x" + "11" * 20}, {"to": None}, {"logs": []}]
)
def test_a_reverted_token_transfer_is_no_figure(wrong: dict[str, Any]) -> None:
    """Blocks of successful token transfers are counted; anything else among them is an error."""
    assert count_moves(Blocks([[], [MOVE, MOVE], [MOVE]], {}), TOKEN, 0, 2) == [0, 2, 1]
    with pytest.raises(load.LoadError, match="block 1: no successful"):
        count_moves(Blocks([[MOVE], [MOVE, MOVE | wrong]], {}), TOKEN, 0, 1)


def test_balances_must_have_moved() -> None:
    """Senders lack, and recipients have, exactly what moved. Kills: one side looked at alone."""
    keys = load.accounts(3)
    held = {key.address: GIVEN - 2 for key in keys} | {load.recipient_of(key): 2 for key in keys}
    check_balances(Blocks([], held), TOKEN, keys, 6)
    for holder, moved in ((keys[0].address, 6), (load.recipient_of(keys[0]), 6), (b"", 7)):
        with pytest.raises(load.LoadError, match="token transfers succeeded"):
            check_balances(Blocks([], held | {holder: 1}), TOKEN, keys, moved)


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
def test_logs_of_a_long_chain_are_found() -> None:
    """A shorter chain: all ways find the logs that were made, and the whole index is built anew."""
    command = [sys.executable, "-m", "scripts.bench", "logs", "--json", "--blocks", "1001"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=150, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    hits = {name: row["hits"] for name, row in found.items() if isinstance(row, dict)}
    assert list(hits.values()) == [1_001, 10, 1, 1, 10, 0, 0]
    assert found["index_rows"] == 4 * 1_001 + 1
    assert all(found[name]["index_ms"] > 0 < found[name]["bloom_ms"] for name in hits)


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
    for name in ("transfers", "erc20"):
        assert found[name]["transfers_per_second"] > 0
        assert found[name]["transfers"] <= 20 * 50
        assert found[name]["blocks_per_second"] > 0
        assert found[name]["decision"]["decisions"] > 0
        stages = found[name]["stages"]
        assert sum(each["percent"] for each in stages.values()) == pytest.approx(100, abs=1)
        assert all(stages[each]["seconds"] > 0 for each in ("decode", "build", "rpc", "p2p"))
    assert 0 < found["erc20"]["transfers"] < found["erc20"]["succeeded"] <= 20 * 50
    assert found["memory_mb"] > 10
    lines = list(report(found))
    assert any("none reverted" in line for line in lines)
    assert [line.split()[0] for line in lines[-11:]] == [each.value for each in Stage]


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
