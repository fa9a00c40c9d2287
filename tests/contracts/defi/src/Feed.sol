// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IAggregatorV3, IPriceOracle} from "src/defi/IPriceOracle.sol";

/// @title A price that a test sets: as a feed, and as the oracle of a market.
contract Feed is IAggregatorV3, IPriceOracle {
    uint8 public immutable override decimals;
    int256 public answer;
    uint256 public updatedAt;
    uint80 public round = 1;
    uint80 public answeredIn = 1;
    bool public broken;

    constructor(uint8 decimals_, int256 answer_) {
        decimals = decimals_;
        answer = answer_;
        updatedAt = block.timestamp;
    }

    function set(int256 answer_, uint256 updatedAt_) external {
        (answer, updatedAt) = (answer_, updatedAt_);
    }

    function setRound(uint80 round_, uint80 answeredIn_, bool broken_) external {
        (round, answeredIn, broken) = (round_, answeredIn_, broken_);
    }

    function price() external view override returns (uint256) {
        require(!broken && answer > 0, "no price");
        return uint256(answer);
    }

    function description() external pure override returns (string memory) {
        return "test";
    }

    function version() external pure override returns (uint256) {
        return 1;
    }

    function getRoundData(uint80)
        external
        view
        override
        returns (uint80, int256, uint256, uint256, uint80)
    {
        return latestRoundData();
    }

    function latestRoundData()
        public
        view
        override
        returns (uint80, int256, uint256, uint256, uint80)
    {
        require(!broken, "broken");
        return (round, answer, updatedAt, updatedAt, answeredIn);
    }
}
