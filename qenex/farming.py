"""Farms and price oracles, for `Client`. A farm is named by its number. Times are seconds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from contracts.addresses import FARMING
from primitives.types import Address
from qenex.amounts import Amount, shown_address, to_address
from qenex.contract import Contract, Receipt
from qenex.erc20 import Bind, Erc20, of_units, to_units


@dataclass(frozen=True, slots=True)
class Farm:
    """One farm: its tokens, what is staked, what is still to be paid and in how many seconds."""

    stake_token: str
    reward_token: str
    staked: Decimal
    left: Decimal
    left_s: int
    manager: str


class Farming:
    """All farms of a network."""

    def __init__(self, bind: Bind, address: Address = FARMING) -> None:
        self._bind = bind
        self.contract: Contract = bind("Farming", address)

    def create_farm(
        self, stake_token: str, reward_token: str, reward: Amount, duration_s: int
    ) -> int:
        """Open a farm that pays `reward` out over `duration_s`; return its number."""
        token = Erc20(self._bind, reward_token)
        units = token.units(reward)
        token.allow(self.contract.address, units)
        values = (to_address(stake_token), token.address, units, duration_s)
        done = self.contract.send("createFarm", *values)
        return int(done.event("FarmCreated").fields["farm"])

    def count(self) -> int:
        """Return how many farms there are; they are numbered from 0."""
        return int(self.contract.read("count"))

    def farm(self, number: int) -> Farm:
        """Return one farm."""
        found = self.contract.read("farmOf", number)
        stake, reward = self._tokens(number)
        return Farm(
            shown_address(found[0]),
            shown_address(found[3]),
            stake.amount(found[4]),
            reward.amount(found[5]),
            found[2],
            shown_address(found[7]),
        )

    def stake(self, number: int, amount: Amount) -> Receipt:
        """Stake in a farm."""
        token, _ = self._tokens(number)
        units = token.units(amount)
        token.allow(self.contract.address, units)
        return self.contract.send("stake", number, units)

    def withdraw(self, number: int, amount: Amount) -> Receipt:
        """Take a part of one's stake back."""
        return self.contract.send("withdraw", number, self._tokens(number)[0].units(amount))

    def claim_rewards(self, number: int) -> Receipt:
        """Take the reward so far."""
        return self.contract.send("claim", number)

    def exit(self, number: int) -> Receipt:
        """Take stake and reward."""
        return self.contract.send("exit", number)

    def emergency_withdraw(self, number: int) -> Receipt:
        """Take the stake and give up the reward, when the reward token fails."""
        return self.contract.send("emergencyWithdraw", number)

    def staked(self, number: int, owner: str | None = None) -> Decimal:
        """Return what an account has staked."""
        units: int = self.contract.read("stakeOf", number, self._who(owner))[0]
        return self._tokens(number)[0].amount(units)

    def earned(self, number: int, owner: str | None = None) -> Decimal:
        """Return what an account could claim now."""
        units: int = self.contract.read("earned", number, self._who(owner))
        return self._tokens(number)[1].amount(units)

    def _who(self, owner: str | None) -> Address:
        return self.contract.link.address() if owner is None else to_address(owner, "owner")

    def _tokens(self, number: int) -> tuple[Erc20, Erc20]:
        found = self.contract.read("farmOf", number)
        return Erc20(self._bind, found[0]), Erc20(self._bind, found[3])


@dataclass(frozen=True, slots=True)
class Price:
    """What an oracle says, and since when."""

    answer: Decimal
    round: int
    time: datetime


class Oracle:
    """One median oracle."""

    def __init__(self, bind: Bind, address: str | Address) -> None:
        self.contract: Contract = bind("MedianOracle", address)

    def latest(self) -> Price:
        """Return the newest round; its age is for the reader to judge."""
        number, answer, _, updated, _ = self.contract.read("latestRoundData")
        when = datetime.fromtimestamp(updated, UTC)
        return Price(of_units(answer, self._decimals()), number, when)

    def report(self, price: Amount) -> Receipt:
        """Tell a price, as a registered reporter."""
        return self.contract.send("report", to_units(price, self._decimals()))

    def _decimals(self) -> int:
        return int(self.contract.read("decimals"))
