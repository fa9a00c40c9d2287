// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title Which accounts may send transactions, and which may deploy contracts.
/// @notice Placed by the genesis document at a fixed address; it has no constructor. Both limits are
///         off unless genesis or the manager turns them on. The nodes enforce them, in the pool and
///         in every block, by the state before the block: a change counts from the next block on.
///
///         Deploying means a transaction that creates a contract, or one to the deterministic
///         deployment proxy. What a deployed contract creates by itself is its deployer's affair.
///         While senders are limited at least one account keeps its right to send, so that the
///         network is never locked for good; a sender that loses it cannot undo that itself.
/// @dev Nodes read slot 0 and the mapping at slot 1 (vm/permissions.py): append new variables.
contract AccountPermissions {
    /// @notice Who changes limits and rights; zero where they stand for good.
    address public manager;
    /// @notice Whether only accounts with the right may send.
    bool public sendersLimited;
    /// @notice Whether only accounts with the right may deploy.
    bool public deployersLimited;
    /// @dev Bit 0: may send; bit 1: may deploy.
    mapping(address account => uint256 rights) private _rights;
    /// @notice How many accounts have the right to send.
    uint256 public senderCount;

    event ManagerSet(address indexed manager);
    event LimitsSet(bool sendersLimited, bool deployersLimited);
    event PermissionsSet(address indexed account, bool maySend, bool mayDeploy);

    /// @notice The caller is not the manager.
    error NotManager(address caller);
    /// @notice Nobody could send any more.
    error LastSender();

    modifier onlyManager() {
        if (msg.sender != manager) revert NotManager(msg.sender);
        _;
    }

    /// @notice Gives or takes the rights of an account.
    function setPermissions(address account, bool send, bool deploy) external onlyManager {
        bool before = _rights[account] & 1 != 0;
        _rights[account] = (send ? 1 : 0) | (deploy ? 2 : 0);
        if (send && !before) ++senderCount;
        if (!send && before) --senderCount;
        if (sendersLimited && senderCount == 0) revert LastSender();
        emit PermissionsSet(account, send, deploy);
    }

    /// @notice Turns the limits on or off.
    function setLimits(bool limitsSenders, bool limitsDeployers) external onlyManager {
        if (limitsSenders && senderCount == 0) revert LastSender();
        sendersLimited = limitsSenders;
        deployersLimited = limitsDeployers;
        emit LimitsSet(limitsSenders, limitsDeployers);
    }

    /// @notice Hands the management over.
    function setManager(address account) external onlyManager {
        manager = account;
        emit ManagerSet(account);
    }

    /// @notice Returns whether `account` may send transactions now.
    function maySend(address account) external view returns (bool) {
        return !sendersLimited || _rights[account] & 1 != 0;
    }

    /// @notice Returns whether `account` may deploy contracts now.
    function mayDeploy(address account) external view returns (bool) {
        return !deployersLimited || _rights[account] & 2 != 0;
    }

    /// @notice Returns the rights that `account` was given, limits or not.
    function permissionsOf(address account) external view returns (bool send, bool deploy) {
        return (_rights[account] & 1 != 0, _rights[account] & 2 != 0);
    }
}
