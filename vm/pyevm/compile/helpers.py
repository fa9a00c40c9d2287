"""What compiled units call: the opcodes that are more than an expression.

Each does what py-evm's function of the same name does, with the computation's memory and the gas
that is left passed in and the gas that is left after it passed back. Raises OutOfGas and
WriteProtection where py-evm does.
"""

from __future__ import annotations

from typing import Any, Final

from eth.constants import (
    GAS_COPY,
    GAS_LOGDATA,
    GAS_LOGTOPIC,
    GAS_MEMORY,
    GAS_MEMORY_QUADRATIC_DENOMINATOR,
    GAS_SHA3WORD,
)
from eth.exceptions import OutOfGas, Revert, WriteProtection
from eth.vm.forks.berlin.constants import COLD_SLOAD_COST, WARM_STORAGE_READ_COST
from eth.vm.forks.london.storage import GAS_SCHEDULE_EIP3529

from primitives.crypto.keccak import keccak

MASK: Final = (1 << 256) - 1
HALF: Final = 1 << 255
CEILING: Final = 1 << 256
SSTORE_SENTRY: Final = 2_300
"""SSTORE fails with this much gas or less. Source: EIP-2200."""

_NO_GAS: Final = "compiled code: not enough gas"
_SET: Final = GAS_SCHEDULE_EIP3529.sstore_set_gas
_RESET: Final = GAS_SCHEDULE_EIP3529.sstore_reset_gas
_LOAD: Final = GAS_SCHEDULE_EIP3529.sload_gas
_CLEARS: Final = GAS_SCHEDULE_EIP3529.sstore_clears_schedule


def signed(value: int) -> int:
    """Return a word as two's complement says."""
    return value - CEILING if value >> 255 else value


def sdiv(left: int, right: int) -> int:
    """SDIV: the quotient, cut towards zero; 0 for division by zero."""
    if right == 0:
        return 0
    a, b = signed(left), signed(right)
    quotient = abs(a) // abs(b)
    return (-quotient if (a < 0) != (b < 0) else quotient) & MASK


def smod(left: int, right: int) -> int:
    """SMOD: the remainder with the sign of the dividend; 0 for division by zero."""
    if right == 0:
        return 0
    a = signed(left)
    rest = abs(a) % abs(signed(right))
    return (-rest if a < 0 else rest) & MASK


def sar(shift: int, value: int) -> int:
    """SAR: shift right, the sign fills."""
    return signed(value) >> min(shift, 256) & MASK


def signextend(size: int, value: int) -> int:
    """SIGNEXTEND: let the sign of the lowest size + 1 bytes fill the word."""
    if size > 30:
        return value
    sign = 1 << (8 * size + 7)
    return value | (CEILING - sign) if value & sign else value & (sign - 1)


def extend(memory: bytearray, gas: int, start: int, size: int) -> int:
    """Make memory reach start + size, which is beyond its end; `size` is not 0."""
    words, old = (start + size + 31) >> 5, len(memory) >> 5
    gas -= GAS_MEMORY * (words - old) + (
        words * words // GAS_MEMORY_QUADRATIC_DENOMINATOR
        - old * old // GAS_MEMORY_QUADRATIC_DENOMINATOR
    )
    if gas < 0:
        raise OutOfGas(_NO_GAS)
    memory.extend(bytes((words - old) << 5))
    return gas


def hashed(memory: bytearray, gas: int, start: int, size: int) -> tuple[int, int]:
    """SHA3: return the hash of a piece of memory and the gas that is left."""
    if size == 0:
        return _HASH_OF_NOTHING, gas
    if start + size > len(memory):
        gas = extend(memory, gas, start, size)
    gas -= GAS_SHA3WORD * ((size + 31) >> 5)
    if gas < 0:
        raise OutOfGas(_NO_GAS)
    return int.from_bytes(keccak(bytes(memory[start : start + size])), "big"), gas


_HASH_OF_NOTHING: Final = int.from_bytes(keccak(b""), "big")


