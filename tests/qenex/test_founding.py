"""`qenex_core` and `qenex_defi`: what the founding document writes, on a real node's JSON-RPC."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from contracts.addresses import QXC, STAKING
from genesis.profiles import TEST_KEYS
from primitives.errors import ConfigError
from primitives.types import ZERO_ADDRESS
from qenex import markets
from qenex.accounts import UnknownSigner
from qenex.amounts import shown_address
from qenex.contract import FeeTooLow, Refused
from qenex.markets import NeedsVote
from qenex_core import (
    Asset,
    AssetClass,
    QENEXCore,
    Transaction,
    TransactionType,
    UnknownAsset,
)
from qenex_defi import QENEXDeFi, Token
from tests.qenex.test_client import NAMES, Network

pytestmark = pytest.mark.process

TOKEN, COIN = shown_address(QXC), shown_address(ZERO_ADDRESS)
ARTIFACTS = Path(__file__).parents[1] / "contracts/defi/artifacts"


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Iterator[Network]:
    """A chain of the standard contracts; it is where `QENEXCore()` looks, and waiting mines."""
    made = Network()
    monkeypatch.setenv("QENEX_URL", made.url)
    monkeypatch.setattr(markets, "_pause", lambda end: made.chain.mine())
    yield made
    made.server.stop()


def asset(name: str, decimals: int = 18) -> Asset:
    return Asset(
        id=name,
        symbol=name.upper(),
        name=name,
        asset_class=AssetClass.CRYPTO,
        decimals=decimals,
        total_supply=Decimal("21000000"),
        circulating_supply=Decimal("19000000"),
        price_usd=Decimal("50000"),
    )


def order(kind: TransactionType, of: Asset, amount: str, fee: str = "0") -> Transaction:
    return Transaction(
        id="",
        type=kind,
        from_address=NAMES[0],
        to_address=NAMES[1],
        asset=of,
        amount=Decimal(amount),
        fee=Decimal(fee),
        timestamp=0,
        status="pending",
    )


def test_basic_usage(network: Network) -> None:
    """An asset and a transfer of it, as on the first page: 8 decimals, a fee that is a cap."""
    qenex = QENEXCore()
    btc = asset("btc", 8)
    tx = order(TransactionType.TRANSFER, btc, "0.1", fee="0.0005")
    with pytest.raises(UnknownAsset, match="no token is known for btc"):
        qenex.process_transaction(tx)
    code = (ARTIFACTS / "HostileToken.json").read_text()
    where = qenex.deploy_smart_contract(code, NAMES[0], {"modes_": 0, "decimals_": 8})
    qenex.assets["btc"] = where
    qenex.execute_smart_contract(where, "mint", {"to": NAMES[0], "value": 10**9})
    purse = qenex.accounts.reader.balance(NAMES[0])
    result = qenex.process_transaction(tx)
    assert (result["status"], result["received"]) == ("success", Decimal("0.1"))
    assert result["fee"] == purse - qenex.accounts.reader.balance(NAMES[0])
    assert result["burned"] == 0
    assert 0 < result["fee"] <= tx.fee
    assert (tx.status, tx.id) == ("completed", result["transaction_id"])
    assert tx.timestamp > 0
    assert qenex.execute_smart_contract(where, "balanceOf", {"account": NAMES[1]}) == 10**7
    cheap = order(TransactionType.TRANSFER, btc, "0.1", fee="0.000000000000000001")
    with pytest.raises(FeeTooLow, match="raise the fee"):
        qenex.process_transaction(cheap)
    assert cheap.status == "rejected"
    with pytest.raises(UnknownAsset, match="its token"):
        qenex.process_transaction(order(TransactionType.TRANSFER, asset("btc", 18), "0.1"))


def test_core_api(network: Network) -> None:
    """Accounts, transfers with the burn, staking, contracts, figures."""
    qenex = QENEXCore()
    made = qenex.create_account()
    assert (made["status"], made["balance"], made["nonce"]) == ("created", 0, 0)
    assert len(made["public_key"]) == 128
    held = qenex.create_account(address=NAMES[0])
    assert (held["status"], held["balance"] > 100) == ("held", True)
    assert qenex.create_account("0x" + "12" * 20)["status"] == "known"
    qenex.accounts.client(NAMES[0]).qxc.deposit(100)
    pay = order(TransactionType.TRANSFER, asset("qxc"), "10")
    result = qenex.process_transaction(transaction=pay)
    assert (result["received"], result["burned"]) == (Decimal("9.99"), Decimal("0.01"))
    coins = order(TransactionType.TRANSFER, asset("coin"), "3")
    coins.to_address = made["address"]
    qenex.process_transaction(coins)
    assert qenex.create_account(made["address"])["balance"] == 3
    back = order(TransactionType.TRANSFER, asset("coin"), "1")
    back.from_address = made["address"]
    assert qenex.process_transaction(back)["status"] == "success"
    stake = order(TransactionType.STAKE, asset("qxc"), "20")
    assert qenex.process_transaction(stake)["staked"] >= 20
    other = order(TransactionType.STAKE, asset("qxc"), "5")
    other.from_address = NAMES[1]
    assert round(qenex.process_transaction(other)["staked"], 2) == 5, "the sender's own"
    back.from_address = "0x" + "12" * 20
    with pytest.raises(UnknownSigner, match="is not here"):
        qenex.process_transaction(back)
    with pytest.raises(Refused, match="ERC20InsufficientBalance"):
        qenex.process_transaction(order(TransactionType.TRANSFER, asset("qxc"), "1000"))
    metrics = qenex.get_system_metrics()
    assert metrics["total_transactions"] == 5
    assert metrics["height"] == qenex.accounts.reader.height
    assert metrics["tps"] > 0
    assert metrics["average_latency_ms"] > 0


def test_contracts(network: Network) -> None:
    """Deploy by name, by hex and by a compiler's JSON; views answer, writes change, errors say."""
    qenex = QENEXCore()
    values = {"name_": "Example", "symbol_": "EXA", "supply": 10**21}
    where = qenex.deploy_smart_contract(code="ERC20", creator=NAMES[2], params=values)
    assert qenex.execute_smart_contract(where, "symbol", {}) == "EXA"
    moved = qenex.execute_smart_contract(where, "transfer", {"to": NAMES[3], "value": 5})
    assert (moved["result"], moved["gas_used"] > 21_000) == (True, True)
    assert qenex.execute_smart_contract(where, "balanceOf", {"account": NAMES[3]}) == 5
    assert qenex.execute_smart_contract(TOKEN, "decimals", {}) == 18
    sent = qenex.execute_smart_contract(TOKEN, "deposit", {}, sender=NAMES[4], value="2")
    assert sent["result"] is None
    assert qenex.accounts.client(NAMES[4]).qxc.balance() == 2
    bare = qenex.deploy_smart_contract("0x600180600039600180f3", NAMES[0])
    with pytest.raises(ConfigError, match="its ABI is not known"):
        qenex.execute_smart_contract(bare, "run", {})
    for wrong in ("contract A {}", "{}", "Nothing", ""):
        with pytest.raises(ConfigError):
            qenex.deploy_smart_contract(wrong, NAMES[0])
    with pytest.raises(ConfigError, match="takes to, value; found to"):
        qenex.execute_smart_contract(where, "transfer", {"to": NAMES[3]})
    with pytest.raises(ConfigError, match="has no function mint; there are: allowance"):
        qenex.execute_smart_contract(where, "mint", {})
    with pytest.raises(ConfigError, match="was not deployed here"):
        qenex.execute_smart_contract(NAMES[7], "run", {})
    other = QENEXCore()
    other.know(where, json.dumps({"abi": [], "bytecode": "0x00"}))
    other.know(where, "ERC20")
    assert other.execute_smart_contract(where, "totalSupply", {}) == 10**21


