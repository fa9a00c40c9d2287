"""What RPC acknowledged must be durable; what fails must leave pool and journal as they were."""

from __future__ import annotations

import errno
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from node.intake import GroupCommit
from node.journal import Journal
from node.ledger import BLOCK_BYTES_MAX
from node.wire import TRANSACTIONS, decode_batch
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
