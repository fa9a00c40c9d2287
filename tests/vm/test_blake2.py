"""The quick BLAKE2b precompile gives py-evm's results, refusals and price for any input."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import eth.precompiles
from eth.exceptions import VMError

from vm.forks import Fork
from vm.pyevm.blake2 import blake2f
from vm.pyevm.compile.computation import compiled
from vm.pyevm.forks.table import computation_of

theirs: Any = eth.precompiles


def run(precompile: Any, data: bytes) -> tuple[Any, int]:
    """Return the output, or None when the input is refused, and the gas taken."""
    gas = []
    frame = SimpleNamespace(
        msg=SimpleNamespace(data_as_bytes=data),
        output=None,
        consume_gas=lambda amount, reason: gas.append(amount),
    )
    try:
        precompile(frame)
    except VMError:
        return None, sum(gas)
    return frame.output, sum(gas)


def test_results_refusals_and_price_are_py_evms() -> None:
    """Random input of the right length, flags other than 0 and 1, other lengths."""
    chance = random.Random(4)
    for rounds in (0, 1, 12, 300):
        body = rounds.to_bytes(4, "big") + chance.randbytes(208)
        for flag in (0, 1):
            output, gas = run(blake2f, body + bytes((flag,)))
            assert (output, gas) == run(theirs.blake2b_fcompress, body + bytes((flag,)))
            assert (len(output), gas) == (64, rounds)
        for wrong in (body, body + b"\x02", body + b"\x00\x00", b""):
            assert run(blake2f, wrong) == run(theirs.blake2b_fcompress, wrong) == (None, 0)


def test_the_tuned_engine_has_it_and_the_plain_one_has_py_evms() -> None:
    """The plain engine stays the judge."""
    address: Any = bytes(19) + b"\x09"
    plain = computation_of(Fork.PRAGUE)
    assert compiled(plain).get_precompiles()[address] is blake2f
    assert plain.get_precompiles()[address] is theirs.blake2b_fcompress
