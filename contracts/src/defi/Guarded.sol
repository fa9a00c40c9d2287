// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";

/// @title Who may receive what leaves a protocol.
/// @notice Answered by a compliance contract, so that a pool cannot launder an unverified holder.
interface IExitPolicy {
    /// @notice Whether `to` may receive `amount` of `token`.
    function canReceive(address token, address to, uint256 amount) external view returns (bool);
}

/// @title What the protocols share: an owner, one lock, deadlines and an optional exit policy.
/// @notice The owner is meant to be the governance timelock. The lock is transient storage: it
///         costs 200 gas and cannot stay closed after a transaction.
abstract contract Guarded is Ownable2Step {
    /// @notice Asked before anything leaves; the zero address asks nobody.
    IExitPolicy public immutable exitPolicy;

    bool private transient _entered;

    error Reentered();
    error Expired(uint256 deadline);
    error ExitRefused(address token, address to);

    constructor(address owner_, IExitPolicy policy) Ownable(owner_) {
        exitPolicy = policy;
    }

    modifier locked() {
        _lock();
        _;
        _unlock();
    }

    /// @dev Views that others price by: no answer while the state is in between.
    modifier settled() {
        if (_entered) revert Reentered();
        _;
    }

    modifier before(uint256 deadline) {
        if (block.timestamp > deadline) revert Expired(deadline);
        _;
    }

    function _lock() internal {
        if (_entered) revert Reentered();
        _entered = true;
    }

    function _unlock() internal {
        _entered = false;
    }

    function _isLocked() internal view returns (bool) {
        return _entered;
    }

    function _checkExit(address token, address to, uint256 amount) internal view {
        if (address(exitPolicy) != address(0) && amount != 0) {
            if (!exitPolicy.canReceive(token, to, amount)) revert ExitRefused(token, to);
        }
    }
}
