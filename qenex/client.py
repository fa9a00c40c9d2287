"""The Python client of a QENEX network.

    from qenex import Client

    client = Client("http://127.0.0.1:8545", key="0xac09...ff80")
    client.qxc.deposit("100")                       # 100 coins become tokens
    client.qxc.transfer("0x7099...79C8", "12.5")    # the recipient gets 12.4875
    client.staking.stake("50")
    proposal = client.governance.propose_parameters(
        target_percent="15", cooldown_days=30, quorum_percent=10, description="a better rate"
    )
    client.governance.vote(proposal, True)

Everything is synchronous: a method that changes something returns once its block is final.
Amounts are QXC, given as Decimal, int or text and returned as Decimal; floats are refused, because
they cannot hold 18 decimals. Addresses are `0x` text and returned with EIP-55 capitals. Raises
`Refused` with the contract's own error when a contract says no, `UpstreamDown` when no node
answers, `ConfigError` when an argument is wrong.
"""

from __future__ import annotations

from typing import Any

from contracts.addresses import GOVERNANCE, MULTISIG_FACTORY, QXC, STAKING, STANDARD
from genesis.fields import Field
from primitives.crypto.secp256k1 import PrivateKey
from primitives.errors import ConfigError, UpstreamDown
from primitives.types import Address
from qenex.abi import constructor_data
from qenex.amounts import Amount, Qxc, shown_address, to_address, to_wei
from qenex.contract import Contract, Link, Receipt
from qenex.exchange import Exchange
from qenex.farming import Farming, Oracle
from qenex.governing import Governance
from qenex.jsonrpc import JsonRpc
from qenex.lending import FlashLoans, Lending
from qenex.multisig import MultiSigs
from qenex.token import Staking, Token

DEFAULT_URL = "http://127.0.0.1:8545"


class Client:
    """One node, and the account that acts; without a `key` one can only read.

    `fee_max` is the most coins that one transaction may cost; without it the network's price is
    paid.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        key: str | bytes | PrivateKey | None = None,
        fee_max: Amount | None = None,
    ) -> None:
        self._rpc = JsonRpc(url)
        kinds = {address: name for name, address in STANDARD.items()}
        most = None if fee_max is None else to_wei(fee_max)
        self._link = Link(self._rpc, None if key is None else read_key(key), kinds, most)
        self.qxc = Token(self.contract("QXC", QXC))
        self.staking = Staking(self.contract("Staking", STAKING), self.qxc)
        self.governance = Governance(self.contract("Governance", GOVERNANCE))
        self.multisig = MultiSigs(self.contract("MultiSigFactory", MULTISIG_FACTORY))
        self.amm = Exchange(self.contract)
        self.lending = Lending(self.contract)
        self.farming = Farming(self.contract)
        self.flash = FlashLoans(self.contract)

    @property
    def address(self) -> str:
        """The account that acts; raises ConfigError without a key."""
        return shown_address(self._link.address())

    @property
    def url(self) -> str:
        """The address of the node."""
        return self._rpc.url

    @property
    def key(self) -> PrivateKey:
        """The key that signs; raises ConfigError without one."""
        if self._link.key is None:
            raise ConfigError("this client only reads: Client(url, key)")
        return self._link.key

    @property
    def chain_id(self) -> int:
        """The number that transactions are signed for."""
        return int(self._rpc.call("eth_chainId"), 16)

    @property
    def height(self) -> int:
        """The height of the newest block."""
        return self._rpc.height()

    def balance(self, address: str | None = None) -> Qxc:
        """Return the native coins of an account, one's own by default."""
        who = self.address if address is None else address
        raw = Field("address", who).address()
        return Qxc.of_wei(int(self._rpc.call("eth_getBalance", "0x" + raw.hex(), "latest"), 16))

    def send_coins(self, to: str, amount: Amount) -> Receipt:
        """Send native coins; nothing is burned but the base fee."""
        return self._link.send(Field("to", to).address(), value=to_wei(amount))

    def oracle(self, address: str) -> Oracle:
        """Return the median oracle at an address."""
        return Oracle(self.contract, address)

    def contract(self, name: str, address: str | Address) -> Contract:
        """Return any contract whose artifact is in `contracts`, at an address."""
        raw = Field("address", address).address() if isinstance(address, str) else address
        if name == "ERC20":
            self._link.kinds.setdefault(raw, name)
        else:
            self._link.kinds[raw] = name
        return Contract(self._link, name, raw)

    def deploy(self, name: str, *values: Any) -> Contract:
        """Deploy a contract whose artifact is in `contracts`; `values` go to its constructor."""
        return self.contract(name, self.create(constructor_data(name, values)))

    def create(self, code: bytes, value: Amount = 0) -> str:
        """Run creation code, constructor's arguments behind it; return where the contract is."""
        made = self._link.send(None, code, to_wei(value)).created
        if made is None:
            raise UpstreamDown("the node names no address of the new contract")
        return shown_address(made)

    def call(self, to: str, data: bytes) -> bytes:
        """Return what a contract answers to raw data, changing nothing."""
        return self._link.read(to_address(to, "to"), data)

    def send(self, to: str, data: bytes, value: Amount = 0) -> Receipt:
        """Send raw data, and coins, to a contract."""
        return self._link.send(to_address(to, "to"), data, to_wei(value))

    def rpc(self, method: str, *params: Any) -> Any:
        """Return what the node answers to any JSON-RPC method."""
        return self._rpc.call(method, *params)


def read_key(key: str | bytes | PrivateKey) -> PrivateKey:
    """Return a key from 32 bytes or hex text; raises ConfigError."""
    if isinstance(key, PrivateKey):
        return key
    try:
        raw = bytes.fromhex(key.removeprefix("0x")) if isinstance(key, str) else key
        return PrivateKey(raw)
    except (ValueError, TypeError):
        raise ConfigError("a key is 32 bytes, or 0x and 64 hex digits") from None
