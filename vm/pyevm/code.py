"""Where code may be jumped to: found in one pass, kept for the codes that ran last.

py-evm looks for the PUSH before each target anew in every frame. A jump into the data of a PUSH is
an invalid destination like any other, which py-evm calls an invalid instruction.
Source: Yellow Paper 9.4.3.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from eth.exceptions import InvalidJumpDestination
from eth.vm.code_stream import CodeStream

CODES_ANALYSED_MAX: Final = 512
"""With codes of at most 49,152 bytes and a table as long: 50 MB at the very most."""

_PUSH_FIRST: Final = 0x60
_PUSHES: Final = b"|".join(
    re.escape(bytes((_PUSH_FIRST + size - 1,))) + b".{0,%d}" % size for size in range(1, 33)
)
_UP_TO_JUMPDEST: Final = re.compile(rb"(?:[^\x5b\x60-\x7f]++|" + _PUSHES + rb")*+\x5b", re.DOTALL)


@lru_cache(maxsize=CODES_ANALYSED_MAX)
def jump_table(code: bytes) -> bytes:
    """Return one byte for each position: 1 for a JUMPDEST that is not data of a PUSH, else 0."""
    table = bytearray(len(code))
    found = _UP_TO_JUMPDEST.match(code)
    while found is not None:
        at = found.end()
        table[at - 1] = 1
        found = _UP_TO_JUMPDEST.match(code, at)
    return bytes(table)


class AnalysedCode(CodeStream):
    """py-evm's code stream with its jump destinations looked up."""

    def is_valid_opcode(self, position: int) -> bool:
        """Return True for a JUMPDEST; raises InvalidJumpDestination.

        Only jumps ask, and only where the code has the byte of a JUMPDEST.
        """
        if not jump_table(self._raw_code_bytes)[position]:
            raise InvalidJumpDestination("jump into the data of a push")
        return True
