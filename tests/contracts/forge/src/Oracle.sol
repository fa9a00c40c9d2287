// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Hop, IAmm, PoolKey} from "./Amm.sol";
import {Coin, Handler, Suite, vm} from "./Suite.sol";

struct Feeds {
    address collateralFeed;
    address loanFeed;
    uint32 ageMax;
    uint8 collateralDecimals;
    uint8 loanDecimals;
}

struct Average {
    address amm;
    PoolKey key;
    uint32 window;
    uint128 liquidityMin;
}

interface IMarketOracle {
    function price() external view returns (uint256);
    function isFeedGood() external view returns (bool);
}

interface IMedianOracle {
    struct Settings {
        uint32 reportAgeMax;
        uint32 confirmSeconds;
        uint16 deviationBps;
        int96 answerMin;
        int96 answerMax;
    }

    function latestRound() external view returns (uint80);
    function pending() external view returns (int192, uint64);
    function reports(address reporter) external view returns (int192, uint64);
    function getRoundData(uint80 round) external view returns (uint80, int256, uint256, uint256, uint80);
    function report(int256 answer) external;
    function poke() external;
    function setReporter(address reporter, bool wanted) external;
    function setSettings(Settings calldata chosen) external;
}

/// @title Four reporters, of whom one lies; a market's oracle that reads them, and a pool's average
///        where they are silent.
contract OracleHandler is Handler {
    uint256 private constant FAR = 2 ** 60;
    uint256 private constant AGE = 3600;
    uint256 private constant CONFIRM = 60;
    uint256 private constant DEVIATION_BPS = 500;

    IMedianOracle private immutable median;
    IMarketOracle private immutable market;
    IAmm private immutable amm;
    PoolKey private _key;
    int256 private _truth = 10 ** 8;
    uint80 private _round;
    int256 private _answer;
    uint256 private _made;

    constructor(IMedianOracle median_, IMarketOracle market_, IAmm amm_, PoolKey memory key) {
        (median, market, amm, _key) = (median_, market_, amm_, key);
        for (uint256 i; i < people.length; ++i) {
            for (uint256 j; j < 2; ++j) {
                Coin token = Coin(j == 0 ? key.token0 : key.token1);
                token.mint(people[i], 10 ** 40);
                vm.prank(people[i]);
                token.approve(address(amm_), type(uint256).max);
            }
        }
        IAmm.Add memory call;
        (call.key, call.lower, call.upper, call.liquidity, call.deadline) = (key, -60_000, 60_000, 10 ** 24, FAR);
        (call.amount0Max, call.amount1Max) = (type(uint256).max, type(uint256).max);
        vm.prank(people[3]);
        amm_.addLiquidity(call);
        amm_.growHistory(key, 500);
    }

    function selectors() external pure override returns (bytes4[] memory list) {
        list = new bytes4[](8);
        (list[0], list[1], list[2]) = (this.honest.selector, this.lie.selector, this.poke.selector);
        (list[3], list[4], list[5]) = (this.stranger.selector, this.push.selector, this.wait.selector);
        (list[6], list[7]) = (this.everybody.selector, this.honest.selector);
    }

    /// @dev Says the truth, give or take a hundredth; the truth itself moves.
    function honest(uint256 who, uint256 pick, bool moves) external {
        if (moves) {
            _truth = (_truth * int256(80 + (pick >> 16) % 45)) / 100 + 1;
            if (_truth > 10 ** 10 || _truth < 10 ** 6) _truth = 10 ** 8;
        }
        _report("honest", 1 + who % 3, _near(pick));
    }

    function everybody(uint256 pick) external {
        for (uint256 i = 1; i < 4; ++i) _report("honest", i, _near(pick >> (8 * i)));
    }

    function lie(uint256 pick) external {
        int256[6] memory lies =
            [int256(0), -1, 1, 10 ** 12, 10 ** 12 + 1, int256(1 + pick % 10 ** 11)];
        int256 answer = lies[(pick >> 64) % 6];
        bool done = _report("lie", 0, answer);
        _hold(done == (answer >= 1 && answer <= 10 ** 12), "an answer beyond the bounds was taken");
    }

    function poke(uint256 who) external {
        _after(_before(), _try("poke", _person(who), address(median), abi.encodeCall(IMedianOracle.poke, ())));
    }

    function stranger(uint256 what) external {
        address nobody = address(0xdead);
        bytes[3] memory data = [
            abi.encodeCall(IMedianOracle.report, (1)),
            abi.encodeCall(IMedianOracle.setReporter, (nobody, true)),
            abi.encodeCall(IMedianOracle.setSettings, (IMedianOracle.Settings(1, 1, 1, 1, 1)))
        ];
        _hold(!_try("stranger", nobody, address(median), data[what % 3]), "a stranger moved the oracle");
    }

    /// @dev Whatever is traded within one second, the price of a market stays what it was.
    function push(uint256 who, bool up, uint256 pick) external {
        (bool had, uint256 was) = _price();
        (uint160 root,,,) = amm.poolOf(_key);
        if ((up && root > 2 ** 97) || (!up && root < 2 ** 95)) return;
        address a = _person(who);
        Hop[] memory hops = new Hop[](1);
        hops[0] = Hop(up ? _key.token0 : _key.token1, 3000, 60);
        bytes memory data = abi.encodeCall(
            IAmm.swapExactIn, (up ? _key.token1 : _key.token0, hops, _amount(pick, 3 * 10 ** 23), 0, a, FAR)
        );
        _try("push", a, address(amm), data);
        (bool has, uint256 is_) = _price();
        _hold(had == has && was == is_, "a trade moved the price of a market within its second");
    }

    function wait(uint256 pick) external {
        (bool had,) = _price();
        _wait(pick, 4 hours);
        (bool has,) = _price();
        _count(market.isFeedGood() ? "priced by reports" : "priced by the average", has);
        _hold(!had || has || !market.isFeedGood(), "fresh reports gave no price");
    }

    function _near(uint256 pick) private view returns (int256) {
        return (_truth * int256(990 + pick % 21)) / 1000;
    }

    function _price() private returns (bool good, uint256 found) {
        vm.warp(time);
        bytes memory output;
        (good, output) = address(market).staticcall(abi.encodeCall(IMarketOracle.price, ()));
        if (good) found = abi.decode(output, (uint256));
    }

    function _report(string memory name, uint256 who, int256 answer) private returns (bool done) {
        uint64 since = _before();
        done = _try(name, people[who], address(median), abi.encodeCall(IMedianOracle.report, (answer)));
        _after(since, done);
    }

    /// @dev Since when a far median waits.
    function _before() private view returns (uint64 since) {
        (, since) = median.pending();
    }

    /// @dev A new round is one that the honest bear out, and a far one was outside for long enough.
    function _after(uint64 since, bool done) private {
        uint80 round = median.latestRound();
        if (round == _round) return;
        _hold(done && round == _round + 1, "a round out of order");
        (, int256 answer, uint256 made,,) = median.getRoundData(round);
        _hold(made == time && made > _made, "two rounds in a second, or one with another time");
        (int256 low, int256 high) = _honestRange();
        _hold(answer >= low && answer <= high, "one liar of four chose the answer");
        if (_round != 0) {
            int256 gap = answer > _answer ? answer - _answer : _answer - answer;
            bool far = gap * 10_000 > _answer * int256(DEVIATION_BPS);
            _hold(!far || (since != 0 && time >= since + CONFIRM), "the answer jumped without confirmation");
            _count(far ? "far round" : "near round", true);
        }
        (_round, _answer, _made) = (round, answer, made);
    }

    function _honestRange() private view returns (int256 low, int256 high) {
        (low, high) = (type(int256).max, 0);
        for (uint256 i = 1; i < 4; ++i) {
            (int192 answer, uint64 told) = median.reports(people[i]);
            if (told == 0 || told + AGE < time) continue;
            if (answer < low) low = answer;
            if (answer > high) high = answer;
        }
    }

    function check() external view override {
        _hold(median.latestRound() == _round, "a round that no report made");
        if (_round == 0) return;
        (, int256 answer, uint256 made,,) = median.getRoundData(_round);
        _hold(answer == _answer && made == _made, "a published round changed");
    }
}

