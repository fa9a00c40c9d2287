"""A tour of every contract of a localnet, with the Python client.

    scripts/localnet                             in one terminal
    python docs/examples/defi_tour.py [URL]      in another (default: http://127.0.0.1:8545)

Three test accounts wrap QXC, pay with the burn, stake, carry two proposals (another staking target
and a lending market), open a pool, swap, supply, borrow, are liquidated after the oracle's price
falls, farm, take a flash loan, and pay from an account of two out of three signers. Each step
prints its gas, its block and what the one who acted has then. It ends by checking every total:
nothing may be missing and nothing left over. Exit code 0 when all are right. It can be taken again
and again.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from decimal import Decimal

from contracts.addresses import AMM, FARMING, LENDING, QXC, STAKING
from primitives.crypto.secp256k1 import PrivateKey
from primitives.errors import QenexError
from primitives.types import ZERO_ADDRESS
from qenex import Client
from qenex.abi import call_data
from qenex.amounts import shown_address, to_address
from qenex.contract import Contract, Receipt
from qenex.erc20 import Erc20
from qenex.lending import Terms

URL = "http://127.0.0.1:8545"
KEYS = (
    "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
    "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
    "0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
)
"""Private keys of the first three public test accounts. Never use them for anything of worth."""

NAMES = ("owner", "Ann", "Ben")
SUPPLY = 1_000_000
TIMEOUT_S = 120
POLL_S = 0.3
CAP = 10**30
DUST = 10
"""Smallest units that rounding may leave in a protocol."""
TOKEN = shown_address(QXC)
SYSTEM = {
    "exchange": shown_address(AMM),
    "lending": shown_address(LENDING),
    "farming": shown_address(FARMING),
    "staking": shown_address(STAKING),
}
FEED_SETTINGS = (3600, 2, 500, 1, 10**15)
"""Reports live an hour; a jump above 5 % waits 2 seconds; prices have 8 decimals."""
NO_POOL = (ZERO_ADDRESS, (ZERO_ADDRESS, ZERO_ADDRESS, 0, 0), 0, 0)


class Tour:
    """Three people, the token TUR that the first of them makes, and what each step did."""

    def __init__(self, url: str) -> None:
        self.people = [Client(url, each) for each in KEYS]
        self.owner, self.ann, self.ben = self.people
        self.gas = 0
        self.wrapped = self.burned = Decimal(0)
        self.supply = self.owner.qxc.facts().supply
        self.locked = self.owner.qxc.facts().locked
        self.held = self.qxc_held()
        made = self.owner.deploy("ERC20", "Tour", "TUR", SUPPLY * 10**18)
        self.tur = shown_address(made.address)

    def token(self, client: Client, address: str = "") -> Erc20:
        """Return a token for one who acts, TUR by default."""
        return client.amm.token(address or self.tur)

    def step(self, title: str, who: Client, receipt: Receipt) -> Receipt:
        """Count a step and print one line of it, and what its actor has now."""
        self.gas += receipt.gas_used
        for each in receipt.events:
            gone = each.name == "Transfer" and each.address == QXC
            if gone and to_address(each.fields["to"]) == ZERO_ADDRESS:
                self.burned += Decimal(each.fields["value"]).scaleb(-18)
        name = NAMES[self.people.index(who)]
        print(f"  {title:46} {receipt.gas_used:>9,} gas  block {receipt.height}")
        held = f"{who.qxc.balance():,.4f} QXC, {self.token(who).balance():,.4f} TUR"
        print(f"      {name} has {held}, {who.balance():,.4f} coins")
        return receipt

    def qxc_held(self) -> Decimal:
        """Return the tokens of everybody in the tour."""
        names = [each.address for each in self.people] + list(SYSTEM.values())
        return sum((self.owner.qxc.balance(each) for each in names), Decimal(0))


def wait_for(condition: Callable[[], bool], poke: Callable[[], object] | None = None) -> None:
    """Poke until a condition holds; ends the tour after TIMEOUT_S."""
    end = time.monotonic() + TIMEOUT_S
    while not condition():
        if time.monotonic() > end:
            raise SystemExit("the network makes no progress")
        time.sleep(POLL_S)
        if poke is not None:
            poke()


def token(tour: Tour) -> None:
    """Wrap, pay with the burn, stake."""
    print("QXC")
    for who in tour.people:
        tour.step("wrap 2,000 coins", who, who.qxc.deposit(2000))
        tour.wrapped += 2000
    paid = tour.owner.qxc.transfer(tour.ann.address, 100)
    tour.step("pay Ann 100 QXC: a thousandth is burned", tour.owner, paid)
    tour.step("stake 500 QXC", tour.owner, tour.owner.staking.stake(500))
    for who in (tour.ann, tour.ben):
        given = tour.token(tour.owner).transfer(who.address, 10_000)
        tour.step("give 10,000 TUR", tour.owner, given)


def governance(tour: Tour) -> tuple[str, Contract, Contract]:
    """Carry two proposals; return the market that one of them opens, its feed and its oracle."""
    print("governance")
    owner = tour.owner
    me = to_address(owner.address)
    feed = owner.deploy("MedianOracle", me, 8, "QXC / TUR", FEED_SETTINGS)
    tour.step("register as reporter", owner, feed.send("setReporter", me, True))
    tour.step("report: one QXC is worth 1 TUR", owner, owner.oracle(where(feed)).report(1))
    feeds = (feed.address, ZERO_ADDRESS, 3600, 18, 18)
    oracle = owner.deploy("MarketOracle", feeds, NO_POOL, QXC)
    lending = owner.lending
    params = lending.params(to_address(tour.tur), QXC, oracle.address, Terms())
    market = "0x" + bytes(lending.contract.read("idOf", params)).hex()

    target = 12 if owner.staking.facts().target == Decimal("0.15") else 15
    words = f"a target of {target} %, at block {owner.height}"
    change = owner.governance.propose_parameters(
        target_percent=target, cooldown_days=1, quorum_percent=10, description=words
    )
    print(f"  proposed: {words}")
    data = call_data("Lending", "createMarket", [params, CAP, CAP, 0])
    opening = owner.governance.propose_calls(
        [(SYSTEM["lending"], 0, data)], f"lend TUR against QXC, market {market}"
    )
    print("  proposed: a market that lends TUR against QXC")
    wait_for(lambda: owner.governance.state(opening) == "active")
    for number in (change, opening):
        tour.step("vote yes", owner, owner.governance.vote(number, True))
    for number in (change, opening):
        wait_for(lambda number=number: owner.governance.state(number) == "succeeded")  # type: ignore[misc]  # mypy cannot infer a default
        tour.step("queue", owner, owner.governance.queue(number))
    for number in (change, opening):
        eta = owner.governance.contract.read("proposalEta", number)
        wait_for(lambda eta=eta: now(owner) > eta)  # type: ignore[misc]  # mypy cannot infer a default
        tour.step("execute", owner, owner.governance.execute(number))
    found = owner.staking.facts().target
    print(f"    the staking target is {found:.0%} now")
    if found * 100 != target:
        raise SystemExit("the proposal changed nothing")
    return market, feed, oracle


def exchange(tour: Tour) -> None:
    """Open a pool, add liquidity, swap both ways, take everything out."""
    print("exchange")
    owner, ann, pair = tour.owner, tour.ann, (tour.tur, TOKEN)
    tour.step("create a pool: one TUR is worth 1 QXC", owner, owner.amm.create_pool(*pair, 1))
    added = owner.amm.add_liquidity(*pair, (1000, 1000))
    tour.step("add 1,000 TUR and 1,000 QXC", owner, added)
    quoted = ann.amm.quote(pair, 10)
    print(f"    10 TUR would give {quoted:.4f} QXC")
    swapped = ann.amm.swap(pair, 10, at_least=quoted * Decimal("0.99") // 1)
    tour.step("swap exactly 10 TUR", ann, swapped)
    back = ann.amm.swap_for([TOKEN, tour.tur], 5, at_most=6)
    tour.step("swap for exactly 5 TUR back", ann, back)


def lending(tour: Tour, market: str, feed: Contract, oracle: Contract) -> None:
    """Supply, borrow, be liquidated after a fall of the price, lend within one call, leave."""
    print("lending")
    owner, ann, ben = tour.people
    tour.step("supply 1,000 TUR", owner, owner.lending.supply(market, 1000))
    tour.step("pledge 100 QXC", ann, ann.lending.supply_collateral(market, 100))
    tour.step("borrow 70 TUR", ann, ann.lending.borrow(market, 70))
    fallen = owner.oracle(where(feed)).report("0.87")
    tour.step("report 0.87: a jump, which waits", owner, fallen)
    wait_for(lambda: oracle.read("price") < 10**36, lambda: feed.send("poke"))
    print(f"    Ann's health is {owner.lending.account(market, ann.address).health}")
    taken = ben.lending.liquidate(market, ann.address, 40)
    tour.step("liquidate half of Ann's debt, with a bonus", ben, taken)
    tour.step("repay the rest", ann, ann.lending.repay(market))
    left = ann.lending.account(market).collateral
    tour.step("take the collateral", ann, ann.lending.withdraw_collateral(market, left))
    flash = owner.deploy("FlashBorrower", to_address(SYSTEM["lending"]))
    tour.token(owner).transfer(where(flash), 1)
    loan = owner.flash.borrow(where(flash), tour.tur, 900)
    tour.step("a flash loan of 900 TUR", owner, loan)
    fee = 1 - tour.token(owner).balance(where(flash))
    print(f"    it cost {fee} TUR")
    SYSTEM["flash borrower"] = where(flash)
    tour.step("leave with interest", owner, owner.lending.withdraw(market))


def farming(tour: Tour) -> int:
    """Fund a farm, stake, earn, leave; return its number."""
    print("farming")
    ann = tour.ann
    number = tour.owner.farming.create_farm(TOKEN, tour.tur, 600, 60)
    print(f"  farm {number} pays 600 TUR to stakers of QXC in a minute")
    tour.step("stake 10 QXC", ann, ann.farming.stake(number, 10))
    wait_for(lambda: ann.farming.earned(number) >= 20)
    tour.step("claim", ann, ann.farming.claim_rewards(number))
    tour.step("leave with stake and reward", ann, ann.farming.exit(number))
    return number


def multisig(tour: Tour) -> bool:
    """Make an account of two out of three, pay from it; whether the payment arrived."""
    print("multisig")
    owner = tour.owner
    account = owner.multisig.create([each.address for each in tour.people], threshold=2)
    print(f"  an account of two out of three at {account.address}")
    tour.step("give it 10 coins", owner, owner.send_coins(account.address, 10))
    payee = shown_address(PrivateKey.generate().address)
    calls = [account.payment(payee, "2.5")]
    signatures = [account.sign(calls, PrivateKey(bytes.fromhex(key[2:]))) for key in KEYS[1:]]
    tour.step("pay 2.5 coins, signed by Ann and Ben", owner, account.execute(calls, signatures))
    whole = (owner.balance(payee), owner.balance(account.address))
    print(f"    {payee} has {whole[0]} coins, the account {whole[1]}")
    return whole == (Decimal("2.5"), Decimal("7.5"))


def totals(tour: Tour, market: str, number: int) -> dict[str, bool]:
    """Add everything up; each total and whether it is right."""
    print("totals")
    owner = tour.owner
    out = owner.amm.remove_liquidity(tour.tur, TOKEN)
    tour.step("take all liquidity out", owner, out)
    coin = tour.token(owner)
    people = {name: who.address for name, who in zip(NAMES, tour.people, strict=True)}
    parts = {name: coin.balance(each) for name, each in (people | SYSTEM).items()}
    for name, amount in parts.items():
        print(f"    {name:15} {amount:>32,.18f} TUR")
    books = owner.lending.contract.read("marketOf", bytes.fromhex(market[2:]))
    fees = owner.lending.contract.read("flashFees", coin.address)
    cash = coin.amount(books[0] + books[4] - books[2] + fees)
    farm = parts["farming"] - owner.farming.farm(number).left
    facts = owner.qxc.facts()
    print(f"    QXC: {tour.wrapped} wrapped, {tour.burned} burned; {tour.gas:,} gas in all")
    grown = facts.supply - tour.supply
    return {
        "TUR: all of it is where it should be": sum(parts.values()) == SUPPLY,
        "lending holds what its books say": parts["lending"] == cash,
        "the exchange is empty": parts["exchange"] <= coin.amount(DUST),
        "farming holds what it still pays": 0 <= farm <= coin.amount(DUST),
        "QXC: supply grew by wrapped - burned": grown == tour.wrapped - tour.burned,
        "QXC: coins of burned tokens stay": facts.locked - tour.locked == tour.wrapped,
        "QXC: everybody has what is there": tour.qxc_held() - tour.held == grown,
    }


def where(contract: Contract) -> str:
    """Return a contract's address as text."""
    return shown_address(contract.address)


def now(client: Client) -> int:
    """Return the time of the newest block."""
    return int(client.rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16)


def main(urls: list[str]) -> int:
    """Take the tour on the node at the first of `urls`; return the exit code."""
    try:
        tour = Tour((urls or [URL])[0])
        token(tour)
        market, feed, oracle = governance(tour)
        exchange(tour)
        lending(tour, market, feed, oracle)
        number = farming(tour)
        paid = multisig(tour)
        checks = totals(tour, market, number) | {"multisig: the payment arrived": paid}
    except QenexError as error:
        print(f"failed: {error.message}; is a localnet running? (scripts/localnet)")
        return 1
    for what, good in checks.items():
        print(f"  {'right' if good else 'WRONG'}  {what}")
    good = all(checks.values())
    print("every total is right" if good else "a total is not what it must be")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
