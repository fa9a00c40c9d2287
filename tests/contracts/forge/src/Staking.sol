// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Core, IQXC, IStaking} from "./Core.sol";
import {Handler, vm} from "./Suite.sol";

/// @title The staking vault: solvent, its price never falls, and every vote is a share's.
contract StakingHandler is Handler {
    /// @dev What was so at the end of a second.
    struct Moment {
        uint256 time;
        uint256 supply;
        uint256[4] votes;
    }

    IQXC private immutable qxc;
    IStaking private immutable staking;
    address private immutable governance;

    Moment[] private _moments;
    uint256 private _assets = 0;
    uint256 private _shares = 0;
    uint256 private _target;

    constructor(IQXC qxc_, IStaking staking_, address governance_) {
        (qxc, staking, governance) = (qxc_, staking_, governance_);
        _target = staking_.targetBps();
        for (uint256 i; i < people.length; ++i) {
            vm.deal(people[i], 10 ** 30);
            vm.prank(people[i]);
            qxc_.deposit{value: 10 ** 29}();
            vm.prank(people[i]);
            qxc_.approve(address(staking_), type(uint256).max);
        }
        vm.prank(people[0]);
        staking_.fund(10 ** 21);
    }

    function selectors() external pure override returns (bytes4[] memory list) {
        list = new bytes4[](13);
        (list[0], list[1], list[2]) = (this.deposit.selector, this.mint.selector, this.stake.selector);
        (list[3], list[4], list[5]) = (this.ask.selector, this.redeem.selector, this.withdraw.selector);
        (list[6], list[7], list[8]) = (this.fund.selector, this.gift.selector, this.pass.selector);
        (list[9], list[10], list[11]) = (this.delegate.selector, this.target.selector, this.stranger.selector);
        list[12] = this.wait.selector;
    }

    function deposit(uint256 who, uint256 pick) external {
        address a = _person(who);
        uint256 value = _amount(pick, 10 ** 24);
        uint256 expected = staking.previewDeposit(value);
        uint256 had = staking.balanceOf(a);
        if (!_try("deposit", a, address(staking), abi.encodeCall(IStaking.deposit, (value, a)))) return;
        uint256 got = staking.balanceOf(a) - had;
        _hold(got == expected, "a deposit gave other shares than its preview");
        _hold(staking.convertToAssets(got) <= value, "a deposit is worth more than it was");
    }

    function mint(uint256 who, uint256 pick) external {
        address a = _person(who);
        uint256 shares = _amount(pick, 10 ** 24);
        uint256 expected = staking.previewMint(shares);
        uint256 had = qxc.balanceOf(a);
        if (!_try("mint", a, address(staking), abi.encodeCall(IStaking.mint, (shares, a)))) return;
        _hold(had - qxc.balanceOf(a) == expected, "a mint took other tokens than its preview");
        _hold(staking.convertToAssets(shares) <= expected, "minted shares are worth more than was paid");
    }

    function stake(uint256 who, uint256 pick) external {
        uint256 value = _amount(pick, 10 ** 24);
        _try("stake", _person(who), address(qxc), abi.encodeCall(IQXC.stake, (value)));
    }

    /// @dev Ending shares gives at most their price, and takes their votes and growth at once.
    function ask(uint256 who, uint256 pick) external {
        address a = _person(who);
        uint256 all = staking.balanceOf(a);
        uint256 shares = pick % 4 == 0 ? all : _amount(pick, all);
        uint256 worth = staking.convertToAssets(shares);
        (uint256 had,,) = staking.exitOf(a);
        bytes memory data = abi.encodeCall(IStaking.requestRedeem, (shares, a, a));
        if (!_try("ask", a, address(staking), data)) return;
        (uint256 assets,, uint256 releaseAt) = staking.exitOf(a);
        _hold(assets - had == worth, "an exit fixed another worth than its price");
        _hold(releaseAt == time + staking.cooldown(), "an exit without cooldown");
    }

    function redeem(uint256 who, uint256 pick) external {
        address a = _person(who);
        (uint256 assets, uint256 shares, uint256 releaseAt) = staking.exitOf(a);
        uint256 part = pick % 2 == 0 ? shares : _amount(pick, shares + 1);
        uint256 had = qxc.balanceOf(a);
        bool done = _try("redeem", a, address(staking), abi.encodeCall(IStaking.redeem, (part, a, a)));
        _hold(!done || time >= releaseAt, "paid within the cooldown");
        _hold(!done || part <= shares, "paid more shares than were asked for");
        if (!done || part != shares) return;
        _hold(qxc.balanceOf(a) - had == assets, "an exit paid another amount than was fixed");
        (done,) = _call(a, address(staking), 0, abi.encodeCall(IStaking.redeem, (1, a, a)));
        _hold(!done, "an exit was paid twice");
    }

    function withdraw(uint256 who, uint256 pick) external {
        address a = _person(who);
        (uint256 assets,, uint256 releaseAt) = staking.exitOf(a);
        uint256 part = pick % 2 == 0 ? assets : _amount(pick, assets + 1);
        bytes memory data = abi.encodeCall(IStaking.withdraw, (part, a, a));
        uint256 had = qxc.balanceOf(a);
        bool done = _try("withdraw", a, address(staking), data);
        _hold(!done || (time >= releaseAt && part <= assets), "a withdrawal beyond its bounds");
        _hold(!done || qxc.balanceOf(a) - had == part, "a withdrawal of another amount");
    }

    function fund(uint256 who, uint256 pick) external {
        uint256 value = _amount(pick, 10 ** 22);
        _try("fund", _person(who), address(staking), abi.encodeCall(IStaking.fund, (value)));
    }

    /// @dev Tokens that are merely sent move no price.
    function gift(uint256 who, uint256 pick) external {
        vm.warp(time);
        (uint256 assets, uint256 kept) = (staking.totalAssets(), staking.reserve());
        bytes memory data = abi.encodeCall(IQXC.transfer, (address(staking), _amount(pick, 10 ** 24)));
        _try("gift", _person(who), address(qxc), data);
        _hold(staking.totalAssets() == assets && staking.reserve() == kept, "a gift moved the price");
    }

    function pass(uint256 from, uint256 to, uint256 pick) external {
        address a = _person(from);
        uint256 shares = _amount(pick, staking.balanceOf(a));
        bytes memory data = abi.encodeCall(IStaking.transfer, (_person(to), shares));
        _try("pass", a, address(staking), data);
    }

    function delegate(uint256 who, uint256 to) external {
        bytes memory data = abi.encodeCall(IStaking.delegate, (_person(to)));
        _try("delegate", _person(who), address(staking), data);
    }

    function target(uint256 pick) external {
        uint256 bps = pick % 3300;
        bytes memory data = abi.encodeCall(IStaking.setTarget, (bps));
        bool done = _try("target", governance, address(staking), data);
        _hold(done == (bps <= 3000), "a target beyond 30 %");
        if (done) _target = bps;
    }

    function stranger(uint256 who, uint256 what) external {
        bytes memory data = what % 2 == 0
            ? abi.encodeCall(IStaking.setTarget, (1))
            : abi.encodeCall(IStaking.setCooldown, (0));
        _hold(!_try("stranger", _person(who), address(staking), data), "a stranger set a parameter");
    }

    function wait(uint256 pick) external {
        Moment memory moment;
        (moment.time, moment.supply) = (time, staking.totalSupply());
        for (uint256 i; i < people.length; ++i) moment.votes[i] = staking.getVotes(people[i]);
        _moments.push(moment);
        _wait(pick, 200 days);
    }

    function check() external override {
        vm.warp(time);
        (uint256 assets, uint256 shares) = (staking.totalAssets(), staking.totalSupply());
        uint256 needed = assets + staking.reserve() + staking.owed();
        _hold(qxc.balanceOf(address(staking)) >= needed, "assets below what shares, exits and reserve need");
        _hold((assets + 1) * (_shares + 1) >= (_assets + 1) * (shares + 1), "the price of a share fell");
        (_assets, _shares) = (assets, shares);
        _checkHolders(assets, shares);
        _checkPast();
        _hold(staking.targetBps() == _target, "a target nobody decided");
        uint256 apy = staking.reserve() == 0 ? 0 : _target * 10 ** 14;
        _hold(staking.currentApy() == apy, "a rate that the reserve does not pay");
        _checkRunway(assets);
    }

    function _checkHolders(uint256 assets, uint256 shares) private view {
        uint256 worth;
        uint256 held;
        uint256 exits;
        uint256 votes;
        uint256 delegated;
        for (uint256 i; i < people.length; ++i) {
            uint256 own = staking.balanceOf(people[i]);
            (uint256 leaving,,) = staking.exitOf(people[i]);
            worth += staking.convertToAssets(own);
            held += own;
            exits += leaving;
            votes += staking.getVotes(people[i]);
            if (staking.delegates(people[i]) != address(0)) delegated += own;
        }
        _hold(held == shares, "shares are not the sum of balances");
        _hold(worth <= assets, "shares are worth more than all assets");
        _hold(exits == staking.owed(), "exits are not what is owed");
        _hold(votes == delegated, "votes are not the delegated shares");
    }

    /// @dev What was voted with at an earlier second cannot be changed later.
    function _checkPast() private view {
        uint256 count = _moments.length;
        for (uint256 back = 1; back <= 3 && back <= count; ++back) {
            Moment storage moment = _moments[count - back];
            _hold(staking.getPastTotalSupply(moment.time) == moment.supply, "a past supply changed");
            for (uint256 i; i < people.length; ++i) {
                uint256 found = staking.getPastVotes(people[i], moment.time);
                _hold(found == moment.votes[i], "past votes changed");
            }
        }
    }

    /// @dev The reserve lasts for `runwaySeconds`, and not much longer.
    function _checkRunway(uint256 assets) private {
        uint256 runway = staking.runwaySeconds();
        uint256 left = staking.reserve();
        _hold(left != 0 || runway == 0, "a runway without reserve");
        if (runway == type(uint256).max || assets < 10 ** 15) return;
        if (runway > 1) {
            vm.warp(time + runway - 1 - runway / 10 ** 6);
            _hold(staking.reserve() != 0, "the reserve ends before its runway");
        }
        vm.warp(time + runway + 60 + runway / 10 ** 6);
        _hold(staking.reserve() == 0, "the reserve lasts beyond its runway");
        vm.warp(time);
    }
}

/// @notice Solvency, price, votes, exits and runway of the staking vault.
contract StakingSuite is Core {
    function name() public pure override returns (string memory) {
        return "StakingSuite";
    }

    function setUp() external {
        _placeCore(30, 1200, 60);
        handler = new StakingHandler(IQXC(QXC_AT), IStaking(STAKING_AT), TIMELOCK);
    }
}