def copy(memory: bytearray, gas: int, source: bytes, place: tuple[int, int], size: int) -> int:
    """CALLDATACOPY and CODECOPY; `place` is where to and where from."""
    if size == 0:
        return gas
    to, start = place
    if to + size > len(memory):
        gas = extend(memory, gas, to, size)
    gas -= GAS_COPY * ((size + 31) >> 5)
    if gas < 0:
        raise OutOfGas(_NO_GAS)
    memory[to : to + size] = source[start : start + size].ljust(size, b"\0")
    return gas


def piece(memory: bytearray, gas: int, start: int, size: int) -> tuple[bytes, int]:
    """Return a piece of memory and the gas that is left (RETURN, REVERT)."""
    if size == 0:
        return b"", gas
    if start + size > len(memory):
        gas = extend(memory, gas, start, size)
    return bytes(memory[start : start + size]), gas


def revert(computation: Any, output: bytes, gas: int) -> None:
    """REVERT: raise, with the output set and the gas given back."""
    computation.get_gas_meter().gas_remaining = gas
    computation.output = output
    raise Revert(output)


def sload(computation: Any, gas: int, slot: int) -> tuple[int, int]:
    """SLOAD with EIP-2929's prices: return the value and the gas that is left."""
    overlay, address = computation.state.overlay, computation.msg.storage_address
    if overlay.is_storage_warm(address, slot):
        gas -= WARM_STORAGE_READ_COST
    else:
        overlay.mark_storage_warm(address, slot)
        gas -= COLD_SLOAD_COST
    if gas < 0:
        raise OutOfGas(_NO_GAS)
    return overlay.get_storage(address, slot), gas


def sstore(computation: Any, gas: int, slot: int, value: int) -> int:
    """SSTORE with EIP-2200's, 2929's and 3529's prices: return the gas that is left."""
    if gas <= SSTORE_SENTRY:
        raise OutOfGas(_NO_GAS)
    overlay, address = computation.state.overlay, computation.msg.storage_address
    current = overlay.get_storage(address, slot)
    refund = 0
    if current == value:
        gas -= _LOAD
    else:
        original = overlay.get_storage(address, slot, from_journal=False)
        if original == current:
            gas -= _RESET if original else _SET
            if original and not value:
                refund = _CLEARS
        else:
            gas -= _LOAD
            if original:
                refund = _CLEARS * ((not value) - (not current))
            if original == value:
                refund += (_RESET if original else _SET) - _LOAD
    if gas < 0:
        raise OutOfGas(_NO_GAS)
    if refund:
        computation.refund_gas(refund)
    if not overlay.is_storage_warm(address, slot):
        gas -= COLD_SLOAD_COST
        if gas < 0:
            raise OutOfGas(_NO_GAS)
        overlay.mark_storage_warm(address, slot)
    if computation.msg.is_static:
        raise WriteProtection("Cannot modify state while inside of a STATICCALL context")
    overlay.set_storage(address, slot, value)
    return gas


def log(
    computation: Any, memory: bytearray, gas: int, data: tuple[int, int], topics: tuple[int, ...]
) -> int:
    """LOG0 to LOG4; `data` is start and size: return the gas that is left."""
    start, size = data
    gas -= GAS_LOGDATA * size + GAS_LOGTOPIC * len(topics)
    if gas < 0:
        raise OutOfGas(_NO_GAS)
    if size and start + size > len(memory):
        gas = extend(memory, gas, start, size)
    if computation.msg.is_static:
        raise WriteProtection("Cannot modify state while inside of a STATICCALL context")
    computation.note_log(topics, bytes(memory[start : start + size]) if size else b"")
    return gas


def namespace() -> dict[str, Any]:
    """Return the names that every unit sees."""
    return {
        "__builtins__": {"len": len, "bytes": bytes},
        "M": MASK,
        "H": HALF,
        "F": int.from_bytes,
        "Z": b"\0",
        "sdiv": sdiv,
        "smod": smod,
        "sar": sar,
        "signextend": signextend,
        "X": extend,
        "hashed": hashed,
        "copy": copy,
        "piece": piece,
        "revert": revert,
        "sload": sload,
        "sstore": sstore,
        "log": log,
        "OutOfGas": OutOfGas,
    }
