"""`QENEXCore`: accounts, payments, contracts and figures, each by one call, on a running network.

    from qenex_core import Asset, AssetClass, QENEXCore, Transaction, TransactionType

    qenex = QENEXCore()                       # a localnet on port 8545 and its test accounts
    qxc = Asset(id="qxc", symbol="QXC", name="QENEX Coin", asset_class=AssetClass.CRYPTO, ...)
    result = qenex.process_transaction(Transaction(...))

The names are those of the project's founding document. Everything is synchronous and real: a call
returns once its block is final, nothing is kept here but keys and the assets' addresses. An asset
is an ERC-20 token; the asset `qxc` is QXC's token, `coin` the native coin, and others are told by
`metadata={"address": "0x..."}` or `qenex.assets["btc"] = "0x..."`. Amounts are Decimal in whole
tokens. Raises UnknownSigner, UnknownAsset, FeeTooLow, ConfigError before anything is sent, Refused
when a contract says no, UpstreamDown when no node answers.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from typing import Any, Final

from contracts import artifact
from contracts.addresses import QXC, STANDARD
from primitives.errors import ConfigError
from primitives.types import ZERO_ADDRESS, Address
from qenex.accounts import Accounts, Key
from qenex.amounts import Amount, shown_address, to_address
from qenex.client import Client
from qenex.contract import Receipt
from qenex.erc20 import Erc20, arrived
from qenex.programs import Program, answer, program

WINDOW: Final = 20
"""Blocks that the rate of transactions is measured over."""
_VIEWS: Final = ("view", "pure")
_MILLION: Final = 1_000_000


class UnknownAsset(ConfigError):
    """No token is known for an asset, or it is another one than the asset says."""


class TransactionType(Enum):
    """What a transaction does."""

    TRANSFER = "transfer"
    SWAP = "swap"
    STAKE = "stake"
    LOAN = "loan"


class AssetClass(Enum):
    """What stands behind a token; a label that the chain does not know."""

    FIAT = "fiat"
    CRYPTO = "crypto"
    SECURITY = "security"
    DERIVATIVE = "derivative"
    COMMODITY = "commodity"
    REAL_ESTATE = "real_estate"
    CBDC = "cbdc"


@dataclass
class Asset:
    """Something of value. Supply and price are its owner's words; the chain is not asked."""

    id: str
    symbol: str
    name: str
    asset_class: AssetClass
    decimals: int
    total_supply: Decimal
    circulating_supply: Decimal
    price_usd: Decimal
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass
class Transaction:
    """Something to do. `fee` is the most coins that it may cost in gas; 0 pays what is asked.

    A swap names `to` (the token that is wanted), `min_amount_out` and `fee_tier` in its metadata,
    a loan its `market`. `id`, `timestamp` and `status` are filled in when it is processed.
    """

    id: str
    type: TransactionType
    from_address: str
    to_address: str
    asset: Asset
    amount: Decimal
    fee: Decimal
    timestamp: float
    status: str
    metadata: dict[str, Any] = field(default_factory=dict)


