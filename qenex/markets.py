"""Lending for `QENEXDeFi`: markets opened by their owner or by a vote, and what is done in them.

A market lends one token against one other. Who opens it without naming an oracle gets one of its
own, fed by the opener alone: right for trying things, not for other people's money. Where the
timelock owns lending, opening a market is a proposal: it is carried through when the network's
delays are shorter than VOTE_WAIT_S (localnet: 14 s), else `NeedsVote` tells its number.
"""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any, Final

from contracts.addresses import LENDING, QXC, STAKING, TIMELOCK
from primitives.errors import ConfigError, QenexError, UpstreamDown
from primitives.types import ZERO_ADDRESS, Address
from qenex.abi import call_data
from qenex.accounts import Accounts
from qenex.amounts import Amount, shown_address, to_address
from qenex.client import Client
from qenex.contract import Receipt
from qenex.erc20 import Erc20
from qenex.lending import Terms

VOTE_WAIT_S: Final = 120
POLL_S: Final = 0.2
PRICE_DECIMALS: Final = 18
_FEED: Final = (7 * 86_400, 60, 500, 1, 2**94)
"""Reports live a week; a jump of more than 5 % waits a minute."""
_NO_POOL: Final = (ZERO_ADDRESS, (ZERO_ADDRESS, ZERO_ADDRESS, 0, 0), 0, 0)
_CAPS: Final = 10**30
_BPS: Final = 10_000


class NeedsVote(QenexError):
    """A market is opened by a vote that takes longer than one waits; `proposal` names it."""

    def __init__(self, message: str, proposal: int, market: str) -> None:
        super().__init__(message, proposal=proposal, market=market)
        self.proposal = proposal
        self.market = market


