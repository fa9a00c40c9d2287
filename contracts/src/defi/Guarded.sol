// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {IExitPolicy} from "./IExitPolicy.sol";
import {Money} from "./Money.sol";

/// @title What the protocols share: an owner, one lock, deadlines and an optional exit policy.
/// @notice The owner is meant to be the governance timelock. The lock is transient storage: it
///         costs 200 gas and cannot stay closed after a transaction.
///
///         The policy is asked about whoever has the value in the protocol and about whoever
///         receives it. What comes in, what goes back unspent to who just brought it, and a debt
///         that is repaid ask nobody. A policy that fails stops exits until the owner sets another,
///         which asks nobody either: it cannot lock value in for ever.
abstract contract Guarded is Ownable2Step {
    /// @notice Asked before anything leaves; the zero address asks nobody.
    IExitPolicy public exitPolicy;

    /// @dev 1 while a call is inside; a whole word, so that writing it reads nothing.
    uint256 private transient _entered;

    event ExitPolicySet(address indexed policy);

    error Reentered();
    error Expired(uint256 deadline);
    error ExitRefused(address token, address to);
    error NoCode(address token);

    constructor(address owner_, IExitPolicy policy) Ownable(owner_) {
        _setExitPolicy(policy);
    }

    modifier locked() {
        _lock();
        _;
        _unlock();
    }

    /// @dev Views that others price by: no answer while the state is in between.
    modifier settled() {
        if (_entered != 0) revert Reentered();
        _;
    }

    modifier before(uint256 deadline) {
        if (block.timestamp > deadline) revert Expired(deadline);
        _;
    }

    function _lock() internal {
        if (_entered != 0) revert Reentered();
        _entered = 1;
    }

    function _unlock() internal {
        _entered = 0;
    }

    function _isLocked() internal view returns (bool) {
        return _entered != 0;
    }

    /// @notice Has each exit asked of `policy`, or of nobody when it is zero.
    function setExitPolicy(IExitPolicy policy) external onlyOwner {
        _setExitPolicy(policy);
    }

    function _setExitPolicy(IExitPolicy policy) private {
        bool isNone = address(policy) == address(0);
        if (!isNone && address(policy).code.length == 0) revert NoCode(address(policy));
        exitPolicy = policy;
        emit ExitPolicySet(address(policy));
    }

    /// @dev Every exit: pays `to` what `holder` had here.
    function _send(address token, address holder, address to, uint256 amount) internal {
        if (amount == 0) return;
        IExitPolicy policy = exitPolicy;
        if (address(policy) != address(0) && !policy.canExit(token, holder, to, amount)) {
            revert ExitRefused(token, to);
        }
        Money.give(token, to, amount);
    }
}
