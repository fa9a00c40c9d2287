"""A block that may be decided must be at hand, however many rounds a height takes."""

from __future__ import annotations

import pytest

from consensus.certificate import encode_certificate
from node.ledger import EXECUTED_MAX, KEPT_MAX, Ledger
from primitives.errors import BrokenInvariant
from tests.node.nodes import GENESIS_TIME, VALIDATOR, certificate, extend, make_ledger, transfer
from vm.blocks import Executed


def build(ledger: Ledger, second: int) -> Executed:
    """Return a block on the head with a timestamp of its own."""
    executed, _ = ledger.build([], VALIDATOR.address, GENESIS_TIME + second, lambda: False)
    return executed


def test_old_rounds_blocks_can_still_be_decided() -> None:
    """The first of many proposed blocks is executed again when it is the one that is decided.

    Planted bug that this kills: only the newest executions kept, and a late decision is fatal.
    """
    ledger = make_ledger()
    first = build(ledger, 0)
    ledger.keep(first)
    for second in range(1, KEPT_MAX):
        ledger.keep(build(ledger, second))
    again = ledger.executed(first.block.hash)
    assert again is not None
    assert again is not first
    assert again.block == first.block
    assert again.update.state_root == first.update.state_root
    ledger.commit(again, encode_certificate(certificate(again)))
    assert ledger.view.head_hash == first.block.hash


def test_what_is_kept_is_bounded_and_ends_with_the_height() -> None:
    """At most KEPT_MAX blocks and EXECUTED_MAX outcomes stay, and none after a commit."""
    ledger = make_ledger()
    blocks = [build(ledger, second) for second in range(KEPT_MAX + 1)]
    for each in blocks:
        ledger.keep(each)
    assert ledger.kept(blocks[0].block.hash) is None
    assert ledger.kept(blocks[1].block.hash) == blocks[1].block
    newest = blocks[-EXECUTED_MAX:]
    assert all(ledger.executed(each.block.hash) is each for each in newest)
    extend(ledger, [transfer()])
    assert all(ledger.kept(each.block.hash) is None for each in blocks)
    ledger.keep(blocks[-1])
    assert ledger.kept(blocks[-1].block.hash) is None


def test_only_a_child_of_the_head_is_committed() -> None:
    """A block of a height that is decided already breaks an invariant and changes nothing."""
    ledger = make_ledger()
    late = build(ledger, 5)
    extend(ledger)
    head = ledger.view.head_hash
    with pytest.raises(BrokenInvariant):
        ledger.commit(late, encode_certificate(certificate(late)))
    assert ledger.view.head_hash == head
