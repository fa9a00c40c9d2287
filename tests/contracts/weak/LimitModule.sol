// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title A rule for tests: no transfer above a limit.
contract LimitModule {
    uint256 private immutable _most;

    constructor(uint256 most) {
        _most = most;
    }

    function moduleCheck(address, address, uint256 value) external view returns (bool) {
        return value <= _most;
    }

    function moduleTransferAction(address, address, uint256) external {}
}
