// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

/// @notice Counts, and refuses to go above its limit.
contract Counter {
    error AboveLimit(uint256 wanted, uint256 limit);

    event Counted(address indexed by, uint256 number);

    uint256 public immutable limit;
    uint256 public number;

    constructor(uint256 limit_) {
        limit = limit_;
    }

    function add(uint256 amount) external {
        uint256 wanted = number + amount;
        if (wanted > limit) revert AboveLimit(wanted, limit);
        number = wanted;
        emit Counted(msg.sender, wanted);
    }
}
