// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @notice Names one pool. `token0` sorts before `token1`; the zero address is the native coin.
///         `fee` is in millionths of the amount that comes in.
struct PoolKey {
    address token0;
    address token1;
    uint24 fee;
    int24 tickSpacing;
}

/// @notice One step of a route: the pool of the token before and `token`, which comes out.
struct Hop {
    address token;
    uint24 fee;
    int24 tickSpacing;
}

/// @notice One end of positions. `net` is added to the liquidity when the price rises through it.
struct Tick {
    uint128 gross;
    int128 net;
    uint256 feesOutside0;
    uint256 feesOutside1;
}

/// @notice Liquidity of one owner between two ticks, and the fee growth that it was paid up to.
struct Position {
    uint128 liquidity;
    uint256 feesInside0;
    uint256 feesInside1;
}

/// @notice The sum of tick times seconds up to a time.
struct Observation {
    uint32 time;
    int56 tickSum;
}

/// @notice A pool. The first word is all that a swap writes besides fees, within one second.
struct Pool {
    uint160 sqrtPrice;
    int24 tick;
    uint32 observedAt;
    uint16 observationIndex;
    uint16 observationCount;
    uint8 protocolShare;
    uint128 liquidity;
    uint16 observationLimit;
    uint256 feeGrowth0;
    uint256 feeGrowth1;
    mapping(int24 tick => Tick) ticks;
    mapping(int16 word => uint256) bitmap;
    mapping(bytes32 position => Position) positions;
    mapping(uint256 index => Observation) observations;
}

/// @notice What a flash loan lends, and what it costs.
struct Loan {
    uint256 amount0;
    uint256 amount1;
    uint256 fee0;
    uint256 fee1;
}

/// @notice Called when a flash loan was sent; amounts and fees must be back on return.
interface IAmmFlashBorrower {
    /// @return keccak256("IAmmFlashBorrower.onAmmFlash")
    function onAmmFlash(
        address initiator,
        PoolKey calldata key,
        Loan calldata loan,
        bytes calldata data
    ) external returns (bytes32);
}
