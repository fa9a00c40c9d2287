"""The Python client and `qenex token|stake|gov` against a real node's JSON-RPC."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from contracts.addresses import COMPLIANCE, QXC, STANDARD, TIMELOCK
from genesis.document import parse
from genesis.predeploys import registry_account
from genesis.profiles import LOCALNET_CHAIN_ID, TEST_KEYS
from node.rpc.server import RpcServer
from node.rpc.settings import RpcSettings
from primitives.crypto.secp256k1 import PrivateKey
from primitives.errors import ConfigError, UpstreamDown
from primitives.params import ACCOUNT_PERMISSIONS, VALIDATOR_REGISTRY
from primitives.types import ZERO_ADDRESS
from primitives.validators import Validator, ValidatorSet
from qenex import Client
from qenex.amounts import Qxc, shown_address, to_wei
from qenex.cli import main
from qenex.contract import Refused
from qenex.predeploys import quick, standard
from tests.contracts.world import World
from tests.node.rpc.devchain import VALIDATOR_KEY, DevChain
from vm.permissions import account_rules
from vm.state.memory import MemoryState

pytestmark = pytest.mark.process

KEYS = [PrivateKey(each) for each in TEST_KEYS.values()]
NAMES = [shown_address(each.address) for each in KEYS]


class Network:
    """A chain with the standard contracts, its node's JSON-RPC, and clients of the accounts."""

    def __init__(self) -> None:
        contracts = standard(quick(KEYS[9].address), LOCALNET_CHAIN_ID)
        alloc = {each.address: each.account for each in contracts}
        validators = ValidatorSet.of([Validator(VALIDATOR_KEY.address)])
        alloc[VALIDATOR_REGISTRY] = registry_account(validators, TIMELOCK)
        self.chain = DevChain(alloc=alloc)
        self.server = RpcServer(self.chain, RpcSettings(port=0))
        self.url = f"http://127.0.0.1:{self.server.start()}"

    def client(self, index: int = 0) -> Client:
        return Client(self.url, KEYS[index])

    def wait(self, seconds: int) -> None:
        """Let so many blocks pass, each a second later than the one before."""
        for _ in range(seconds):
            self.chain.mine()


@pytest.fixture
def network() -> Iterator[Network]:
    made = Network()
    yield made
    made.server.stop()


def test_token(network: Network) -> None:
    """Wrap, quote, send with the burn, allow, burn, unwrap; balances are exact decimals."""
    client = network.client()
    assert (client.address, client.chain_id) == (NAMES[0], LOCALNET_CHAIN_ID)
    client.qxc.deposit(100)
    client.qxc.transfer(NAMES[1], "12.5")
    assert client.qxc.quote(NAMES[0], NAMES[1], "12.5") == (Decimal("12.4875"), Decimal("0.0125"))
    assert str(client.qxc.balance(NAMES[1])) == "12.4875"
    client.qxc.approve(NAMES[1], "3")
    assert client.qxc.allowance(NAMES[0], NAMES[1]) == 3
    client.qxc.burn(1)
    client.qxc.withdraw("86.5")
    assert client.qxc.balance() == 0
    facts = client.qxc.facts()
    assert facts.locked - facts.supply == Decimal("1.0125")
    assert (facts.paused_until, facts.guardian) == (None, NAMES[9])
    assert facts.governance == shown_address(TIMELOCK)


def test_refusals(network: Network) -> None:
    """A contract's own error arrives with its name and facts, before anything is sent."""
    client, height = network.client(), network.client().height
    with pytest.raises(Refused, match="ERC20InsufficientBalance") as caught:
        client.qxc.transfer(NAMES[1], 1)
    assert caught.value.values == (NAMES[0].lower(), 0, 10**18)
    assert client.height == height
    with pytest.raises(ConfigError, match="needs a key"):
        Client(network.url).qxc.deposit(1)
    with pytest.raises(UpstreamDown, match="no Staking at"):
        client.contract("Staking", NAMES[5]).read("reserve")
    with pytest.raises(UpstreamDown, match="no node answers"):
        _ = Client("http://127.0.0.1:9").chain_id
    with pytest.raises(ConfigError, match="a key is 32 bytes"):
        Client(network.url, "0x12zz")


