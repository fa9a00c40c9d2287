"""QXC and its staking, for `Client`. Rates are Decimal parts of one: 0.12 is 12 % a year."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from contracts.addresses import QXC, STAKING
from qenex.amounts import Amount, Qxc, shown_address, to_address, to_wei
from qenex.contract import Contract, Receipt

_ENDLESS: Final = 2**256 - 1
_BPS: Final = 10_000
_WAD: Final = 10**18


@dataclass(frozen=True, slots=True)
class TokenFacts:
    """QXC as a whole. Times are None when nothing is paused."""

    supply: Qxc
    locked: Qxc
    paused_until: datetime | None
    guardian: str
    governance: str


@dataclass(frozen=True, slots=True)
class StakingFacts:
    """Staking as a whole. `runway_s` is None when the reserve never ends."""

    staked: Qxc
    reserve: Qxc
    apy: Decimal
    target: Decimal
    runway_s: int | None
    cooldown_s: int


@dataclass(frozen=True, slots=True)
class Stake:
    """What one account has staked: its shares, their worth, its votes, and what leaves when."""

    shares: Qxc
    worth: Qxc
    votes: Qxc
    leaving: Qxc
    paid_at: datetime | None


class Token:
    """QXC. A transfer burns 0.1 % of what the recipient gets, unless a system contract is in it."""

    def __init__(self, contract: Contract) -> None:
        self.contract = contract

    def balance(self, address: str | None = None) -> Qxc:
        """Return the tokens of an account, one's own by default."""
        who = self.contract.link.address() if address is None else to_address(address)
        return Qxc.of_wei(self.contract.read("balanceOf", who))

    def facts(self) -> TokenFacts:
        """Return supply, the coins that back it, pause and roles."""
        read, rpc = self.contract.read, self.contract.link.rpc
        coins = int(rpc.call("eth_getBalance", "0x" + QXC.hex(), "latest"), 16)
        return TokenFacts(
            supply=Qxc.of_wei(read("totalSupply")),
            locked=Qxc.of_wei(coins),
            paused_until=_time(read("pausedUntil")),
            guardian=shown_address(read("guardian")),
            governance=shown_address(read("governance")),
        )

    def quote(self, sender: str, to: str, amount: Amount) -> tuple[Qxc, Qxc]:
        """Return what a recipient of `amount` gets, and what is burned."""
        values = (to_address(sender), to_address(to), to_wei(amount))
        received, burned = self.contract.read("quoteTransfer", *values)
        return Qxc.of_wei(received), Qxc.of_wei(burned)

    def transfer(self, to: str, amount: Amount) -> Receipt:
        """Send tokens."""
        return self.contract.send("transfer", to_address(to, "to"), to_wei(amount))

    def approve(self, spender: str, amount: Amount) -> Receipt:
        """Let `spender` take up to `amount`."""
        return self.contract.send("approve", to_address(spender, "spender"), to_wei(amount))

    def allowance(self, owner: str, spender: str) -> Qxc:
        """Return how much `spender` may take of `owner`'s."""
        values = (to_address(owner, "owner"), to_address(spender, "spender"))
        return Qxc.of_wei(self.contract.read("allowance", *values))

    def deposit(self, amount: Amount) -> Receipt:
        """Turn native coins into tokens, one to one."""
        return self.contract.send("deposit", value=to_wei(amount))

    def withdraw(self, amount: Amount) -> Receipt:
        """Turn tokens into native coins, one to one."""
        return self.contract.send("withdraw", to_wei(amount))

    def burn(self, amount: Amount) -> Receipt:
        """Burn one's tokens for good."""
        return self.contract.send("burn", to_wei(amount))


class Staking:
    """Staked QXC: it grows from a reserve, votes, and leaves in two steps."""

    def __init__(self, contract: Contract, token: Token) -> None:
        self.contract = contract
        self._token = token

    def facts(self) -> StakingFacts:
        """Return what is staked and in reserve, the rate, and for how long it is paid."""
        read = self.contract.read
        runway = read("runwaySeconds")
        return StakingFacts(
            staked=Qxc.of_wei(read("totalAssets")),
            reserve=Qxc.of_wei(read("reserve")),
            apy=Decimal(read("currentApy")) / _WAD,
            target=Decimal(read("targetBps")) / _BPS,
            runway_s=None if runway == _ENDLESS else runway,
            cooldown_s=read("cooldown"),
        )

    def of(self, address: str | None = None) -> Stake:
        """Return what an account has staked, one's own by default."""
        read = self.contract.read
        who = self.contract.link.address() if address is None else to_address(address)
        shares = read("balanceOf", who)
        leaving, _, release = read("exitOf", who)
        return Stake(
            shares=Qxc.of_wei(shares),
            worth=Qxc.of_wei(read("convertToAssets", shares)),
            votes=Qxc.of_wei(read("getVotes", who)),
            leaving=Qxc.of_wei(leaving),
            paid_at=_time(release) if leaving else None,
        )

    def stake(self, amount: Amount) -> Receipt:
        """Stake tokens; the first time, the shares vote for their owner."""
        return self._token.contract.send("stake", to_wei(amount))

    def request_exit(self, shares: Amount | None = None) -> Receipt:
        """Begin to leave with `shares`, all by default; they end at once, tokens come later."""
        who = self.contract.link.address()
        count = self.contract.read("balanceOf", who) if shares is None else to_wei(shares)
        return self.contract.send("requestRedeem", count, who, who)

    def claim(self) -> Receipt:
        """Take the tokens of a finished exit."""
        who = self.contract.link.address()
        _, shares, _ = self.contract.read("exitOf", who)
        return self.contract.send("redeem", shares, who, who)

    def delegate(self, to: str) -> Receipt:
        """Let another account vote with one's shares."""
        return self.contract.send("delegate", to_address(to, "to"))

    def fund(self, amount: Amount) -> tuple[Receipt, Receipt]:
        """Add tokens to the reserve: an approval, then the gift."""
        wei = to_wei(amount)
        approved = self._token.contract.send("approve", STAKING, wei)
        return approved, self.contract.send("fund", wei)


def _time(seconds: int) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds else None
