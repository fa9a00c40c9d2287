"""The standard contracts of a network: set up by running their constructors at fixed addresses.

`standard(settings)` gives the accounts for a genesis document, with code, storage and coins. One
row of `rows` is one contract: its name, its address, its constructor's arguments and the first
calls that are made once all constructors have run. To add a contract, add its address to
`contracts.addresses.STANDARD` and a row here.

A constructor runs on the node's own engine as the code of the address where it is to stand: its
arguments lie behind it as in a creation, `address(this)` is right, and what it returns becomes the
code. The first calls are plain transactions of `FOUNDER`, an account that exists for them alone
and leaves with the coins it did not spend. Everything follows from the settings: the same settings
give the same bytes on every machine. Times are seconds, amounts wei.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from contracts.addresses import (
    AMM,
    AMM_QUOTER,
    COMPLIANCE,
    COUNTRY_MODULE,
    FARMING,
    GOVERNANCE,
    IDENTITY_REGISTRY,
    LENDING,
    MULTISIG_ACCOUNT,
    MULTISIG_FACTORY,
    QXC,
    STAKING,
    TIMELOCK,
)
from genesis.predeploys import Predeploy
from primitives.account import Account, GenesisAccount
from primitives.crypto.keccak import keccak
from primitives.errors import Fatal
from primitives.params import ACCOUNT_PERMISSIONS, VALIDATOR_REGISTRY
from primitives.transaction import Transaction
from primitives.types import (
    WEI_ZERO,
    ZERO_ADDRESS,
    ZERO_HASH,
    Address,
    ChainId,
    Gas,
    Hash32,
    Height,
    Nonce,
    Wei,
)
from qenex.abi import call_data, constructor_data, failure
from vm.engine import BlockContext, Call
from vm.pyevm.engine import PyEvmEngine
from vm.state.changes import ChangeSet
from vm.state.memory import MemoryState

QXC_WEI: Final = 10**18
FOUNDER: Final = Address(keccak(b"qenex founder")[12:])
"""Sender of the first calls; nobody has its key."""

_FOUNDER_WEI: Final = Wei(2**120)
_RESERVE: Final = Wei(200_000_000 * QXC_WEI)
_THRESHOLD: Final = Wei(1_000 * QXC_WEI)
_GAS: Final = Gas(100_000_000)
_CONTEXT: Final = BlockContext(
    height=Height(0),
    timestamp=1,
    coinbase=ZERO_ADDRESS,
    gas_limit=Gas(1_000_000_000),
    base_fee=WEI_ZERO,
    mix_hash=ZERO_HASH,
    chain_id=ChainId(1),
    block_hash=lambda height: None,
    system_calls=False,
)


@dataclass(frozen=True, slots=True)
class Standard:
    """What the standard contracts begin with; the defaults are for a network of long standing."""

    guardian: Address = ZERO_ADDRESS
    reserve_wei: Wei = _RESERVE
    target_bps: int = 1_200
    cooldown_s: int = 10 * 86_400
    voting_delay_s: int = 86_400
    voting_period_s: int = 7 * 86_400
    late_quorum_s: int = 2 * 86_400
    timelock_s: int = 2 * 86_400
    proposal_threshold_wei: Wei = _THRESHOLD
    quorum_percent: int = 10


def quick(guardian: Address) -> Standard:
    """Return settings with which a vote takes a quarter of a minute, for localnet."""
    return Standard(
        guardian=guardian,
        cooldown_s=20,
        voting_delay_s=2,
        voting_period_s=10,
        late_quorum_s=4,
        timelock_s=2,
        proposal_threshold_wei=Wei(QXC_WEI),
    )


@dataclass(frozen=True, slots=True)
class First:
    """A call of the founder, after every constructor has run."""

    target: Address
    contract: str
    function: str
    arguments: tuple[Any, ...] = ()
    value: Wei = WEI_ZERO


@dataclass(frozen=True, slots=True)
class Row:
    """One contract: what it is, where it stands, what it is made with, what is called first."""

    contract: str
    address: Address
    arguments: tuple[Any, ...] = ()
    calls: tuple[First, ...] = ()


def exempt() -> list[Address]:
    """Return the system contracts whose transfers of QXC burn nothing."""
    return [STAKING, TIMELOCK]


def rows(settings: Standard) -> list[Row]:
    """Return the standard contracts in the order of their construction."""
    reserve = settings.reserve_wei
    targets = (QXC, STAKING, VALIDATOR_REGISTRY, ACCOUNT_PERMISSIONS)
    voting = (
        settings.voting_delay_s,
        settings.voting_period_s,
        settings.proposal_threshold_wei,
        settings.quorum_percent,
        settings.late_quorum_s,
    )
    token = (TIMELOCK, settings.guardian, STAKING, GOVERNANCE, False, exempt())
    funding = (
        First(QXC, "QXC", "deposit", value=reserve),
        First(QXC, "QXC", "approve", (STAKING, reserve)),
        First(STAKING, "Staking", "fund", (reserve,)),
    )
    return [
        Row("Timelock", TIMELOCK, (settings.timelock_s, [GOVERNANCE], [ZERO_ADDRESS])),
        Row("QXC", QXC, (token,)),
        Row(
            "Staking",
            STAKING,
            (QXC, TIMELOCK, settings.target_bps, settings.cooldown_s),
            funding if reserve else (),
        ),
        Row("Governance", GOVERNANCE, (targets, TIMELOCK, voting)),
        Row("MultiSigAccount", MULTISIG_ACCOUNT),
        Row("MultiSigFactory", MULTISIG_FACTORY, (MULTISIG_ACCOUNT,)),
        Row("IdentityRegistry", IDENTITY_REGISTRY, (TIMELOCK,)),
        Row("Compliance", COMPLIANCE, (TIMELOCK, QXC, IDENTITY_REGISTRY)),
        Row("CountryModule", COUNTRY_MODULE, (TIMELOCK, IDENTITY_REGISTRY)),
        Row("Amm", AMM, (TIMELOCK, ZERO_ADDRESS)),
        Row("AmmQuoter", AMM_QUOTER, (AMM,)),
        Row("Lending", LENDING, (TIMELOCK, ZERO_ADDRESS)),
        Row("Farming", FARMING, (TIMELOCK, ZERO_ADDRESS)),
    ]


def standard(settings: Standard, chain_id: ChainId) -> list[Predeploy]:
    """Return the standard contracts as a genesis document holds them, in order of the rows."""
    return build(rows(settings), chain_id)


def build(table: Sequence[Row], chain_id: ChainId) -> list[Predeploy]:
    """Return the contracts of `table` after constructors and first calls.

    Raises Fatal when one of them reverts: the table or a contract is wrong.
    """
    site = _Site(
        PyEvmEngine(),
        MemoryState.of({FOUNDER: GenesisAccount(balance=_FOUNDER_WEI)}),
        replace(_CONTEXT, chain_id=chain_id),
    )
    for row in table:
        site.construct(row)
    for row in table:
        for first in row.calls:
            data = call_data(first.contract, first.function, first.arguments)
            call = Call(FOUNDER, first.target, data, first.value, _GAS)
            site.run(call, f"{first.contract}.{first.function}, first call of {row.contract}")
    return [Predeploy(row.contract, row.address, site.account(row.address)) for row in table]


@dataclass(frozen=True, slots=True)
class _Site:
    """Where contracts are set up: the state that they leave behind, and how it runs."""

    engine: PyEvmEngine
    state: MemoryState
    context: BlockContext

    def construct(self, row: Row) -> None:
        """Run the constructor as code of its address, then put there what it returns."""
        self._set_code(row.address, constructor_data(row.contract, row.arguments))
        output = self.run(Call(FOUNDER, row.address, gas=_GAS), f"constructor of {row.contract}")
        self._set_code(row.address, output)

    def run(self, call: Call, place: str) -> bytes:
        """Return a call's output and keep what it changed; raises Fatal when it reverts."""
        tried = self.engine.call(self.state, self.context, call)
        if not tried.success:
            raise Fatal(f"{place}: {tried.error}: {failure(tried.output)}")
        sender = self.state.account(FOUNDER) or Account()
        transaction = Transaction(
            type=0,
            chain_id=self.context.chain_id,
            nonce=sender.nonce,
            max_priority_fee_per_gas=WEI_ZERO,
            max_fee_per_gas=WEI_ZERO,
            gas=_GAS,
            to=call.to,
            value=call.value,
            data=call.data,
            access_list=(),
            authorizations=(),
            y_parity=0,
            r=1,
            s=1,
            sender=FOUNDER,
            hash=Hash32(keccak(call.data)),
            raw=b"\xc0",
        )
        done = self.engine.execute(self.state, self.context, [transaction], skip_invalid=False)
        self.state.apply(done.changes)
        return tried.output

    def account(self, address: Address) -> GenesisAccount:
        """Return what now stands at `address`."""
        found = self.state.account(address) or Account()
        return GenesisAccount(
            balance=found.balance,
            nonce=found.nonce,
            code=self.state.code(found.code_hash),
            storage=dict(self.state.slots.get(address, {})),
        )

    def _set_code(self, address: Address, code: bytes) -> None:
        digest = Hash32(keccak(code))
        old = self.state.account(address) or Account(nonce=Nonce(1))
        account = replace(old, code_hash=digest)
        self.state.apply(ChangeSet(accounts={address: account}, codes={digest: code}))
