"""Write one unit: a straight path of basic blocks as the source of one Python function.

The stack is a list of names and literals while the unit is written. Items of the real stack are
taken when they are needed and everything is put back at each way out. A function takes the
computation, its stack and its gas meter; it returns the position to go on at, END, or ~position
when the interpreter must go on there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from vm.pyevm.compile.rules import Kind, Rule, Rules, fold

STACK_ITEMS_MAX: Final = 1_024
UNIT_OPCODES_MAX: Final = 256
END: Final = -(1 << 40)
"""What a unit returns when the frame is over."""


_OVER: Final = -1
"""Where a path goes on that is at its end."""


@dataclass(frozen=True, slots=True)
class Path:
    """What a unit is written from: the code, where it begins, and what is known of the code."""

    code: bytes
    entry: int
    rules: Rules
    jumps: bytes
    visits: Mapping[int, int]
    follow_visits_min: int
    """A path goes on into blocks that were visited at least this often."""


@dataclass(frozen=True, slots=True)
class Source:
    """A unit's text, the number of opcodes in it, and the opcodes that it calls."""

    text: str
    opcodes: int
    called: frozenset[int]


def write_unit(path: Path) -> Source | None:
    """Return the unit that begins at the path's entry; None if its first opcode ends it."""
    return _Writer(path).write()


