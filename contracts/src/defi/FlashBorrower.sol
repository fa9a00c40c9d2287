// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/interfaces/IERC20.sol";
import {IERC3156FlashBorrower} from "@openzeppelin/contracts/interfaces/IERC3156FlashBorrower.sol";
import {IERC3156FlashLender} from "@openzeppelin/contracts/interfaces/IERC3156FlashLender.sol";

/// @title The smallest safe borrower of a flash loan, to begin one's own from.
/// @notice It takes loans from one lender and for its owner alone, and pays the fee out of what it
///         holds. What is to be done with the loan goes where the comment stands.
contract FlashBorrower is IERC3156FlashBorrower {
    bytes32 private constant DONE = keccak256("ERC3156FlashBorrower.onFlashLoan");

    IERC3156FlashLender public immutable lender;
    address public immutable owner;

    event Used(address indexed token, uint256 amount, uint256 fee);

    error NotLender(address caller);
    error NotOwner(address initiator);

    constructor(IERC3156FlashLender lender_) {
        lender = lender_;
        owner = msg.sender;
    }

    /// @inheritdoc IERC3156FlashBorrower
    function onFlashLoan(
        address initiator,
        address token,
        uint256 amount,
        uint256 fee,
        bytes calldata
    ) external override returns (bytes32) {
        if (msg.sender != address(lender)) revert NotLender(msg.sender);
        if (initiator != owner) revert NotOwner(initiator);
        // The loan is here: what is done with it is done now.
        emit Used(token, amount, fee);
        IERC20(token).approve(address(lender), amount + fee);
        return DONE;
    }
}
