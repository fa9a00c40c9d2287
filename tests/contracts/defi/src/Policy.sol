// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IExitPolicy} from "src/defi/IExitPolicy.sol";

/// @title An exit policy that refuses the accounts that a test names, or fails.
contract Policy is IExitPolicy {
    mapping(address => bool) public refused;
    bool public broken;

    function refuse(address account, bool wanted) external {
        refused[account] = wanted;
    }

    function breakDown() external {
        broken = true;
    }

    function canExit(address, address holder, address to, uint256) external view override returns (bool) {
        if (broken) {
            assembly {
                invalid()
            }
        }
        return !refused[holder] && !refused[to];
    }
}
