"""`QENEXDeFi`: exchange, lending and farming, each step by one call, on a running network.

    from qenex_defi import QENEXDeFi

    defi = QENEXDeFi()                        # a localnet on port 8545 and its test accounts
    pool_id = defi.create_pool(token_a, token_b, fee_tier=Decimal("0.003"))
    lp_tokens = defi.amm.add_liquidity(pool_id, amount_a, amount_b, provider_address)
    output = defi.amm.swap(pool_id, token_a, amount_in, min_amount_out)

The names are those of the project's founding document; what a chain needs beyond it (who acts,
against which collateral, by which prices) is a keyword with a default. Everything is synchronous
and real: a call returns once its block is final, and nothing is kept here but keys. Tokens are
`Token` or an address, the zero address is the native coin. A pool is named by its tokens in the
order they were named in, and its fee; a market by 32 bytes, a farm by its number, a stake by its
farm and owner. Amounts are Decimal in whole tokens. Raises what `QENEXCore` raises.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from primitives.errors import ConfigError
from qenex.accounts import Accounts, Key
from qenex.amounts import Amount, shown_address, to_address
from qenex.client import Client
from qenex.erc20 import Erc20, arrived
from qenex.markets import Markets

_MILLION: Final = 1_000_000
_DAY_S: Final = 86_400
_YEAR_DAYS: Final = 365


@dataclass(frozen=True, slots=True)
class Token:
    """A token: its address says which; the rest describes it to people."""

    address: str
    symbol: str = ""
    name: str = ""
    decimals: int = 18
    total_supply: Decimal = Decimal(0)
    price_usd: Decimal = Decimal(0)


Named = Token | str
"""A token, or its address."""


class QENEXDeFi:
    """Exchange, lending and farming of a network, through one node."""

    def __init__(
        self,
        url: str | None = None,
        keys: Iterable[Key] | None = None,
        accounts: Accounts | None = None,
    ) -> None:
        self.accounts = accounts or Accounts(url, keys)
        self.amm = Pools(self.accounts)
        self.lending = Markets(self.accounts)
        self.farming = Farms(self.accounts)

    def create_pool(
        self, token_a: Named, token_b: Named, fee_tier: Amount = Decimal("0.003")
    ) -> str:
        """Open a pool; the same as `amm.create_pool`."""
        return self.amm.create_pool(token_a, token_b, fee_tier)

    def token(self, address: str) -> Token:
        """Return a token as the chain knows it."""
        reader = self.accounts.reader
        found = Erc20(reader.contract, address)
        if found.is_native:
            return Token(shown_address(found.address), "QXC", "QENEX Coin")
        read = reader.contract("ERC20", found.address).read
        supply = found.amount(read("totalSupply"))
        where = shown_address(found.address)
        return Token(where, read("symbol"), read("name"), found.decimals, supply)


class Pools:
    """Pools of the exchange."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    def create_pool(
        self,
        token0: Named,
        token1: Named,
        fee_tier: Amount = Decimal("0.003"),
        *,
        price: Amount = 1,
        creator: str | None = None,
    ) -> str:
        """Open a pool and return its name.

        It begins where one token0 is worth `price` of token1; the first liquidity sets the price
        anew.
        """
        one, two = address_of(token0), address_of(token1)
        fee = _millionths(fee_tier)
        self._accounts.client(creator).amm.create_pool(one, two, price, fee)
        return f"{one}-{two}-{fee}"

    def add_liquidity(
        self, pool_id: str, amount0: Amount, amount1: Amount, provider: str
    ) -> Decimal:
        """Add liquidity over all prices with at most these amounts; return how much was made.

        While a pool is empty, its price becomes amount1 / amount0. Afterwards only what fits the
        price is taken.
        """
        one, two, fee = _pool(pool_id)
        amm = self._accounts.client(provider).amm
        if not amm.pool(one, two, fee).liquidity:
            amm.set_price(one, two, _ratio(amount0, amount1), fee)
        receipt = amm.add_liquidity(one, two, (amount0, amount1), fee=fee)
        return Decimal(receipt.event("LiquidityChanged").fields["liquidity"]).scaleb(-18)

    def remove_liquidity(self, pool_id: str, part: Amount, provider: str) -> str:
        """Take a part (1 is all) of one's liquidity out; return the transaction's hash."""
        one, two, fee = _pool(pool_id)
        return self._accounts.client(provider).amm.remove_liquidity(one, two, part, fee=fee).hash

    def swap(
        self,
        pool_id: str,
        token_in: Named,
        amount_in: Amount,
        min_amount_out: Amount = 0,
        *,
        trader: str | None = None,
    ) -> Decimal:
        """Swap exactly `amount_in`; return what arrived. Fails below `min_amount_out`."""
        one, two, fee = _pool(pool_id)
        given = address_of(token_in)
        if given not in (one, two):
            raise ConfigError(f"{given} is not in the pool {pool_id}")
        client = self._accounts.client(trader)
        out = two if given == one else one
        receipt = client.amm.swap([given, out], amount_in, min_amount_out, fee)
        return arrived(receipt, client.amm.token(out), to_address(client.address))


