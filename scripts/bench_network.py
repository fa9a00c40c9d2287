"""Measure a network of real validators on this machine: `scripts.bench network`.

Starts a local network in an empty folder, measures these things, says on standard error how far it
is, and stops the network:

- latency: a transfer is sent to the idle network, and the clock stops when its receipt is there;
  the pause before each send is drawn anew, so that sends meet every point of the block period;
- transfers: native transfers signed beforehand are sent from many accounts, in batches, to all
  nodes at once, with a bound on how many are under way; what stands in blocks is counted per
  second, from the first block that holds some to the last that came while they were sent;
- erc20: the same with transfers of one ERC-20; every receipt and all balances are looked at
  afterwards, and a reverted transfer ends the measurement with an error;
- decision: from the first sight of a proposal to the decided block, as every node logs it, on the
  idle network and under each load;
- processor: seconds that all nodes together used from the first send until all was mined, by stage
  of the work as each node meters it (primitives/meter.py);
- memory: the resident sets of all node processes together, after the loads.

The senders run on the same machine, so their work takes from the nodes' share of the cores.
"""

import argparse
import os
import platform
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genesis.profiles import TEST_KEYS
from primitives.crypto.secp256k1 import PrivateKey
from scripts.bench_localnet import (
    DRAIN_S_MAX,
    POLL_S,
    STOP_S_MAX,
    Running,
    fund,
    hex_of,
    network,
    say,
    wait_for_receipt,
    wait_until_drained,
)
from scripts.bench_token import TRANSFER_GAS as TOKEN_GAS
from scripts.bench_token import check_balances, count_moves, make_token, sign_move
from scripts.load import (
    FEE_WEI_MAX,
    TRANSFER_GAS,
    Flow,
    LoadError,
    Node,
    accounts,
    batches,
    nearest_rank,
    recipient_of,
    send_all,
    sign_transfer,
)

EXAMPLES = """
examples:
  python -m scripts.bench network                          four validators; some two minutes
  python -m scripts.bench network --validators 7           seven; on two cores they take turns
  python -m scripts.bench network --sends 0                the loads alone
  python -m scripts.bench network --seconds 0              the latency alone
  python -m scripts.bench network --loads erc20 --json     one load, figures as JSON

The figures of two versions compare only on one machine with nothing else to do.
"""
LOADS = ("transfers", "erc20")
Sign = Callable[[PrivateKey, int], bytes]


@dataclass(frozen=True, slots=True)
class Rate:
    """What stood in blocks, from the first full block to the last: by second, and in all."""

    per_second: float
    count: int
    seconds: float
    blocks: int


def rate_of(seen: Sequence[tuple[float, int]]) -> Rate:
    """Return the rate of blocks that were seen at a time and hold a number of transactions.

    The first full block starts the clock and does not count: what it holds had gathered before.
    Empty blocks before and after are left out. Raises LoadError with fewer than two full blocks.
    """
    full = [index for index, (_, count) in enumerate(seen) if count]
    if len(full) < 2:
        raise LoadError("fewer than two blocks held transactions")
    first, last = full[0], full[-1]
    seconds = seen[last][0] - seen[first][0]
    count = sum(count for _, count in seen[first + 1 : last + 1])
    return Rate(count / seconds, count, seconds, last - first)


def measure_latency(running: Running, sends: int, pause_ms: int, seed: int) -> dict[str, float]:
    """Send transfers one after another to an idle network; return the percentiles in ms."""
    key = PrivateKey(next(iter(TEST_KEYS.values())))
    nodes = [Node(url) for url in running.urls]
    nonce = int(nodes[0].call("eth_getTransactionCount", hex_of(key.address), "latest"), 16)
    chance = random.Random(seed)
    taken_ms = []
    for each in range(sends):
        raw = sign_transfer(key, running.chain_id, nonce + each, key.address, 1)
        node = nodes[each % len(nodes)]
        time.sleep(chance.uniform(0, pause_ms / 1000))
        started = time.monotonic()
        transaction = node.call("eth_sendRawTransaction", hex_of(raw))
        taken_ms.append((wait_for_receipt(node, transaction) - started) * 1000)
        if (each + 1) % 20 == 0:
            say(f"latency: {each + 1} of {sends} sends, median {nearest_rank(taken_ms, 50):.0f} ms")
    return {"sends": sends, **percentiles(taken_ms), "max_ms": round(max(taken_ms), 1)}


