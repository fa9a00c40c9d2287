// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {FullMath} from "@uniswap/v4-core/src/libraries/FullMath.sol";
import {UnsafeMath} from "@uniswap/v4-core/src/libraries/UnsafeMath.sol";

/// @notice What a market is; its hash is its name. Factors, bonus and rates are in 1/10,000.
struct MarketParams {
    address loan;
    uint16 collateralFactor;
    uint16 liquidationFactor;
    uint16 bonus;
    uint16 closeFactor;
    uint16 reserveFactor;
    uint16 kink;
    address collateral;
    uint32 rateBase;
    uint32 rateSlope;
    uint32 rateJump;
    address oracle;
}

/// @notice The part of a market's parameters that makes interest.
struct Rates {
    uint256 kink;
    uint256 base;
    uint256 slope;
    uint256 jump;
    uint256 reserveFactor;
}

/// @title The arithmetic of lending, with the direction of every rounding in its name.
/// @notice Shares are counted against virtual ones: a market begins with 10^6 shares of one unit
///         that belong to nobody, so that the first supplier cannot choose a share's price.
library LendingMath {
    uint256 internal constant BPS = 10_000;
    uint256 internal constant WAD = 1e18;
    uint256 internal constant PRICE_ONE = 1e36;
    uint256 internal constant YEAR = 365 days;
    uint256 internal constant VIRTUAL_SHARES = 1e6;
    uint256 internal constant VIRTUAL_ASSETS = 1;
    /// @notice Most interest per year that parameters may ask for: tenfold.
    uint256 internal constant RATE_MAX = 100_000;
    uint256 internal constant RESERVE_FACTOR_MAX = 5_000;

    error BadParams();

    /// @dev Liquidating must leave the borrower healthier, so the bonus fits in what is above the
    ///      liquidation factor; and borrowing must stop before liquidating begins.
    function check(MarketParams memory p) internal view {
        bool good = p.loan != p.collateral && p.loan.code.length != 0 && p.collateral.code.length != 0
            && p.oracle.code.length != 0 && p.collateralFactor < p.liquidationFactor
            && uint256(p.liquidationFactor) * (BPS + p.bonus) < BPS * BPS && p.closeFactor != 0
            && p.closeFactor <= BPS && p.reserveFactor <= RESERVE_FACTOR_MAX && p.kink != 0
            && p.kink < BPS && uint256(p.rateBase) + p.rateSlope + p.rateJump <= RATE_MAX;
        if (!good) revert BadParams();
    }

    // What a market holds has 128 bits, so adding the virtual ones fits, and is never zero.

    function toSharesDown(uint256 assets, uint128 total, uint128 shares) internal pure returns (uint256) {
        unchecked {
            (uint256 a, uint256 b) = (shares + VIRTUAL_SHARES, total + VIRTUAL_ASSETS);
            return _times(assets, a) / b;
        }
    }

    function toSharesUp(uint256 assets, uint128 total, uint128 shares) internal pure returns (uint256) {
        unchecked {
            (uint256 a, uint256 b) = (shares + VIRTUAL_SHARES, total + VIRTUAL_ASSETS);
            return UnsafeMath.divRoundingUp(_times(assets, a), b);
        }
    }

    function toAssetsDown(uint256 part, uint128 total, uint128 shares) internal pure returns (uint256) {
        unchecked {
            (uint256 a, uint256 b) = (total + VIRTUAL_ASSETS, shares + VIRTUAL_SHARES);
            return _times(part, a) / b;
        }
    }

    function toAssetsUp(uint256 part, uint128 total, uint128 shares) internal pure returns (uint256) {
        unchecked {
            (uint256 a, uint256 b) = (total + VIRTUAL_ASSETS, shares + VIRTUAL_SHARES);
            return UnsafeMath.divRoundingUp(_times(part, a), b);
        }
    }

    /// @dev Checked, because callers may ask for any number.
    function _times(uint256 a, uint256 b) private pure returns (uint256) {
        return a * b;
    }

    /// @notice The most debt that collateral carries, rounded down twice.
    function debtMax(uint256 collateral, uint256 price, uint256 factor) internal pure returns (uint256) {
        return (FullMath.mulDiv(collateral, price, PRICE_ONE) * factor) / BPS;
    }

    /// @notice What a liquidator takes for `repaid`, rounded down.
    function seized(uint256 repaid, uint256 price, uint256 bonus) internal pure returns (uint256) {
        return FullMath.mulDiv((repaid * (BPS + bonus)) / BPS, PRICE_ONE, price);
    }

    /// @notice What a liquidator pays for all of `collateral`, rounded up twice.
    function worthUp(uint256 collateral, uint256 price, uint256 bonus) internal pure returns (uint256) {
        uint256 plain = FullMath.mulDivRoundingUp(collateral, price, PRICE_ONE);
        return UnsafeMath.divRoundingUp(plain * BPS, BPS + bonus);
    }

    /// @notice Interest per second times 10^18 at a use of the market.
    /// @dev Nothing here overflows: borrowed has 128 bits, BPS * WAD 74, and what `check` lets
    ///      through of rates 17.
    function ratePerSecond(Rates memory r, uint256 supplied, uint256 borrowed)
        internal
        pure
        returns (uint256 rate)
    {
        unchecked {
            uint256 used = borrowed >= supplied ? BPS * WAD : (borrowed * (BPS * WAD)) / supplied;
            uint256 kink = r.kink * WAD;
            if (used <= kink) rate = r.base * WAD + (r.slope * used) / r.kink;
            else rate = (r.base + r.slope) * WAD + (r.jump * (used - kink)) / (BPS - r.kink);
            return rate / (BPS * YEAR);
        }
    }

    /// @notice Interest of `elapsed` seconds, and the reserve's part of it. Compound interest by
    ///         the first three terms of its series, never more than still fits in the books.
    function interest(
        Rates memory r,
        uint256 supplied,
        uint256 borrowed,
        uint256 reserves,
        uint40 elapsed
    ) internal pure returns (uint256 amount, uint256 cut) {
        if (borrowed == 0 || elapsed == 0) return (0, 0);
        // RATE_MAX is below 2^39 a second, so `first` is below 2^79, `second` below 2^98, `third`
        // below 2^116; their sum times 2^128 fits.
        unchecked {
            uint256 first = ratePerSecond(r, supplied, borrowed) * elapsed;
            uint256 second = (first * first) / (2 * WAD);
            uint256 third = (second * first) / (3 * WAD);
            amount = (borrowed * (first + second + third)) / WAD;
            uint256 most = borrowed > supplied ? borrowed : supplied;
            if (reserves > most) most = reserves;
            uint256 room = type(uint128).max - most;
            if (amount > room) amount = room;
            cut = (amount * r.reserveFactor) / BPS;
        }
    }
}
