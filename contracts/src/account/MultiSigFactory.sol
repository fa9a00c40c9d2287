// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Clones} from "@openzeppelin/contracts/proxy/Clones.sol";
import {MultiSigAccount} from "./MultiSigAccount.sol";

/// @title Makes multi-signature accounts at addresses that follow from their signers.
/// @notice The clones have no admin and cannot be upgraded.
contract MultiSigFactory {
    /// @notice The code that every account runs.
    address public immutable implementation;

    event AccountCreated(address indexed account, uint64 threshold, uint256 signers);

    constructor(address implementation_) {
        implementation = implementation_;
    }

    /// @notice Makes an account; made again with the same facts it reverts.
    /// @param signers Addresses (20 bytes), or verifier and key (ERC-7913).
    /// @param weights Weight of each, from 1.
    /// @param threshold Sum of weights that an operation needs.
    /// @param salt Any number, to have several accounts of the same signers.
    function create(
        bytes[] calldata signers,
        uint64[] calldata weights,
        uint64 threshold,
        bytes32 salt
    ) external returns (address payable account) {
        bytes32 name = _name(signers, weights, threshold, salt);
        account = payable(Clones.cloneDeterministic(implementation, name));
        MultiSigAccount(account).initialize(signers, weights, threshold);
        emit AccountCreated(account, threshold, signers.length);
    }

    /// @notice Returns where `create` makes the account.
    function addressOf(
        bytes[] calldata signers,
        uint64[] calldata weights,
        uint64 threshold,
        bytes32 salt
    ) external view returns (address) {
        bytes32 name = _name(signers, weights, threshold, salt);
        return Clones.predictDeterministicAddress(implementation, name);
    }

    function _name(
        bytes[] calldata signers,
        uint64[] calldata weights,
        uint64 threshold,
        bytes32 salt
    ) private pure returns (bytes32) {
        return keccak256(abi.encode(signers, weights, threshold, salt));
    }
}
