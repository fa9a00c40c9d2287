// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

/// @title Weakened on purpose: votes are the balance of this moment, and a majority acts at once
///        (Beanstalk, April 2022). A flash loan takes what it holds.
contract WeakGovernance {
    IERC20 private immutable token;

    constructor(IERC20 token_) {
        token = token_;
    }

    function decide(address target, bytes calldata data) external {
        require(token.balanceOf(msg.sender) * 2 > token.totalSupply(), "no majority");
        (bool done, ) = target.call(data);
        require(done, "failed");
    }
}
