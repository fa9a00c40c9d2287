"""What RPC acknowledged must be durable; what fails must leave pool and journal as they were."""

from __future__ import annotations

import errno
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest
import trio
import trio.testing

from node.intake import FLUSH_S, GroupCommit
from node.journal import Journal
from node.ledger import BLOCK_BYTES_MAX
from node.wire import TRANSACTIONS, decode_batch
from p2p.events import Stream
from p2p.network import Network
from primitives.errors import AlreadyKnown, Unavailable, WrongChain
from tests.node.nodes import extend, make_intake, make_ledger, transfer


def test_acknowledged_transactions_survive(tmp_path: Path) -> None:
    """After a restart the pool holds what was acknowledged, and nothing that was mined since."""
    ledger, path = make_ledger(), tmp_path / "journal"
    intake = make_intake(ledger, path)
    first, second = transfer(), transfer(nonce=1)
    assert intake.submit(first.raw) == first.hash
    intake.submit(second.raw)
    intake.close()
    again = make_intake(ledger, path)
    assert again.pool.transactions() == [first, second]
    again.close()
    extend(ledger, [first])
    late = make_intake(ledger, path)
    assert late.pool.transactions() == [second]
    late.close()


def test_refused_transactions_are_not_journaled(tmp_path: Path) -> None:
    """A foreign chain's transaction and a known one raise and write nothing."""
    path = tmp_path / "journal"
    intake = make_intake(make_ledger(), path)
    intake.submit(transfer().raw)
    size = path.stat().st_size
    with pytest.raises(WrongChain):
        intake.submit(transfer(nonce=1, chain_id=1).raw)
    with pytest.raises(AlreadyKnown):
        intake.submit(transfer().raw)
    assert path.stat().st_size == size
    assert len(intake.pool) == 1
    intake.close()


def test_full_disk_is_no_acknowledgement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the journal cannot be written the sender hears of it and the pool is as before.

    Planted bug that this kills: the transaction stays pooled.
    """
    intake = make_intake(make_ledger(), tmp_path / "journal")

    def refuse(_self: Journal, _raws: Sequence[bytes]) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Journal, "append_many", refuse)
    with pytest.raises(Unavailable, match="No space left on device"):
        intake.submit(transfer().raw)
    assert len(intake.pool) == 0
    intake.close()


def test_group_commit_shares_writes_and_loses_none(tmp_path: Path) -> None:
    """Many threads append at once; each returns only when its own record is in the file."""
    journal = Journal(tmp_path / "journal")
    journal.load()
    commits = GroupCommit(journal)
    batches: list[int] = []
    write = journal.append_many

    def counted(raws: Sequence[bytes]) -> None:
        batches.append(len(raws))
        write(raws)

    journal.append_many = counted  # type: ignore[method-assign]  # counts what is shared
    threads = [
        threading.Thread(target=commits.append, args=([bytes([n + 1]) * 40],)) for n in range(40)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    journal.close()
    again = Journal(tmp_path / "journal")
    assert sorted(again.load()) == sorted(bytes([n + 1]) * 40 for n in range(40))
    assert sum(batches) == 40
    again.close()


@dataclass
class Wire:
    """Keeps what is pushed to the peers."""

    pushed: list[bytes] = field(default_factory=list)

    def broadcast(self, _stream: Stream, _kind: int, body: bytes) -> None:
        self.pushed += decode_batch(TRANSACTIONS, body)


async def _news() -> None:
    intake, wire = make_intake(make_ledger()), Wire()
    heard: list[tuple[float, list[int]]] = []
    worked: list[float] = []
    begun = trio.current_time()

    def now() -> float:
        return trio.current_time() - begun

    intake.listeners[0] = lambda new: heard.append((now(), [each.nonce for each in new]))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(intake.run, cast("Network", wire), lambda: worked.append(now()))
        await trio.testing.wait_all_tasks_blocked()
        raws = [transfer(nonce=nonce).raw for nonce in range(6)]
        intake.submit(raws[0])
        await trio.testing.wait_all_tasks_blocked()
        assert heard == [(0.0, [0])]
        intake.submit(raws[1])
        await trio.sleep(FLUSH_S / 2)
        intake.submit_many(raws[2:4])
        intake.add_from_peer([raws[4]], forward=False)
        await trio.sleep(5 * FLUSH_S)
        intake.submit(raws[5])
        await trio.sleep(5 * FLUSH_S)
        nursery.cancel_scope.cancel()
    assert [nonces for _, nonces in heard] == [[0], [1, 2, 3, 4], [5]]
    assert [at for at, _ in heard] == pytest.approx([0.0, FLUSH_S, 5.5 * FLUSH_S])
    assert worked == [at for at, _ in heard]
    assert wire.pushed == [*raws[:4], raws[5]]


def test_news_come_at_once_and_then_together() -> None:
    """The first is heard of without delay, those of the next 10 ms together, in order, each once.

    Planted bugs: a wake that is lost while news wait; news that are told twice.
    """
    trio.run(_news, clock=trio.testing.MockClock(autojump_threshold=0))


def test_peers_transactions_are_pooled_and_counted(tmp_path: Path) -> None:
    """Good ones enter, malformed ones are counted, refused ones are passed over."""
    intake = make_intake(make_ledger())
    good = [transfer().raw, transfer(1).raw]
    foreign = transfer(2, chain_id=1).raw
    assert intake.add_from_peer([*good, foreign, b"\x01garbage"], forward=False) == 1
    assert [each.raw for each in intake.pool.transactions()] == good
    assert [raw for each in intake.batches() for raw in decode_batch(TRANSACTIONS, each)] == good


def test_candidates_fit_one_block() -> None:
    """What is offered to a block is bounded in bytes and in gas, in lawful order."""
    intake = make_intake(make_ledger())
    for sender in range(10):
        for nonce in range(3):
            data = bytes(100_000)
            intake.add_from_peer(
                [transfer(sender, nonce, data=data, gas=2_000_000).raw], forward=False
            )
    chosen = intake.candidates()
    assert 0 < sum(len(each.raw) for each in chosen) <= BLOCK_BYTES_MAX
    for address in {each.sender for each in chosen}:
        nonces = [each.nonce for each in chosen if each.sender == address]
        assert nonces == list(range(len(nonces)))
    assert intake.has_work()


def test_journal_is_compacted_once_it_is_history(tmp_path: Path) -> None:
    """A journal that is mostly mined is rewritten with what still waits."""
    ledger, path = make_ledger(), tmp_path / "journal"
    intake = make_intake(ledger, path)
    for nonce in range(60):
        intake.submit(transfer(nonce=nonce).raw)
    mined = intake.candidates()[:50]
    extend(ledger, mined)
    intake.committed(mined)
    big = path.stat().st_size
    assert intake.compact_when(bloated_min=10)
    assert path.stat().st_size < big / 4
    intake.close()
    again = make_intake(ledger, path)
    assert len(again.pool) == 10
    again.close()