class QENEXCore:
    """A network through one node, and the accounts that act in it."""

    def __init__(self, url: str | None = None, keys: Iterable[Key] | None = None) -> None:
        self.accounts = Accounts(url, keys)
        self.assets: dict[str, str] = {
            "qxc": shown_address(QXC),
            "coin": shown_address(ZERO_ADDRESS),
        }
        self._programs: dict[Address, Program] = {}
        self._creators: dict[Address, str] = {}
        self._times: list[float] = []
        self._begun = time.monotonic()

    def create_account(self, address: str = "") -> dict[str, Any]:
        """Make an account with a new key that is held here; with an address, look at that one.

        Accounts need not be registered: a key has an address, and whoever sends to it opens it.
        `status` is created, held (its key is here) or known.
        """
        made = address or self.accounts.add()
        held = self.accounts.holds(made)
        raw = to_address(made)
        asked = "0x" + raw.hex()
        return {
            "address": shown_address(raw),
            "public_key": self.accounts.key(made).public_key.hex() if held else None,
            "status": "created" if not address else "held" if held else "known",
            "balance": self.accounts.reader.balance(made),
            "nonce": int(self.accounts.reader.rpc("eth_getTransactionCount", asked, "latest"), 16),
        }

    def process_transaction(self, transaction: Transaction) -> dict[str, Any]:
        """Do what a transaction says, signed by `from_address`; returns once it is final."""
        began = time.perf_counter()
        transaction.status = "rejected"
        cap = transaction.fee if transaction.fee else None
        client = self.accounts.client(transaction.from_address, cap)
        receipt, facts = self._act(client, transaction)
        taken = time.perf_counter() - began
        self._times.append(taken)
        transaction.status = "completed"
        transaction.id = transaction.id or receipt.hash
        if not transaction.timestamp:
            block = client.rpc("eth_getBlockByNumber", hex(receipt.height), False)
            transaction.timestamp = int(block["timestamp"], 16)
        found = client.rpc("eth_getTransactionReceipt", receipt.hash)
        paid = receipt.gas_used * int(found["effectiveGasPrice"], 16)
        return {
            "status": "success",
            "transaction_id": receipt.hash,
            "block": receipt.height,
            "gas_used": receipt.gas_used,
            "fee": Decimal(paid).scaleb(-18),
            "latency_ms": taken * 1000,
            **facts,
        }

    def deploy_smart_contract(
        self, code: str, creator: str, params: Mapping[str, Any] | None = None
    ) -> str:
        """Deploy a contract as `creator` and return its address.

        `code` is the name of one of our contracts ("ERC20"), a compiler's JSON with `abi` and
        `bytecode`, or creation code in hex; `params` are the constructor's arguments by name.
        """
        found = program(code)
        made = self.accounts.client(creator).create(found.creation(params or {}))
        self._programs[to_address(made)] = found
        self._creators[to_address(made)] = creator
        return made

    def execute_smart_contract(
        self,
        contract_id: str,
        function: str,
        params: Mapping[str, Any],
        sender: str | None = None,
        value: Amount = 0,
    ) -> Any:
        """Call a function: a view gives its value, anything else a transaction's facts.

        `sender` is the creator by default, or the first account for contracts of the network.
        """
        where = to_address(contract_id, "contract_id")
        found = self._program(where)
        entry = found.function(function, params)
        data = found.call(entry, params)
        if entry["stateMutability"] in _VIEWS:
            reader = self.accounts.client(sender) if sender else self.accounts.reader
            return answer(entry, reader.call(contract_id, data))
        client = self.accounts.client(sender or self._creators.get(where))
        result = answer(entry, client.call(contract_id, data)) if not value else None
        receipt = client.send(contract_id, data, value)
        return {
            "transaction_id": receipt.hash,
            "block": receipt.height,
            "gas_used": receipt.gas_used,
            "result": result,
        }

    def get_system_metrics(self) -> dict[str, Any]:
        """Return figures of the network over the last WINDOW blocks, and of this object."""
        rpc = self.accounts.reader.rpc
        height = self.accounts.reader.height
        first = max(0, height - WINDOW)
        times = [
            int(rpc("eth_getBlockByNumber", hex(each), False)["timestamp"], 16)
            for each in (first, height)
        ]
        count = sum(
            int(rpc("eth_getBlockTransactionCountByNumber", hex(each)), 16)
            for each in range(first + 1, height + 1)
        )
        span = times[1] - times[0]
        return {
            "height": height,
            "chain_id": self.accounts.reader.chain_id,
            "tps": count / span if span else float(count),
            "block_time_s": span / (height - first) if height > first else 0.0,
            "pending": int(rpc("txpool_status")["pending"], 16),
            "peers": int(rpc("net_peerCount"), 16),
            "gas_price_wei": int(rpc("eth_gasPrice"), 16),
            "client": rpc("web3_clientVersion"),
            "total_transactions": len(self._times),
            "average_latency_ms": sum(self._times) * 1000 / max(1, len(self._times)),
            "uptime_seconds": time.monotonic() - self._begun,
        }

    def token_of(self, asset: Asset) -> Erc20:
        """Return the token of an asset; raises UnknownAsset."""
        where = asset.metadata.get("address") or self.assets.get(asset.id.lower())
        if where is None:
            raise UnknownAsset(
                f"no token is known for {asset.id}; tell its address: "
                f'qenex.assets["{asset.id.lower()}"] = "0x..."'
            )
        found = Erc20(self.accounts.reader.contract, where)
        if found.decimals != asset.decimals:
            raise UnknownAsset(
                f"{asset.id} has {asset.decimals} decimals, its token {where} {found.decimals}"
            )
        return found

    def _act(self, client: Client, wish: Transaction) -> tuple[Receipt, dict[str, Any]]:
        token = self.token_of(wish.asset)
        where = shown_address(token.address)
        match wish.type:
            case TransactionType.TRANSFER:
                return self._transfer(client, wish, token)
            case TransactionType.STAKE:
                if token.address != QXC:
                    raise UnknownAsset(f"only qxc is staked, found {wish.asset.id}")
                return client.staking.stake(wish.amount), {"staked": client.staking.of().worth}
            case TransactionType.SWAP:
                more = wish.metadata
                wanted = str(_told(more, "to"))
                tier = int(Decimal(more.get("fee_tier", "0.003")) * _MILLION)
                least = more.get("min_amount_out", 0)
                receipt = client.amm.swap([where, wanted], wish.amount, least, tier)
                out = client.amm.token(wanted)
                return receipt, {"received": arrived(receipt, out, to_address(client.address))}
            case TransactionType.LOAN:
                market = str(_told(wish.metadata, "market"))
                receipt = client.lending.borrow(market, wish.amount)
                return receipt, {"debt": client.lending.account(market).debt}

    def _transfer(
        self, client: Client, wish: Transaction, token: Erc20
    ) -> tuple[Receipt, dict[str, Any]]:
        if token.is_native:
            receipt = client.send_coins(wish.to_address, wish.amount)
            return receipt, {"received": wish.amount, "burned": Decimal(0)}
        own = client.amm.token(shown_address(token.address))
        receipt = own.transfer(wish.to_address, wish.amount)
        got = arrived(receipt, own, to_address(wish.to_address))
        return receipt, {"received": got, "burned": arrived(receipt, own, ZERO_ADDRESS)}

    def _program(self, where: Address) -> Program:
        if where not in self._programs:
            for name, address in STANDARD.items():
                if address == where:
                    found = artifact(name)
                    self._programs[where] = Program(name, found.abi, found.bytecode)
        if where not in self._programs:
            raise ConfigError(
                f"the contract at {shown_address(where)} was not deployed here; "
                "say what it is: qenex.know(address, code)"
            )
        return self._programs[where]

    def know(self, contract_id: str, code: str) -> None:
        """Tell what stands at an address: a name of ours, or a compiler's JSON."""
        self._programs[to_address(contract_id, "contract_id")] = program(code)


def _told(metadata: Mapping[str, Any], name: str) -> Any:
    if name not in metadata:
        raise ConfigError(f"metadata must name `{name}`")
    return metadata[name]
