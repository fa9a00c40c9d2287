"""The compression function of BLAKE2b (0x09) with its input unpacked at once, half py-evm's time.

The compression itself is py-evm's: the wheel `blake2b-py`, or plain Python where that is missing.
Rounds as 4 bytes, state, message and counters as little-endian words, and a flag that is 0 or 1;
a gas for each round. Source: EIP-152.
"""

from __future__ import annotations

import struct
from typing import Any, Final

import eth.precompiles.blake2
from eth.exceptions import VMError

theirs: Any = eth.precompiles.blake2
INPUT: Final = struct.Struct(">I208xB")
WORDS: Final = struct.Struct("<4x26Qx")


def blake2f(computation: Any) -> None:
    """Compress one block."""
    data = computation.msg.data_as_bytes
    if len(data) != INPUT.size:
        raise VMError(f"the input must have {INPUT.size} bytes")
    rounds, flag = INPUT.unpack(data)
    if flag > 1:
        raise VMError("the final block's flag must be 0 or 1")
    computation.consume_gas(theirs.GAS_COST_PER_ROUND * rounds, reason="BLAKE2F")
    words = WORDS.unpack(data)
    computation.output = theirs.blake2b_compress(
        rounds, words[:8], words[8:24], words[24:26], flag == 1
    )
