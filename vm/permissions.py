"""Who may send transactions and deploy contracts, as the AccountPermissions contract says it.

Asked only where genesis turned it on (`ChainParams.account_permissions`), in the pool and for every
block, always of the state before the block: a change counts from the next block on. The slots are
those of contracts/src/AccountPermissions.sol; `tests/vm/test_permissions.py` holds them together.

Deploying means a transaction that creates a contract, or one to the deterministic deployment proxy.
A call or a simulation is not a transaction and is not asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from primitives.crypto.keccak import keccak
from primitives.errors import InvalidTransaction, SenderNotPermitted
from primitives.params import ACCOUNT_PERMISSIONS, DEPLOYMENT_PROXY, ChainParams
from primitives.transaction import Transaction
from primitives.types import Address
from vm.state.changes import StateReader

HEAD_SLOT: Final = 0
RIGHTS_SLOT: Final = 1
SENDERS_LIMITED: Final = 1 << 160
DEPLOYERS_LIMITED: Final = 1 << 168
MAY_SEND: Final = 1
MAY_DEPLOY: Final = 2


@dataclass(frozen=True, slots=True)
class AccountRules:
    """The permissions that hold in the block after `state`."""

    state: StateReader
    limits_senders: bool
    limits_deployers: bool

    def check(self, transaction: Transaction) -> None:
        """Raise SenderNotPermitted unless the sender may send, and deploy if it does."""
        deploys = self.limits_deployers and is_deployment(transaction)
        needed = MAY_SEND * self.limits_senders | MAY_DEPLOY * deploys
        if not needed:
            return
        missing = needed & ~self._rights(transaction.sender)
        if missing:
            what = "send transactions" if missing & MAY_SEND else "deploy contracts"
            raise SenderNotPermitted(
                f"account 0x{transaction.sender.hex()} may not {what} on this network; "
                "ask its operators",
                address=transaction.sender,
            )

    def permitted(
        self,
        transactions: Iterable[Transaction],
        refused: list[tuple[Transaction, InvalidTransaction]],
    ) -> Iterator[Transaction]:
        """Yield the permitted ones in order; the others are added to `refused`."""
        for each in transactions:
            try:
                self.check(each)
            except SenderNotPermitted as error:
                refused.append((each, error))
            else:
                yield each

    def _rights(self, account: Address) -> int:
        slot = keccak(bytes(12) + account + RIGHTS_SLOT.to_bytes(32, "big"))
        return self.state.storage(ACCOUNT_PERMISSIONS, int.from_bytes(slot, "big"))


def account_rules(state: StateReader, params: ChainParams) -> AccountRules | None:
    """Return the rules that `state` sets for the next block, or None where there are none."""
    if not params.account_permissions:
        return None
    head = state.storage(ACCOUNT_PERMISSIONS, HEAD_SLOT)
    senders, deployers = bool(head & SENDERS_LIMITED), bool(head & DEPLOYERS_LIMITED)
    return AccountRules(state, senders, deployers) if senders or deployers else None


def is_deployment(transaction: Transaction) -> bool:
    """Return whether a transaction deploys a contract."""
    return transaction.to is None or transaction.to == DEPLOYMENT_PROXY
