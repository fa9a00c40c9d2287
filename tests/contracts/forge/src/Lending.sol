// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Coin, Handler, IWatcher, Suite, vm} from "./Suite.sol";
import {Average, Feeds, IMarketOracle, IMedianOracle} from "./Oracle.sol";

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

interface ILending {
    struct Market {
        uint128 supplied;
        uint128 supplyShares;
        uint128 borrowed;
        uint128 borrowShares;
        uint128 reserves;
        uint40 updated;
        uint80 debtMin;
        uint8 paused;
        uint128 supplyCap;
        uint128 borrowCap;
    }

    function createMarket(MarketParams calldata, uint128, uint128, uint80) external returns (bytes32);
    function setBounds(bytes32, uint128, uint128, uint80, uint8) external;
    function expected(bytes32 id) external view returns (Market memory);
    function accountOf(bytes32 id, address account) external view returns (uint256, uint128, uint128);
    function healthOf(bytes32 id, address account) external view returns (uint256);
    function balancesOf(bytes32 id, address account) external view returns (uint256, uint256, uint256);
    function flashFees(address token) external view returns (uint256);
    function supply(MarketParams calldata, uint256, address) external returns (uint256);
    function withdraw(MarketParams calldata, uint256, address, address) external returns (uint256);
    function supplyCollateral(MarketParams calldata, uint256, address) external returns (uint256);
    function withdrawCollateral(MarketParams calldata, uint256, address, address) external;
    function borrow(MarketParams calldata, uint256, address, address) external returns (uint256);
    function repay(MarketParams calldata, uint256, address) external returns (uint256);
    function liquidate(MarketParams calldata, address, uint256, uint256) external returns (uint256, uint256);
    function flashLoan(address receiver, address token, uint256 amount, bytes calldata data)
        external
        returns (bool);
    function takeReserves(MarketParams calldata, uint256, address) external;
}