class Farms:
    """Farms: funds that are paid out to stakers over time."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    def create_farm(
        self,
        stake_token: Named,
        reward_token: Named,
        apr: Amount = Decimal("0.12"),
        duration_days: int = 30,
        *,
        for_stake: Amount = 1_000,
        creator: str | None = None,
    ) -> str:
        """Open a farm, funded now by `creator`; return its number.

        A farm pays a fixed sum: apr * for_stake * duration / a year, in reward tokens. Stakers of
        `for_stake` in all earn `apr` by it, fewer earn more and more earn less.
        """
        client = self._accounts.client(creator)
        reward = address_of(reward_token)
        exact = Decimal(apr) * Decimal(for_stake) * duration_days / _YEAR_DAYS
        places = client.amm.token(reward).decimals
        fund = exact.quantize(Decimal(1).scaleb(-places))
        seconds = duration_days * _DAY_S
        return str(client.farming.create_farm(address_of(stake_token), reward, fund, seconds))

    def stake(self, farm_id: str, amount: Amount, staker: str) -> dict[str, Any]:
        """Stake; `stake_id` in the result names the stake, `apr` what the farm pays now."""
        client, number = self._accounts.client(staker), _number(farm_id)
        receipt = client.farming.stake(number, amount)
        farm = client.farming.farm(number)
        token = client.amm.token(farm.stake_token)
        rate = farm.left / max(1, farm.left_s)
        return {
            "stake_id": f"{number}:{client.address}",
            "amount_staked": token.amount(receipt.event("Staked").fields["amount"]),
            "apr": rate * _DAY_S * _YEAR_DAYS / farm.staked,
            "seconds_left": farm.left_s,
            "transaction_id": receipt.hash,
        }

    def claim_rewards(self, stake_id: str) -> Decimal:
        """Take the reward so far; return how much it was."""
        client, number = self._stake(stake_id)
        receipt = client.farming.claim_rewards(number)
        return self._sum(client, number, receipt.event("Claimed").fields["reward"])

    def unstake(self, stake_id: str) -> tuple[Decimal, Decimal]:
        """Take stake and reward; return both."""
        client, number = self._stake(stake_id)
        staked = client.farming.staked(number)
        receipt = client.farming.exit(number)
        rewards = [each for each in receipt.events if each.name == "Claimed"]
        reward = sum(each.fields["reward"] for each in rewards)
        return staked, self._sum(client, number, reward)

    def earned(self, stake_id: str) -> Decimal:
        """Return what could be claimed now."""
        client, number = self._stake(stake_id)
        return client.farming.earned(number)

    def _sum(self, client: Client, number: int, units: int) -> Decimal:
        return client.amm.token(client.farming.farm(number).reward_token).amount(units)

    def _stake(self, stake_id: str) -> tuple[Client, int]:
        farm, _, owner = stake_id.partition(":")
        if not owner:
            raise ConfigError(f"a stake is named FARM:OWNER, as stake gives it, found {stake_id}")
        return self._accounts.client(owner), _number(farm)


def address_of(token: Named) -> str:
    """Return the address of a token with EIP-55's capitals; raises ConfigError."""
    text = token.address if isinstance(token, Token) else token
    return shown_address(to_address(text, "token"))


def _pool(pool_id: str) -> tuple[str, str, int]:
    parts = pool_id.split("-")
    if len(parts) != 3 or not parts[2].isdigit():
        raise ConfigError(f"a pool is named TOKEN-TOKEN-FEE, as create_pool gives it: {pool_id}")
    return address_of(parts[0]), address_of(parts[1]), int(parts[2])


def _millionths(fee_tier: Amount) -> int:
    found = Decimal(fee_tier) * _MILLION
    if found != int(found):
        raise ConfigError(f"a fee tier is a part of one such as 0.003, found {fee_tier}")
    return int(found)


def _ratio(amount0: Amount, amount1: Amount) -> Decimal:
    one, two = Decimal(amount0), Decimal(amount1)
    if not (one > 0 and two > 0):
        raise ConfigError("the first liquidity of a pool needs some of both tokens")
    return two / one


def _number(farm_id: str) -> int:
    if not farm_id.isdigit():
        raise ConfigError(f"a farm is named by its number, found {farm_id}")
    return int(farm_id)
