// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {FullMath} from "@uniswap/v4-core/src/libraries/FullMath.sol";
import {SqrtPriceMath} from "@uniswap/v4-core/src/libraries/SqrtPriceMath.sol";
import {TickMath} from "@uniswap/v4-core/src/libraries/TickMath.sol";
import {Amm} from "./Amm.sol";
import {Hop, PoolKey} from "./AmmTypes.sol";

/// @title What a swap would give and what liquidity would cost, for callers outside the chain.
/// @notice A quote runs the very code of the swap and throws its changes away, so it is the exact
///         amount at this state, before what a token may burn. Call it with eth_call.
contract AmmQuoter {
    uint256 private constant Q96 = 1 << 96;

    Amm public immutable amm;

    error NoQuote(bytes reason);

    constructor(Amm amm_) {
        amm = amm_;
    }

    /// @notice What comes out of a route for exactly `amountIn`.
    function quoteExactIn(address tokenIn, Hop[] calldata route, uint256 amountIn)
        external
        returns (uint256 amountOut)
    {
        (, amountOut) = _quote(tokenIn, route, -int256(amountIn));
    }

    /// @notice What must go into a route for exactly `amountOut`.
    function quoteExactOut(address tokenIn, Hop[] calldata route, uint256 amountOut)
        external
        returns (uint256 amountIn)
    {
        (amountIn,) = _quote(tokenIn, route, int256(amountOut));
    }

    function _quote(address tokenIn, Hop[] calldata route, int256 amount)
        private
        returns (uint256, uint256)
    {
        try amm.simulate(tokenIn, route, amount) {
            revert NoQuote("");
        } catch (bytes memory reason) {
            if (reason.length != 68 || bytes4(reason) != Amm.Quoted.selector) revert NoQuote(reason);
            uint256 amountIn;
            uint256 amountOut;
            assembly ("memory-safe") {
                amountIn := mload(add(reason, 0x24))
                amountOut := mload(add(reason, 0x44))
            }
            return (amountIn, amountOut);
        }
    }

    /// @notice The most liquidity that `amount0` and `amount1` pay for between two ticks, and what
    ///         it takes of each.
    function liquidityFor(
        PoolKey calldata key,
        int24 lower,
        int24 upper,
        uint256 amount0,
        uint256 amount1
    ) external view returns (uint128 liquidity, uint256 needed0, uint256 needed1) {
        (uint160 price,,,) = amm.poolOf(key);
        uint160 low = TickMath.getSqrtPriceAtTick(lower);
        uint160 high = TickMath.getSqrtPriceAtTick(upper);
        if (price < low) price = low;
        if (price > high) price = high;
        uint256 most = type(uint128).max >> 1;
        if (price < high) {
            uint256 scaled = FullMath.mulDiv(price, high, Q96);
            uint256 by0 = FullMath.mulDiv(amount0, scaled, high - price);
            if (by0 < most) most = by0;
        }
        if (price > low) {
            uint256 by1 = FullMath.mulDiv(amount1, Q96, price - low);
            if (by1 < most) most = by1;
        }
        liquidity = uint128(most);
        needed0 = SqrtPriceMath.getAmount0Delta(price, high, liquidity, true);
        needed1 = SqrtPriceMath.getAmount1Delta(low, price, liquidity, true);
        // The cost is rounded up, which may be one unit more than the amounts.
        while (liquidity != 0 && (needed0 > amount0 || needed1 > amount1)) {
            liquidity -= liquidity / 1e15 + 1;
            needed0 = SqrtPriceMath.getAmount0Delta(price, high, liquidity, true);
            needed1 = SqrtPriceMath.getAmount1Delta(low, price, liquidity, true);
        }
    }
}
