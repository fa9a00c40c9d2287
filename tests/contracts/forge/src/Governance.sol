// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Core, IGovernance, IQXC, IStaking, ITimelock} from "./Core.sol";
import {Handler, vm} from "./Suite.sol";

/// @title Proposals beside a model of their votes and times; strangers beside them.
contract GovernanceHandler is Handler {
    struct Proposal {
        uint256 id;
        bytes data;
        bytes32 text;
        uint256 snapshot;
        uint256 yes;
        uint256 no;
        uint256 quorumAt;
        uint256 queuedAt;
        bool executed;
        bool cancelled;
        uint256[3] wish;
    }

    struct Moment {
        uint256 time;
        uint256[4] votes;
    }

    uint256 private constant DELAY = 30;
    uint256 private constant LATE = 20;
    uint256 private constant PERIOD = 100;

    IQXC private immutable qxc;
    IStaking private immutable staking;
    IGovernance private immutable governance;
    ITimelock private immutable timelock;

    Proposal[] private _proposals;
    Moment[] private _moments;
    mapping(uint256 => mapping(address => bool)) private _voted;
    uint256[3] private _now = [1200, 60, 10];

    constructor(IQXC qxc_, IStaking staking_, IGovernance governance_, ITimelock timelock_) {
        (qxc, staking, governance, timelock) = (qxc_, staking_, governance_, timelock_);
        uint256[4] memory stakes = [uint256(60_000 ether), 40_000 ether, 9_000 ether, 100 ether];
        for (uint256 i; i < people.length; ++i) {
            vm.deal(people[i], 10 ** 30);
            vm.prank(people[i]);
            qxc_.deposit{value: 10 ** 24}();
            vm.prank(people[i]);
            qxc_.stake(stakes[i]);
        }
        _note();
        time += 1;
    }

    function selectors() external pure override returns (bytes4[] memory list) {
        list = new bytes4[](11);
        (list[0], list[1], list[2]) = (this.propose.selector, this.vote.selector, this.queue.selector);
        (list[3], list[4], list[5]) = (this.execute.selector, this.cancel.selector, this.stranger.selector);
        (list[6], list[7], list[8]) = (this.stake.selector, this.leave.selector, this.wait.selector);
        (list[9], list[10]) = (this.carry.selector, this.vote.selector);
    }

    function propose(uint256 who, uint256 pick) external {
        if (_proposals.length != 0 && pick % 4 != 0 && !_isOver(_last())) return;
        uint256[3] memory wish = [(pick >> 8) % 3001, 1 + (pick >> 32) % 90, 5 + (pick >> 64) % 26];
        bytes memory data = abi.encode(wish[0], wish[1], wish[2]);
        string memory text = vm.toString(_proposals.length);
        bytes memory call = abi.encodeCall(IGovernance.createProposal, (text, 0, data));
        (bool done, bytes memory output) = _try("propose", _person(who), address(governance), 0, call);
        if (!done) return;
        Proposal storage made = _proposals.push();
        (made.id, made.data, made.text) = (abi.decode(output, (uint256)), data, keccak256(bytes(text)));
        (made.snapshot, made.wish) = (time + 10, [wish[0], wish[1] * 1 days, wish[2]]);
        _hold(governance.proposalSnapshot(made.id) == made.snapshot, "another snapshot than the delay says");
    }

    /// @dev A vote weighs what the voter had at the snapshot, once, while voting is open.
    function vote(uint256 who, uint256 pick, bool support) external {
        if (_proposals.length == 0) return;
        Proposal storage p = _pick(pick);
        address a = _person(who);
        uint256 deadline = governance.proposalDeadline(p.id);
        bool open = time > p.snapshot && time <= deadline && !p.cancelled;
        bytes memory call = abi.encodeCall(IQXC.vote, (p.id, support));
        (bool done, bytes memory output) = _try("vote", a, address(qxc), 0, call);
        _hold(done == (open && !_voted[p.id][a]), "a vote out of time, or twice");
        if (!done) return;
        uint256 weight = abi.decode(output, (uint256));
        _hold(weight == _votesAt(who % people.length, p.snapshot), "a vote weighs other than at the snapshot");
        _voted[p.id][a] = true;
        if (support) p.yes += weight;
        else p.no += weight;
        _hold(p.yes + p.no <= staking.getPastTotalSupply(p.snapshot), "more votes than shares");
        if (p.quorumAt == 0 && p.yes >= governance.quorum(p.snapshot)) {
            p.quorumAt = time;
            _hold(governance.proposalDeadline(p.id) >= time + LATE, "a late quorum gave no time to answer");
        }
    }

    function queue(uint256 pick) external {
        if (_proposals.length != 0) _queue(_pick(pick));
    }

    function execute(uint256 pick) external {
        if (_proposals.length != 0) _execute(_pick(pick));
    }

    /// @dev The whole way of the newest proposal in one action, so that executions are not rare.
    function carry() external {
        if (_proposals.length == 0) return;
        Proposal storage p = _last();
        if (time <= p.snapshot) _pass(p.snapshot + 1 - time);
        for (uint256 i; i < 2; ++i) this.vote(i, _proposals.length - 1, true);
        uint256 deadline = governance.proposalDeadline(p.id);
        if (time <= deadline) _pass(deadline + 1 - time);
        _queue(p);
        _execute(p);
        _pass(DELAY);
        _execute(p);
    }

    function cancel(uint256 who, uint256 pick) external {
        if (_proposals.length == 0) return;
        Proposal storage p = _pick(pick);
        (address[] memory targets, uint256[] memory values, bytes[] memory calls) = governance.callsOf(0, p.data);
        bytes memory call = abi.encodeCall(IGovernance.cancel, (targets, values, calls, p.text));
        if (!_try("cancel", _person(who), address(governance), call)) return;
        _hold(time <= p.snapshot, "cancelled after voting began");
        p.cancelled = true;
    }

    function stranger(uint256 who, uint256 what) external {
        address a = _person(who);
        bytes memory steal = abi.encodeCall(IStaking.setTarget, (3000));
        bytes32 none = bytes32(0);
        address[8] memory targets = [
            address(staking), address(staking), address(qxc), address(governance),
            address(governance), address(timelock), address(timelock), address(timelock)
        ];
        bytes[8] memory calls = [
            steal,
            abi.encodeCall(IStaking.setCooldown, (0)),
            abi.encodeCall(IQXC.setExempt, (a, true)),
            abi.encodeCall(IGovernance.updateQuorumNumerator, (0)),
            abi.encodeCall(IGovernance.setVotingDelay, (0)),
            abi.encodeCall(ITimelock.schedule, (address(staking), 0, steal, none, none, DELAY)),
            abi.encodeCall(ITimelock.execute, (address(staking), 0, steal, none, none)),
            abi.encodeCall(ITimelock.updateDelay, (0))
        ];
        bool done = _try("stranger", a, targets[what % 8], calls[what % 8]);
        _hold(!done, "a stranger did what only the timelock does");
    }

    function stake(uint256 who, uint256 pick) external {
        bytes memory call = abi.encodeCall(IQXC.stake, (_amount(pick, 10 ** 23)));
        _try("stake", _person(who), address(qxc), call);
    }

    function leave(uint256 who, uint256 pick) external {
        address a = _person(who);
        uint256 shares = _amount(pick, staking.balanceOf(a) / 4);
        _try("leave", a, address(staking), abi.encodeCall(IStaking.requestRedeem, (shares, a, a)));
    }

    function wait(uint256 pick) external {
        _pass(1 + (pick >> 8) % (pick % 2 == 0 ? 120 : 12));
    }

    function _pass(uint256 duration) private {
        _note();
        time += duration;
        vm.warp(time);
    }

    function _note() private {
        Moment storage moment = _moments.push();
        moment.time = time;
        for (uint256 i; i < people.length; ++i) moment.votes[i] = staking.getVotes(people[i]);
    }

    function _votesAt(uint256 who, uint256 moment) private view returns (uint256) {
        uint256 place = _moments.length;
        while (_moments[--place].time > moment) {}
        return _moments[place].votes[who];
    }

    function _last() private view returns (Proposal storage) {
        return _proposals[_proposals.length - 1];
    }

    /// @dev One of the last three.
    function _pick(uint256 pick) private view returns (Proposal storage) {
        uint256 count = _proposals.length;
        return _proposals[count - 1 - (pick % count) % 3 % count];
    }

    function _isOver(Proposal storage p) private view returns (bool) {
        return p.executed || p.cancelled || time > governance.proposalDeadline(p.id) + 200;
    }

    function _isCarried(Proposal storage p) private view returns (bool) {
        return !p.cancelled && time > governance.proposalDeadline(p.id)
            && time > p.snapshot + PERIOD && p.yes > p.no && p.yes >= governance.quorum(p.snapshot);
    }

    function _queue(Proposal storage p) private {
        (address[] memory targets, uint256[] memory values, bytes[] memory calls) = governance.callsOf(0, p.data);
        bytes memory call = abi.encodeCall(IGovernance.queue, (targets, values, calls, p.text));
        bool done = _try("queue", people[3], address(governance), call);
        _hold(done == (_isCarried(p) && p.queuedAt == 0), "queued without a majority and its quorum");
        if (done) p.queuedAt = time;
    }

    function _execute(Proposal storage p) private {
        (address[] memory targets, uint256[] memory values, bytes[] memory calls) = governance.callsOf(0, p.data);
        bytes memory call = abi.encodeCall(IGovernance.execute, (targets, values, calls, p.text));
        bool due = p.queuedAt != 0 && time >= p.queuedAt + DELAY;
        bool done = _try("execute", people[3], address(governance), call);
        _hold(!done || !p.executed, "executed twice");
        _hold(!done || due, "executed before its time");
        _hold(done || !due || p.executed, "not executed although it was due");
        if (!done) return;
        p.executed = true;
        _now = p.wish;
    }

    function check() external view override {
        _hold(staking.targetBps() == _now[0], "a target that no proposal set");
        _hold(staking.cooldown() == _now[1], "a cooldown that no proposal set");
        _hold(governance.quorumNumerator() == _now[2], "a quorum that no proposal set");
        _hold(timelock.getMinDelay() == DELAY, "a delay that no proposal set");
        uint256 count = _proposals.length;
        for (uint256 i = count > 3 ? count - 3 : 0; i < count; ++i) {
            Proposal storage p = _proposals[i];
            (uint256 no, uint256 yes,) = governance.proposalVotes(p.id);
            _hold(yes == p.yes && no == p.no, "a tally that nobody cast");
            _hold((governance.state(p.id) == 7) == p.executed, "executed, or not, without our doing");
        }
    }
}

/// @notice Votes, times, majorities and powers of governance and timelock.
contract GovernanceSuite is Core {
    function name() public pure override returns (string memory) {
        return "GovernanceSuite";
    }

    function setUp() external {
        _placeCore(30, 1200, 60);
        handler = new GovernanceHandler(
            IQXC(QXC_AT), IStaking(STAKING_AT), IGovernance(GOVERNANCE_AT), ITimelock(TIMELOCK)
        );
    }
}
