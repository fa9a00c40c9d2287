"""`Client.amm`, `.lending`, `.flash`, `.farming` and `.oracle` against a real node's JSON-RPC."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Final

import pytest

from contracts.addresses import LENDING, QXC, STAKING, TIMELOCK
from genesis.predeploys import registry_account
from genesis.profiles import LOCALNET_CHAIN_ID
from node.rpc.server import RpcServer
from node.rpc.settings import RpcSettings
from primitives.errors import ConfigError
from primitives.params import VALIDATOR_REGISTRY
from primitives.types import ZERO_ADDRESS, Address
from primitives.validators import Validator, ValidatorSet
from qenex.amounts import shown_address
from qenex.client import Client
from qenex.contract import Refused
from qenex.erc20 import of_units, to_units
from qenex.exchange import tick_at
from qenex.lending import FlashLoans, Lending
from qenex.predeploys import Row, build, quick, standard
from qenex.programs import program
from tests.node.rpc.devchain import VALIDATOR_KEY, DevChain
from tests.qenex.test_client import KEYS, NAMES

pytestmark = pytest.mark.process

FEED, PRICED, OWN_LENDING = (Address(bytes([0x77 + i]) * 20) for i in range(3))
COIN: Final = shown_address(ZERO_ADDRESS)
TOKEN, SHARE = shown_address(QXC), shown_address(STAKING)
COARSE = Path(__file__).parents[1] / "contracts/defi/artifacts/HostileToken.json"


class Network:
    """The standard contracts, and a lending of our own with an oracle that the first key feeds."""

    def __init__(self) -> None:
        made = standard(quick(KEYS[9].address), LOCALNET_CHAIN_ID)
        settings = (3600, 60, 500, 1, 10**15)
        feeds = (FEED, ZERO_ADDRESS, 3600, 18, 18)
        none = (ZERO_ADDRESS, (ZERO_ADDRESS, ZERO_ADDRESS, 0, 0), 0, 0)
        rows = [
            Row("MedianOracle", FEED, (KEYS[0].address, 8, "sQXC / QXC", settings)),
            Row("MarketOracle", PRICED, (feeds, none, STAKING)),
            Row("Lending", OWN_LENDING, (KEYS[0].address, ZERO_ADDRESS)),
        ]
        made += build(rows, LOCALNET_CHAIN_ID)
        alloc = {each.address: each.account for each in made}
        validators = ValidatorSet.of([Validator(VALIDATOR_KEY.address)])
        alloc[VALIDATOR_REGISTRY] = registry_account(validators, TIMELOCK)
        self.chain = DevChain(alloc=alloc)
        self.server = RpcServer(self.chain, RpcSettings(port=0))
        self.url = f"http://127.0.0.1:{self.server.start()}"

    def client(self, index: int = 0) -> Client:
        found = Client(self.url, KEYS[index])
        found.lending = Lending(found.contract, OWN_LENDING)
        found.flash = FlashLoans(found.contract, OWN_LENDING)
        return found


@pytest.fixture
def network() -> Iterator[Network]:
    made = Network()
    yield made
    made.server.stop()


def test_exchange(network: Network) -> None:
    """Open a pool of the coin and QXC, add, quote, swap both ways, take everything out again."""
    client = network.client()
    client.qxc.deposit(1000)
    with pytest.raises(ConfigError, match="no such pool"):
        client.amm.pool(COIN, TOKEN)
    client.amm.create_pool(COIN, TOKEN, "0.25")
    assert abs(client.amm.pool(COIN, TOKEN).price - Decimal("0.25")) < Decimal("1e-15")
    assert abs(client.amm.pool(TOKEN, COIN).price - 4) < Decimal("1e-15")
    client.amm.add_liquidity(COIN, TOKEN, (400, 100))
    quoted = client.amm.quote([COIN, TOKEN], 1)
    assert Decimal("0.24") < quoted < Decimal("0.25")
    before = client.qxc.balance()
    client.amm.swap([COIN, TOKEN], 1, at_least="0.24")
    got = client.qxc.balance() - before
    assert abs(got - quoted * 999 / 1000) < Decimal("1e-15"), "QXC burns a thousandth on the way"
    with pytest.raises(Refused, match="TooLittle"):
        client.amm.swap([COIN, TOKEN], 1, at_least="0.3")
    with pytest.raises(Refused, match="TooMuch"):
        client.amm.swap_for([TOKEN, COIN], 1, at_most="0.2")
    client.amm.swap_for([TOKEN, COIN], 1, at_most="0.3")
    client.amm.remove_liquidity(COIN, TOKEN, 0)
    client.amm.remove_liquidity(TOKEN, COIN)
    assert client.amm.pool(COIN, TOKEN).liquidity == 0
    assert client.amm.token(TOKEN).balance(shown_address(client.amm.contract.address)) < 1
    for bad in (
        lambda: client.amm.swap([COIN], 1),
        lambda: client.amm.quote([COIN, TOKEN], 1, fee=7),
        lambda: client.amm.create_pool(COIN, TOKEN, 0, 500),
        lambda: client.amm.remove_liquidity(COIN, TOKEN, 2),
        lambda: client.amm.add_liquidity(COIN, TOKEN, (0, 0)),
    ):
        with pytest.raises(ConfigError):
            bad()


def test_tokens_of_other_decimals(network: Network) -> None:
    """Amounts, prices and bounds are in whole tokens, whatever decimals each side has."""
    client = network.client()
    coarse = program(COARSE.read_text())
    token = client.create(coarse.creation({"modes_": 0, "decimals_": 6}))
    mint = {"to": client.address, "value": 10**12}
    client.send(token, coarse.call(coarse.function("mint", mint), mint), 0)
    client.amm.create_pool(COIN, token, 2)
    assert abs(client.amm.pool(COIN, token).price - 2) < Decimal("1e-15")
    client.amm.add_liquidity(token, COIN, (200, 100))
    assert Decimal("1.9") < client.amm.quote([COIN, token], 1) < 2
    assert Decimal("0.9") < client.amm.quote([token, COIN], 2) < 1
    for route, most in (([COIN, token], 2), ([token, COIN], "0.5")):
        with pytest.raises(Refused, match="TooLittle"):
            client.amm.swap(route, 1, at_least=most)
    before = client.amm.token(token).balance()
    client.amm.swap([COIN, token], 1, at_least="1.9")
    assert Decimal("1.9") < client.amm.token(token).balance() - before < 2
    client.amm.swap([token, COIN], 1, at_least="0.49")
    client.amm.swap_for([token, COIN], "0.5", at_most="1.1")


def test_lending_and_flash(network: Network) -> None:
    """Report a price, open a market, supply, borrow, be liquidated after a fall, repay, leave."""
    owner, borrower = network.client(), network.client(1)
    feed = owner.oracle(shown_address(FEED))
    feed.contract.send("setReporter", KEYS[0].address, True)
    feed.report(2)
    assert (feed.latest().answer, feed.latest().round) == (Decimal(2), 1)
    market = owner.lending.create_market(TOKEN, SHARE, shown_address(PRICED))
    owner.qxc.deposit(1000)
    owner.lending.supply(market, 500)
    borrower.qxc.deposit(200)
    borrower.staking.stake(100)
    borrower.lending.supply_collateral(market, 90)
    with pytest.raises(Refused, match="Unhealthy"):
        borrower.lending.borrow(market, 136)
    borrower.lending.borrow(market, 130)
    account = borrower.lending.account(market)
    assert account.collateral == 90
    assert abs(account.debt - 130) < Decimal("0.001")
    assert account.health is not None
    assert account.health > 1
    assert owner.flash.available(TOKEN) > 360
    assert owner.flash.fee(TOKEN, 100) == Decimal("0.05")
    for price in ("1.91", "1.82", "1.73"):
        network.chain.mine()
        feed.report(price)
    owner.lending.liquidate(market, NAMES[1], 10)
    assert borrower.lending.account(market).debt < 121
    borrower.lending.repay(market)
    left = borrower.lending.account(market)
    assert left.debt == 0
    assert left.health is None
    borrower.lending.withdraw_collateral(market, left.collateral)
    owner.lending.withdraw(market)
    assert owner.lending.account(market).supplied == 0
    with pytest.raises(ConfigError, match="no market"):
        owner.lending.supply("0x" + "00" * 32, 1)
    with pytest.raises(ConfigError, match="64 hex digits"):
        owner.lending.supply("market", 1)
    with pytest.raises(Refused, match="OwnableUnauthorizedAccount"):
        Lending(borrower.contract, LENDING).create_market(TOKEN, SHARE, shown_address(PRICED))


def test_farming(network: Network) -> None:
    """Open a farm that pays QXC for staked QXC, stake, claim, leave; principal stays whole."""
    owner, staker = network.client(), network.client(1)
    for each in (owner, staker):
        each.qxc.deposit(1000)
    number = owner.farming.create_farm(TOKEN, TOKEN, 500, 100)
    staker.farming.stake(number, 10)
    assert staker.farming.staked(number) == Decimal("9.99")
    for _ in range(10):
        network.chain.mine()
    assert staker.farming.earned(number) > 40
    staker.farming.claim_rewards(number)
    staker.farming.withdraw(number, 1)
    farm = owner.farming.farm(number)
    assert (farm.stake_token, farm.reward_token, farm.manager) == (TOKEN, TOKEN, NAMES[0])
    assert (farm.staked, farm.left_s < 100) == (Decimal("8.99"), True)
    staker.farming.exit(number)
    assert staker.farming.staked(number) == 0
    staker.farming.stake(number, 1)
    staker.farming.emergency_withdraw(number)
    assert owner.farming.farm(number).staked == 0


def test_amounts_of_any_decimals() -> None:
    """Amounts are exact in any decimals; floats and what does not fit are refused."""
    assert to_units("1.5", 6) == 1_500_000
    assert of_units(15, 24) == Decimal("15E-24")
    assert to_units(3, 0) == 3
    for bad in (1.5, "x", "-1", "0.1", 2**127):
        with pytest.raises(ConfigError):
            to_units(bad, 0)  # type: ignore[arg-type]  # a float is what is refused
    assert (tick_at("1.0001", 1), tick_at("0.99", 60), tick_at(1, 60)) == (1, -120, 0)


@pytest.mark.slow
def test_tour(network: Network) -> None:
    """The example runs to its end on a chain that makes blocks by itself; every total is right."""
    root = Path(__file__).resolve().parents[2]
    done: list[subprocess.CompletedProcess[str]] = []

    def take() -> None:
        done.append(
            subprocess.run(
                [sys.executable, str(root / "docs/examples/defi_tour.py"), network.url],
                capture_output=True,
                text=True,
                timeout=240,
                check=False,
                env={**os.environ, "PYTHONPATH": str(root)},
            )
        )

    tour = threading.Thread(target=take)
    tour.start()
    while tour.is_alive():
        tour.join(0.5)
        network.chain.mine()
    assert done[0].returncode == 0, done[0].stdout + done[0].stderr
    assert done[0].stdout.endswith("every total is right\n")
    assert "the staking target is 15% now" in done[0].stdout