/// @title One market with its real oracles, under suppliers, borrowers, liquidators and time.
/// @notice Properties have the names of Morpho's published specifications.
contract LendingHandler is Handler, IWatcher {
    struct Account {
        uint256 supplyShares;
        uint256 borrowShares;
        uint256 collateral;
        bool healthy;
    }

    struct Facts {
        ILending.Market market;
        Account[4] accounts;
    }

    uint256 private constant NOBODY = 99;
    uint256 private constant ALL = type(uint256).max;
    uint256 private constant VIRTUAL = 10 ** 6;
    bytes32 private constant FLASH_DONE = keccak256("ERC3156FlashBorrower.onFlashLoan");

    ILending private immutable lending;
    IMedianOracle private immutable median;
    address private immutable owner;
    Coin private immutable loan;
    Coin private immutable collateral;
    MarketParams private _params;
    bytes32 private _id;
    bool private _repays;
    bool private _entered;

    constructor(ILending lending_, address owner_, Coin loan_, Coin collateral_, address[2] memory oracles) {
        (lending, owner, loan, collateral) = (lending_, owner_, loan_, collateral_);
        median = IMedianOracle(oracles[0]);
        _params = MarketParams(
            address(loan_), 7500, 8000, 500, 5000, 1000, 8000, address(collateral_), 100, 400, 10_000, oracles[1]
        );
        vm.prank(owner_);
        _id = lending_.createMarket(_params, 10 ** 30, 10 ** 30, 100);
        for (uint256 i; i < people.length; ++i) _enrich(people[i]);
        _enrich(address(this));
        _begin();
    }

    function _enrich(address who) private {
        loan.mint(who, 10 ** 32);
        collateral.mint(who, 10 ** 32);
        vm.prank(who);
        loan.approve(address(lending), ALL);
        vm.prank(who);
        collateral.approve(address(lending), ALL);
    }

    function _begin() private {
        vm.prank(people[0]);
        lending.supply(_params, 1000 ether, people[0]);
        for (uint256 i = 1; i < 3; ++i) {
            vm.prank(people[i]);
            lending.supplyCollateral(_params, 100 ether, people[i]);
            vm.prank(people[i]);
            lending.borrow(_params, 60 ether, people[i], people[i]);
        }
    }

    function selectors() external pure override returns (bytes4[] memory list) {
        list = new bytes4[](16);
        list[15] = this.reenter.selector;
        (list[0], list[1], list[2]) = (this.supply.selector, this.withdraw.selector, this.pledge.selector);
        (list[3], list[4], list[5]) = (this.unpledge.selector, this.borrow.selector, this.repay.selector);
        (list[6], list[7], list[8]) = (this.liquidate.selector, this.price.selector, this.wait.selector);
        (list[9], list[10], list[11]) = (this.gift.selector, this.flash.selector, this.stranger.selector);
        (list[12], list[13], list[14]) = (this.lendAndLeave.selector, this.oweAndPay.selector, this.bounds.selector);
    }

    // Actions ---------------------------------------------------------------------------------

    function supply(uint256 who, uint256 pick) external {
        bytes memory data = abi.encodeCall(ILending.supply, (_params, _amount(pick, 10 ** 26), _person(who)));
        _act("supply", who, NOBODY, data);
    }

    function withdraw(uint256 who, uint256 pick) external {
        uint256 assets = pick % 4 == 0 ? ALL : _amount(pick, 10 ** 24);
        address a = _person(who);
        _act("withdraw", who, NOBODY, abi.encodeCall(ILending.withdraw, (_params, assets, a, a)));
    }

    function pledge(uint256 who, uint256 pick) external {
        bytes memory data = abi.encodeCall(ILending.supplyCollateral, (_params, _amount(pick, 10 ** 24), _person(who)));
        _act("pledge", who, NOBODY, data);
    }

    function unpledge(uint256 who, uint256 part) external {
        address a = _person(who);
        (,, uint256 held) = lending.accountOf(_id, a);
        uint256 assets = (held * (1 + part % 8)) / 8;
        _act("unpledge", who, NOBODY, abi.encodeCall(ILending.withdrawCollateral, (_params, assets, a, a)));
    }

    /// @dev A part of what the collateral carries, up to all of it and one percent more.
    function borrow(uint256 who, uint256 part) external {
        address a = _person(who);
        (, uint256 debt, uint256 held) = lending.balancesOf(_id, a);
        uint256 most = (((held * _price()) / 10 ** 36) * _params.collateralFactor) / 10_000;
        uint256 assets = (most * (1 + part % 101)) / 100;
        assets = assets > debt ? assets - debt : 1;
        _act("borrow", who, NOBODY, abi.encodeCall(ILending.borrow, (_params, assets, a, a)));
    }

    function repay(uint256 who, uint256 pick) external {
        address a = _person(who);
        uint256 assets = pick % 3 == 0 ? ALL : _amount(pick, 10 ** 24);
        (, uint256 debt,) = lending.accountOf(_id, a);
        bool done = _act("repay", who, NOBODY, abi.encodeCall(ILending.repay, (_params, assets, a)));
        _hold(done || debt == 0 || assets != ALL, "canRepayAll");
        (, uint256 left,) = lending.accountOf(_id, a);
        _hold(assets != ALL || left == 0, "canRepayAll: a debt is left");
    }

    /// @dev Sometimes the price falls first, so that the borrower is under water by a bit or much.
    function liquidate(uint256 who, uint256 borrower, uint256 pick) external {
        address b = _person(borrower);
        (, uint256 debt, uint256 held) = lending.balancesOf(_id, b);
        if (pick % 4 != 0 && debt != 0 && held != 0) {
            uint256 edge = (debt * 10_000 * 10 ** 8) / (held * _params.liquidationFactor);
            _setPrice((edge * (20 + (pick >> 8) % 80)) / 100);
        }
        bool healthy = lending.healthOf(_id, b) >= 10_000;
        uint256 most = (pick >> 2) % 4 == 0 ? debt / 3 : ALL;
        bytes memory data = abi.encodeCall(ILending.liquidate, (_params, b, most, 0));
        bool done = _act("liquidate", who, borrower % 4, data);
        _hold(!done || !healthy, "a healthy account was liquidated");
    }

    function price(uint256 pick) external {
        _setPrice((_price() * (60 + pick % 80)) / 100 / 10 ** 28);
        _count("price", true);
    }

    function wait(uint256 pick) external {
        Facts memory was = _facts();
        _wait(pick, 90 days);
        Facts memory is_ = _facts();
        _hold(is_.market.borrowed >= was.market.borrowed, "a debt fell with time");
        _hold(is_.market.supplied >= was.market.supplied, "what is lent fell with time");
    }

    function gift(uint256 who, bool ofLoan, uint256 pick) external {
        Facts memory was = _facts();
        bytes memory data = abi.encodeCall(Coin.transfer, (address(lending), _amount(pick, 10 ** 26)));
        _try("gift", _person(who), address(ofLoan ? loan : collateral), data);
        _hold(_isSame(was, _facts()), "a gift changed the books");
    }

    function flash(uint256 pick, bool ofLoan, bool repays) external {
        Facts memory was = _facts();
        Coin token = ofLoan ? loan : collateral;
        (uint256 had, uint256 fees) = (token.balanceOf(address(lending)), lending.flashFees(address(token)));
        uint256 amount = _amount(pick, had);
        _repays = repays;
        bytes memory data = abi.encodeCall(ILending.flashLoan, (address(this), address(token), amount, ""));
        bool done = _try("flash", address(this), address(lending), data);
        uint256 fee = done ? (amount * 5 + 9_999) / 10_000 : 0;
        _hold(token.balanceOf(address(lending)) >= had + fee, "a flash loan came back without its fee");
        _hold(lending.flashFees(address(token)) == fees + fee, "a flash fee was not booked");
        _hold(repays || !done, "a flash loan that the borrower did not acknowledge");
        _hold(_isSame(was, _facts()), "a flash loan changed the books");
    }

    /// @dev Whoever acts again from within a transfer, before it is counted, is refused.
    function reenter(uint256 who, uint256 pick) external {
        uint256 amount = _amount(pick, 10 ** 24);
        loan.watch(this);
        bytes memory data = abi.encodeCall(ILending.supply, (_params, amount, _person(who)));
        _act("reenter", who, NOBODY, data);
        loan.watch(IWatcher(address(0)));
        _hold(!_entered, "lending was entered while it was in between");
    }

    function moving() external {
        (bool done,) = address(lending).call(abi.encodeCall(ILending.supply, (_params, 10 ** 6, people[0])));
        if (done) _entered = true;
    }

    function onFlashLoan(address, address, uint256, uint256, bytes calldata) external view returns (bytes32) {
        return _repays ? FLASH_DONE : bytes32(0);
    }

    /// @dev Nobody withdraws, borrows or takes collateral of another, or does what the owner does.
    function stranger(uint256 who, uint256 what) external {
        (address a, address b) = (_person(who), _person((who % 4) + 1));
        bytes[5] memory data = [
            abi.encodeCall(ILending.withdraw, (_params, 1, b, a)),
            abi.encodeCall(ILending.borrow, (_params, 100, b, a)),
            abi.encodeCall(ILending.withdrawCollateral, (_params, 1, b, a)),
            abi.encodeCall(ILending.takeReserves, (_params, 0, a)),
            abi.encodeCall(ILending.setBounds, (_id, 0, 0, 0, 3))
        ];
        _hold(!_try("stranger", a, address(lending), data[what % 5]), "a stranger acted for another");
    }

    function lendAndLeave(uint256 who, uint256 pick) external {
        address a = _person(who);
        (uint256 shares,,) = lending.accountOf(_id, a);
        uint256 purse = loan.balanceOf(a);
        uint256 assets = _amount(pick, 10 ** 26);
        if (!_act("lend then", who, NOBODY, abi.encodeCall(ILending.supply, (_params, assets, a)))) return;
        (uint256 now_,,) = lending.accountOf(_id, a);
        ILending.Market memory market = lending.expected(_id);
        uint256 back = ((now_ - shares) * (uint256(market.supplied) + 1)) / (market.supplyShares + VIRTUAL);
        if (back != 0) _act("leave", who, NOBODY, abi.encodeCall(ILending.withdraw, (_params, back, a, a)));
        (now_,,) = lending.accountOf(_id, a);
        _hold(loan.balanceOf(a) <= purse && now_ >= shares, "supplyWithdraw made money");
    }

    function oweAndPay(uint256 who, uint256 pick) external {
        address a = _person(who);
        (, uint256 shares,) = lending.accountOf(_id, a);
        uint256 assets = _amount(pick, 10 ** 24);
        if (!_act("owe then", who, NOBODY, abi.encodeCall(ILending.borrow, (_params, assets, a, a)))) return;
        _act("pay", who, NOBODY, abi.encodeCall(ILending.repay, (_params, assets, a)));
        (, uint256 now_,) = lending.accountOf(_id, a);
        // A share below a unit, paid by another's rounding, may end with the loan.
        _hold(now_ >= shares || shares < VIRTUAL, "borrowRepay made money");
    }

    function bounds(uint256 pick) external {
        if (pick % 2 == 0) {
            uint128 cap = pick % 4 == 0 ? 10 ** 22 : 10 ** 30;
            uint8 paused = uint8((pick >> 8) % 8) == 3 ? 3 : 0;
            bytes memory data = abi.encodeCall(ILending.setBounds, (_id, cap, cap, 100, paused));
            _act("bounds", NOBODY, NOBODY, data);
        } else {
            uint256 part = (uint256(lending.expected(_id).reserves) * ((pick >> 8) % 5)) / 4;
            bytes memory data = abi.encodeCall(ILending.takeReserves, (_params, part, owner));
            _act("reserves", NOBODY, NOBODY, data);
        }
    }

    // Comparing -------------------------------------------------------------------------------

    function _act(string memory name, uint256 who, uint256 hit, bytes memory data) private returns (bool done) {
        Facts memory was = _facts();
        done = _try(name, who == NOBODY ? owner : _person(who), address(lending), data);
        Facts memory is_ = _facts();
        if (!done) {
            _hold(_isSame(was, is_), "a refused action changed the books");
            return false;
        }
        for (uint256 i; i < 4; ++i) {
            Account memory old = was.accounts[i];
            Account memory own = is_.accounts[i];
            _hold(own.healthy || !old.healthy, "stayHealthy");
            if (i == hit || (who != NOBODY && i == who % 4)) continue;
            _hold(own.supplyShares >= old.supplyShares, "userCannotLoseSupplyShares");
            _hold(own.collateral >= old.collateral, "userCannotLoseCollateralExceptLiquidate");
            _hold(own.borrowShares <= old.borrowShares, "a debt grew without its borrower");
        }
        _compareRates(was, is_, hit);
    }

    function _compareRates(Facts memory was, Facts memory is_, uint256 hit) private pure {
        (ILending.Market memory old, ILending.Market memory m) = (was.market, is_.market);
        bool bad = hit != NOBODY && is_.accounts[hit].collateral == 0 && was.accounts[hit].collateral != 0;
        bool fell = (uint256(m.supplied) + 1) * (uint256(old.supplyShares) + VIRTUAL)
            < (uint256(old.supplied) + 1) * (uint256(m.supplyShares) + VIRTUAL);
        _hold(!fell || bad, "the price of a supply share fell");
        if (m.borrowShares == 0) return;
        bool rose = (uint256(m.borrowed) + 1) * (uint256(old.borrowShares) + VIRTUAL)
            > (uint256(old.borrowed) + 1) * (uint256(m.borrowShares) + VIRTUAL);
        _hold(!rose, "onlyAccrueInterestCanIncreaseBorrowExchangeRate");
    }

    function _facts() private view returns (Facts memory facts) {
        facts.market = lending.expected(_id);
        for (uint256 i; i < 4; ++i) {
            Account memory own = facts.accounts[i];
            (own.supplyShares, own.borrowShares, own.collateral) = lending.accountOf(_id, people[i]);
            own.healthy = own.borrowShares == 0 || lending.healthOf(_id, people[i]) >= 10_000;
        }
    }

    function _isSame(Facts memory one, Facts memory other) private pure returns (bool) {
        return keccak256(abi.encode(one)) == keccak256(abi.encode(other));
    }

    function _price() private view returns (uint256) {
        return IMarketOracle(_params.oracle).price();
    }

    /// @dev Reported to the median oracle in 10^-8; its one reporter may move it as far as it likes.
    function _setPrice(uint256 answer) private {
        answer = answer < 10 ** 5 ? 10 ** 5 : answer > 10 ** 11 ? 10 ** 11 : answer;
        time += 1;
        vm.warp(time);
        median.report(int256(answer));
        if (_price() / 10 ** 28 == answer) return;
        time += 1;
        vm.warp(time);
        median.report(int256(answer));
        _hold(_price() / 10 ** 28 == answer, "a confirmed price was not published");
    }

    // Properties ------------------------------------------------------------------------------

    function check() external override {
        vm.warp(time);
        Facts memory facts = _facts();
        ILending.Market memory m = facts.market;
        uint256[3] memory sums;
        for (uint256 i; i < 4; ++i) {
            Account memory own = facts.accounts[i];
            sums[0] += own.supplyShares;
            sums[1] += own.borrowShares;
            sums[2] += own.collateral;
            _hold(own.borrowShares == 0 || own.collateral != 0, "alwaysCollateralized");
        }
        _hold(sums[0] == m.supplyShares, "sumSupplySharesCorrect");
        _hold(sums[1] == m.borrowShares, "sumBorrowSharesCorrect");
        _hold(m.borrowed <= uint256(m.supplied) + m.reserves, "borrowLessThanSupply");
        _hold(m.borrowShares != 0 || m.borrowed == 0, "repayAllResetsBorrowExchangeRate");
        uint256 idle = uint256(m.supplied) + m.reserves - m.borrowed + lending.flashFees(address(loan));
        _hold(loan.balanceOf(address(lending)) >= idle, "idleAmountLessThanBalance");
        uint256 pledged = sums[2] + lending.flashFees(address(collateral));
        _hold(collateral.balanceOf(address(lending)) >= pledged, "collateral is missing");
    }

    /// @notice Everybody repays, takes the collateral and leaves: nobody is locked in.
    function finish() external override {
        for (uint256 i; i < 4; ++i) {
            address a = people[i];
            loan.mint(a, 10 ** 40);
            (, uint256 debt, uint256 held) = lending.accountOf(_id, a);
            bytes memory data = abi.encodeCall(ILending.repay, (_params, ALL, a));
            if (debt != 0) _hold(_act("repay", i, NOBODY, data), "canRepayAll at the end");
            data = abi.encodeCall(ILending.withdrawCollateral, (_params, held, a, a));
            if (held != 0) _hold(_act("unpledge", i, NOBODY, data), "collateral is locked in at the end");
        }
        for (uint256 i; i < 4; ++i) {
            (uint256 shares,,) = lending.accountOf(_id, people[i]);
            bytes memory data = abi.encodeCall(ILending.withdraw, (_params, ALL, people[i], people[i]));
            if (shares != 0) _hold(_act("withdraw", i, NOBODY, data), "canWithdrawAll at the end");
        }
        ILending.Market memory m = lending.expected(_id);
        _hold(m.supplyShares == 0 && m.borrowed == 0, "something is left when everybody has gone");
    }
}