def test_staking(network: Network) -> None:
    """Stake, see it, leave, be paid."""
    client = network.client()
    client.qxc.deposit(100)
    client.staking.stake(60)
    mine = client.staking.of()
    assert [mine.shares, mine.votes, mine.leaving] == [60, 60, 0]
    assert mine.paid_at is None
    facts = client.staking.facts()
    assert (facts.apy, facts.target, facts.cooldown_s) == (Decimal("0.12"), Decimal("0.12"), 20)
    client.staking.delegate(NAMES[1])
    assert client.staking.of(NAMES[1]).votes == 60
    reserve = client.staking.facts().reserve
    client.staking.fund(5)
    assert client.staking.facts().reserve - reserve > 4
    client.staking.request_exit(20)
    assert 20 <= client.staking.of().leaving < 21
    assert client.staking.of().shares == 40
    with pytest.raises(Refused, match="StillCooling"):
        client.staking.claim()
    network.wait(21)
    client.staking.claim()
    assert 55 <= client.qxc.balance() < 56


def test_governance(network: Network) -> None:
    """A proposal from its first word to its effect."""
    client, other = network.client(), network.client(1)
    for each, amount in ((client, 60), (other, 30)):
        each.qxc.deposit(100)
        each.staking.stake(amount)
    network.wait(1)
    gov = client.governance
    assert gov.proposals() == []
    number = gov.propose_parameters(
        target_percent="15", cooldown_days=30, quorum_percent=10, description="a better rate"
    )
    assert gov.state(number) == "pending"
    network.wait(3)
    gov.vote(number, True)
    other.governance.vote(number, False)
    (shown,) = gov.proposals()
    assert shown == gov.proposal(number)
    votes = (shown.votes_for, shown.votes_against, shown.quorum)
    assert [round(each, 3) for each in votes] == [60, 30, 9]
    assert (shown.description, shown.proposer, shown.state) == ("a better rate", NAMES[0], "active")
    network.wait(11)
    gov.queue(number)
    network.wait(3)
    gov.execute(number)
    assert gov.state(number) == "executed"
    assert client.staking.facts().target == Decimal("0.15")
    with pytest.raises(ConfigError, match="there is no proposal"):
        gov.queue(7)


def test_each_type_is_proposed(network: Network) -> None:
    """Every typed proposal makes the calls that the contract shows."""
    client = network.client()
    client.qxc.deposit(10)
    client.staking.stake(5)
    network.wait(1)
    gov = client.governance
    made = [
        gov.propose_payment(NAMES[2], "1.5", "pay"),
        gov.propose_payment(NAMES[2], 1, "pay tokens", shown_address(QXC)),
        gov.propose_exemption(NAMES[3], exempt=True, description="free"),
        gov.propose_validator(NAMES[4], 2, "join"),
        gov.propose_permissions(NAMES[5], may_send=True, may_deploy=False, description="may"),
        gov.propose_calls([(NAMES[6], 7, b"\x01")], "any"),
    ]
    assert [each.id for each in reversed(gov.proposals())] == made
    gov.cancel(made[-1])
    assert gov.state(made[-1]) == "canceled"
    with pytest.raises(ConfigError, match="two decimals"):
        gov.propose_parameters(
            target_percent="1.234", cooldown_days=1, quorum_percent=1, description=""
        )


def test_multisig(network: Network) -> None:
    """Two of three pay together; one alone does not."""
    client = network.client()
    account = client.multisig.create(NAMES[:3], threshold=2, salt=bytes(32))
    client.send_coins(account.address, 10)
    calls = [account.payment(NAMES[8], "2.5")]
    before = client.balance(NAMES[8])
    with pytest.raises(Refused, match="NotSigned"):
        account.execute(calls, [account.sign(calls, KEYS[1])])
    account.execute(calls, [account.sign(calls, KEYS[index]) for index in (2, 1)])
    assert client.balance(NAMES[8]) - before == Decimal("2.5")
    assert (account.nonce, account.threshold) == (1, 2)
    assert account.signers() == {each.lower(): 1 for each in NAMES[:3]}
    assert client.multisig.at(account.address).nonce == 1


