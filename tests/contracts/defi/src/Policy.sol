// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IExitPolicy} from "src/defi/Guarded.sol";

/// @title An exit policy that refuses the accounts that a test names.
contract Policy is IExitPolicy {
    mapping(address => bool) public refused;

    function refuse(address account, bool wanted) external {
        refused[account] = wanted;
    }

    function canReceive(address, address to, uint256) external view override returns (bool) {
        return !refused[to];
    }
}
