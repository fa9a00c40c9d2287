"""`qenex amm`, `lend` and `farm` as a newcomer types them, wrong inputs too, on a real node."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest

from contracts.addresses import QXC, STAKING
from qenex import markets
from qenex.amounts import shown_address
from qenex.cli import main
from tests.qenex.test_client import NAMES, Network, Shell

pytestmark = pytest.mark.process

TOKEN, SHARE = shown_address(QXC), shown_address(STAKING)
NOWHERE = "0x" + "00" * 32


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Iterator[Network]:
    """A chain of the standard contracts, where waiting mines."""
    made = Network()
    monkeypatch.setattr(markets, "_pause", lambda end: made.chain.mine())
    yield made
    made.server.stop()


@pytest.fixture
def shell(network: Network, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(network, capsys)


def test_amm_commands(shell: Shell) -> None:
    """Open, add, look, quote, swap, take out."""
    assert "no pools yet" in shell.run("amm pools")[1]
    shell.run("token wrap 1000", 0)
    assert "opened: 1 coin = 2 qxc" in shell.run("amm create coin qxc 2", 0)[1]
    assert shell.json("amm add coin 100 qxc 200", 0)["liquidity"] > 0
    (pool,) = shell.json("amm pools")
    assert (pool["second"], pool["fee %"], pool["price"]) == (TOKEN, "0.3", "2")
    assert "liquidity" in shell.run("amm pools")[1]
    out = Decimal(shell.json("amm quote 1 coin qxc")["out"])
    assert Decimal("1.9") < out < 2
    got = Decimal(shell.json("amm swap 1 coin qxc", 0)["received"])
    assert abs(got - out * 999 / 1000) < Decimal("1e-15"), "QXC burns a thousandth on the way"
    block = shell.network.client().rpc("eth_getBlockByNumber", "latest", True)
    least = int(block["transactions"][-1]["input"][10 + 3 * 64 :][:64], 16)
    assert least == int(out * 10**18) * 99 // 100, "without --at-least, 99 % of the quote"
    code, words = shell.run("amm swap 1 qxc coin --at-least 0.9", 0)
    assert (code, "TooLittle" in words) == (1, True)
    assert "swapped 1 qxc: 0.50" in shell.run("amm swap 1 qxc coin", 0)[1]
    assert "price" in shell.run("amm show coin qxc")[1]
    shell.run("amm remove coin qxc --part 0.5", 0)
    assert "removed liquidity" in shell.run("amm remove coin qxc", 0)[1]
    assert shell.json("amm show coin qxc")["liquidity"] == 0


def test_lend_commands(shell: Shell) -> None:
    """A market by vote, then all that is done in it."""
    assert "no markets yet" in shell.run("lend markets")[1]
    for who in (0, 1):
        shell.run("token wrap 1000", who)
        shell.run("stake add 200", who)
    shell.network.wait(1)
    market = shell.json(f"lend create qxc {SHARE} --factor 0.7", 0)["market"]
    assert "supplied 500" in shell.run(f"lend supply {market} 500", 0)[1]
    assert "pledged: 100" in shell.run(f"lend pledge {market} 100", 1)[1]
    code, words = shell.run(f"lend borrow {market} 71", 1)
    assert (code, "Unhealthy" in words) == (1, True)
    assert "your debt is 60" in shell.run(f"lend borrow {market} 60", 1)[1]
    (row,) = shell.json("lend markets")
    assert (row["lends"], row["against"]) == (TOKEN, SHARE)
    assert Decimal(row["costs"]) > Decimal(row["earns"]) > 0
    assert "collateral" in shell.run(f"lend account {market} {NAMES[1]}")[1]
    code, words = shell.run(f"lend liquidate {market} {NAMES[1]} 10", 0)
    assert (code, "Healthy" in words) == (1, True)
    lending = markets.Markets.of(shell.network.client(0))
    for price in ("0.96", "0.92", "0.88", "0.84", "0.80", "0.77"):
        shell.network.wait(1)
        lending.set_price(market, price)
    assert "collateral taken" in shell.run(f"lend liquidate {market} {NAMES[1]} 10", 0)[1]
    assert Decimal(shell.json(f"lend repay {market} all", 1)["debt"]) == 0
    assert "left" in shell.run(f"lend release {market} 1", 1)[1]
    assert Decimal(shell.json(f"lend withdraw {market} all", 0)["supplied"]) == 0


def test_farm_commands(shell: Shell) -> None:
    """Open a farm, stake, look, claim, leave."""
    assert "no farms yet" in shell.run("farm list")[1]
    shell.run("token wrap 1000", 0)
    assert shell.json("farm create qxc qxc 500 --days 0.01", 0)["farm"] == 0
    assert "staked: 9.99" in shell.run("farm stake 0 10", 0)[1]
    shell.network.wait(5)
    assert Decimal(shell.json(f"farm show 0 {NAMES[0]}")["earned"]) > 1
    assert Decimal(shell.json("farm claim 0", 0)["reward"]) > 1
    assert "8.99 left" in shell.run("farm withdraw 0 1", 0)[1]
    assert Decimal(shell.json("farm withdraw 0 all", 0)["staked"]) == 0
    assert "to pay" in shell.run("farm list")[1]


@pytest.mark.parametrize(
    ("line", "who", "words"),
    [
        ("amm swap", 0, "Missing argument"),
        ("amm swap 1 coin", 0, "a route is at least two tokens"),
        ("amm swap much coin qxc --at-least 1", 0, "an amount is a number"),
        ("amm swap 1 coin qxc", None, "say who acts"),
        ("amm quote 1 coin gold", None, "a token is coin, qxc"),
        ("amm quote 1 coin qxc", None, "there are no pools"),
        ("amm show coin qxc", None, "no such pool"),
        ("amm show coin qxc --fee 2", None, "'2' is not one of"),
        ("amm create coin qxc cheap", 0, "a price is a number"),
        ("amm create coin qxc 0", 0, "a price is above 0"),
        ("amm remove coin qxc --part some", 0, "from 0 to 1"),
        ("amm add coin 1 qxc 1", 0, "there is no such pool"),
        (f"lend supply {NOWHERE} 1", 0, "there is no market"),
        ("lend supply gold 1", 0, "64 hex digits"),
        ("lend repay", 0, "Missing argument"),
        ("lend create qxc coin", 0, "not the native coin"),
        (f"lend account {NOWHERE} 0x12", None, "there is no market"),
        ("farm stake 7 1", 0, "Farm"),
        ("farm stake x 1", 0, "not a valid integer"),
        ("farm create qxc qxc 1 --days 0", 0, "not in the range"),
        ("farm show 0", None, "Missing argument"),
    ],
)
def test_wrong_commands(shell: Shell, line: str, who: int | None, words: str) -> None:
    """Wrong input ends with one clear line and no traceback."""
    code, out = shell.run(line, who)
    assert code in (1, 2), out
    assert words in out
    assert "Traceback" not in out


@pytest.mark.parametrize("group", ["amm", "lend", "farm"])
def test_help_teaches(group: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The group says what it is about; each command shows a line to copy."""
    assert main([group, "--help"]) == 0
    shown = capsys.readouterr().out
    names = [each.split()[0] for each in shown.split("Commands:")[1].splitlines() if each.strip()]
    assert len(names) >= 5
    for name in names:
        assert main([group, name, "--help"]) == 0
        assert f"qenex {group} {name}" in capsys.readouterr().out.split("Example")[1]