@pytest.mark.parametrize("wrong", ["-1", "x", "1e-19", "NaN", "Infinity", str(2**104), 1.5])
def test_wrong_amounts(wrong: Any) -> None:
    """An amount that is not exactly some wei is refused with plain words."""
    with pytest.raises(ConfigError, match="amount"):
        to_wei(wrong)


@pytest.mark.parametrize("wei", [0, 1, 10**18, 123456789012345678901234567890, 2**104 - 1])
def test_amounts_are_exact(wei: int) -> None:
    """Wei to QXC and back, without exponent or rounding."""
    assert to_wei(Qxc.of_wei(wei)) == wei
    assert "E" not in str(Qxc.of_wei(wei))


def test_the_command_line_does_not_wait_for_the_client() -> None:
    """`qenex --help` loads neither contracts nor their ABI library."""
    code = "import qenex.cli, sys; print('eth_abi' in sys.modules, 'qenex.client' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


class Shell:
    """The command line beside a node."""

    def __init__(self, network: Network, capsys: pytest.CaptureFixture[str]) -> None:
        self.network = network
        self.capsys = capsys
        capsys.readouterr()

    def run(self, line: str, who: int | None = None) -> tuple[int, str]:
        more = ["--rpc", self.network.url]
        if who is not None:
            more += ["--test-account", str(who)]
        code = main([*line.split(), *more])
        out = self.capsys.readouterr()
        return code, out.out + out.err

    def json(self, line: str, who: int | None = None) -> Any:
        code, out = self.run(f"{line} --json", who)
        assert code == 0, out
        return json.loads(out)


