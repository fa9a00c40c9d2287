"""Opcodes as go-ethereum's traces show them: names, needed stack items, constant gas.

Source: go-ethereum core/vm/opcodes.go and jump_table.go. The gas is only shown for a step that
fails before its price is known; what is charged is the engine's business. 0x44 keeps its old name
there.
"""

from __future__ import annotations

from typing import Final

_NAMES: Final = {
    0x00: "STOP ADD MUL SUB DIV SDIV MOD SMOD ADDMOD MULMOD EXP SIGNEXTEND",
    0x10: "LT GT SLT SGT EQ ISZERO AND OR XOR NOT BYTE SHL SHR SAR CLZ",
    0x20: "KECCAK256",
    0x30: "ADDRESS BALANCE ORIGIN CALLER CALLVALUE CALLDATALOAD CALLDATASIZE CALLDATACOPY CODESIZE"
    " CODECOPY GASPRICE EXTCODESIZE EXTCODECOPY RETURNDATASIZE RETURNDATACOPY EXTCODEHASH",
    0x40: "BLOCKHASH COINBASE TIMESTAMP NUMBER DIFFICULTY GASLIMIT CHAINID SELFBALANCE BASEFEE"
    " BLOBHASH BLOBBASEFEE",
    0x50: "POP MLOAD MSTORE MSTORE8 SLOAD SSTORE JUMP JUMPI PC MSIZE GAS JUMPDEST TLOAD TSTORE"
    " MCOPY PUSH0",
    0xF0: "CREATE CALL CALLCODE RETURN DELEGATECALL CREATE2",
}
_ALONE: Final = {0xFA: "STATICCALL", 0xFD: "REVERT", 0xFE: "INVALID", 0xFF: "SELFDESTRUCT"}

_NEEDS: Final = {
    0x00: (0, 2, 2, 2, 2, 2, 2, 2, 3, 3, 2, 2),
    0x10: (2, 2, 2, 2, 2, 1, 2, 2, 2, 1, 2, 2, 2, 2, 1),
    0x20: (2,),
    0x30: (0, 1, 0, 0, 0, 1, 0, 3, 0, 3, 0, 1, 4, 0, 3, 1),
    0x40: (1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0),
    0x50: (1, 1, 2, 2, 1, 2, 1, 2, 0, 0, 0, 0, 1, 2, 3, 0),
    0xF0: (3, 7, 7, 2, 6, 4),
}
_NEEDS_ALONE: Final = {0xFA: 6, 0xFD: 2, 0xFE: 0, 0xFF: 1}

_GAS: Final = {
    0x00: (0, 3, 5, 3, 5, 5, 5, 5, 8, 8, 0, 5),
    0x10: (3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 5),
    0x20: (30,),
    0x30: (2, 100, 2, 2, 2, 3, 2, 3, 2, 3, 2, 100, 100, 2, 3, 100),
    0x40: (20, 2, 2, 2, 2, 2, 2, 5, 2, 3, 2),
    0x50: (2, 3, 3, 3, 0, 0, 8, 10, 2, 2, 2, 1, 100, 100, 3, 2),
    0xF0: (32_000, 100, 100, 0, 100, 32_000),
}
_GAS_ALONE: Final = {0xFA: 100, 0xFD: 0, 0xFE: 0, 0xFF: 5_000}


def _all_names() -> dict[int, str]:
    names = {base + at: name for base, row in _NAMES.items() for at, name in enumerate(row.split())}
    names |= {0x5F + size: f"PUSH{size}" for size in range(1, 33)}
    names |= {0x7F + depth: f"DUP{depth}" for depth in range(1, 17)}
    names |= {0x8F + depth: f"SWAP{depth}" for depth in range(1, 17)}
    names |= {0xA0 + topics: f"LOG{topics}" for topics in range(5)}
    return names | _ALONE


def _all_needs() -> dict[int, int]:
    needs = {base + at: count for base, row in _NEEDS.items() for at, count in enumerate(row)}
    needs |= {0x5F + size: 0 for size in range(1, 33)}
    needs |= {0x7F + depth: depth for depth in range(1, 17)}
    needs |= {0x8F + depth: depth + 1 for depth in range(1, 17)}
    needs |= {0xA0 + topics: topics + 2 for topics in range(5)}
    return needs | _NEEDS_ALONE


def _all_gas() -> dict[int, int]:
    gas = {base + at: price for base, row in _GAS.items() for at, price in enumerate(row)}
    gas |= dict.fromkeys(range(0x60, 0xA0), 3)
    gas |= {0xA0 + topics: 375 * (topics + 1) for topics in range(5)}
    return gas | _GAS_ALONE


OPCODE_NAMES: Final = _all_names()
STACK_NEEDS: Final = _all_needs()
"""How many stack items an opcode needs."""

CONSTANT_GAS: Final = _all_gas()

GROWING: Final = frozenset(
    (*range(0x5F, 0x90), 0x30, 0x32, 0x33, 0x34, 0x36, 0x38, 0x3A, 0x3D, *range(0x41, 0x47))
) | frozenset((0x47, 0x48, 0x4A, 0x58, 0x59, 0x5A))
"""Opcodes that leave one item more than they found: PUSH, DUP and those that push a fact."""


def opcode_name(code: int) -> str:
    """Return the name, or go-ethereum's words for a byte that is no opcode."""
    return OPCODE_NAMES.get(code) or f"opcode {code:#x} not defined"
