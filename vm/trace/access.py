"""Access lists: which accounts and slots a call touches. Source: EIP-2930; go-ethereum
eth/tracers/logger/access_list_tracer.go, eth_createAccessList.

Sender, recipient and precompiles are warm anyway and are left out, but for their slots.
"""

from __future__ import annotations

from collections.abc import Iterable

from primitives.transaction import AccessList
from primitives.types import Address
from vm.trace.hooks import Begin, Budget
from vm.trace.prestate import ACCOUNT_BYTES, SLOT_BYTES, Touched


class AccessListTracer(Touched):
    """Collects what a call touches, on top of the list that it was given."""

    def __init__(self, budget: Budget, given: AccessList) -> None:
        super().__init__(budget)
        self._warm: frozenset[Address] = frozenset()
        self._given = given
        self._slots: dict[Address, set[int]] = {}

    def on_begin(self, begin: Begin) -> None:
        """Remember who is warm, then take over the given list."""
        self._warm = begin.precompiles | {begin.sender, begin.to, *begin.authorities}
        for address, slots in self._given:
            self.touch(address)
            for slot in slots:
                self.touch_slot(address, slot)

    def touch(self, address: Address) -> None:
        """Keep an account that is not warm anyway."""
        if address not in self._warm and address not in self._slots:
            self.budget.spend(ACCOUNT_BYTES)
            self._slots[address] = set()

    def touch_slot(self, address: Address, slot: int) -> None:
        """Keep a slot."""
        slots = self._slots.setdefault(address, set())
        if slot not in slots:
            self.budget.spend(SLOT_BYTES)
            slots.add(slot)

    def access_list(self) -> AccessList:
        """Return the list, ascending."""
        return in_order(self._slots.items())


def in_order(entries: Iterable[tuple[Address, Iterable[int]]]) -> AccessList:
    """Return an access list ascending by address and slot."""
    return tuple((address, tuple(sorted(slots))) for address, slots in sorted(entries))