@pytest.fixture
def shell(network: Network, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(network, capsys)


def test_commands(shell: Shell) -> None:
    """What a newcomer types: wrap, send, stake, propose, vote, queue, execute, leave."""
    assert "100 QXC tokens now" in shell.run("token wrap 100", 0)[1]
    assert "1.998 arrived, 0.002 were burned" in shell.run(f"token send {NAMES[1]} 2", 0)[1]
    found = shell.json(f"token balance {NAMES[1]}")
    assert (found["tokens"], found["staked"]) == ("1.998", "0")
    assert "50 votes" in shell.run("stake add 50", 0)[1]
    assert shell.json("stake info")["apy"] == "0.12"
    shell.network.wait(1)
    change = "gov propose parameters --target 9 --cooldown-days 1 --quorum 20 --description less"
    number = shell.json(change, 0)["proposal"]
    shell.network.wait(3)
    assert "with weight 50" in shell.run(f"gov vote {number} yes", 0)[1]
    assert "no staked QXC when voting began" in shell.run(f"gov vote {number} no", 1)[1]
    assert shell.json(f"gov show {number}")["state"] == "active"
    shell.network.wait(11)
    assert shell.run(f"gov queue {number}", 3)[0] == 0
    code, out = shell.run(f"gov execute {number}", 3)
    assert (code, "TimelockUnexpectedOperationState" in out) == (1, True), out
    shell.network.wait(3)
    assert shell.run(f"gov execute {number}", 3)[0] == 0
    (row,) = shell.json("gov list")
    assert (row["state"], row["for"], row["description"]) == ("executed", "50", "less")
    assert "executed" in shell.run("gov list")[1]
    assert "QXC leave" in shell.run("stake exit", 0)[1]
    assert "paid at" in shell.run(f"stake info {NAMES[0]}")[1]
    assert "left" in shell.run("token unwrap 1", 0)[1]
    assert "guardian" in shell.run("token info")[1]


def test_exits_by_command(shell: Shell) -> None:
    """Two votes have the pools ask Compliance before anything leaves, and then nobody."""
    shell.run("token wrap 100", 0)
    shell.run("stake add 50", 0)
    client = shell.network.client()
    pools = [each.contract for each in (client.amm, client.lending, client.farming)]
    for more, asked in (("", COMPLIANCE), ("--end ", ZERO_ADDRESS)):
        shell.network.wait(1)
        line = f"gov propose exits {more}--description exits{more.strip()}"
        number = shell.json(line, 0)["proposal"]
        shell.network.wait(3)
        shell.run(f"gov vote {number} yes", 0)
        shell.network.wait(11)
        shell.run(f"gov queue {number}", 3)
        shell.network.wait(3)
        assert shell.run(f"gov execute {number}", 3)[0] == 0
        assert [each.read("exitPolicy") for each in pools] == ["0x" + asked.hex()] * 3


@pytest.mark.parametrize(
    ("line", "who", "words"),
    [
        ("gov propose exits --policy 0x12 --description x", 0, "policy: must be 20 bytes"),
        ("token wrap", 0, "Missing argument"),
        ("token wrap much", 0, "an amount is a number"),
        ("token send 0x12 1", 0, "address"),
        ("token wrap 1", None, "say who acts"),
        ("gov vote x yes", 0, "named by its number"),
        ("gov vote 1 maybe", 0, "'maybe' is not one of"),
        ("gov show 1", None, "there is no proposal 1"),
        ("gov propose parameters --target 9", 0, "Missing option"),
        ("stake exit", 5, "NothingToDo"),
        ("stake claim", 5, "ERC4626ExceededMaxRedeem"),
    ],
)
def test_wrong_commands(shell: Shell, line: str, who: int | None, words: str) -> None:
    """Wrong input ends with one clear line and no traceback."""
    code, out = shell.run(line, who)
    assert code in (1, 2), out
    assert words in out
    assert "Traceback" not in out


def test_every_standard_contract_has_an_address() -> None:
    """Table and addresses name the same contracts."""
    made = standard(quick(KEYS[0].address), LOCALNET_CHAIN_ID)
    assert {each.name: each.address for each in made} == dict(STANDARD)


def test_genesis_with_permissions(capsys: pytest.CaptureFixture[str]) -> None:
    """`--permit` limits senders and deployers to those named, validators apart."""
    base = ["genesis", "--validator", NAMES[0], "--permissions-manager", NAMES[5]]
    assert main([*base, "--permit", NAMES[1], "--permit", f"{NAMES[2]},deploy"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["qenex"]["accountPermissions"] is True
    alloc = parse(found).alloc
    rules = account_rules(MemoryState.of(alloc), parse(found).params)
    assert rules is not None
    assert (rules.limits_senders, rules.limits_deployers) == (True, True)
    world = World(alloc)
    world.name("AccountPermissions", ACCOUNT_PERMISSIONS)
    rights = [world.read("AccountPermissions", "permissionsOf", KEYS[i].address) for i in range(4)]
    assert rights == [(True, False), (True, False), (True, True), (False, False)]
    assert world.read("AccountPermissions", "manager") == NAMES[5].lower()
    assert main([*base, "--permit", f"{NAMES[1]},all"]) == 2
    assert "ADDRESS,deploy" in capsys.readouterr().err


def test_genesis_with_contracts(capsys: pytest.CaptureFixture[str]) -> None:
    """`qenex genesis --contracts standard` writes them with guardian and reserve; minimal none."""
    base = ["genesis", "--validator", NAMES[0]]
    assert main([*base, "--contracts", "standard", "--guardian", NAMES[3], "--reserve", "7"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {each["name"] for each in found["qenex"]["contracts"]} == set(STANDARD)
    qxc = found["alloc"]["0x" + QXC.hex()]
    assert int(qxc["balance"], 16) == 7 * 10**18
    assert NAMES[3].lower()[2:] in "".join(qxc["storage"].values())
    assert main(base) == 0
    assert "contracts" not in json.loads(capsys.readouterr().out)["qenex"]
    for wrong in (["--guardian", NAMES[3]], ["--contracts", "standard", "--reserve", "much"]):
        assert main([*base, *wrong]) == 2
        assert "--" in capsys.readouterr().err
