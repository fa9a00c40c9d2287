// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title A contract account whose every move, also inside callbacks, is written by a test.
contract Puppet {
    struct Move {
        address target;
        uint256 value;
        bytes data;
        bool mayFail;
    }

    bytes32 public constant LENT = keccak256("ERC3156FlashBorrower.onFlashLoan");
    bytes32 public constant AMM_LENT = keccak256("IAmmFlashBorrower.onAmmFlash");

    Move[] private _plan;
    bool public mute;
    /// @notice Whether each planned move succeeded, and what it returned.
    bool[] public worked;
    bytes[] public outputs;

    /// @notice What the next callback does, once.
    function plan(Move[] calldata moves) external {
        delete _plan;
        for (uint256 i; i < moves.length; ++i) _plan.push(moves[i]);
    }

    function setMute(bool value) external {
        mute = value;
    }

    function run(Move[] calldata moves) external payable {
        for (uint256 i; i < moves.length; ++i) _do(moves[i]);
    }

    function results() external view returns (bool[] memory, bytes[] memory) {
        return (worked, outputs);
    }

    function _do(Move memory move) private {
        (bool done, bytes memory output) = move.target.call{value: move.value}(move.data);
        worked.push(done);
        outputs.push(output);
        if (!done && !move.mayFail) {
            assembly ("memory-safe") {
                revert(add(output, 32), mload(output))
            }
        }
    }

    function _act() private {
        Move[] memory moves = _plan;
        delete _plan;
        for (uint256 i; i < moves.length; ++i) _do(moves[i]);
    }

    receive() external payable {
        _act();
    }

    function onToken() external {
        _act();
    }

    function onFlashLoan(address, address, uint256, uint256, bytes calldata)
        external
        returns (bytes32)
    {
        _act();
        return mute ? bytes32(0) : LENT;
    }

    fallback(bytes calldata) external payable returns (bytes memory) {
        _act();
        return abi.encode(mute ? bytes32(0) : AMM_LENT);
    }
}
