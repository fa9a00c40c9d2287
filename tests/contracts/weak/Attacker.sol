// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title What attacks of one transaction need: a flash lender, and a receiver that calls again.
interface IWrap {
    function deposit() external payable;
    function withdraw(uint256 value) external;
    function transfer(address to, uint256 value) external returns (bool);
    function approve(address spender, uint256 value) external returns (bool);
}

contract Attacker {
    IWrap private wrap;
    uint256 private again;
    bytes public lastError;

    constructor() payable {}

    /// @dev Withdraws, and from within the payment withdraws `times` times more.
    function reenter(IWrap wrap_, uint256 value, uint256 times) external {
        wrap = wrap_;
        wrap_.deposit{value: value}();
        again = times;
        wrap_.withdraw(value);
    }

    /// @dev Stands for a flash loan: holds `value` tokens for the length of these calls alone.
    function flash(
        IWrap wrap_,
        uint256 value,
        address[] calldata targets,
        bytes[] calldata calls
    ) external {
        wrap_.deposit{value: value}();
        for (uint256 i = 0; i < targets.length; ++i) {
            (bool done, bytes memory output) = targets[i].call(calls[i]);
            if (!done) {
                assembly ("memory-safe") {
                    revert(add(output, 0x20), mload(output))
                }
            }
        }
        wrap_.withdraw(value);
    }

    receive() external payable {
        if (again == 0) return;
        --again;
        try wrap.withdraw(msg.value) {} catch (bytes memory reason) {
            lastError = reason;
        }
    }
}
