// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {FullMath} from "@uniswap/v4-core/src/libraries/FullMath.sol";
import {LiquidityMath} from "@uniswap/v4-core/src/libraries/LiquidityMath.sol";
import {SqrtPriceMath} from "@uniswap/v4-core/src/libraries/SqrtPriceMath.sol";
import {SwapMath} from "@uniswap/v4-core/src/libraries/SwapMath.sol";
import {TickBitmap} from "@uniswap/v4-core/src/libraries/TickBitmap.sol";
import {TickMath} from "@uniswap/v4-core/src/libraries/TickMath.sol";
import {Observation, Pool, PoolKey, Position, Tick} from "./AmmTypes.sol";

/// @title The bookkeeping of concentrated liquidity; moves no token.
/// @notice Liquidity L between two prices holds what a constant product of L^2 would hold there.
///         Square roots of prices are fixed point with 96 binary places, growth of fees per unit
///         of liquidity with 128. Every rounding favours the pool: what comes in is rounded up,
///         what goes out and what positions earn is rounded down.
library AmmPools {
    using TickBitmap for mapping(int16 => uint256);

    uint256 internal constant Q128 = 1 << 128;
    uint256 internal constant PIPS = 1e6;
    uint16 internal constant OBSERVATIONS_MAX = 4096;

    error UnknownPool();
    error PoolExists();
    error BadRange(int24 lower, int24 upper);
    error TickFull(int24 tick);
    error BadPriceLimit(uint160 sqrtPriceLimit);
    error AmountTooLarge();
    error NoLiquidity();
    error TooShortHistory(uint32 oldest);

    /// @dev `remaining` is below zero for an exact amount in, above zero for an exact amount out.
    struct Swapping {
        bool zeroForOne;
        bool exactIn;
        uint24 fee;
        int24 spacing;
        uint160 limit;
        int256 remaining;
        uint160 sqrtPrice;
        int24 tick;
        uint128 liquidity;
        uint256 growth;
        uint256 amountIn;
        uint256 amountOut;
        uint256 protocolFee;
        uint8 protocolShare;
    }

    struct Step {
        uint160 start;
        uint160 nextPrice;
        int24 next;
        bool initialized;
        uint256 amountIn;
        uint256 amountOut;
        uint256 fee;
    }

    /// @dev The most liquidity that one tick may carry, so that no sum over ticks overflows.
    function liquidityPerTickMax(int24 spacing) internal pure returns (uint128) {
        int24 low = TickBitmap.compress(TickMath.MIN_TICK, spacing);
        int24 high = TickMath.MAX_TICK / spacing;
        return type(uint128).max / uint128(uint24(high - low + 1));
    }

    /// @dev Writes one word. The first observation, a sum of 0 now, is what the pool's first word
    ///      says until another is written, and a limit of 0 is one of 1.
    function begin(Pool storage pool, uint160 sqrtPrice) internal returns (int24 tick) {
        if (pool.sqrtPrice != 0) revert PoolExists();
        tick = TickMath.getTickAtSqrtPrice(sqrtPrice);
        pool.sqrtPrice = sqrtPrice;
        pool.tick = tick;
        pool.observedAt = uint32(block.timestamp);
        pool.observationCount = 1;
    }

    // Swaps -----------------------------------------------------------------------------------

    /// @notice Swaps up to `amount`, stopping at `limit`.
    /// @param amount Below zero: exactly so much in, fee included. Above zero: exactly so much out.
    function swap(Pool storage pool, PoolKey memory key, bool zeroForOne, int256 amount, uint160 limit)
        internal
        returns (Swapping memory s)
    {
        s.sqrtPrice = pool.sqrtPrice;
        s.tick = pool.tick;
        s.protocolShare = pool.protocolShare;
        s.liquidity = pool.liquidity;
        s.growth = zeroForOne ? pool.feeGrowth0 : pool.feeGrowth1;
        s.zeroForOne = zeroForOne;
        s.exactIn = amount < 0;
        s.fee = key.fee;
        s.spacing = key.tickSpacing;
        s.limit = limit;
        s.remaining = amount;
        _checkLimit(s);
        int24 tickBefore = s.tick;
        uint128 liquidityBefore = s.liquidity;
        while (s.remaining != 0 && s.sqrtPrice != limit) _step(pool, s);
        _observe(pool, tickBefore);
        pool.sqrtPrice = s.sqrtPrice;
        pool.tick = s.tick;
        if (s.liquidity != liquidityBefore) pool.liquidity = s.liquidity;
        if (zeroForOne) pool.feeGrowth0 = s.growth;
        else pool.feeGrowth1 = s.growth;
    }

    function _checkLimit(Swapping memory s) private pure {
        if (s.sqrtPrice == 0) revert UnknownPool();
        bool good = s.zeroForOne
            ? s.limit < s.sqrtPrice && s.limit > TickMath.MIN_SQRT_PRICE
            : s.limit > s.sqrtPrice && s.limit < TickMath.MAX_SQRT_PRICE;
        if (!good) revert BadPriceLimit(s.limit);
    }

    /// @dev Goes to the next initialized tick, the end of its bitmap word, the limit, or as far as
    ///      the amount reaches. A tick is crossed exactly when the price becomes that tick's price.
    function _step(Pool storage pool, Swapping memory s) private {
        Step memory step;
        step.start = s.sqrtPrice;
        (step.next, step.initialized) =
            pool.bitmap.nextInitializedTickWithinOneWord(s.tick, s.spacing, s.zeroForOne);
        if (step.next <= TickMath.MIN_TICK) step.next = TickMath.MIN_TICK;
        if (step.next >= TickMath.MAX_TICK) step.next = TickMath.MAX_TICK;
        step.nextPrice = TickMath.getSqrtPriceAtTick(step.next);
        (s.sqrtPrice, step.amountIn, step.amountOut, step.fee) = SwapMath.computeSwapStep(
            step.start,
            SwapMath.getSqrtPriceTarget(s.zeroForOne, step.nextPrice, s.limit),
            s.liquidity,
            s.remaining,
            s.fee
        );
        uint256 spent = step.amountIn + step.fee;
        s.amountIn += spent;
        s.amountOut += step.amountOut;
        s.remaining = s.exactIn ? s.remaining + int256(spent) : s.remaining - int256(step.amountOut);
        if (s.protocolShare != 0) {
            uint256 part = step.fee / s.protocolShare;
            step.fee -= part;
            s.protocolFee += part;
        }
        unchecked {
            if (s.liquidity != 0) s.growth += FullMath.mulDiv(step.fee, Q128, s.liquidity);
        }
        if (s.sqrtPrice == step.nextPrice) {
            if (step.initialized) _cross(pool, s, step.next);
            s.tick = s.zeroForOne ? step.next - 1 : step.next;
        } else if (s.sqrtPrice != step.start) {
            s.tick = TickMath.getTickAtSqrtPrice(s.sqrtPrice);
        }
    }

    function _cross(Pool storage pool, Swapping memory s, int24 next) private {
        Tick storage tick = pool.ticks[next];
        (uint256 growth0, uint256 growth1) =
            s.zeroForOne ? (s.growth, pool.feeGrowth1) : (pool.feeGrowth0, s.growth);
        unchecked {
            // Growth wraps around; only differences of it are ever used.
            tick.feesOutside0 = growth0 - tick.feesOutside0;
            tick.feesOutside1 = growth1 - tick.feesOutside1;
        }
        int128 net = tick.net;
        s.liquidity = LiquidityMath.addDelta(s.liquidity, s.zeroForOne ? -net : net);
    }

    /// @notice Gives `amount0` and `amount1` to the liquidity in range.
    function donate(Pool storage pool, uint256 amount0, uint256 amount1) internal {
        uint128 liquidity = pool.liquidity;
        if (liquidity == 0) revert NoLiquidity();
        unchecked {
            if (amount0 != 0) pool.feeGrowth0 += FullMath.mulDiv(amount0, Q128, liquidity);
            if (amount1 != 0) pool.feeGrowth1 += FullMath.mulDiv(amount1, Q128, liquidity);
        }
    }

    // Positions -------------------------------------------------------------------------------

    struct Change {
        int24 lower;
        int24 upper;
        int128 liquidity;
        bytes32 position;
    }

    /// @notice Changes a position; pays out nothing.
    /// @return amount0 Owed of token0 by the owner when above zero, to the owner when below.
    /// @return amount1 The same of token1.
    /// @return fees0 What the position has earned of token0 since the last change.
    /// @return fees1 The same of token1.
    function modify(Pool storage pool, PoolKey memory key, Change memory change)
        internal
        returns (int256 amount0, int256 amount1, uint256 fees0, uint256 fees1)
    {
        if (pool.sqrtPrice == 0) revert UnknownPool();
        bool good = change.lower < change.upper && change.lower >= TickMath.MIN_TICK
            && change.upper <= TickMath.MAX_TICK && change.lower % key.tickSpacing == 0
            && change.upper % key.tickSpacing == 0;
        if (!good) revert BadRange(change.lower, change.upper);
        if (change.liquidity != 0) {
            _changeTick(pool, key.tickSpacing, change.lower, change.liquidity, false);
            _changeTick(pool, key.tickSpacing, change.upper, change.liquidity, true);
        }
        (fees0, fees1) = _settle(pool, change);
        if (change.liquidity != 0) {
            if (change.liquidity < 0) {
                if (pool.ticks[change.lower].gross == 0) delete pool.ticks[change.lower];
                if (pool.ticks[change.upper].gross == 0) delete pool.ticks[change.upper];
            }
            (amount0, amount1) = _amounts(pool, change);
        }
    }

    function _changeTick(Pool storage pool, int24 spacing, int24 place, int128 liquidity, bool isUpper)
        private
    {
        Tick storage tick = pool.ticks[place];
        uint128 was = tick.gross;
        uint128 gross = LiquidityMath.addDelta(was, liquidity);
        if (gross > liquidityPerTickMax(spacing)) revert TickFull(place);
        if (was == 0) {
            // By convention everything so far was earned below a tick that begins to count.
            if (place <= pool.tick) {
                tick.feesOutside0 = pool.feeGrowth0;
                tick.feesOutside1 = pool.feeGrowth1;
            }
        }
        if ((was == 0) != (gross == 0)) pool.bitmap.flipTick(place, spacing);
        tick.gross = gross;
        tick.net = isUpper ? tick.net - liquidity : tick.net + liquidity;
    }

    /// @dev Brings a position up to date and returns what it has earned.
    function _settle(Pool storage pool, Change memory change)
        private
        returns (uint256 fees0, uint256 fees1)
    {
        Position storage position = pool.positions[change.position];
        uint128 was = position.liquidity;
        (uint256 inside0, uint256 inside1) = feesInside(pool, change.lower, change.upper);
        unchecked {
            fees0 = FullMath.mulDiv(inside0 - position.feesInside0, was, Q128);
            fees1 = FullMath.mulDiv(inside1 - position.feesInside1, was, Q128);
        }
        if (change.liquidity != 0) {
            position.liquidity = LiquidityMath.addDelta(was, change.liquidity);
        } else if (was == 0) {
            revert NoLiquidity();
        }
        position.feesInside0 = inside0;
        position.feesInside1 = inside1;
    }

    /// @notice The growth of fees between two ticks, which may have wrapped around.
    function feesInside(Pool storage pool, int24 lower, int24 upper)
        internal
        view
        returns (uint256 inside0, uint256 inside1)
    {
        Tick storage low = pool.ticks[lower];
        Tick storage high = pool.ticks[upper];
        int24 tick = pool.tick;
        unchecked {
            inside0 = low.feesOutside0 - high.feesOutside0;
            inside1 = low.feesOutside1 - high.feesOutside1;
            if (tick >= upper) {
                (inside0, inside1) = (0 - inside0, 0 - inside1);
            } else if (tick >= lower) {
                inside0 = pool.feeGrowth0 - low.feesOutside0 - high.feesOutside0;
                inside1 = pool.feeGrowth1 - low.feesOutside1 - high.feesOutside1;
            }
        }
    }

    function _amounts(Pool storage pool, Change memory change)
        private
        returns (int256 amount0, int256 amount1)
    {
        uint160 low = TickMath.getSqrtPriceAtTick(change.lower);
        uint160 high = TickMath.getSqrtPriceAtTick(change.upper);
        int24 tick = pool.tick;
        // The library's sign is that of the owner's balance; ours is that of the pool's.
        if (tick < change.lower) {
            amount0 = -SqrtPriceMath.getAmount0Delta(low, high, change.liquidity);
        } else if (tick >= change.upper) {
            amount1 = -SqrtPriceMath.getAmount1Delta(low, high, change.liquidity);
        } else {
            uint160 price = pool.sqrtPrice;
            amount0 = -SqrtPriceMath.getAmount0Delta(price, high, change.liquidity);
            amount1 = -SqrtPriceMath.getAmount1Delta(low, price, change.liquidity);
            pool.liquidity = LiquidityMath.addDelta(pool.liquidity, change.liquidity);
        }
    }

    // History ---------------------------------------------------------------------------------

    /// @dev Notes the tick that held until now, at most once a second.
    function _observe(Pool storage pool, int24 tickBefore) private {
        uint32 time = uint32(block.timestamp);
        uint32 last = pool.observedAt;
        if (time == last) return;
        uint16 index = pool.observationIndex;
        uint16 count = pool.observationCount;
        int56 sum = pool.observations[index].tickSum + int56(tickBefore) * int56(uint56(time - last));
        if (index + 1 == count && pool.observationLimit > count) {
            count = pool.observationLimit;
            pool.observationCount = count;
        }
        index = (index + 1) % count;
        pool.observationIndex = index;
        pool.observedAt = time;
        pool.observations[index] = Observation(time, sum);
    }

    /// @notice Makes room for `limit` observations; returns the room there is now.
    function grow(Pool storage pool, uint16 limit) internal returns (uint16) {
        if (pool.sqrtPrice == 0) revert UnknownPool();
        if (limit > OBSERVATIONS_MAX) limit = OBSERVATIONS_MAX;
        uint16 room = pool.observationLimit;
        if (room == 0) room = 1;
        if (limit <= room) return room;
        if (pool.observations[0].time == 0) pool.observations[0].time = pool.observedAt;
        // Touching a slot now makes the swap that uses it later cheaper. A time of 1 is no time.
        for (uint256 i = room; i < limit; ++i) pool.observations[i].time = 1;
        pool.observationLimit = limit;
        return limit;
    }

    /// @notice The sum of tick times seconds as it was `ago` seconds ago.
    function tickSumAt(Pool storage pool, uint32 ago) internal view returns (int56) {
        if (pool.sqrtPrice == 0) revert UnknownPool();
        uint32 target = uint32(block.timestamp) - ago;
        uint32 last = pool.observedAt;
        uint256 index = pool.observationIndex;
        if (target >= last) {
            return pool.observations[index].tickSum
                + int56(pool.tick) * int56(uint56(target - last));
        }
        return _search(pool, index, target);
    }

    /// @dev Finds the two observations around `target` and draws a line between them.
    function _search(Pool storage pool, uint256 newest, uint32 target) private view returns (int56) {
        uint256 count = pool.observationCount;
        uint256 low = newest + 1;
        Observation memory left = pool.observations[low % count];
        if (left.time <= 1) {
            low = 0;
            left = pool.observations[0];
        }
        uint256 high = low == 0 ? newest : newest + count;
        uint32 oldest = left.time == 0 ? pool.observedAt : left.time;
        if (target < oldest) revert TooShortHistory(oldest);
        while (high - low > 1) {
            uint256 middle = (low + high) / 2;
            if (pool.observations[middle % count].time <= target) low = middle;
            else high = middle;
        }
        left = pool.observations[low % count];
        if (left.time == target) return left.tickSum;
        Observation memory right = pool.observations[high % count];
        int56 slope = (right.tickSum - left.tickSum) / int56(uint56(right.time - left.time));
        return left.tickSum + slope * int56(uint56(target - left.time));
    }
}
