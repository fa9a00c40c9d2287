// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

/// @title Weakened on purpose: promises 12 % a year, whatever the reserve holds. Insolvent in time.
contract WeakStaking {
    IERC20 private immutable token;
    mapping(address => uint256) public staked;
    mapping(address => uint256) public since;

    constructor(IERC20 token_) {
        token = token_;
    }

    function stake(uint256 value) external {
        token.transferFrom(msg.sender, address(this), value);
        staked[msg.sender] = value;
        since[msg.sender] = block.timestamp;
    }

    function exit() external {
        uint256 value = staked[msg.sender];
        uint256 reward = (value * 12 * (block.timestamp - since[msg.sender])) / (100 * 365 days);
        staked[msg.sender] = 0;
        token.transfer(msg.sender, value + reward);
    }
}
