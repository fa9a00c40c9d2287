"""Followers of all subscriptions: nothing missing or twice on a real node, and a judge that sees.

Planted bugs that the run finds: a commit that is not delivered, a catch-up that sends its head
again live or leaves out its first block, a slow reader that is kept.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from scripts.followers import Follower, Span, Truth, Visit, judge
from scripts.load import LoadError
from scripts.tidy import ROOT

URL = "http://127.0.0.1:1"


@pytest.mark.slow
@pytest.mark.process
def test_twenty_followers_miss_nothing() -> None:
    """20 followers, a third of them cut, get 16 blocks whole; who reads nothing is cut."""
    command = [sys.executable, "-m", "scripts.bench", "subscriptions", "--json"]
    command += ["--validators", "1", "--clients", "20", "--blocks", "16"]
    command += ["--slow", "1", "--rate", "40"]
    small = {"QENEX_RPC__WEBSOCKET_QUEUE_BYTES_MAX": "1048576"}
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **small},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["followers"], found["blocks"], found["slow_readers_cut"]) == (20, 16, 1)
    assert found["cut_and_resumed"] >= 7
    assert min(found["logs"], found["transactions"] - found["logs"]) > 16


def _chain() -> Truth:
    """Three blocks with a log and a receipt each, from height 5 on."""
    heights = [hex(each) for each in (5, 6, 7)]
    return Truth(
        [{"number": each, "hash": "0xb" + each[2:], "size": "0x1"} for each in heights],
        [{"blockNumber": each, "data": "0x"} for each in heights],
        [[{"blockNumber": each, "transactionHash": "0xa" + each[2:]}] for each in heights],
    )


def _followed(change: Callable[[dict[str, list[Any]]], None]) -> None:
    """Judge a follower that got the chain, and before and behind it more, after `change`."""
    truth, span = _chain(), Span([URL], 5, 7)
    heads = [{"number": each["number"], "hash": each["hash"]} for each in truth.blocks]
    hashes = [each[0]["transactionHash"] for each in truth.receipts]
    got: dict[str, list[Any]] = {
        "newHeads": [{"number": "0x4", "hash": "0x"}, *heads, {"number": "0x8", "hash": "0x"}],
        "logs": [*truth.logs, {"blockNumber": "0x8", "data": "0x"}],
        "transactionReceipts": list(truth.receipts),
        "hashes": list(hashes),
        "whole": [{"hash": each} for each in hashes],
        "syncing": [False],
    }
    change(got)
    texts = {kind: [span.results.number(json.dumps(each)) for each in got[kind]] for kind in got}
    follower = Follower(0, span)
    follower.found = {kind: texts[kind] for kind in follower.found}
    follower.visits = [Visit(0, texts["hashes"], texts["whole"], texts["syncing"])]
    judge(follower, span, truth, [hashes])


def test_a_whole_span_is_judged_good() -> None:
    """What lies before and behind the span does not count."""
    _followed(lambda got: None)


@pytest.mark.parametrize("kind", ["newHeads", "logs", "transactionReceipts"])
@pytest.mark.parametrize(
    "change",
    [
        lambda items: items.pop(1),
        lambda items: items.insert(1, items[1]),
        lambda items: items.__setitem__(slice(1, 3), items[2:0:-1]),
        lambda items: items.clear(),
    ],
    ids=["missing", "twice", "order", "nothing"],
)
def test_the_judge_sees_blocks(kind: str, change: Callable[[list[Any]], None]) -> None:
    """A notice that is missing, doubled or out of its place is seen, of each kind."""
    with pytest.raises(LoadError, match=kind):
        _followed(lambda got: change(got[kind]))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda got: got["newHeads"].__setitem__(2, {"number": "0x6", "hash": "0x"}), "newHeads"),
        (lambda got: got["hashes"].append(got["hashes"][0]), "twice"),
        (lambda got: [got[each].reverse() for each in ("hashes", "whole")], "another order"),
        (lambda got: [got[each].pop(1) for each in ("hashes", "whole")], "between others"),
        (lambda got: [got[each].pop(2) for each in ("hashes", "whole")], "did not come"),
        (lambda got: got["whole"].pop(1), "differ"),
        (lambda got: got["syncing"].append(False), "one state twice"),
        (lambda got: got["syncing"].clear(), "or none"),
    ],
)
def test_the_judge_sees_the_rest(change: Callable[[dict[str, Any]], None], words: str) -> None:
    """A head that is not the chain's, and what is wrong with the pool or a catch-up, is seen."""
    with pytest.raises(LoadError, match=words):
        _followed(change)


def test_a_catch_up_alternates() -> None:
    """A node that falls behind and comes back says so once each."""
    status = {"syncing": True, "status": {}}
    _followed(lambda got: got["syncing"].extend([status, False]))
    with pytest.raises(LoadError, match="one state twice"):
        _followed(lambda got: got["syncing"].extend([status, status]))


def test_logs_go_on_with_the_block_of_the_last_one() -> None:
    """What came of a block that may not be whole is dropped and asked for again."""
    span = Span([URL], 5, 7)
    follower = Follower(0, span)
    for each in ("0x5", "0x6", "0x6"):
        follower.take("logs", json.dumps({"blockNumber": each, "data": "0x"}))
    follower.take("newHeads", json.dumps({"number": "0x7"}))
    follower.resumed = 1
    assert follower.wanted("logs") == ["logs", {"fromBlock": "0x6"}]
    assert len(follower.found["logs"]) == 1
    assert follower.wanted("newHeads") == ["newHeads", {"fromBlock": "0x8"}]
    assert follower.wanted("transactionReceipts")[1] == {"fromBlock": "0x5"}