class Markets:
    """Lending markets of a network."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    @classmethod
    def of(cls, client: Client) -> Markets:
        """Return the markets for one client that acts."""
        return cls(Accounts.of(client))

    def create_market(
        self,
        token: Any,
        collateral_factor: Amount = Decimal("0.75"),
        *,
        collateral: Any = None,
        oracle: str | None = None,
        price: Amount = 1,
        creator: str | None = None,
    ) -> str:
        """Open a market that lends `token` against `collateral`; return its name.

        Collateral is QXC by default, staked QXC where QXC itself is lent. `oracle` is a contract
        with `price()` (MarketOracle); by default one is made whose feed says `price`, and
        `set_price` changes it. Raises NeedsVote.
        """
        client = self._accounts.client(creator)
        loan = _address(token)
        pledge = _address(collateral) if collateral is not None else _default(loan)
        if ZERO_ADDRESS in (loan, pledge):
            raise ConfigError("lending takes tokens, not the native coin: wrap it (deposit)")
        where = to_address(oracle, "oracle") if oracle else _oracle(client, loan, pledge, price)
        share = Decimal(collateral_factor)
        terms = Terms(share, min(share + Decimal("0.05"), Decimal("0.95")))
        params = client.lending.params(loan, pledge, where, terms)
        lending = client.lending.contract
        market = "0x" + bytes(lending.read("idOf", params)).hex()
        if to_address(lending.read("owner")) == to_address(client.address):
            lending.send("createMarket", params, _CAPS, _CAPS, 0)
            return market
        data = call_data("Lending", "createMarket", [params, _CAPS, _CAPS, 0])
        _vote(client, market, data)
        return market

    def supply(self, market_id: str, amount: Amount, supplier: str) -> Decimal:
        """Lend; return what suppliers earn a year now, as a part of one."""
        client = self._accounts.client(supplier)
        client.lending.supply(market_id, amount)
        return client.lending.rates(market_id).supply

    def withdraw(self, market_id: str, amount: Amount | None, supplier: str) -> Decimal:
        """Take back what was lent, all of it for None; return what is left."""
        client = self._accounts.client(supplier)
        client.lending.withdraw(market_id, amount)
        return client.lending.account(market_id).supplied

    def supply_collateral(self, market_id: str, amount: Amount, borrower: str) -> Decimal:
        """Pledge collateral; return how much is pledged."""
        client = self._accounts.client(borrower)
        client.lending.supply_collateral(market_id, amount)
        return client.lending.account(market_id).collateral

    def withdraw_collateral(self, market_id: str, amount: Amount, borrower: str) -> Decimal:
        """Take collateral back as far as the debt allows; return what is left."""
        client = self._accounts.client(borrower)
        client.lending.withdraw_collateral(market_id, amount)
        return client.lending.account(market_id).collateral

    def borrow(self, market_id: str, amount: Amount, borrower: str) -> bool:
        """Borrow against collateral; True once it is done. Raises Refused (Unhealthy, NoCash)."""
        self._accounts.client(borrower).lending.borrow(market_id, amount)
        return True

    def repay(self, market_id: str, amount: Amount | None, borrower: str) -> Decimal:
        """Repay, everything for None; return the debt that is left."""
        client = self._accounts.client(borrower)
        client.lending.repay(market_id, amount)
        return client.lending.account(market_id).debt

    def liquidate(self, borrower: str, market_id: str, liquidator: str) -> Decimal:
        """Repay what may be repaid of an unhealthy debt; return the collateral that was taken.

        Raises Refused (Healthy) when the borrower need not fear.
        """
        client = self._accounts.client(liquidator)
        debt = client.lending.account(market_id, borrower).debt
        receipt: Receipt = client.lending.liquidate(market_id, borrower, _spare(client, debt))
        units = receipt.event("Liquidated").fields["seized"]
        return client.lending.collateral_of(market_id).amount(units)

    def set_price(self, market_id: str, price: Amount, reporter: str | None = None) -> None:
        """Tell the feed of a market's oracle what one collateral is worth in loan tokens.

        A jump of more than 5 % counts after a minute of the same word.
        """
        client = self._accounts.client(reporter)
        where = client.lending.oracle_of(market_id)
        feed = client.contract("MarketOracle", where).read("feeds")[0]
        client.oracle(shown_address(feed)).report(price)


def _oracle(client: Client, loan: Address, pledge: Address, price: Amount) -> Address:
    me = to_address(client.address)
    feed = client.deploy("MedianOracle", me, PRICE_DECIMALS, "made with its market", _FEED)
    feed.send("setReporter", me, True)
    client.oracle(shown_address(feed.address)).report(price)
    decimals = [Erc20(client.contract, each).decimals for each in (pledge, loan)]
    feeds = (feed.address, ZERO_ADDRESS, _FEED[0], *decimals)
    return client.deploy("MarketOracle", feeds, _NO_POOL, pledge).address


def _vote(client: Client, market: str, data: bytes) -> None:
    gov = client.governance
    if to_address(client.lending.contract.read("owner")) != TIMELOCK:
        raise ConfigError("only the owner of lending opens markets, and it is not this account")
    words = f"open the lending market {market}"
    proposal = gov.propose_calls([(shown_address(LENDING), 0, data)], words)
    read = gov.contract.read
    delay = client.contract("Timelock", TIMELOCK).read("getMinDelay")
    if read("votingDelay") + read("votingPeriod") + delay > VOTE_WAIT_S:
        raise NeedsVote(
            f"{words} is proposal {proposal}; vote, queue and execute it (qenex gov)",
            proposal,
            market,
        )
    carry(client, proposal)


def carry(client: Client, proposal: int, wait_s: float = VOTE_WAIT_S) -> list[Receipt]:
    """Vote for a proposal, queue and execute it, each once the chain's time has come.

    Returns the three receipts; raises UpstreamDown after `wait_s`, Refused when it is not carried.
    """
    gov, end = client.governance, time.monotonic() + wait_s
    await_state(client, proposal, "active", end)
    done = [gov.vote(proposal, True)]
    await_state(client, proposal, "succeeded", end)
    done.append(gov.queue(proposal))
    eta = gov.contract.read("proposalEta", proposal)
    while int(client.rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16) <= eta:
        _pause(end)
    return [*done, gov.execute(proposal)]


def await_state(client: Client, proposal: int, state: str, end: float) -> None:
    """Wait until a proposal has a state; raises ConfigError when it has lost."""
    while (found := client.governance.state(proposal)) != state:
        if found in ("defeated", "canceled", "expired"):
            raise ConfigError(f"proposal {proposal} is {found}")
        _pause(end)


def _pause(end: float) -> None:
    if time.monotonic() > end:
        raise UpstreamDown("the network makes no progress, or too slowly to wait for its vote")
    time.sleep(POLL_S)


def _address(token: Any) -> Address:
    return to_address(getattr(token, "address", token), "token")


def _default(loan: Address) -> Address:
    return STAKING if loan == QXC else QXC


def _spare(client: Client, debt: Decimal) -> Decimal:
    """Return what paying a debt may cost: interest of the next blocks, and what QXC burns."""
    return (debt * Decimal("1.01")).quantize(Decimal("0.000001"), "ROUND_UP")