def tokens(qenex: QENEXCore) -> list[str]:
    """Deploy two tokens whose addresses fall, so that the pool's order is not the caller's."""
    values = {"name_": "T", "symbol_": "T", "supply": 10**24}
    made = [qenex.deploy_smart_contract("ERC20", NAMES[0], values) for _ in range(2)]
    return sorted(made, key=lambda each: int(each, 16), reverse=True)


def test_amm(network: Network) -> None:
    """A pool, liquidity at the providers' price, a swap that tells what arrived."""
    qenex, defi = QENEXCore(), QENEXDeFi()
    token_a, token_b = (defi.token(each) for each in tokens(qenex))
    assert (token_a.symbol, token_a.decimals) == ("T", 18)
    assert token_a.total_supply == 10**6
    pool_id = defi.create_pool(token_a, token_b, fee_tier=Decimal("0.003"))
    lp_tokens = defi.amm.add_liquidity(pool_id, Decimal(100), Decimal(400), NAMES[0])
    assert Decimal(199) < lp_tokens < Decimal(200)
    output = defi.amm.swap(pool_id, token_a.address, Decimal(1), Decimal("3.9"))
    assert Decimal("3.94") < output < Decimal("3.99"), "one A is worth about four B"
    with pytest.raises(Refused, match="TooLittle"):
        defi.amm.swap(pool_id, token_a.address, Decimal(1), Decimal(4))
    with pytest.raises(ConfigError, match="is not in the pool"):
        defi.amm.swap(pool_id, TOKEN, Decimal(1), Decimal(0))
    defi.amm.remove_liquidity(pool_id, 1, NAMES[0])
    defi.accounts.client().qxc.deposit(100)
    burning = defi.amm.create_pool(token0=Token(TOKEN), token1=COIN, fee_tier=Decimal("0.0005"))
    defi.amm.add_liquidity(pool_id=burning, amount0=50, amount1=50, provider=NAMES[0])
    before = defi.accounts.client().qxc.balance()
    got = defi.amm.swap(burning, COIN, 1)
    assert got == defi.accounts.client().qxc.balance() - before
    assert 0 < defi.amm.swap(burning, TOKEN, "0.5", trader=NAMES[0]) < Decimal("0.52")
    second = defi.accounts.client(NAMES[1])
    assert defi.amm.swap(burning, COIN, 2, trader=NAMES[1]) == second.qxc.balance() > 1
    assert defi.amm.add_liquidity(burning, 1, 1, NAMES[1]) > 0
    rest = second.qxc.balance()
    defi.amm.remove_liquidity(burning, 1, NAMES[1])
    assert rest + Decimal("0.9") < second.qxc.balance() < rest + 1, "who gave it takes it"
    swap = order(TransactionType.SWAP, asset("qxc"), "1")
    swap.metadata = {"to": COIN, "fee_tier": "0.0005"}
    assert qenex.process_transaction(swap)["received"] > Decimal("0.9")
    swap.metadata["min_amount_out"] = "1.5"
    with pytest.raises(Refused, match="TooLittle"):
        qenex.process_transaction(swap)
    swap.metadata = {}
    with pytest.raises(ConfigError, match="must name `to`"):
        qenex.process_transaction(swap)
    for wrong in ("x", "a-b-c", f"{TOKEN}-{COIN}-"):
        with pytest.raises(ConfigError):
            defi.amm.swap(wrong, TOKEN, 1)
    with pytest.raises(ConfigError, match="some of both"):
        defi.amm.add_liquidity(pool_id, 0, 1, NAMES[0])


