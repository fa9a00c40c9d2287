"""What can be written as Python: templates for py-evm's opcode functions, found by identity.

A template's operands are names or literals, the top of the stack first. In templates `c` is the
computation, `m` its message, `B` its memory (a bytearray), `S` its stack (a list of ints), `g` the
gas that is left, `M` is 2^256 - 1, `H` is 2^255, `F` is int.from_bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Final

from eth.vm import opcode_values as op
from eth.vm.forks.berlin import logic as berlin
from eth.vm.forks.london import storage as london
from eth.vm.logic import (
    arithmetic,
    block,
    comparison,
    context,
    duplication,
    flow,
    logging,
    memory,
    sha3,
    stack,
    swap,
    system,
)

from vm.pyevm.compile import helpers

Logic = Callable[..., Any]

PURE: Final[dict[Logic, tuple[int, str]]] = {
    arithmetic.add: (2, "({0}+{1})&M"),
    arithmetic.mul: (2, "({0}*{1})&M"),
    arithmetic.sub: (2, "({0}-{1})&M"),
    arithmetic.div: (2, "{0}//{1} if {1} else 0"),
    arithmetic.mod: (2, "{0}%{1} if {1} else 0"),
    arithmetic.sdiv: (2, "sdiv({0},{1})"),
    arithmetic.smod: (2, "smod({0},{1})"),
    arithmetic.addmod: (3, "({0}+{1})%{2} if {2} else 0"),
    arithmetic.mulmod: (3, "{0}*{1}%{2} if {2} else 0"),
    arithmetic.signextend: (2, "signextend({0},{1})"),
    arithmetic.shl: (2, "({1}<<{0})&M if {0}<256 else 0"),
    arithmetic.shr: (2, "{1}>>{0} if {0}<256 else 0"),
    arithmetic.sar: (2, "sar({0},{1})"),
    comparison.lt: (2, "1 if {0}<{1} else 0"),
    comparison.gt: (2, "1 if {0}>{1} else 0"),
    comparison.slt: (2, "1 if {0}^H<{1}^H else 0"),
    comparison.sgt: (2, "1 if {0}^H>{1}^H else 0"),
    comparison.eq: (2, "1 if {0}=={1} else 0"),
    comparison.iszero: (1, "0 if {0} else 1"),
    comparison.and_op: (2, "{0}&{1}"),
    comparison.or_op: (2, "{0}|{1}"),
    comparison.xor: (2, "{0}^{1}"),
    comparison.not_op: (1, "{0}^M"),
    comparison.byte_op: (2, "{1}>>8*(31-{0})&255 if {0}<32 else 0"),
}
"""Functions of their operands alone: number of operands, template. Folded when all are known."""

READS: Final[dict[Logic, tuple[int, str]]] = {
    context.address: (0, "F(m.storage_address,'big')"),
    context.caller: (0, "F(m.sender,'big')"),
    context.origin: (0, "F(c.transaction_context.origin,'big')"),
    context.callvalue: (0, "m.value"),
    context.calldatasize: (0, "len(m.data)"),
    context.calldataload: (1, "F(m.data[{0}:{0}+32].ljust(32,Z),'big')"),
    context.codesize: (0, "CODE_SIZE"),
    context.gasprice: (0, "c.transaction_context.gas_price"),
    context.returndatasize: (0, "len(c.return_data)"),
    context.chain_id: (0, "c.state.execution_context.chain_id"),
    memory.msize: (0, "len(B)"),
}
"""Reads of what does not change gas and cannot fail."""

ENVIRONMENT: Final[frozenset[Logic]] = frozenset(
    (
        context.selfbalance,
        block.coinbase,
        block.timestamp,
        block.number,
        block.difficulty,
        block.mixhash,
        block.gaslimit,
        block.basefee,
    )
)
"""Functions that push one value, whatever gas there is; they are called as they are."""


class Kind(Enum):
    """How an opcode is written."""

    PURE = auto()
    READ = auto()
    ENVIRONMENT = auto()
    PUSH = auto()
    POP = auto()
    DUP = auto()
    SWAP = auto()
    PC = auto()
    GAS = auto()
    JUMPDEST = auto()
    JUMP = auto()
    JUMPI = auto()
    STOP = auto()
    MLOAD = auto()
    MSTORE = auto()
    MSTORE8 = auto()
    SHA3 = auto()
    COPY = auto()
    RETURN = auto()
    REVERT = auto()
    SLOAD = auto()
    SSTORE = auto()
    LOG = auto()
    CALLED = auto()
    """By calling the table's opcode."""


SPECIAL: Final[dict[Logic, Kind]] = {
    stack.pop: Kind.POP,
    flow.program_counter: Kind.PC,
    flow.gas: Kind.GAS,
    flow.jumpdest: Kind.JUMPDEST,
    flow.jump: Kind.JUMP,
    flow.jumpi: Kind.JUMPI,
    flow.stop: Kind.STOP,
    memory.mload: Kind.MLOAD,
    memory.mstore: Kind.MSTORE,
    memory.mstore8: Kind.MSTORE8,
    sha3.sha3: Kind.SHA3,
    context.calldatacopy: Kind.COPY,
    context.codecopy: Kind.COPY,
    system.return_op: Kind.RETURN,
    system.revert: Kind.REVERT,
    berlin.sload_eip2929: Kind.SLOAD,
    london.sstore_eip3529: Kind.SSTORE,
    **{getattr(logging, f"log{count}"): Kind.LOG for count in range(5)},
    **{getattr(stack, f"push{size}"): Kind.PUSH for size in range(33)},
    **{getattr(duplication, f"dup{n}"): Kind.DUP for n in range(1, 17)},
    **{getattr(swap, f"swap{n}"): Kind.SWAP for n in range(1, 17)},
}

