"""Copies of token, staking, governance and accounts with one defence taken out each, for forge.

`python -m tests.contracts.forge.weak` compiles them into `copies/` beside this file (it needs Node
and `npm ci` in `contracts`; Staking and Governance take a minute each). `FOUND_BY` says of every
weakened copy of the tests, those of `tests/contracts/defi/weak.py` too, which suite finds it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from tests.contracts.defi.weak import ARTIFACTS, WEAKNESSES, Weakness, build

COPIES: Final = Path(__file__).resolve().parent / "copies"

CORE: Final = (
    Weakness("QxcDoublesItself", "QXC", (("QXC.sol", "if (from != to) {", "{"),)),
    Weakness(
        "QxcForgetsBurns",
        "QXC",
        (("QXC.sol", "                        _state = state - burned;\n", ""),),
    ),
    Weakness(
        "QxcGuardianNeverRests",
        "QXC",
        (("QXC.sol", "if (last != 0 && block.timestamp < last + most)", "if (last == 1)"),),
    ),
    Weakness(
        "StakingPromises",
        "Staking",
        (("Staking.sol", "        if (growth > _reserve) growth = _reserve;\n", ""),),
    ),
    Weakness(
        "StakingByBalance",
        "Staking",
        (
            (
                "Staking.sol",
                "return _assets + _growth();",
                "return IQXC(asset()).balanceOf(address(this)) - _reserve - owed + _growth();",
            ),
        ),
    ),
    Weakness(
        "StakingObeysAnybody",
        "Staking",
        (
            (
                "Staking.sol",
                "function setTarget(uint256 bps) external onlyGovernance {",
                "function setTarget(uint256 bps) external {",
            ),
        ),
    ),
    Weakness(
        "GovernanceCountsNow",
        "Governance",
        (
            (
                "Governance.sol",
                "    function _tallyUpdated(",
                "    function _getVotes(address account, uint256, bytes memory)\n"
                "        internal view override(Governor, GovernorVotes) returns (uint256)\n"
                "    {\n        return token().getVotes(account);\n    }\n\n"
                "    function _tallyUpdated(",
            ),
        ),
    ),
    Weakness(
        "TimelockActsAtOnce",
        "Timelock",
        (
            (
                "Timelock.sol",
                "    ) TimelockController(minDelay, proposers, executors, address(0)) {}",
                "    ) TimelockController(minDelay, proposers, executors, address(0)) {}\n\n"
                "    function getOperationState(bytes32 id)\n"
                "        public view override returns (OperationState)\n    {\n"
                "        OperationState found = super.getOperationState(id);\n"
                "        return found == OperationState.Waiting ? OperationState.Ready : found;\n"
                "    }",
            ),
        ),
    ),
    Weakness(
        "MultiSigReplays",
        "MultiSigAccount",
        (("MultiSigAccount.sol", "uint256 used = nonce++;", "uint256 used = nonce;"),),
    ),
    Weakness(
        "MultiSigForgetsPlace",
        "MultiSigAccount",
        (
            ("MultiSigAccount.sol", "            _hashTypedDataV4(", "            _plain("),
            (
                "MultiSigAccount.sol",
                "    function _nobody()",
                "    function _plain(bytes32 part) private view returns (bytes32) {\n"
                "        return block.number == 0 ? bytes32(0) : part;\n    }\n\n"
                "    function _nobody()",
            ),
        ),
    ),
    Weakness(
        "MultiSigObeysAnybody",
        "MultiSigAccount",
        (
            (
                "MultiSigAccount.sol",
                "        if (msg.sender != address(this)) revert OnlySelf(msg.sender);\n",
                "",
            ),
        ),
    ),
    Weakness(
        "MultiSigCountsTwice",
        "MultiSigAccount",
        (
            (
                "MultiSigAccount.sol",
                'from "@openzeppelin/contracts/utils/cryptography/signers/AbstractSigner.sol";',
                'from "@openzeppelin/contracts/utils/cryptography/signers/AbstractSigner.sol";\n'
                "import {SignatureChecker} from "
                '"@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";',
            ),
            (
                "MultiSigAccount.sol",
                "    function _nobody()",
                "    function _validateSignatures(\n        bytes32 hash,\n"
                "        bytes[] calldata signers,\n        bytes[] calldata signatures\n"
                "    ) internal view override returns (bool) {\n"
                "        for (uint256 i = 0; i < signers.length; ++i) {\n"
                "            bool good = isSigner(signers[i]) && SignatureChecker\n"
                "                .isValidSignatureNow(signers[i], hash, signatures[i]);\n"
                "            if (!good) return false;\n        }\n        return true;\n    }\n\n"
                "    function _nobody()",
            ),
        ),
    ),
)

FOUND_BY: Final = {
    "QXC": "QxcSuite",
    "Staking": "StakingSuite",
    "Governance": "GovernanceSuite",
    "Timelock": "GovernanceSuite",
    "MultiSigAccount": "MultiSigSuite",
    "Amm": "AmmSuite",
    "Lending": "LendingSuite",
    "Farming": "FarmingSuite",
    "MedianOracle": "OracleSuite",
    "MarketOracle": "OracleSuite",
}
"""The suite that must fail when a contract is replaced by a weakened copy of it."""


def copies() -> dict[str, tuple[Weakness, Path]]:
    """Return every weakened copy with its artifact, by name."""
    core = {each.name: (each, COPIES / f"{each.name}.json") for each in CORE}
    return core | {each.name: (each, ARTIFACTS / f"{each.name}.json") for each in WEAKNESSES}


def main(names: list[str]) -> None:
    """Write the artifacts named, or all."""
    COPIES.mkdir(exist_ok=True)
    for each in CORE:
        if not names or each.name in names:
            (COPIES / f"{each.name}.json").write_text(build(each))


if __name__ == "__main__":
    main(sys.argv[1:])
