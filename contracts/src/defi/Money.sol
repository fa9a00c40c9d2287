// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {SafeTransferLib} from "solady/src/utils/SafeTransferLib.sol";

/// @title Moving tokens and the native coin by what really arrives.
/// @notice Tokens may burn a part of what is sent, return nothing, or return false. What comes in
///         is therefore measured by the balance before and after. Callers hold their lock while
///         they measure, so that nothing else can arrive in between. The native coin is written
///         as the zero address.
library Money {
    address internal constant NATIVE = address(0);
    /// @notice Transfers made to collect one debt from a token that burns a part of each.
    uint256 internal constant PULLS_MAX = 5;

    error WrongValue(uint256 sent, uint256 needed);

    /// @notice The balance of this contract.
    function held(address token) internal view returns (uint256) {
        return token == NATIVE ? address(this).balance : balanceOf(token, address(this));
    }

    /// @notice The balance of anybody; reverts when the token does not answer.
    function balanceOf(address token, address account) internal view returns (uint256 amount) {
        if (token == NATIVE) return account.balance;
        (bool answered, uint256 found) = SafeTransferLib.checkBalanceOf(token, account);
        if (!answered) revert SafeTransferLib.TransferFailed();
        return found;
    }

    /// @notice Takes `amount` of a token from `from`; returns what arrived.
    function take(address token, address from, uint256 amount) internal returns (uint256) {
        uint256 before = balanceOf(token, address(this));
        SafeTransferLib.safeTransferFrom(token, from, address(this), amount);
        return balanceOf(token, address(this)) - before;
    }

    /// @notice Takes from `from` until `owed` has arrived, but no more than `payMax` in all.
    /// @return received What arrived: below `owed` when `payMax` did not suffice.
    /// @return paid What `from` paid. Equal to `owed` unless the token takes a part.
    function collect(address token, address from, uint256 owed, uint256 payMax)
        internal
        returns (uint256 received, uint256 paid)
    {
        uint256 next = owed < payMax ? owed : payMax;
        if (next == 0) return (0, 0);
        paid = next;
        received = take(token, from, next);
        for (uint256 pulls = 1; received < owed && paid < payMax && pulls < PULLS_MAX; ++pulls) {
            if (received == 0) break;
            // What is missing, made larger by the part that the token has taken so far.
            uint256 missing = owed - received;
            next = missing + (missing * (paid - received)) / received;
            if (next > payMax - paid) next = payMax - paid;
            paid += next;
            received += take(token, from, next);
        }
    }

    /// @notice Sends `amount`; a token that answers false or fails reverts.
    function give(address token, address to, uint256 amount) internal {
        if (amount == 0) return;
        if (token == NATIVE) SafeTransferLib.safeTransferETH(to, amount);
        else SafeTransferLib.safeTransfer(token, to, amount);
    }
}