class _Writer:
    """One unit in the making."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines: list[str] = []
        self._stack: list[str] = []
        self._taken = 0
        self._need = 0
        self._high = 0
        self._names = 0
        self._opcodes = 0
        self._memory_known = 0
        self._run_at: int | None = None
        self._run_gas = 0
        self._run_pc = 0
        self._run_spill = ""
        self._called: set[int] = set()
        self._seen: set[int] = set()

    def write(self) -> Source | None:
        """Follow the path to its end."""
        pc = self._path.entry
        while pc != _OVER:
            pc = self._step(pc)
        if not self._opcodes:
            return None
        return Source(self._text(), self._opcodes, frozenset(self._called))

    def _text(self) -> str:
        body = [line for line in self._lines if line]
        head = [f"def unit{self._path.entry}(c,S,G):"]
        if self._need or self._high > 0:
            most = STACK_ITEMS_MAX - max(self._high, 0)
            head.append(f" if not {self._need}<=len(S)<={most}:return ~{self._path.entry}")
        head.append(" g=G.gas_remaining;m=c.msg;N=c._memory;B=N._bytes")
        return "\n".join([*head, *(f" {line}" for line in body)])

    # --- steps --------------------------------------------------------------------------------

    def _step(self, pc: int) -> int:
        """Write the opcode at `pc`; return where the path goes on."""
        code = self._path.code
        if pc >= len(code):
            return self._leave("END")
        rule = self._path.rules.rules.get(code[pc])
        if rule is None or self._opcodes >= UNIT_OPCODES_MAX:
            return self._leave(f"~{pc}" if rule is None else str(pc))
        if rule.kind is Kind.JUMPDEST:
            if pc in self._seen or not self._is_worth(pc):
                return self._leave(str(pc))
            self._seen.add(pc)
        self._opcodes += 1
        if rule.kind is Kind.JUMP:
            return self._jump(pc, rule)
        if rule.kind is Kind.JUMPI:
            return self._jump_if(pc, rule)
        if rule.kind in (Kind.STOP, Kind.RETURN, Kind.REVERT):
            return self._finish(pc, rule)
        self._write(pc, rule)
        self._high = max(self._high, len(self._stack) - self._taken)
        return pc + 1 + (rule.number if rule.kind is Kind.PUSH else 0)

    def _is_worth(self, pc: int) -> bool:
        return (
            pc == self._path.entry or self._path.visits.get(pc, 0) >= self._path.follow_visits_min
        )

    def _write(self, pc: int, rule: Rule) -> None:
        kind = rule.kind
        if kind in (Kind.SSTORE, Kind.LOG, Kind.GAS, Kind.CALLED):
            self._alone(pc, rule)
            return
        self._charge(pc, rule.gas)
        if kind is Kind.PUSH:
            data = self._path.code[pc + 1 : pc + 1 + rule.number].ljust(rule.number, b"\0")
            self._stack.append(str(int.from_bytes(data, "big")))
        elif kind is Kind.POP:
            self._pop()
        elif kind is Kind.DUP:
            self._dup(rule.number)
        elif kind is Kind.SWAP:
            self._reach(rule.number + 1)
            stack, at = self._stack, -1 - rule.number
            stack[-1], stack[at] = stack[at], stack[-1]
        elif kind is Kind.PC:
            self._stack.append(str(pc))
        elif kind is Kind.ENVIRONMENT:
            self._call(rule)
        elif kind is not Kind.JUMPDEST:
            self._compute(rule)

    def _compute(self, rule: Rule) -> None:
        kind, line = rule.kind, self._lines.append
        operands = [self._pop() for _ in range(rule.pops)]
        if kind is Kind.PURE and all(map(str.isdigit, operands)):
            self._stack.append(str(fold(rule, [int(each) for each in operands])))
        elif kind in (Kind.PURE, Kind.READ):
            line(f"{self._push()}={rule.text.format(*operands)}")
        elif kind is Kind.MLOAD:
            self._need_memory(operands[0], 32)
            line(f"{self._push()}=F(B[{operands[0]}:{_sum(operands[0], 32)}],'big')")
        elif kind is Kind.MSTORE:
            self._need_memory(operands[0], 32)
            line(f"B[{operands[0]}:{_sum(operands[0], 32)}]={_word(operands[1])}")
        elif kind is Kind.MSTORE8:
            self._need_memory(operands[0], 1)
            line(f"B[{operands[0]}]={operands[1]}&255")
        elif kind is Kind.SHA3:
            line(f"{self._push()},g=hashed(B,g,{operands[0]},{operands[1]})")
        elif kind is Kind.SLOAD:
            line(f"{self._push()},g=sload(c,g,{operands[0]})")
        elif kind is Kind.COPY:
            to, start, size = operands
            line(f"g=copy(B,g,{rule.text},({to},{start}),{size})")

    def _alone(self, pc: int, rule: Rule) -> None:
        """Write an opcode that sees the exact gas or fails by something else than gas."""
        self._close()
        if rule.gas:
            self._charge(pc, rule.gas)
            self._close()
        if rule.kind is Kind.GAS:
            self._lines.append(f"{self._push()}=g")
        elif rule.kind is Kind.SSTORE:
            slot, value = self._pop(), self._pop()
            self._lines.append(f"g=sstore(c,g,{slot},{value})")
        elif rule.kind is Kind.LOG:
            start, size = self._pop(), self._pop()
            topics = "".join(f"{self._pop()}," for _ in range(rule.number))
            self._lines.append(f"g=log(c,B,g,({start},{size}),({topics}))")
        else:
            operands = [self._pop() for _ in range(rule.pops)]
            if operands:
                self._lines.append(f"S+=({','.join(reversed(operands))},)")
            self._lines.append("G.gas_remaining=g")
            self._call(rule)
            self._lines.append("g=G.gas_remaining;B=N._bytes")

    def _call(self, rule: Rule) -> None:
        self._called.add(rule.opcode)
        self._lines.append(f"OP{rule.opcode}(computation=c)")
        if rule.pushes:
            self._lines.append(f"{self._push()}=S.pop()")

    # --- ways out -----------------------------------------------------------------------------

    def _jump(self, pc: int, rule: Rule) -> int:
        self._charge(pc, rule.gas)
        target = self._pop()
        if self._is_known(target):
            return int(target)
        self._close()
        self._lines.append(self._refuse(pc, rule, [target]))
        self._lines.append(self._exit(target))
        return _OVER

    def _jump_if(self, pc: int, rule: Rule) -> int:
        self._charge(pc, rule.gas)
        target, condition = self._pop(), self._pop()
        self._close()
        if condition == "0":
            return self._go_on(pc + 1)
        taken = self._exit(target)
        if not self._is_known(target):
            taken = f"{self._refuse(pc, rule, [condition, target])}\n  {taken}"
        visits = self._path.visits
        if self._is_known(target) and visits.get(int(target), 0) > visits.get(pc + 1, 0):
            self._lines.append(f"if not {condition}:{self._exit(str(pc + 1))}")
            return int(target)
        self._lines.append(f"if {condition}:\n  {taken}")
        return self._go_on(pc + 1)

    def _is_known(self, target: str) -> bool:
        jumps = self._path.jumps
        return target.isdigit() and int(target) < len(jumps) and jumps[int(target)] == 1

    def _refuse(self, pc: int, rule: Rule, operands: list[str]) -> str:
        """Return what hands a jump to nowhere to the interpreter, as if it had not begun."""
        back = f"G.gas_remaining=g+{rule.gas};{_spill(self._stack + operands)}return ~{pc}"
        target = operands[-1]
        return f"if {target}>=CODE_SIZE or not J[{target}]:{back}"

    def _go_on(self, pc: int) -> int:
        return pc if self._is_worth(pc) else self._leave(str(pc))

    def _finish(self, pc: int, rule: Rule) -> int:
        self._charge(pc, rule.gas)
        if rule.kind is Kind.STOP:
            self._stack.clear()
            return self._leave("END")
        self._close()
        start, size = self._pop(), self._pop()
        self._lines.append(f"o,g=piece(B,g,{start},{size})")
        if rule.kind is Kind.REVERT:
            self._lines.append("revert(c,o,g)")
        else:
            self._lines.append("c.output=o;G.gas_remaining=g;return END")
        return _OVER

    def _leave(self, where: str) -> int:
        self._close()
        self._lines.append(self._exit(where))
        return _OVER

    def _exit(self, where: str) -> str:
        return f"G.gas_remaining=g;{_spill(self._stack)}return {where}"

    # --- stack, gas, memory -------------------------------------------------------------------

    def _name(self) -> str:
        self._names += 1
        return f"t{self._names}"

    def _push(self) -> str:
        name = self._name()
        self._stack.append(name)
        return name

    def _pop(self) -> str:
        self._reach(1)
        return self._stack.pop()

    def _reach(self, count: int) -> None:
        """Have at least `count` items in names."""
        while len(self._stack) < count:
            name = self._name()
            self._lines.append(f"{name}=S.pop()")
            self._stack.insert(0, name)
            self._taken += 1
        self._need = max(self._need, self._taken)

    def _dup(self, number: int) -> None:
        deep = number - len(self._stack)
        if deep <= 0:
            self._stack.append(self._stack[-number])
            return
        self._need = max(self._need, self._taken + deep)
        self._lines.append(f"{self._push()}=S[-{deep}]")

    def _charge(self, pc: int, gas: int) -> None:
        """Add to the gas of the run, which begins here if there is none."""
        if self._run_at is None:
            self._run_at, self._run_gas, self._run_pc = len(self._lines), 0, pc
            self._run_spill = _spill(self._stack)
            self._lines.append("")
        self._run_gas += gas

    def _close(self) -> None:
        """End the run: what it costs is taken at its beginning, or the interpreter goes on there.

        Nothing of the run has been done then. Its first pops come after the line that is written.
        """
        if self._run_at is None:
            return
        if gas := self._run_gas:
            back = f"G.gas_remaining=g+{gas};{self._run_spill}return ~{self._run_pc}"
            self._lines[self._run_at] = f"g-={gas}\n if g<0:{back}"
        self._run_at = None

    def _need_memory(self, start: str, size: int) -> None:
        if start.isdigit():
            if int(start) + size <= self._memory_known:
                return
            self._memory_known = int(start) + size
        self._lines.append(f"if {_sum(start, size)}>len(B):g=X(B,g,{start},{size})")


def _sum(operand: str, size: int) -> str:
    return str(int(operand) + size) if operand.isdigit() else f"{operand}+{size}"


def _word(operand: str) -> str:
    if operand.isdigit():
        return repr(int(operand).to_bytes(32, "big"))
    return f"{operand}.to_bytes(32,'big')"


def _spill(stack: list[str]) -> str:
    return f"S+=({','.join(stack)},);" if stack else ""