def test_lending(network: Network) -> None:
    """A market by vote, supply, borrow, a liquidation after the price fell, repay."""
    qenex, defi = QENEXCore(), QENEXDeFi()
    token = tokens(qenex)[0]
    for who in (0, 1):
        network.client(who).qxc.deposit(1000)
    network.client().staking.stake(100)
    network.wait(1)
    market_id = defi.lending.create_market(token, collateral_factor=Decimal("0.75"))
    apr = defi.lending.supply(market_id, Decimal(1000), NAMES[0])
    assert apr == 0, "nobody borrows yet"
    with pytest.raises(Refused, match="Unhealthy"):
        defi.lending.borrow(market_id, Decimal(1), NAMES[1])
    defi.lending.supply_collateral(market_id, Decimal(200), NAMES[1])
    loan = order(TransactionType.LOAN, asset("qxc"), "1")
    loan.metadata, loan.from_address, loan.to_address = {"market": market_id}, *NAMES[1::-1]
    assert 1 <= qenex.process_transaction(loan)["debt"] < 2
    success = defi.lending.borrow(market_id, Decimal(139), NAMES[1])
    assert success is True
    assert defi.lending.supply(market_id, 1, NAMES[1]) > 0
    assert 0 < network.client(1).lending.account(market_id).supplied < 2, "the supplier's own"
    assert defi.lending.withdraw(market_id, None, NAMES[1]) == 0
    facts = defi.accounts.client().lending.market(market_id)
    assert facts.supply_rate == facts.borrow_rate * facts.borrowed / facts.supplied * Decimal("0.9")
    assert defi.lending.supply(market_id, 1, NAMES[0]) > 0
    with pytest.raises(Refused, match="Healthy"):
        defi.lending.liquidate(NAMES[1], market_id, NAMES[0])
    for price in ("0.96", "0.92", "0.88", "0.84"):
        network.chain.mine()
        defi.lending.set_price(market_id, price)
    taken = defi.lending.liquidate(borrower=NAMES[1], market_id=market_id, liquidator=NAMES[0])
    assert Decimal(86) < taken < Decimal(88), "half of 140 at 0.84, and 5 %, less what QXC burns"
    left = defi.lending.repay(market_id, Decimal(20), NAMES[1])
    assert Decimal(50) < left < Decimal("50.01")
    network.client().amm.token(token).transfer(NAMES[1], 100)
    assert defi.lending.repay(market_id, None, NAMES[1]) == 0
    rest = network.client(1).lending.account(market_id).collateral
    assert defi.lending.withdraw_collateral(market_id, rest, NAMES[1]) == 0
    assert defi.lending.withdraw(market_id, None, NAMES[0]) == 0
    assert defi.accounts.client().lending.markets() == [market_id]
    loan = order(TransactionType.LOAN, asset("qxc"), "1")
    loan.metadata = {"market": market_id}
    with pytest.raises(Refused, match=r"NoCash|Unhealthy"):
        qenex.process_transaction(loan)


