// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title Who may take value out of a protocol.
/// @notice Answered by a compliance contract, so that a pool cannot launder an unverified holder.
interface IExitPolicy {
    /// @notice Whether `amount` of `token` that `holder` has in a protocol may leave to `to`. The
    ///         zero address as token is the native coin.
    function canExit(address token, address holder, address to, uint256 amount)
        external
        view
        returns (bool);
}
