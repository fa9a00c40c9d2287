// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title The price that a lending market asks for.
interface IPriceOracle {
    /// @notice Raw units of the loan token for one raw unit of collateral, times 10^36.
    ///         Reverts when no trustworthy price is known.
    function price() external view returns (uint256);
}

/// @title The interface of price feeds that wallets and protocols know.
interface IAggregatorV3 {
    function decimals() external view returns (uint8);
    function description() external view returns (string memory);
    function version() external view returns (uint256);
    function getRoundData(uint80 round)
        external
        view
        returns (uint80, int256 answer, uint256 startedAt, uint256 updatedAt, uint80 answeredIn);
    function latestRoundData()
        external
        view
        returns (uint80, int256 answer, uint256 startedAt, uint256 updatedAt, uint80 answeredIn);
}