def test_market_of_a_token_of_other_decimals(network: Network) -> None:
    """Price and amounts are right where the loan has 6 decimals and the collateral 18."""
    qenex, defi = QENEXCore(), QENEXDeFi()
    code = (ARTIFACTS / "HostileToken.json").read_text()
    coarse = qenex.deploy_smart_contract(code, NAMES[0], {"modes_": 0, "decimals_": 6})
    network.client().qxc.deposit(1000)
    network.client().staking.stake(100)
    network.wait(1)
    market_id = defi.lending.create_market(coarse, price=2)
    client = network.client()
    oracle = client.contract("MarketOracle", client.lending.oracle_of(market_id))
    assert oracle.read("price") == 2 * 10**6 * 10**36 // 10**18
    qenex.execute_smart_contract(coarse, "mint", {"to": NAMES[0], "value": 10**9})
    defi.lending.supply(market_id, 500, NAMES[0])
    assert 50 > defi.lending.supply_collateral(market_id, 50, NAMES[0]) > 49
    defi.lending.borrow(market_id, 40, NAMES[0])
    found = client.lending.account(market_id)
    assert round(found.supplied, 2) == 500
    assert round(found.debt, 2) == 40
    assert found.health is not None
    assert round(found.health, 1) == 2, "100 of collateral, a factor of 0.8, 40 of debt"
    assert round(defi.lending.repay(market_id, 15, NAMES[0]), 2) == 25
    assert round(defi.lending.withdraw(market_id, 100, NAMES[0]), 2) == 400
    assert defi.lending.withdraw_collateral(market_id, 20, NAMES[0]) < 30


