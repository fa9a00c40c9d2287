// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

interface IToken {
    function transfer(address to, uint256 value) external returns (bool);
    function transferFrom(address from, address to, uint256 value) external returns (bool);
    function balanceOf(address account) external view returns (uint256);
}

/// @title A constant-product pair in the manner of version 2, for `scripts.bench engine` alone.
/// @notice Liquidity is what somebody sends before the first `sync`; it never comes back.
contract Pair {
    address public immutable token0;
    address public immutable token1;
    uint112 private reserve0;
    uint112 private reserve1;
    uint32 private updated;
    uint256 public price0Cumulative;
    uint256 public price1Cumulative;
    uint256 private unlocked = 1;

    event Sync(uint112 reserve0, uint112 reserve1);
    event Swap(
        address indexed sender,
        uint256 in0,
        uint256 in1,
        uint256 out0,
        uint256 out1,
        address indexed to
    );

    error Locked();
    error NotEnough();
    error Invariant();

    modifier locked() {
        if (unlocked != 1) revert Locked();
        unlocked = 0;
        _;
        unlocked = 1;
    }

    constructor(address token0_, address token1_) {
        token0 = token0_;
        token1 = token1_;
    }

    function getReserves() external view returns (uint112, uint112, uint32) {
        return (reserve0, reserve1, updated);
    }

    function sync() external locked {
        _update(IToken(token0).balanceOf(address(this)), IToken(token1).balanceOf(address(this)));
    }

    function swap(uint256 out0, uint256 out1, address to) external locked {
        (uint112 before0, uint112 before1) = (reserve0, reserve1);
        if (out0 >= before0 || out1 >= before1 || out0 + out1 == 0) revert NotEnough();
        if (out0 > 0) IToken(token0).transfer(to, out0);
        if (out1 > 0) IToken(token1).transfer(to, out1);
        uint256 now0 = IToken(token0).balanceOf(address(this));
        uint256 now1 = IToken(token1).balanceOf(address(this));
        uint256 in0 = now0 > before0 - out0 ? now0 - (before0 - out0) : 0;
        uint256 in1 = now1 > before1 - out1 ? now1 - (before1 - out1) : 0;
        if (in0 + in1 == 0) revert NotEnough();
        uint256 fair0 = now0 * 1000 - in0 * 3;
        uint256 fair1 = now1 * 1000 - in1 * 3;
        if (fair0 * fair1 < uint256(before0) * before1 * 1000 ** 2) revert Invariant();
        _update(now0, now1);
        emit Swap(msg.sender, in0, in1, out0, out1, to);
    }

    function _update(uint256 now0, uint256 now1) private {
        uint32 moment = uint32(block.timestamp);
        unchecked {
            uint32 elapsed = moment - updated;
            if (elapsed > 0 && reserve0 != 0 && reserve1 != 0) {
                price0Cumulative += ((uint256(reserve1) << 112) / reserve0) * elapsed;
                price1Cumulative += ((uint256(reserve0) << 112) / reserve1) * elapsed;
            }
        }
        reserve0 = uint112(now0);
        reserve1 = uint112(now1);
        updated = moment;
        emit Sync(reserve0, reserve1);
    }
}
