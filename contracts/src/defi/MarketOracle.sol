// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {FullMath} from "@uniswap/v4-core/src/libraries/FullMath.sol";
import {TickMath} from "@uniswap/v4-core/src/libraries/TickMath.sol";
import {Amm} from "./Amm.sol";
import {PoolKey} from "./AmmTypes.sol";
import {IAggregatorV3, IPriceOracle} from "./IPriceOracle.sol";

/// @title The price of one lending market: feeds first, the exchange's average when they fail.
/// @notice A feed counts when its answer is above zero, belongs to its round, and is neither from
///         the future nor older than `ageMax`. When it does not, the price is the time-weighted
///         average of a pool over `window` seconds, provided that the pool has that much history
///         and `liquidityMin` in range; never the price of the moment. Else there is no price,
///         and a market without a price neither lends nor liquidates.
contract MarketOracle is IPriceOracle {
    struct Feeds {
        IAggregatorV3 collateralFeed;
        IAggregatorV3 loanFeed;
        uint32 ageMax;
        uint8 collateralDecimals;
        uint8 loanDecimals;
    }

    struct Average {
        Amm amm;
        PoolKey key;
        uint32 window;
        uint128 liquidityMin;
    }

    uint256 private constant ONE = 1e36;
    uint32 public constant WINDOW_MIN = 60;

    Feeds public feeds;
    Average public average;
    bool public immutable collateralIsToken0;
    uint256 private immutable _scaleUp;
    uint256 private immutable _scaleDown;

    error PriceUnavailable();
    error BadOracle();

    /// @param feeds_ Prices of collateral and loan token in one currency. Without a loan feed the
    ///        loan token is that currency; without any there is only the average.
    /// @param average_ Fallback; without an exchange there is none.
    /// @param collateral The token that the pool must price, when there is an average.
    constructor(Feeds memory feeds_, Average memory average_, address collateral) {
        feeds = feeds_;
        average = average_;
        bool averages = address(average_.amm) != address(0);
        bool isToken0 = average_.key.token0 == collateral;
        collateralIsToken0 = isToken0;
        bool has = address(feeds_.collateralFeed) != address(0);
        if (!has && !averages) revert BadOracle();
        if (averages && (average_.window < WINDOW_MIN || average_.liquidityMin == 0)) revert BadOracle();
        if (averages && !isToken0 && average_.key.token1 != collateral) revert BadOracle();
        uint256 up = uint256(36) + feeds_.loanDecimals;
        uint256 down = feeds_.collateralDecimals;
        if (has) down += feeds_.collateralFeed.decimals();
        if (address(feeds_.loanFeed) != address(0)) up += feeds_.loanFeed.decimals();
        if (up >= down + 60 || down >= up + 60) revert BadOracle();
        _scaleUp = up >= down ? 10 ** (up - down) : 1;
        _scaleDown = down > up ? 10 ** (down - up) : 1;
    }

    function price() external view override returns (uint256) {
        (bool good, uint256 found) = _byFeeds();
        if (!good) (good, found) = _byAverage();
        if (!good || found == 0) revert PriceUnavailable();
        return found;
    }

    /// @notice Whether the feeds give a price now; if not, the average is in use.
    function isFeedGood() external view returns (bool good) {
        (good,) = _byFeeds();
    }

    function _byFeeds() private view returns (bool, uint256) {
        if (address(feeds.collateralFeed) == address(0)) return (false, 0);
        (bool good, uint256 collateral) = _answer(feeds.collateralFeed);
        if (!good) return (false, 0);
        uint256 loan = 1;
        if (address(feeds.loanFeed) != address(0)) (good, loan) = _answer(feeds.loanFeed);
        if (!good) return (false, 0);
        return (true, FullMath.mulDiv(collateral, _scaleUp, loan) / _scaleDown);
    }

    function _answer(IAggregatorV3 feed) private view returns (bool, uint256) {
        try feed.latestRoundData() returns (
            uint80 round, int256 answer, uint256, uint256 updatedAt, uint80 answeredIn
        ) {
            bool good = answer > 0 && answer <= type(int128).max && answeredIn >= round
                && updatedAt <= block.timestamp && block.timestamp - updatedAt <= feeds.ageMax;
            return (good, good ? uint256(answer) : 0);
        } catch {
            return (false, 0);
        }
    }

    function _byAverage() private view returns (bool, uint256) {
        Average memory by = average;
        if (address(by.amm) == address(0)) return (false, 0);
        (,, uint128 liquidity,) = by.amm.poolOf(by.key);
        if (liquidity < by.liquidityMin) return (false, 0);
        uint32[] memory agos = new uint32[](2);
        agos[0] = by.window;
        try by.amm.observe(by.key, agos) returns (int56[] memory sums) {
            int56 gap = sums[1] - sums[0];
            int56 window = int56(uint56(by.window));
            int24 tick = int24(gap / window);
            if (gap < 0 && gap % window != 0) --tick;
            return (true, _priceAt(tick));
        } catch {
            return (false, 0);
        }
    }

    /// @dev The price of collateral at a tick of the pool, whose price is token1 for token0.
    function _priceAt(int24 tick) private view returns (uint256) {
        uint256 root = TickMath.getSqrtPriceAtTick(collateralIsToken0 ? tick : -tick);
        uint256 squared = FullMath.mulDiv(root, root, 1 << 64);
        return FullMath.mulDiv(squared, ONE, 1 << 128);
    }
}
