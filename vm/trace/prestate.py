"""prestateTracer: the accounts and slots that a transaction read, or with `diff` what it changed.

Source: go-ethereum eth/tracers/native/prestate.go. Accounts that were empty before are left out
unless wanted; in a diff, an account that was destroyed stands in `pre` only, and unchanged slots
and zero values are left out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from primitives.codec import encode, uint
from primitives.crypto.keccak import keccak
from primitives.types import ADDRESS_BYTES, Address
from vm.trace.hooks import Begin, Budget, End, StateView, Step, Tracer
from vm.trace.requests import Prestate
from vm.validate import DELEGATION_PREFIX, is_delegation

ACCOUNT_BYTES: Final = 1_000
SLOT_BYTES: Final = 400
STORAGE_CODES: Final = frozenset((0x54, 0x55))
ACCOUNT_CODES: Final = frozenset((0x31, 0x3B, 0x3C, 0x3F, 0xFF))
CALL_CODES: Final = frozenset((0xF1, 0xF2, 0xF4, 0xFA))
SELFDESTRUCT: Final = 0xFF
CREATE: Final = 0xF0
CREATE2: Final = 0xF5
INIT_BYTES_MAX: Final = 1 << 20
"""More initcode than any fork and any gas allows; a creation with more fails."""


@dataclass(slots=True)
class Seen:
    """An account as it was when it was first met."""

    balance: int
    nonce: int
    code: bytes
    storage: dict[int, int] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """True when there was nothing."""
        return not (self.balance or self.nonce or self.code)


class Touched(Tracer):
    """Follows which accounts and slots a transaction reads, as go-ethereum's tracers do."""

    wants_steps = True

    def on_step(self, step: Step) -> None:
        """Report what the opcode is about to touch; a step that fails at once touches nothing."""
        stack, code = step.stack, step.code
        if step.error is not None:
            return
        if code in STORAGE_CODES and len(stack) >= 1:
            self.touch_slot(step.contract, stack[-1])
        elif code in ACCOUNT_CODES and len(stack) >= 1:
            self.touch(address_of(stack[-1]))
            if code == SELFDESTRUCT:
                self.destroy(step.contract)
        elif code in CALL_CODES and len(stack) >= 5:
            self.touch_called(address_of(stack[-2]))
        elif code == CREATE:
            self.create(step, None)
        elif code == CREATE2 and len(stack) >= 4:
            start, size = stack[-2], stack[-3]
            if size <= INIT_BYTES_MAX:
                self.create(step, bytes(step.memory[start : start + size]).ljust(size, b"\0"))

    def touch(self, address: Address) -> None:
        """Take note of an account."""

    def touch_called(self, address: Address) -> None:
        """Take note of a called account."""
        self.touch(address)

    def touch_slot(self, address: Address, slot: int) -> None:
        """Take note of a storage slot."""

    def destroy(self, address: Address) -> None:
        """Take note that a contract destroys itself."""

    def create(self, step: Step, init: bytes | None) -> None:
        """Take note of a creation, by CREATE2 where `init` is given."""


