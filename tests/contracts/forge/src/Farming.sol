// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Coin, Handler, Suite, vm} from "./Suite.sol";

interface IFarming {
    struct Farm {
        address stakeToken;
        uint40 updated;
        uint40 timeLeft;
        address rewardToken;
        uint128 staked;
        uint128 left;
        uint256 perUnit;
        address manager;
        uint128 forfeited;
    }

    struct Stake {
        uint128 amount;
        uint128 reward;
        uint256 perUnit;
    }

    function farmOf(uint256 farm) external view returns (Farm memory);
    function stakeOf(uint256 farm, address account) external view returns (Stake memory);
    function earned(uint256 farm, address account) external view returns (uint256);
    function createFarm(address, address, uint256, uint40) external returns (uint256);
    function fund(uint256 farm, uint256 reward, uint40 duration) external;
    function reclaim(uint256 farm, address to) external;
    function stake(uint256 farm, uint256 amount) external returns (uint256);
    function withdraw(uint256 farm, uint256 amount) external;
    function claim(uint256 farm) external returns (uint256);
    function exit(uint256 farm) external returns (uint256, uint256);
    function emergencyWithdraw(uint256 farm) external returns (uint256);
}

/// @title Two farms: one pays its own staking token, one stakes a token that burns.
contract FarmingHandler is Handler {
    IFarming private immutable farming;
    Coin[2] private _stakes;
    Coin private immutable reward;
    address private constant MANAGER = address(0x3a4a);

    uint256[2] private _funded;
    uint256[2] private _paid;
    mapping(uint256 => mapping(address => uint256)) private _principal;

    /// @dev Farm 0 stakes and pays `same`; farm 1 stakes `burning` and pays `same` too.
    constructor(IFarming farming_, Coin same, Coin burning) {
        (farming, reward) = (farming_, same);
        _stakes = [same, burning];
        for (uint256 i; i < people.length; ++i) _enrich(people[i]);
        _enrich(MANAGER);
        for (uint256 i; i < 2; ++i) {
            vm.prank(MANAGER);
            farming_.createFarm(address(_stakes[i]), address(same), 10 ** 22, 30 days);
            _funded[i] = 10 ** 22;
        }
    }

    function _enrich(address who) private {
        for (uint256 i; i < 2; ++i) {
            _stakes[i].mint(who, 10 ** 36);
            vm.prank(who);
            _stakes[i].approve(address(farming), type(uint256).max);
        }
    }

    function selectors() external pure override returns (bytes4[] memory list) {
        list = new bytes4[](11);
        (list[0], list[1], list[2]) = (this.stake.selector, this.withdraw.selector, this.claim.selector);
        (list[3], list[4], list[5]) = (this.exit.selector, this.emergency.selector, this.fund.selector);
        (list[6], list[7], list[8]) = (this.reclaim.selector, this.gift.selector, this.wait.selector);
        (list[9], list[10]) = (this.comeAndGo.selector, this.stranger.selector);
    }

    function stake(uint256 farm, uint256 who, uint256 pick) external {
        _stake("stake", farm % 2, _person(who), _amount(pick, 10 ** 26));
    }

    function withdraw(uint256 farm, uint256 who, uint256 pick) external {
        farm %= 2;
        address a = _person(who);
        uint256 own = _principal[farm][a];
        uint256 amount = pick % 3 == 0 ? own : _amount(pick, own + 1);
        bytes memory data = abi.encodeCall(IFarming.withdraw, (farm, amount));
        uint256 purse = _stakes[farm].balanceOf(a);
        bool done = _try("withdraw", a, address(farming), data);
        _hold(done == (amount != 0 && amount <= own), "principal is kept back, or was paid to another");
        if (done) _took(farm, a, amount, _stakes[farm].balanceOf(a) - purse);
    }

    /// @dev A claim pays what is shown, and then nothing more in that second.
    function claim(uint256 farm, uint256 who) external {
        farm %= 2;
        address a = _person(who);
        vm.warp(time);
        uint256 due = farming.earned(farm, a);
        uint256 purse = reward.balanceOf(a);
        _hold(_try("claim", a, address(farming), abi.encodeCall(IFarming.claim, (farm))), "a claim failed");
        _hold(reward.balanceOf(a) - purse == due, "a claim paid other than what was earned");
        _call(a, address(farming), 0, abi.encodeCall(IFarming.claim, (farm)));
        _hold(reward.balanceOf(a) - purse == due, "a second claim paid again");
        _paid[farm] += due;
    }

    function exit(uint256 farm, uint256 who) external {
        farm %= 2;
        address a = _person(who);
        vm.warp(time);
        (uint256 own, uint256 due) = (_principal[farm][a], farming.earned(farm, a));
        bool done = _try("exit", a, address(farming), abi.encodeCall(IFarming.exit, (farm)));
        _hold(done == (own != 0), "an exit with principal failed, or one without it did not");
        if (!done) return;
        (_principal[farm][a], _paid[farm]) = (0, _paid[farm] + due);
    }

    function emergency(uint256 farm, uint256 who) external {
        farm %= 2;
        address a = _person(who);
        uint256 own = _principal[farm][a];
        uint256 purse = _stakes[farm].balanceOf(a);
        bytes memory data = abi.encodeCall(IFarming.emergencyWithdraw, (farm));
        bool done = _try("emergency", a, address(farming), data);
        _hold(done == (own != 0), "an emergency exit with principal failed");
        if (done) _took(farm, a, own, _stakes[farm].balanceOf(a) - purse);
        if (done) _hold(farming.earned(farm, a) == 0, "a reward was given up and kept");
    }

    function fund(uint256 farm, uint256 pick, uint40 duration) external {
        farm %= 2;
        uint256 amount = _amount(pick, 10 ** 24);
        bytes memory data = abi.encodeCall(IFarming.fund, (farm, amount, 30 + duration % 40 days));
        if (_try("fund", MANAGER, address(farming), data)) _funded[farm] += amount;
    }

    function reclaim(uint256 farm) external {
        farm %= 2;
        uint256 purse = reward.balanceOf(MANAGER);
        bytes memory data = abi.encodeCall(IFarming.reclaim, (farm, MANAGER));
        _hold(_try("reclaim", MANAGER, address(farming), data), "forfeits are kept back");
        _paid[farm] += reward.balanceOf(MANAGER) - purse;
    }

    function gift(uint256 who, uint8 token, uint256 pick) external {
        bytes memory books = _books();
        bytes memory data = abi.encodeCall(Coin.transfer, (address(farming), _amount(pick, 10 ** 26)));
        _try("gift", _person(who), address(_stakes[token % 2]), data);
        _hold(keccak256(books) == keccak256(_books()), "a gift became a reward");
    }

    /// @dev Staked and withdrawn within one second earns nothing.
    function comeAndGo(uint256 farm, uint256 who, uint256 pick) external {
        farm %= 2;
        address a = _person(who);
        vm.warp(time);
        uint256 due = farming.earned(farm, a);
        uint256 came = _stake("come", farm, a, _amount(pick, 10 ** 26));
        if (came == 0) return;
        uint256 purse = _stakes[farm].balanceOf(a);
        _hold(_try("go", a, address(farming), abi.encodeCall(IFarming.withdraw, (farm, came))), "could not go");
        _took(farm, a, came, _stakes[farm].balanceOf(a) - purse);
        _hold(farming.earned(farm, a) == due, "a stake of no time earned a reward");
    }

    function stranger(uint256 farm, uint256 who, bool funds) external {
        bytes memory data = funds
            ? abi.encodeCall(IFarming.fund, (farm % 2, 10 ** 20, 60))
            : abi.encodeCall(IFarming.reclaim, (farm % 2, _person(who)));
        _hold(!_try("stranger", _person(who), address(farming), data), "a stranger managed a farm");
    }

    function wait(uint256 pick) external {
        _wait(pick, 20 days);
    }

    function _stake(string memory name, uint256 farm, address a, uint256 amount) private returns (uint256 came) {
        uint256 before = _stakes[farm].balanceOf(address(farming));
        bytes memory data = abi.encodeCall(IFarming.stake, (farm, amount));
        if (!_try(name, a, address(farming), data)) return 0;
        came = _stakes[farm].balanceOf(address(farming)) - before;
        _principal[farm][a] += came;
    }

    function _took(uint256 farm, address a, uint256 amount, uint256 got) private {
        _principal[farm][a] -= amount;
        _hold(got == amount - (amount * _stakes[farm].burnBps()) / 10_000, "another amount than the principal");
    }

    function _books() private view returns (bytes memory) {
        return abi.encode(farming.farmOf(0), farming.farmOf(1));
    }

    function check() external override {
        vm.warp(time);
        uint256[2] memory principal;
        uint256 promised;
        for (uint256 farm; farm < 2; ++farm) {
            IFarming.Farm memory book = farming.farmOf(farm);
            uint256 earned;
            for (uint256 i; i < people.length; ++i) {
                uint256 own = farming.stakeOf(farm, people[i]).amount;
                _hold(own == _principal[farm][people[i]], "principal is not what was staked");
                principal[farm] += own;
                earned += farming.earned(farm, people[i]);
            }
            _hold(principal[farm] == book.staked, "the stake of all is not the sum of stakes");
            uint256 given = earned + _paid[farm] + book.forfeited;
            _hold(given <= _funded[farm], "more was earned than was funded");
            promised += _funded[farm] - _paid[farm];
        }
        _hold(_stakes[1].balanceOf(address(farming)) >= principal[1], "principal is missing");
        _hold(reward.balanceOf(address(farming)) >= principal[0] + promised, "principal was paid as reward");
    }

    /// @notice Everybody takes principal and reward; all of it is there.
    function finish() external override {
        for (uint256 farm; farm < 2; ++farm) {
            for (uint256 i; i < people.length; ++i) {
                if (_principal[farm][people[i]] == 0) continue;
                bytes memory data = abi.encodeCall(IFarming.exit, (farm));
                _hold(_try("exit", people[i], address(farming), data), "somebody could not leave at the end");
            }
            _hold(farming.farmOf(farm).staked == 0, "principal is left that nobody has");
        }
    }
}

/// @notice Principal, funds, claims and exits of farms.
contract FarmingSuite is Suite {
    function name() public pure override returns (string memory) {
        return "FarmingSuite";
    }

    function setUp() external {
        vm.warp(1_800_000_000);
        address farming = _deploy("Farming", abi.encode(address(0x7100), address(0)));
        handler = new FarmingHandler(IFarming(farming), new Coin(0), new Coin(100));
    }
}