def percentiles(values_ms: Sequence[float]) -> dict[str, float]:
    """Return p50 and p99 by nearest rank."""
    return {f"p{each}_ms": round(nearest_rank(values_ms, each), 1) for each in (50, 99)}


# --- one load -------------------------------------------------------------------------------------


@dataclass
class Seen:
    """The blocks of a load from height `first` on: when each was seen, how many it holds.

    The first `in_time` of them came while transactions were still sent; the others hold what was
    under way then.
    """

    name: str
    first: int
    blocks: list[tuple[float, int]] = field(default_factory=list)
    in_time: int = 0


def watch(node: Node, flow: Flow, seen: Seen, is_over: Callable[[], bool]) -> None:
    """Follow the blocks until it is over or a sender failed."""
    while not is_over() and not flow.failures:
        height = seen.first + len(seen.blocks)
        answer = node.call("eth_getBlockTransactionCountByNumber", hex(height))
        if answer is None:
            time.sleep(POLL_S * 4)
            continue
        seen.blocks.append((time.monotonic(), int(answer, 16)))
        with flow.lock:
            flow.included += seen.blocks[-1][1]
        if len(seen.blocks) % 10 == 0:
            say(f"{seen.name}: {flow.included} in {len(seen.blocks)} blocks")


def send_and_watch(
    running: Running, flow: Flow, name: str, work: Sequence[Sequence[list[bytes]]], seconds: float
) -> Seen:
    """Send each part to its node until the time is over or all is sent; wait until all is mined.

    Returns what was seen. Raises LoadError when something that was taken is not mined in time.
    """
    node = Node(running.urls[0])
    seen = Seen(name, int(node.call("eth_blockNumber"), 16) + 1)
    senders = [
        threading.Thread(target=send_all, args=(flow, url, part), daemon=True)
        for url, part in zip(running.urls, work, strict=True)
    ]
    deadline = time.monotonic() + seconds
    for sender in senders:
        sender.start()

    def is_over() -> bool:
        is_sent = not any(sender.is_alive() for sender in senders)
        return time.monotonic() > deadline or (is_sent and not flow.under_way)

    try:
        watch(node, flow, seen, is_over)
        seen.in_time = len(seen.blocks)
    finally:
        flow.stop.set()
        for sender in senders:
            sender.join(timeout=STOP_S_MAX)
    last_moment = time.monotonic() + DRAIN_S_MAX
    watch(node, flow, seen, lambda: not flow.under_way or time.monotonic() > last_moment)
    if flow.failures or flow.under_way:
        left = f"{flow.under_way} transactions were taken and not mined in {DRAIN_S_MAX} s"
        raise LoadError(next(iter(flow.failures), left))
    return seen