class PrestateTracer(Touched):
    """Keeps accounts as they were when they were first met."""

    def __init__(self, budget: Budget, request: Prestate) -> None:
        super().__init__(budget)
        self._request = request
        self._state: StateView | None = None
        self._before: dict[Address, Seen] = {}
        self._after: dict[Address, dict[str, Any]] = {}
        self._created: set[Address] = set()
        self._destroyed: set[Address] = set()
        self._last: list[tuple[Address, int | None]] = []
        self._only_new_die = True

    def on_begin(self, begin: Begin) -> None:
        """Meet sender, recipient, fee recipient and the signers of delegations."""
        self._state = begin.state
        self._only_new_die = begin.only_new_die
        for address in (begin.sender, begin.to, begin.coinbase, *begin.authorities):
            self.touch(address)
        if begin.is_creation:
            self._created.add(begin.to)

    @property
    def _now(self) -> StateView:
        if self._state is None:
            raise LookupError("the trace has not begun")
        return self._state

    def on_step(self, step: Step) -> None:
        """Meet what the opcode is about to touch."""
        self._last.clear()
        super().on_step(step)

    def on_fault(self, step: Step) -> None:
        """Forget what the last step met: it had no gas to do so."""
        for address, slot in reversed(self._last):
            if slot is None:
                del self._before[address]
            else:
                del self._before[address].storage[slot]
        self._last.clear()

    def touch(self, address: Address) -> None:
        """Keep an account, the first time."""
        if address not in self._before:
            state = self._now
            seen = Seen(
                state.get_balance(address), state.get_nonce(address), state.get_code(address)
            )
            self.budget.spend(ACCOUNT_BYTES + 3 * len(seen.code))
            self._before[address] = seen
            self._last.append((address, None))

    def touch_called(self, address: Address) -> None:
        """Keep the account and the one that it delegates to."""
        self.touch(address)
        code = self._now.get_code(address)
        if is_delegation(code):
            self.touch(Address(code[len(DELEGATION_PREFIX) :]))

    def touch_slot(self, address: Address, slot: int) -> None:
        """Keep a slot's value, the first time."""
        self.touch(address)
        storage = self._before[address].storage
        if self._request.storage and slot not in storage:
            self.budget.spend(SLOT_BYTES)
            storage[slot] = self._now.get_storage(address, slot)
            self._last.append((address, slot))

    def destroy(self, address: Address) -> None:
        """Remember a contract that is gone, by the rule of the fork."""
        if address in self._created or not self._only_new_die:
            self._destroyed.add(address)

    def create(self, step: Step, init: bytes | None) -> None:
        """Meet the address of the contract in the making."""
        nonce = self._now.get_nonce(step.contract)
        made_with = None if init is None else (step.stack[-4], init)
        address = created_address(step.contract, nonce, made_with)
        self.touch(address)
        self._created.add(address)

    def on_end(self, end: End) -> None:
        """Compare with the state after, for a diff."""
        if self._request.diff:
            for address in list(self._before):
                if address not in self._destroyed:
                    self._compare(address)

    def _compare(self, address: Address) -> None:
        """Keep what changed of one account; an unchanged one goes."""
        before, now = self._before[address], self._now
        changed: dict[str, Any] = {}
        if (balance := now.get_balance(address)) != before.balance:
            changed["balance"] = hex(balance)
        if (code := now.get_code(address)) != before.code:
            if self._request.code:
                changed["code"] = "0x" + code.hex()
            changed["codeHash"] = "0x" + keccak(code).hex()
        if (nonce := now.get_nonce(address)) != before.nonce:
            changed["nonce"] = nonce
        storage = {}
        is_storage_changed = False
        for slot, old in list(before.storage.items()):
            new = now.get_storage(address, slot)
            if old == new or not old:
                del before.storage[slot]
            if old != new:
                is_storage_changed = True
                if new:
                    storage[slot] = new
        if changed or is_storage_changed:
            self._after[address] = changed | _shown_storage(storage)
        else:
            del self._before[address]

    def result(self) -> object:
        """Return the accounts, in order of address; `{post, pre}` for a diff."""
        before = {
            "0x" + address.hex(): self._shown(seen)
            for address, seen in sorted(self._before.items())
            if self._request.empty or not seen.is_empty
        }
        if not self._request.diff:
            return before
        after = {"0x" + address.hex(): each for address, each in sorted(self._after.items())}
        return {"post": after, "pre": before}

    def _shown(self, seen: Seen) -> dict[str, Any]:
        shown: dict[str, Any] = {"balance": hex(seen.balance)}
        if seen.code:
            if self._request.code:
                shown["code"] = "0x" + seen.code.hex()
            shown["codeHash"] = "0x" + keccak(seen.code).hex()
        if seen.nonce:
            shown["nonce"] = seen.nonce
        return shown | _shown_storage(seen.storage)


def _shown_storage(storage: dict[int, int]) -> dict[str, Any]:
    if not storage:
        return {}
    return {"storage": {f"0x{slot:064x}": f"0x{storage[slot]:064x}" for slot in sorted(storage)}}


def address_of(item: int) -> Address:
    """Return the address in the low 20 bytes of a stack item."""
    return Address((item & (1 << 8 * ADDRESS_BYTES) - 1).to_bytes(ADDRESS_BYTES, "big"))


def created_address(
    creator: Address, nonce: int, made_with: tuple[int, bytes] | None = None
) -> Address:
    """Return a new contract's address; `made_with` is CREATE2's salt and initcode (EIP-1014)."""
    if made_with is None:
        return Address(keccak(encode([creator, uint(nonce)]))[12:])
    salt, init = made_with
    return Address(keccak(b"\xff" + creator + salt.to_bytes(32, "big") + keccak(init))[12:])
