// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Core, IQXC} from "./Core.sol";
import {Handler, vm} from "./Suite.sol";

/// @title QXC under any sequence of actions, beside a model of every balance.
contract QxcHandler is Handler {
    IQXC private immutable qxc;
    address private immutable governance;
    address private immutable guardian;
    address private constant AGENT = address(0xa6e47);

    mapping(address => uint256) private _balance;
    mapping(address => bool) private _exempt;
    mapping(address => uint256) private _blocked;
    mapping(address => uint256) private _frozen;
    uint256 private _paused;
    uint256 private _supply;
    uint256 private _burned;

    constructor(IQXC qxc_, address governance_, address guardian_) {
        (qxc, governance, guardian) = (qxc_, governance_, guardian_);
        vm.prank(governance_);
        qxc_.setAgent(AGENT);
        for (uint256 i; i < people.length; ++i) {
            vm.deal(people[i], 10 ** 30);
            vm.prank(people[i]);
            qxc_.deposit{value: 10 ** 24}();
            _balance[people[i]] = 10 ** 24;
            _supply += 10 ** 24;
            for (uint256 j; j < people.length; ++j) {
                vm.prank(people[i]);
                qxc_.approve(people[j], type(uint256).max);
            }
        }
    }

    function selectors() external pure override returns (bytes4[] memory list) {
        list = new bytes4[](12);
        (list[0], list[1], list[2]) = (this.transfer.selector, this.transferFrom.selector, this.deposit.selector);
        (list[3], list[4], list[5]) = (this.withdraw.selector, this.burn.selector, this.exempt.selector);
        (list[6], list[7], list[8]) = (this.pause.selector, this.blocking.selector, this.freeze.selector);
        (list[9], list[10], list[11]) = (this.force.selector, this.stranger.selector, this.wait.selector);
    }

    function transfer(uint256 from, uint256 to, uint256 pick) external {
        (address a, address b) = (_person(from), _person(to));
        uint256 value = _part(a, pick);
        bool done = _try("transfer", a, address(qxc), abi.encodeCall(IQXC.transfer, (b, value)));
        _moved(done, a, b, value);
    }

    function transferFrom(uint256 by, uint256 from, uint256 to, uint256 pick) external {
        (address a, address b) = (_person(from), _person(to));
        uint256 value = _part(a, pick);
        bytes memory data = abi.encodeCall(IQXC.transferFrom, (a, b, value));
        _moved(_try("transferFrom", _person(by), address(qxc), data), a, b, value);
    }

    function deposit(uint256 who, uint256 pick) external {
        address a = _person(who);
        uint256 value = _amount(pick, 10 ** 27);
        (bool done,) = _try("deposit", a, address(qxc), value, abi.encodeCall(IQXC.deposit, ()));
        _hold(done == (!_rests() && !_isBlocked(a)), "deposit refused without a reason, or taken with one");
        if (!done) return;
        _balance[a] += value;
        _supply += value;
    }

    function withdraw(uint256 who, uint256 pick) external {
        address a = _person(who);
        uint256 value = _part(a, pick);
        uint256 coins = a.balance;
        bool done = _try("withdraw", a, address(qxc), abi.encodeCall(IQXC.withdraw, (value)));
        _hold(done == _mayLeave(a, a, value), "withdrawal refused without a reason, or paid with one");
        if (!done) return;
        _hold(a.balance == coins + value, "a withdrawal is not 1:1");
        _balance[a] -= value;
        _supply -= value;
    }

    function burn(uint256 who, uint256 pick) external {
        address a = _person(who);
        uint256 value = _part(a, pick);
        bool done = _try("burn", a, address(qxc), abi.encodeCall(IQXC.burn, (value)));
        _hold(done == _mayLeave(a, a, value), "burn refused without a reason, or done with one");
        if (!done) return;
        _balance[a] -= value;
        _supply -= value;
        _burned += value;
    }

    function exempt(uint256 who, bool wanted) external {
        address a = _person(who);
        if (_try("exempt", governance, address(qxc), abi.encodeCall(IQXC.setExempt, (a, wanted)))) {
            _exempt[a] = wanted;
        }
    }

    /// @dev The guardian for 72 hours at most, and not again before as long a rest.
    function pause(bool byGuardian, uint256 pick) external {
        uint256 until = time + _seconds(pick, 80 hours);
        bytes memory data = abi.encodeCall(IQXC.pause, (until));
        bool may = until <= time + 72 hours;
        if (byGuardian) may = may && (_paused == 0 || time >= _paused + 72 hours);
        bool done = _try("pause", byGuardian ? guardian : governance, address(qxc), data);
        _hold(done == may, "pause beyond its bounds");
        if (done) _paused = until;
    }

    function blocking(bool byGuardian, uint256 who, uint256 pick) external {
        address a = _person(who);
        uint256 until = time + _seconds(pick, 40 days);
        bytes memory data = abi.encodeCall(IQXC.blockAccount, (a, until));
        bool may = !byGuardian
            || (until <= time + 30 days && !_exempt[a] && (_blocked[a] == 0 || time >= _blocked[a] + 30 days));
        bool done = _try("block", byGuardian ? guardian : governance, address(qxc), data);
        _hold(done == may, "block beyond its bounds");
        if (done) _blocked[a] = until;
    }

    function freeze(uint256 who, uint256 pick) external {
        address a = _person(who);
        uint256 value = pick % 4 != 0 ? 0 : _part(a, pick >> 2);
        bool done = _try("freeze", AGENT, address(qxc), abi.encodeCall(IQXC.setFrozenTokens, (a, value)));
        _hold(done == !_exempt[a], "system accounts are beyond the agent");
        if (done) _frozen[a] = value;
    }

    function force(uint256 from, uint256 to, uint256 pick) external {
        (address a, address b) = (_person(from), _person(to));
        uint256 value = _min(_amount(pick, 10 ** 24), _balance[a] + 1);
        bytes memory data = abi.encodeCall(IQXC.forcedTransfer, (a, b, value, bytes32("order")));
        bool done = _try("force", AGENT, address(qxc), data);
        _hold(done == (!_exempt[a] && value <= _balance[a]), "forced transfer beyond its bounds");
        if (!done) return;
        _balance[a] -= value;
        _balance[b] += value;
        if (_frozen[a] > _balance[a]) _frozen[a] = _balance[a];
    }

    /// @dev Nobody else exempts, pauses, blocks, freezes, forces or names a guardian.
    function stranger(uint256 who, uint256 what, uint256 pick) external {
        (address a, address b) = (_person(who), _person(pick));
        bytes[6] memory data = [
            abi.encodeCall(IQXC.setExempt, (a, true)),
            abi.encodeCall(IQXC.pause, (time + 1)),
            abi.encodeCall(IQXC.blockAccount, (b, time + 1)),
            abi.encodeCall(IQXC.setFrozenTokens, (b, 1)),
            abi.encodeCall(IQXC.forcedTransfer, (b, a, 0, bytes32(0))),
            abi.encodeCall(IQXC.setGuardian, (a))
        ];
        _hold(!_try("stranger", a, address(qxc), data[what % 6]), "a stranger did what governance does");
    }

    function wait(uint256 pick) external {
        _wait(pick, 45 days);
    }

    function _moved(bool done, address a, address b, uint256 value) private {
        _hold(done == _mayLeave(a, b, value), "transfer refused without a reason, or done with one");
        if (!done || a == b) return;
        uint256 burned = _exempt[a] || _exempt[b] ? 0 : value / 1000;
        _balance[a] -= value;
        _balance[b] += value - burned;
        _supply -= burned;
        _burned += burned;
    }

    /// @dev Mostly what the account has or less, sometimes more.
    function _part(address a, uint256 pick) private view returns (uint256) {
        return _amount(pick, pick % 8 == 0 ? 10 ** 27 : _balance[a]);
    }

    /// @dev Mostly some minutes, sometimes up to `most`, in seconds.
    function _seconds(uint256 pick, uint256 most) private pure returns (uint256) {
        return (pick >> 8) % (pick % 4 == 0 ? most : 1 hours);
    }

    function _rests() private view returns (bool) {
        return _paused > time;
    }

    function _isBlocked(address a) private view returns (bool) {
        return _blocked[a] > time;
    }

    function _mayLeave(address a, address b, uint256 value) private view returns (bool) {
        uint256 free = _frozen[a] < _balance[a] ? _balance[a] - _frozen[a] : 0;
        if (_frozen[a] == 0) free = _balance[a];
        return !_rests() && !_isBlocked(a) && !_isBlocked(b) && value <= free;
    }

    function check() external view override {
        uint256 sum;
        for (uint256 i; i < people.length; ++i) {
            sum += _balance[people[i]];
            _hold(qxc.balanceOf(people[i]) == _balance[people[i]], "a balance is not the model's");
            _hold(qxc.isExempt(people[i]) == _exempt[people[i]], "an exemption nobody gave");
            _hold(qxc.getFrozenTokens(people[i]) == _frozen[people[i]], "a freeze nobody ordered");
        }
        _hold(qxc.totalSupply() == _supply && sum == _supply, "the supply is not the sum of balances");
        _hold(address(qxc).balance >= _supply, "more tokens than coins behind them");
        _hold(address(qxc).balance - _supply == _burned, "what is locked for good is not what was burned");
    }
}

/// @notice Backing, burns, pause, blocks, freezes and roles of the token.
contract QxcSuite is Core {
    function name() public pure override returns (string memory) {
        return "QxcSuite";
    }

    function setUp() external {
        _placeCore(30, 1200, 60);
        handler = new QxcHandler(IQXC(QXC_AT), TIMELOCK, GUARDIAN);
    }
}
