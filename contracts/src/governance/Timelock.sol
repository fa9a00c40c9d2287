// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";

/// @title Holds the treasury and the power over QENEX's contracts, and acts after a delay.
/// @notice Governance proposes and cancels; anybody executes what is due. There is no admin: roles
///         and delay change by the timelock's own calls, that is by a vote.
contract Timelock is TimelockController {
    constructor(
        uint256 minDelay,
        address[] memory proposers,
        address[] memory executors
    ) TimelockController(minDelay, proposers, executors, address(0)) {}
}
