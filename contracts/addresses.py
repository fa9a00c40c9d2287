"""Fixed addresses of the contracts that stand in a network from its first block on.

The registries of every network are in `primitives.params`; those here stand in networks whose
genesis has the standard contracts. 0x515843 is "QXC" in ASCII.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from primitives.types import Address


def _fixed(number: int) -> Address:
    return Address(number.to_bytes(20, "big"))


QXC: Final = _fixed(0x515843)
STAKING: Final = _fixed(0x2001)
GOVERNANCE: Final = _fixed(0x2002)
TIMELOCK: Final = _fixed(0x2003)
MULTISIG_ACCOUNT: Final = _fixed(0x2004)
MULTISIG_FACTORY: Final = _fixed(0x2005)
IDENTITY_REGISTRY: Final = _fixed(0x2101)
COMPLIANCE: Final = _fixed(0x2102)
COUNTRY_MODULE: Final = _fixed(0x2103)
AMM: Final = _fixed(0x2201)
AMM_QUOTER: Final = _fixed(0x2202)
LENDING: Final = _fixed(0x2203)
FARMING: Final = _fixed(0x2204)

STANDARD: Final[Mapping[str, Address]] = {
    "QXC": QXC,
    "Staking": STAKING,
    "Governance": GOVERNANCE,
    "Timelock": TIMELOCK,
    "MultiSigAccount": MULTISIG_ACCOUNT,
    "MultiSigFactory": MULTISIG_FACTORY,
    "IdentityRegistry": IDENTITY_REGISTRY,
    "Compliance": COMPLIANCE,
    "CountryModule": COUNTRY_MODULE,
    "Amm": AMM,
    "AmmQuoter": AMM_QUOTER,
    "Lending": LENDING,
    "Farming": FARMING,
}
"""Contract name to address, of the contracts that `qenex.predeploys` sets up."""