/// @notice The named properties of a lending market with a plain loan token.
contract LendingSuite is Suite {
    function name() public pure virtual override returns (string memory) {
        return "LendingSuite";
    }

    function setUp() external virtual {
        _begin(new Coin(0));
    }

    function _begin(Coin loan) internal {
        vm.warp(1_800_000_000);
        Coin collateral = new Coin(0);
        address owner = address(0x7100);
        address lending = _deploy("Lending", abi.encode(owner, address(0)));
        address median = _deploy(
            "MedianOracle",
            abi.encode(
                address(this), uint8(8), "collateral", IMedianOracle.Settings(2 ** 31, 1, 10_000, 1, 10 ** 12)
            )
        );
        Feeds memory feeds = Feeds(median, address(0), 2 ** 31, 18, 18);
        Average memory none;
        address oracle = _deploy("MarketOracle", abi.encode(feeds, none, address(collateral)));
        address[2] memory oracles = [median, oracle];
        address next = _nextAddress();
        IMedianOracle(median).setReporter(address(this), true);
        IMedianOracle(median).report(10 ** 8);
        IMedianOracle(median).setReporter(address(this), false);
        IMedianOracle(median).setReporter(next, true);
        handler = new LendingHandler(ILending(lending), owner, loan, collateral, oracles);
        require(address(handler) == next);
    }

    /// @dev Where this contract makes its next one.
    function _nextAddress() private view returns (address) {
        return vm.computeCreateAddress(address(this), vm.getNonce(address(this)));
    }
}

/// @notice The same, where the loan token burns a part of each transfer.
contract BurningLendingSuite is LendingSuite {
    function name() public pure override returns (string memory) {
        return "BurningLendingSuite";
    }

    function setUp() external override {
        _begin(new Coin(10));
    }
}
