"""Several keys beside one node: a client for each account, found by its address.

Keys are given as text, bytes or PrivateKey and never leave this process. Without keys, the ten
public test accounts act, and only on networks of one machine: a localnet or a developer chain.
The node is the one at `url`, else at the environment's QENEX_URL, else on port 8545.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable
from typing import Final

from genesis.profiles import LOCALNET_CHAIN_ID, TEST_KEYS
from primitives.crypto.secp256k1 import PrivateKey
from primitives.errors import ConfigError
from primitives.types import Address
from qenex.amounts import Amount, shown_address, to_address
from qenex.client import DEFAULT_URL, Client, read_key

URL_VARIABLE: Final = "QENEX_URL"
TEST_CHAINS: Final = (LOCALNET_CHAIN_ID, 31_337)
"""Chain ids of localnet and of `qenex dev`, where the test accounts are funded."""

Key = str | bytes | PrivateKey


class UnknownSigner(ConfigError):
    """Nobody here holds the key of the account that is to act."""


class Accounts:
    """The keys held here. The first one acts where nobody is named."""

    def __init__(self, url: str | None = None, keys: Iterable[Key] | None = None) -> None:
        self.url = url or os.environ.get(URL_VARIABLE) or DEFAULT_URL
        self.reader = Client(self.url)
        self._keys: dict[Address, PrivateKey] | None = None
        self._clients: dict[Address, Client] = {}
        if keys is not None:
            self._keys = {each.address: each for each in map(read_key, keys)}

    @classmethod
    def of(cls, client: Client) -> Accounts:
        """Return the one account of a client."""
        made = cls(client.url, [])
        made._clients = {to_address(client.address): client}
        made._keys = dict.fromkeys(made._clients, client.key)
        return made

    @property
    def addresses(self) -> list[str]:
        """Addresses of the keys held here, the first one first."""
        return [shown_address(each) for each in self._held()]

    def add(self, key: Key | None = None) -> str:
        """Hold another key, a new one by default; return its address."""
        made = read_key(secrets.token_bytes(32) if key is None else key)
        self._held()[made.address] = made
        return shown_address(made.address)

    def holds(self, address: str) -> bool:
        """Return whether the key of an address is held here."""
        return to_address(address) in self._held()

    def key(self, address: str) -> PrivateKey:
        """Return the key of an address; raises UnknownSigner."""
        found = self._held().get(to_address(address))
        if found is None:
            raise UnknownSigner(f"the key of {address} is not here; give it as one of `keys`")
        return found

    def client(self, address: str | None = None, fee_max: Amount | None = None) -> Client:
        """Return the client of an account, the first one's by default; raises UnknownSigner."""
        if address is None:
            address = self._first()
        key = self.key(address)
        if fee_max is not None:
            return Client(self.url, key, fee_max)
        return self._clients.setdefault(key.address, Client(self.url, key))

    def _first(self) -> str:
        for each in self._held():
            return shown_address(each)
        raise UnknownSigner("no key is here to act with; give `keys`")

    def _held(self) -> dict[Address, PrivateKey]:
        if self._keys is None:
            local = self.reader.chain_id in TEST_CHAINS
            made = [PrivateKey(each) for each in TEST_KEYS.values()] if local else []
            self._keys = {each.address: each for each in made}
        return self._keys
