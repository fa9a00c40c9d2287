"""The accounts that a developer chain sends and signs for: unlocked keys and impersonated ones."""

from __future__ import annotations

from collections.abc import Iterable

from node.dev.unsigned import Draft, marked, signed_by
from primitives.crypto.secp256k1 import PrivateKey
from primitives.errors import InvalidRequest, Rejected
from primitives.transaction import Transaction
from primitives.types import Address

IMPERSONATED_MAX = 10_000
KEYS_MAX = 10_000


class Accounts:
    """Keys in the order of their index, and who is impersonated; methods never wait."""

    def __init__(self, keys: Iterable[PrivateKey]) -> None:
        self._keys = {each.address: each for each in keys}
        self._impersonated: set[Address] = set()
        self.impersonates_all = False

    @property
    def addresses(self) -> list[Address]:
        """Addresses of the unlocked keys, in order."""
        return list(self._keys)

    def impersonate(self, address: Address) -> None:
        """Send for this account from now on; raises Rejected when there are too many."""
        if len(self._impersonated) >= IMPERSONATED_MAX:
            raise Rejected(f"at most {IMPERSONATED_MAX} accounts are impersonated at once")
        self._impersonated.add(address)

    def stop_impersonating(self, address: Address) -> bool:
        """Send for this account no longer; False when it was not impersonated."""
        known = address in self._impersonated
        self._impersonated.discard(address)
        return known

    def is_impersonated(self, address: Address) -> bool:
        """Return whether transactions of this account need no key."""
        return address in self._impersonated or self.impersonates_all

    def unlock(self, key: PrivateKey) -> None:
        """Keep one more key; raises Rejected when there are too many."""
        if len(self._keys) >= KEYS_MAX:
            raise Rejected(f"at most {KEYS_MAX} keys are unlocked")
        self._keys[key.address] = key

    def key(self, address: Address) -> PrivateKey:
        """Return an unlocked key; raises InvalidRequest when there is none."""
        found = self._keys.get(address)
        if found is None:
            raise InvalidRequest(f"unknown account 0x{address.hex()}: its key is not here")
        return found

    def finish(self, draft: Draft, sender: Address) -> Transaction:
        """Return the transaction signed by the sender's key, or marked when it is impersonated.

        Raises InvalidRequest when it is neither unlocked nor impersonated.
        """
        key = self._keys.get(sender)
        if key is not None:
            return signed_by(draft, key)
        if self.is_impersonated(sender):
            return marked(draft, sender)
        raise InvalidRequest(
            f"unknown account 0x{sender.hex()}: neither unlocked nor impersonated "
            "(hardhat_impersonateAccount)"
        )