def measure_load(
    running: Running, options: argparse.Namespace, name: str, keys: list[PrivateKey], sign: Sign
) -> tuple[int, dict[str, Any]]:
    """Send signed transactions of the keys to all nodes; return the first height and figures.

    Rates are of the time in which transactions were sent; processor time and decisions are of all
    that was mined.
    """
    share = len(running.urls)
    say(f"{name}: signing {len(keys) * options.rounds} transactions")
    # An account always speaks to the same node, so that its nonces arrive in order.
    work = [
        list(batches(keys[index::share], options.rounds, options.batch, sign))
        for index in range(share)
    ]
    flow = Flow(options.in_flight)
    decided_before, stages_before = running.decisions_ms(), running.stage_seconds()
    used_before = running.processor_s()
    seen = send_and_watch(running, flow, name, work, options.seconds)
    used_s, stages_after = running.processor_s() - used_before, running.stage_seconds()
    rate = rate_of(seen.blocks[: seen.in_time])
    return seen.first, {
        "mined": flow.included,
        "transfers_per_second": round(rate.per_second, 1),
        "transfers": rate.count,
        "seconds": round(rate.seconds, 2),
        "blocks": rate.blocks,
        "blocks_per_second": round(rate.blocks / rate.seconds, 2),
        "largest_block": max(count for _, count in seen.blocks),
        "cpu_ms_per_block": round(1_000 * used_s / len(seen.blocks), 1),
        "cpu_ms_per_transfer": round(1_000 * used_s / max(1, flow.included), 3),
        "stages": stage_shares(stages_before, stages_after, flow.included),
        "decision": decisions_since(decided_before, running.decisions_ms()),
        "tried_again": flow.refused,
        "last_refusal": flow.last_refusal,
    }


def stage_shares(
    before: Mapping[str, float], after: Mapping[str, float], transfers: int
) -> dict[str, dict[str, float]]:
    """Return by stage the seconds between two readings, the share in % and ms a transfer."""
    used = {stage: seconds - before[stage] for stage, seconds in after.items()}
    total = sum(used.values())
    return {
        stage: {
            "seconds": round(seconds, 2),
            "percent": round(100 * seconds / total, 1) if total else 0.0,
            "ms_per_transfer": round(1_000 * seconds / max(1, transfers), 4),
        }
        for stage, seconds in used.items()
    }


def decisions_since(
    before: Mapping[Path, Sequence[float]], after: Mapping[Path, Sequence[float]]
) -> dict[str, float]:
    """Return the percentiles of the decisions that the logs gained between two readings."""
    gained = [ms for log, all_ms in after.items() for ms in all_ms[len(before.get(log, ())) :]]
    return {"decisions": len(gained), **(percentiles(gained) if gained else {})}


def measure_transfers(running: Running, options: argparse.Namespace) -> dict[str, Any]:
    """Measure native transfers."""
    keys = accounts(options.accounts)
    fund(running, keys, funds_wei(options.rounds, TRANSFER_GAS))

    def sign(key: PrivateKey, nonce: int) -> bytes:
        return sign_transfer(key, running.chain_id, nonce, recipient_of(key), 1)

    return measure_load(running, options, "transfers", keys, sign)[1]


def measure_erc20(running: Running, options: argparse.Namespace) -> dict[str, Any]:
    """Measure transfers of a token, and check that all that was mined succeeded."""
    keys = accounts(options.accounts, first=options.accounts)
    fund(running, keys, funds_wei(options.rounds, TOKEN_GAS))
    token = make_token(running, keys)

    def sign(key: PrivateKey, nonce: int) -> bytes:
        return sign_move(key, running.chain_id, nonce, token)

    first, found = measure_load(running, options, "erc20", keys, sign)
    say("erc20: looking at every receipt and all balances")
    moved = sum(count_moves(Node(running.urls[0]), token, first, wait_until_drained(running)))
    for url in running.urls:
        check_balances(Node(url), token, keys, moved)
    if moved != found["mined"]:
        raise LoadError(f"{found['mined']} transactions were mined, {moved} token transfers")
    return {**found, "succeeded": moved}


def funds_wei(rounds: int, gas: int) -> int:
    """Return what pays for so many transactions at the highest fee, and one more."""
    return (rounds + 1) * gas * FEE_WEI_MAX


# --- all of it ------------------------------------------------------------------------------------

MEASURES = {"transfers": measure_transfers, "erc20": measure_erc20}