/// @notice Liars, jumps, rounds, and a price that no trade of one second moves.
contract OracleSuite is Suite {
    function name() public pure override returns (string memory) {
        return "OracleSuite";
    }

    function setUp() external {
        vm.warp(1_800_000_000);
        address amm = _deploy("Amm", abi.encode(address(this), address(0)));
        (address a, address b) = (address(new Coin(0)), address(new Coin(0)));
        PoolKey memory key = a < b ? PoolKey(a, b, 3000, 60) : PoolKey(b, a, 3000, 60);
        IAmm(amm).createPool(key, 2 ** 96);
        address median = _deploy(
            "MedianOracle",
            abi.encode(address(this), uint8(8), "one", IMedianOracle.Settings(3600, 60, 500, 1, 10 ** 12))
        );
        address[4] memory people = [address(0xa11ce), address(0xb0b), address(0xca01), address(0xda7e)];
        for (uint256 i; i < 4; ++i) IMedianOracle(median).setReporter(people[i], true);
        Feeds memory feeds = Feeds(median, address(0), 3600, 18, 18);
        address market = _deploy("MarketOracle", abi.encode(feeds, Average(amm, key, 60, 10 ** 20), a));
        handler = new OracleHandler(IMedianOracle(median), IMarketOracle(market), IAmm(amm), key);
    }
}