COPIES: Final[dict[Logic, str]] = {context.calldatacopy: "m.data", context.codecopy: "CODE"}
"""Where the copied bytes come from; beyond the end they are zero."""

EFFECTS: Final[dict[int, tuple[int, int]]] = {
    op.EXP: (2, 1),
    0x1E: (1, 1),  # CLZ (EIP-7939)
    op.BALANCE: (1, 1),
    op.EXTCODESIZE: (1, 1),
    op.EXTCODECOPY: (4, 0),
    op.EXTCODEHASH: (1, 1),
    op.RETURNDATACOPY: (3, 0),
    op.BLOCKHASH: (1, 1),
    op.SELFBALANCE: (0, 1),
    op.CHAINID: (0, 1),
    op.BASEFEE: (0, 1),
    op.BLOBHASH: (1, 1),
    op.BLOBBASEFEE: (0, 1),
    op.SLOAD: (1, 1),
    op.SSTORE: (2, 0),
    op.TLOAD: (1, 1),
    op.TSTORE: (2, 0),
    op.MCOPY: (3, 0),
    **{op.LOG0 + count: (2 + count, 0) for count in range(5)},
    op.CREATE: (3, 1),
    op.CALL: (7, 1),
    op.CALLCODE: (7, 1),
    op.DELEGATECALL: (6, 1),
    op.CREATE2: (4, 1),
    op.STATICCALL: (6, 1),
}
"""Items taken from and left on the stack by opcodes that are called as they are."""


@dataclass(frozen=True, slots=True)
class Rule:
    """How one opcode of one fork is written; `number` is that of PUSH, DUP, SWAP and LOG."""

    opcode: int
    kind: Kind
    gas: int = 0
    pops: int = 0
    pushes: int = 0
    text: str = ""
    number: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Rules:
    """All of one fork. An opcode that is not in `rules` ends a unit."""

    opcodes: Mapping[int, Any]
    rules: Mapping[int, Rule] = field(default_factory=dict)


def rules_of(opcodes: Mapping[int, Any]) -> Rules:
    """Return the rules for a table of opcodes as py-evm's computations have it."""
    found = {}
    for opcode, entry in opcodes.items():
        rule = _rule(opcode, entry)
        if rule is not None:
            found[opcode] = rule
    return Rules(opcodes, found)


def _rule(opcode: int, entry: Any) -> Rule | None:
    logic = _logic(entry)
    gas = entry.gas_cost if logic is not None else 0
    if logic in PURE:
        pops, text = PURE[logic]
        return Rule(opcode, Kind.PURE, gas, pops, 1, text)
    if logic in READS:
        pops, text = READS[logic]
        return Rule(opcode, Kind.READ, gas, pops, 1, text)
    if logic in ENVIRONMENT:
        return Rule(opcode, Kind.ENVIRONMENT, gas, 0, 1)
    if logic in SPECIAL:
        return _special(opcode, SPECIAL[logic], gas, logic)
    if opcode in EFFECTS:
        pops, pushes = EFFECTS[opcode]
        return Rule(opcode, Kind.CALLED, 0, pops, pushes)
    return None


def _special(opcode: int, kind: Kind, gas: int, logic: Logic) -> Rule | None:
    if kind is Kind.PUSH:
        return Rule(opcode, kind, gas, 0, 1, number=opcode - op.PUSH1 + 1)
    if kind is Kind.DUP:
        return Rule(opcode, kind, gas, 0, 1, number=opcode - op.DUP1 + 1)
    if kind is Kind.SWAP:
        return Rule(opcode, kind, gas, number=opcode - op.SWAP1 + 1)
    if kind is Kind.LOG:
        return Rule(opcode, kind, gas, 2 + opcode - op.LOG0, 0, number=opcode - op.LOG0)
    pops, pushes = _SIZES[kind]
    return Rule(opcode, kind, gas, pops, pushes, COPIES.get(logic, ""))


_SIZES: Final[dict[Kind, tuple[int, int]]] = {
    Kind.POP: (1, 0),
    Kind.PC: (0, 1),
    Kind.GAS: (0, 1),
    Kind.JUMPDEST: (0, 0),
    Kind.JUMP: (1, 0),
    Kind.JUMPI: (2, 0),
    Kind.STOP: (0, 0),
    Kind.MLOAD: (1, 1),
    Kind.MSTORE: (2, 0),
    Kind.MSTORE8: (2, 0),
    Kind.SHA3: (2, 1),
    Kind.COPY: (3, 0),
    Kind.RETURN: (2, 0),
    Kind.REVERT: (2, 0),
    Kind.SLOAD: (1, 1),
    Kind.SSTORE: (2, 0),
}


def _logic(entry: Any) -> Logic | None:
    """Return py-evm's function behind an opcode, without the check that refuses static calls."""
    logic: Logic | None = getattr(entry, "logic_fn", None)
    if logic is None:
        return None
    inner: Logic = getattr(logic, "__wrapped__", logic)
    return inner if inner is london.sstore_eip3529 or inner in _LOGS else logic


_LOGS: Final = frozenset(getattr(logging, f"log{count}") for count in range(5))


def _fold(template: tuple[int, str]) -> Callable[..., int]:
    names = "abc"[: template[0]]
    source = f"lambda {','.join(names)}: {template[1].format(*names)}"
    return eval(source, helpers.namespace())  # type: ignore[no-any-return]  # noqa: S307 - our own text


_FOLDS: Final = {text: _fold((pops, text)) for pops, text in PURE.values()}


def fold(rule: Rule, operands: list[int]) -> int:
    """Return the value of a PURE opcode for known operands."""
    return _FOLDS[rule.text](*operands)