def test_markets_need_votes(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a vote takes long, the proposal is made and named."""
    monkeypatch.setattr(markets, "VOTE_WAIT_S", 5)
    defi = QENEXDeFi(keys=list(TEST_KEYS.values())[:1])
    network.client().qxc.deposit(100)
    network.client().staking.stake(10)
    network.wait(1)
    with pytest.raises(NeedsVote, match="is proposal") as caught:
        defi.lending.create_market(TOKEN)
    assert network.client().governance.state(caught.value.proposal) == "pending"
    with pytest.raises(UnknownSigner):
        defi.lending.supply(caught.value.market, 1, NAMES[5])


def test_farming(network: Network) -> None:
    """A farm, a stake, its reward, all back."""
    defi = QENEXDeFi()
    network.client().qxc.deposit(1000)
    network.client().staking.stake(100)
    stake_token, reward_token = shown_address(STAKING), TOKEN
    farm_id = defi.farming.create_farm(
        stake_token, reward_token, apr=Decimal("0.12"), duration_days=30
    )
    stake_result = defi.farming.stake(farm_id, Decimal(50), NAMES[0])
    assert stake_result["amount_staked"] == 50
    # 1000 * 0.12 * 30 / 365, less what QXC burns on its way in, for 50 in place of 1,000.
    assert round(stake_result["apr"], 2) == Decimal("2.40")
    for _ in range(5):
        network.chain.mine()
    stake_id = stake_result["stake_id"]
    assert defi.farming.earned(stake_id) > 0
    rewards = defi.farming.claim_rewards(stake_id)
    assert rewards > 0
    staked, more = defi.farming.unstake(stake_id)
    assert staked == 50
    assert more > 0
    network.client(1).qxc.deposit(20)
    network.client(1).staking.stake(20)
    code = (ARTIFACTS / "HostileToken.json").read_text()
    qenex = QENEXCore()
    coarse = qenex.deploy_smart_contract(code, NAMES[0], {"modes_": 0, "decimals_": 6})
    qenex.execute_smart_contract(coarse, "mint", {"to": NAMES[0], "value": 10**12})
    farm_id = defi.farming.create_farm(stake_token, coarse, Decimal("0.12"), for_stake=10**6)
    mine = defi.farming.stake(farm_id, 10, NAMES[1])["stake_id"]
    assert mine == f"{farm_id}:{NAMES[1]}"
    network.chain.mine()
    reward = defi.farming.claim_rewards(mine)
    paid = qenex.execute_smart_contract(coarse, "balanceOf", {"account": NAMES[1]})
    assert reward == Decimal(paid).scaleb(-6) > 0
    assert defi.farming.unstake(mine)[0] == 10
    for wrong in ("7", "x:y", f"x:{NAMES[0]}"):
        with pytest.raises(ConfigError):
            defi.farming.claim_rewards(wrong)


def test_no_keys_on_a_foreign_chain(network: Network) -> None:
    """Without keys nobody acts, unless the network is one machine's; keys are checked."""
    stranger = QENEXCore(keys=[])
    assert stranger.accounts.addresses == []
    with pytest.raises(UnknownSigner, match="no key is here"):
        stranger.accounts.client()
    with pytest.raises(ConfigError, match="key is 32 bytes"):
        QENEXCore(keys=["0x12"])
    assert QENEXCore().accounts.addresses == NAMES