def bench_network(options: argparse.Namespace) -> dict[str, Any]:
    """Start a network, measure it, and return every figure."""
    say(f"starting {options.validators} validators")
    with network(options.validators) as running:
        say(f"first block on every node after {running.start_s:.1f} s")
        result: dict[str, Any] = {
            "validators": options.validators,
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "first_block_s": round(running.start_s, 1),
        }
        if options.sends:
            arguments = (options.sends, options.pause_ms, options.seed)
            result["latency"] = measure_latency(running, *arguments)
            result["idle_decision"] = decisions_since({}, running.decisions_ms())
        for name in [each for each in LOADS if options.seconds and each in options.loads]:
            result[name] = MEASURES[name](running, options)
            wait_until_drained(running)
        result["memory_mb"] = round(running.memory_mb(), 1)
    return result


def report(result: dict[str, Any]) -> Iterator[str]:
    """Yield the result in lines for a person."""
    yield f"{result['validators']} validators, {result['cores']} cores, Python {result['python']}"
    yield f"start       first block on every node after {result['first_block_s']} s"
    if found := result.get("latency"):
        yield (
            f"latency     p50 {found['p50_ms']} ms, p99 {found['p99_ms']} ms, "
            f"max {found['max_ms']} ms over {found['sends']} sends to an idle network"
        )
        yield f"decision    {_decision(result['idle_decision'])}, idle network"
    loads = {name: result[name] for name in LOADS if name in result}
    for name, found in loads.items():
        yield (
            f"{name:11} {found['transfers_per_second']} a second sustained "
            f"({found['transfers']} in {found['seconds']} s, {found['blocks']} blocks)"
        )
        yield (
            f"  blocks    {found['blocks_per_second']} a second, the largest with "
            f"{found['largest_block']}"
        )
        yield f"  decision  {_decision(found['decision'])}"
        yield (
            f"  processor {found['cpu_ms_per_block']} ms a block and "
            f"{found['cpu_ms_per_transfer']} ms a transfer on all nodes"
        )
        if "succeeded" in found:
            yield f"  checked   {found['succeeded']} mined, none reverted, all balances right"
    yield f"memory      {result['memory_mb']} MB for all nodes"
    if loads:
        yield from _stage_table(loads)


def _decision(found: dict[str, float]) -> str:
    if not found["decisions"]:
        return "none"
    return (
        f"p50 {found['p50_ms']} ms, p99 {found['p99_ms']} ms from proposal to decision "
        f"({found['decisions']} on all nodes)"
    )


def _stage_table(loads: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Yield the processor time by stage, one column for each load."""
    yield "processor of all nodes, ms a transfer (share)"
    yield " " * 12 + "".join(f"{name:>20}" for name in loads)
    for stage in next(iter(loads.values()))["stages"]:
        cells = [each["stages"][stage] for each in loads.values()]
        yield f"  {stage:10}" + "".join(
            f"{cell['ms_per_transfer']:>11.4f} ({cell['percent']:>4.1f} %)" for cell in cells
        )


def add_command(commands: Any) -> None:
    """Add `network` to the commands of `scripts.bench`."""
    command = commands.add_parser(
        "network",
        help="latency, transfers, ERC-20, processor by stage and memory of a localnet",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--validators", type=int, default=4, help="how many; 4 unless given")
    command.add_argument("--sends", type=int, default=200, help="latency sends; 0 leaves it out")
    command.add_argument("--pause-ms", type=int, default=1_000, help="longest pause before a send")
    command.add_argument(
        "--loads", nargs="+", choices=LOADS, default=LOADS, help="which loads; both unless given"
    )
    command.add_argument("--seconds", type=float, default=20, help="of each load; 0: no load")
    command.add_argument("--accounts", type=int, default=400, help="senders of a load")
    command.add_argument("--rounds", type=int, default=100, help="transactions signed per sender")
    command.add_argument("--batch", type=int, default=100, help="transactions in one HTTP request")
    command.add_argument("--in-flight", type=int, default=4_000, help="most not yet in a block")
    command.add_argument("--seed", type=int, default=1, help="of the pauses")
    command.add_argument("--json", action="store_true", help="print the figures as JSON")
    command.set_defaults(run=bench_network, report=report)
