// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {IAggregatorV3} from "./IPriceOracle.sol";

/// @title One price: the median of what registered reporters say.
/// @notice A round is made when more than two thirds of the reporters have a fresh report, so fewer
///         than a third of them cannot choose the answer. At most one round is made per second. A
///         median further than `deviationBps` from the last round waits `confirmSeconds` and is
///         published only if the median is still outside then: nothing jumps within one block.
///         Prices are integers of `decimals` places; times are seconds.
contract MedianOracle is IAggregatorV3, Ownable2Step {
    uint256 public constant REPORTERS_MAX = 31;
    uint256 private constant BPS = 10_000;

    struct Settings {
        uint32 reportAgeMax;
        uint32 confirmSeconds;
        uint16 deviationBps;
        int96 answerMin;
        int96 answerMax;
    }

    struct Stamped {
        int192 answer;
        uint64 time;
    }

    uint8 public immutable override decimals;
    string public override description;
    Settings public settings;
    uint80 public latestRound;
    /// @notice A median outside the bound, and since when the median has been outside.
    Stamped public pending;
    mapping(uint80 round => Stamped) private _rounds;
    mapping(address reporter => Stamped) public reports;
    address[] private _reporters;
    mapping(address => bool) public isReporter;

    event Reported(address indexed reporter, int256 answer);
    event AnswerUpdated(int256 indexed answer, uint256 indexed round, uint256 time);
    event Held(int256 answer, uint256 since);
    event ReporterSet(address indexed reporter, bool isReporter);
    event SettingsSet(Settings settings);

    error NotReporter(address caller);
    error OutOfRange(int256 answer, int256 answerMin, int256 answerMax);
    error NoData(uint80 round);
    error BadSettings();
    error TooManyReporters();

    constructor(address owner_, uint8 decimals_, string memory description_, Settings memory chosen)
        Ownable(owner_)
    {
        decimals = decimals_;
        description = description_;
        _set(chosen);
    }

    function version() external pure override returns (uint256) {
        return 1;
    }

    /// @notice How many fresh reports a round needs: more than two thirds of the reporters.
    function quorum() public view returns (uint256) {
        return (_reporters.length * 2) / 3 + 1;
    }

    function reporters() external view returns (address[] memory) {
        return _reporters;
    }

    /// @notice Tells a price, and makes a round when there are enough fresh ones.
    function report(int256 answer) external {
        if (!isReporter[msg.sender]) revert NotReporter(msg.sender);
        Settings memory bound = settings;
        if (answer < bound.answerMin || answer > bound.answerMax) {
            revert OutOfRange(answer, bound.answerMin, bound.answerMax);
        }
        // Within int96 by the check above.
        // forge-lint: disable-next-line(unsafe-typecast)
        reports[msg.sender] = Stamped(int192(answer), uint64(block.timestamp));
        emit Reported(msg.sender, answer);
        _update(bound);
    }

    /// @notice Makes a round out of the reports that are there. Anybody may ask for it.
    function poke() external {
        _update(settings);
    }

    function _update(Settings memory bound) private {
        (bool enough, int192 middle) = _median(bound.reportAgeMax);
        if (!enough) return;
        uint64 time = uint64(block.timestamp);
        uint80 round = latestRound;
        Stamped memory last = _rounds[round];
        if (round != 0 && _isFar(middle, last.answer, bound.deviationBps)) {
            Stamped memory waiting = pending;
            bool sameSide = (waiting.answer > last.answer) == (middle > last.answer);
            if (waiting.time == 0 || !sameSide) {
                pending = Stamped(middle, time);
                emit Held(middle, time);
                return;
            }
            if (time < waiting.time + bound.confirmSeconds) return;
        }
        if (last.time == time) return;
        delete pending;
        latestRound = ++round;
        _rounds[round] = Stamped(middle, time);
        emit AnswerUpdated(middle, round, time);
    }

    function _isFar(int192 answer, int192 last, uint16 bps) private pure returns (bool) {
        int256 gap = int256(answer) - last;
        if (gap < 0) gap = -gap;
        return gap * int256(BPS) > int256(last) * int256(uint256(bps));
    }

    /// @dev Insertion sort of at most REPORTERS_MAX values.
    function _median(uint256 ageMax) private view returns (bool enough, int192 middle) {
        uint256 count = _reporters.length;
        int192[] memory sorted = new int192[](count);
        uint256 fresh;
        for (uint256 i; i < count; ++i) {
            Stamped memory each = reports[_reporters[i]];
            if (each.time == 0 || each.time + ageMax < block.timestamp) continue;
            uint256 place = fresh++;
            for (; place != 0 && sorted[place - 1] > each.answer; --place) {
                sorted[place] = sorted[place - 1];
            }
            sorted[place] = each.answer;
        }
        if (fresh < quorum()) return (false, 0);
        if (fresh % 2 == 1) return (true, sorted[fresh / 2]);
        return (true, (sorted[fresh / 2 - 1] + sorted[fresh / 2]) / 2);
    }

    function getRoundData(uint80 round)
        public
        view
        override
        returns (uint80, int256, uint256, uint256, uint80)
    {
        Stamped memory found = _rounds[round];
        if (found.time == 0) revert NoData(round);
        return (round, found.answer, found.time, found.time, round);
    }

    /// @notice The newest round. Its age is for the reader to judge: see MarketOracle.
    function latestRoundData()
        external
        view
        override
        returns (uint80, int256, uint256, uint256, uint80)
    {
        return getRoundData(latestRound);
    }

    function setReporter(address reporter, bool wanted) external onlyOwner {
        if (isReporter[reporter] == wanted) return;
        isReporter[reporter] = wanted;
        delete reports[reporter];
        if (wanted) {
            if (_reporters.length == REPORTERS_MAX) revert TooManyReporters();
            _reporters.push(reporter);
        } else {
            uint256 place;
            while (_reporters[place] != reporter) ++place;
            _reporters[place] = _reporters[_reporters.length - 1];
            _reporters.pop();
        }
        emit ReporterSet(reporter, wanted);
    }

    function setSettings(Settings calldata chosen) external onlyOwner {
        _set(chosen);
    }

    function _set(Settings memory chosen) private {
        bool good = chosen.reportAgeMax != 0 && chosen.confirmSeconds != 0 && chosen.answerMin > 0
            && chosen.answerMax >= chosen.answerMin && chosen.deviationBps <= BPS;
        if (!good) revert BadSettings();
        settings = chosen;
        emit SettingsSet(chosen);
    }
}
