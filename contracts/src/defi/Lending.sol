// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC3156FlashBorrower} from "@openzeppelin/contracts/interfaces/IERC3156FlashBorrower.sol";
import {IERC3156FlashLender} from "@openzeppelin/contracts/interfaces/IERC3156FlashLender.sol";
import {FullMath} from "@uniswap/v4-core/src/libraries/FullMath.sol";
import {SafeCast} from "@uniswap/v4-core/src/libraries/SafeCast.sol";
import {Guarded, IExitPolicy} from "./Guarded.sol";
import {IPriceOracle} from "./IPriceOracle.sol";
import {LendingMath, MarketParams, Rates} from "./LendingMath.sol";
import {Money} from "./Money.sol";

/// @title Lending in isolated markets: one loan token against one collateral each.
/// @notice A market is named by the hash of its parameters, which never change. Suppliers and
///         borrowers hold shares of what is supplied and borrowed; amounts are rounded against
///         the one who acts. What comes in counts as it is measured, and what a market may pay
///         out is its own cash by the books, never a balance. Bad debt is realised at once: the
///         market's reserve pays first, then its suppliers.
contract Lending is Guarded, IERC3156FlashLender {
    using SafeCast for uint256;
    using LendingMath for uint256;

    /// @dev Four words. Cash = supplied + reserves - borrowed.
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

    struct Account {
        uint256 supplyShares;
        uint128 borrowShares;
        uint128 collateral;
    }

    uint8 public constant PAUSE_SUPPLY = 1;
    uint8 public constant PAUSE_BORROW = 2;
    uint256 public constant FLASH_FEE_BPS = 5;
    uint256 private constant BPS = 10_000;
    /// @notice At or below this health, in 1/10,000, a whole debt may be liquidated at once.
    uint256 public constant FULL_CLOSE_HEALTH_BPS = 9_500;
    bytes32 private constant FLASH_DONE = keccak256("ERC3156FlashBorrower.onFlashLoan");

    mapping(bytes32 id => Market) private _markets;
    mapping(bytes32 id => MarketParams) private _params;
    mapping(bytes32 id => mapping(address => Account)) public accountOf;
    mapping(address owner => mapping(address operator => bool)) public isOperator;
    mapping(address token => uint256) public flashFees;

    event MarketCreated(bytes32 indexed id, address indexed loan, address indexed collateral, MarketParams params);
    event BoundsSet(bytes32 indexed id, uint128 supplyCap, uint128 borrowCap, uint80 debtMin, uint8 paused);
    event Accrued(bytes32 indexed id, uint256 interest, uint256 toReserves);
    event Supplied(bytes32 indexed id, address indexed from, address indexed account, uint256 assets, uint256 shares);
    event Withdrawn(bytes32 indexed id, address indexed account, address indexed to, uint256 assets, uint256 shares);
    event CollateralAdded(bytes32 indexed id, address indexed from, address indexed account, uint256 assets);
    event CollateralTaken(bytes32 indexed id, address indexed account, address indexed to, uint256 assets);
    event Borrowed(bytes32 indexed id, address indexed account, address indexed to, uint256 assets, uint256 shares);
    event Repaid(bytes32 indexed id, address indexed from, address indexed account, uint256 assets, uint256 shares);
    event Liquidated(
        bytes32 indexed id, address indexed borrower, address indexed liquidator, uint256 repaid, uint256 seized
    );
    event BadDebt(bytes32 indexed id, address indexed borrower, uint256 assets, uint256 fromReserves);
    event FlashLent(address indexed token, address indexed receiver, uint256 amount, uint256 fee);
    event OperatorSet(address indexed owner, address indexed operator, bool allowed);
    event ReservesTaken(bytes32 indexed id, address indexed to, uint256 amount);
    event FlashFeesTaken(address indexed token, address indexed to, uint256 amount);

    error UnknownMarket(bytes32 id);
    error MarketExists(bytes32 id);
    error Paused(uint8 what);
    error NotAllowed(address caller, address account);
    error Zero();
    error CapReached(uint256 wanted, uint256 cap);
    error NoCash(uint256 wanted, uint256 cash);
    error Unhealthy(uint256 debt, uint256 debtMax);
    error Healthy(uint256 debt, uint256 debtMax);
    error DebtTooSmall(uint256 debt, uint256 min);
    error TooLittleSeized(uint256 seized, uint256 min);
    error FlashNotRepaid(uint256 owed, uint256 received);
    error FlashRefused(address token);

    constructor(address owner_, IExitPolicy policy) Guarded(owner_, policy) {}

    // Markets ---------------------------------------------------------------------------------

    function idOf(MarketParams memory params) public pure returns (bytes32) {
        return keccak256(abi.encode(params));
    }

    function paramsOf(bytes32 id) external view returns (MarketParams memory) {
        return _params[id];
    }

    /// @notice The books as of the last change; `expected` adds the interest since.
    function marketOf(bytes32 id) external view settled returns (Market memory) {
        return _markets[id];
    }

    /// @notice The books with the interest up to this second.
    function expected(bytes32 id) public view settled returns (Market memory market) {
        market = _markets[id];
        MarketParams memory params = _params[id];
        (uint256 interest, uint256 cut) = LendingMath.interest(
            Rates(params.kink, params.rateBase, params.rateSlope, params.rateJump, params.reserveFactor),
            market.supplied,
            market.borrowed,
            market.reserves,
            uint40(block.timestamp) - market.updated
        );
        market.borrowed += uint128(interest);
        market.supplied += uint128(interest - cut);
        market.reserves += uint128(cut);
        market.updated = uint40(block.timestamp);
    }

    /// @notice What an account could withdraw, and what it owes, with interest up to now.
    function balancesOf(bytes32 id, address account)
        external
        view
        returns (uint256 supplied, uint256 debt, uint256 collateral)
    {
        Market memory market = expected(id);
        Account memory own = accountOf[id][account];
        supplied = own.supplyShares.toAssetsDown(market.supplied, market.supplyShares);
        debt = _debtOf(market.borrowed, market.borrowShares, own.borrowShares);
        collateral = own.collateral;
    }

    /// @notice Health in 1/10,000: below 10,000 the account may be liquidated.
    function healthOf(bytes32 id, address account) external view returns (uint256) {
        Market memory market = expected(id);
        Account memory own = accountOf[id][account];
        uint256 debt = _debtOf(market.borrowed, market.borrowShares, own.borrowShares);
        if (debt == 0) return type(uint256).max;
        MarketParams memory params = _params[id];
        uint256 price = IPriceOracle(params.oracle).price();
        return FullMath.mulDiv(
            LendingMath.debtMax(own.collateral, price, params.liquidationFactor), BPS, debt
        );
    }

    function createMarket(
        MarketParams calldata params,
        uint128 supplyCap,
        uint128 borrowCap,
        uint80 debtMin
    ) external locked onlyOwner returns (bytes32 id) {
        LendingMath.check(params);
        id = idOf(params);
        if (_markets[id].updated != 0) revert MarketExists(id);
        _params[id] = params;
        _markets[id].updated = uint40(block.timestamp);
        emit MarketCreated(id, params.loan, params.collateral, params);
        _setBounds(id, supplyCap, borrowCap, debtMin, 0);
    }

    /// @notice Sets caps in units of the loan token, the least debt, and what is paused. Only new
    ///         supply and new debt can be paused: withdrawing, repaying and liquidating never are.
    function setBounds(
        bytes32 id,
        uint128 supplyCap,
        uint128 borrowCap,
        uint80 debtMin,
        uint8 paused
    ) external locked onlyOwner {
        if (_markets[id].updated == 0) revert UnknownMarket(id);
        _setBounds(id, supplyCap, borrowCap, debtMin, paused);
    }

    function _setBounds(bytes32 id, uint128 supplyCap, uint128 borrowCap, uint80 debtMin, uint8 paused)
        private
    {
        Market storage market = _markets[id];
        (market.supplyCap, market.borrowCap) = (supplyCap, borrowCap);
        (market.debtMin, market.paused) = (debtMin, paused);
        emit BoundsSet(id, supplyCap, borrowCap, debtMin, paused);
    }

    /// @notice Lets `operator` withdraw and borrow for the caller, or no longer.
    function setOperator(address operator, bool allowed) external {
        isOperator[msg.sender][operator] = allowed;
        emit OperatorSet(msg.sender, operator, allowed);
    }

    /// @notice Books the interest of a market up to now.
    function accrue(MarketParams calldata params) external locked {
        _accrue(params);
    }

    function _accrue(MarketParams calldata params) private returns (bytes32 id, Market storage market) {
        id = _idOf(params);
        market = _markets[id];
        uint40 updated = market.updated;
        if (updated == 0) revert UnknownMarket(id);
        if (updated == block.timestamp) return (id, market);
        uint128 borrowed = market.borrowed;
        if (borrowed != 0) {
            (uint128 supplied, uint128 reserves) = (market.supplied, market.reserves);
            (uint256 interest, uint256 cut) = LendingMath.interest(
                Rates(
                    params.kink,
                    params.rateBase,
                    params.rateSlope,
                    params.rateJump,
                    params.reserveFactor
                ),
                supplied,
                borrowed,
                reserves,
                uint40(block.timestamp) - updated
            );
            // The library bounds the interest so that these sums fit.
            unchecked {
                market.borrowed = borrowed + uint128(interest);
                market.supplied = supplied + uint128(interest - cut);
                market.reserves = reserves + uint128(cut);
            }
            emit Accrued(id, interest, cut);
        }
        market.updated = uint40(block.timestamp);
    }

    /// @dev The hash of the words as they came. Words that are no clean values have another hash,
    ///      and thereby no market.
    function _idOf(MarketParams calldata params) private pure returns (bytes32 id) {
        assembly ("memory-safe") {
            let free := mload(0x40)
            calldatacopy(free, params, 384)
            id := keccak256(free, 384)
        }
    }

    // Suppliers -------------------------------------------------------------------------------

    /// @notice Lends `assets` to the market for `account`. Returns its new shares.
    function supply(MarketParams calldata params, uint256 assets, address account)
        external
        locked
        returns (uint256 shares)
    {
        (bytes32 id, Market storage market) = _accrue(params);
        if (market.paused & PAUSE_SUPPLY != 0) revert Paused(PAUSE_SUPPLY);
        uint256 received = Money.take(params.loan, msg.sender, assets);
        shares = received.toSharesDown(market.supplied, market.supplyShares);
        if (shares == 0) revert Zero();
        uint256 total = market.supplied + received;
        if (total > market.supplyCap) revert CapReached(total, market.supplyCap);
        market.supplied = total.toUint128();
        market.supplyShares += shares.toUint128();
        accountOf[id][account].supplyShares += shares;
        emit Supplied(id, msg.sender, account, received, shares);
    }

    /// @notice Takes `assets` out of what `account` lent; the maximum uint256 takes all of it.
    /// @return withdrawn What left the market.
    function withdraw(MarketParams calldata params, uint256 assets, address account, address to)
        external
        locked
        returns (uint256 withdrawn)
    {
        _checkCaller(account);
        (bytes32 id, Market storage market) = _accrue(params);
        (uint128 supplied, uint128 all) = (market.supplied, market.supplyShares);
        uint256 shares;
        if (assets == type(uint256).max) {
            shares = accountOf[id][account].supplyShares;
            assets = shares.toAssetsDown(supplied, all);
        } else {
            shares = assets.toSharesUp(supplied, all);
        }
        if (shares == 0) revert Zero();
        accountOf[id][account].supplyShares -= shares;
        _checkCash(market, assets);
        market.supplied = supplied - uint128(assets);
        market.supplyShares = all - uint128(shares);
        emit Withdrawn(id, account, to, assets, shares);
        _send(params.loan, account, to, assets);
        return assets;
    }

    // Borrowers -------------------------------------------------------------------------------

    /// @notice Adds collateral for `account`. Returns what arrived.
    function supplyCollateral(MarketParams calldata params, uint256 assets, address account)
        external
        locked
        returns (uint256 received)
    {
        bytes32 id = _idOf(params);
        if (_markets[id].updated == 0) revert UnknownMarket(id);
        received = Money.take(params.collateral, msg.sender, assets);
        if (received == 0) revert Zero();
        accountOf[id][account].collateral += received.toUint128();
        emit CollateralAdded(id, msg.sender, account, received);
    }

    /// @notice Takes collateral back, as far as the debt allows.
    function withdrawCollateral(MarketParams calldata params, uint256 assets, address account, address to)
        external
        locked
    {
        _checkCaller(account);
        (bytes32 id, Market storage market) = _accrue(params);
        if (assets == 0) revert Zero();
        accountOf[id][account].collateral -= assets.toUint128();
        _checkHealth(params, market, accountOf[id][account]);
        emit CollateralTaken(id, account, to, assets);
        _send(params.collateral, account, to, assets);
    }

    /// @notice Borrows `assets` against the collateral of `account`. Returns the shares of debt.
    function borrow(MarketParams calldata params, uint256 assets, address account, address to)
        external
        locked
        returns (uint256 shares)
    {
        _checkCaller(account);
        (bytes32 id, Market storage market) = _accrue(params);
        if (market.paused & PAUSE_BORROW != 0) revert Paused(PAUSE_BORROW);
        if (assets == 0) revert Zero();
        _checkCash(market, assets);
        (uint128 borrowed, uint128 all) = (market.borrowed, market.borrowShares);
        shares = assets.toSharesUp(borrowed, all);
        uint256 total = borrowed + assets;
        if (total > market.borrowCap) revert CapReached(total, market.borrowCap);
        market.borrowed = total.toUint128();
        market.borrowShares = (all + shares).toUint128();
        Account storage own = accountOf[id][account];
        own.borrowShares += shares.toUint128();
        uint256 debt = _checkHealth(params, market, own);
        if (debt < market.debtMin) revert DebtTooSmall(debt, market.debtMin);
        emit Borrowed(id, account, to, assets, shares);
        _send(params.loan, account, to, assets);
    }

    /// @notice Repays up to `assets` of the debt of `account`; more than the debt repays all of it.
    ///         When the token burns a part of a transfer, `assets` bounds what the caller pays.
    /// @return repaid By how much the debt became smaller.
    function repay(MarketParams calldata params, uint256 assets, address account)
        external
        locked
        returns (uint256 repaid)
    {
        (bytes32 id, Market storage market) = _accrue(params);
        Account storage own = accountOf[id][account];
        uint128 held = own.borrowShares;
        uint256 debt = _debtOf(market.borrowed, market.borrowShares, held);
        // What others paid too much by rounding may have paid a last share: it ends for nothing.
        if (held == 0 || assets == 0) revert Zero();
        uint256 owed = assets < debt ? assets : debt;
        (repaid,) = Money.collect(params.loan, msg.sender, owed, assets);
        if (repaid > debt) repaid = debt;
        uint128 shares = _reduceDebt(market, held, repaid, debt);
        own.borrowShares = held - shares;
        emit Repaid(id, msg.sender, account, repaid, shares);
    }

    /// @dev Rounds the shares down, in favour of the suppliers, unless the debt ends. The caller
    ///      takes them from the account, which holds `held`.
    function _reduceDebt(Market storage market, uint128 held, uint256 repaid, uint256 debt)
        private
        returns (uint128 shares)
    {
        (uint128 borrowed, uint128 all) = (market.borrowed, market.borrowShares);
        shares = repaid == debt ? held : uint128(repaid.toSharesDown(borrowed, all));
        (market.borrowed, market.borrowShares) = (borrowed - uint128(repaid), all - shares);
    }

    // Liquidators -----------------------------------------------------------------------------

    /// @notice Repays a part of an unhealthy debt and takes its worth in collateral and a bonus.
    /// @param repayMax Most that the caller pays, in the loan token.
    /// @param seizedMin Least collateral that the caller accepts.
    function liquidate(
        MarketParams calldata params,
        address borrower,
        uint256 repayMax,
        uint256 seizedMin
    ) external locked returns (uint256 repaid, uint256 seized) {
        (bytes32 id, Market storage market) = _accrue(params);
        Account storage own = accountOf[id][borrower];
        (uint128 held, uint256 collateral) = (own.borrowShares, own.collateral);
        uint256 price = IPriceOracle(params.oracle).price();
        uint256 debt = _debtOf(market.borrowed, market.borrowShares, held);
        uint256 owed = _closable(params, market, collateral, debt, price);
        if (owed > repayMax) owed = repayMax;
        (repaid,) = Money.collect(params.loan, msg.sender, owed, repayMax);
        if (repaid > owed) repaid = owed;
        seized = LendingMath.seized(repaid, price, params.bonus);
        if (seized > collateral) seized = collateral;
        if (seized < seizedMin) revert TooLittleSeized(seized, seizedMin);
        if (repaid == 0 && seized == 0 && collateral != 0) revert Zero();
        held -= _reduceDebt(market, held, repaid, debt);
        (own.borrowShares, own.collateral) = (held, uint128(collateral - seized));
        emit Liquidated(id, borrower, msg.sender, repaid, seized);
        if (repaid != debt) {
            if (seized == collateral) _realise(id, market, own, borrower);
            else if (debt - repaid < market.debtMin) revert DebtTooSmall(debt - repaid, market.debtMin);
        }
        _send(params.collateral, msg.sender, msg.sender, seized);
    }

    /// @dev How much of the debt may be repaid now: a part, or all of it when it is small, far
    ///      under water, or when the collateral is worth less.
    function _closable(
        MarketParams calldata params,
        Market storage market,
        uint256 collateral,
        uint256 debt,
        uint256 price
    ) private view returns (uint256 owed) {
        uint256 most = LendingMath.debtMax(collateral, price, params.liquidationFactor);
        if (debt <= most) revert Healthy(debt, most);
        bool whole = most * BPS <= debt * FULL_CLOSE_HEALTH_BPS || debt < 2 * uint256(market.debtMin);
        owed = whole ? debt : FullMath.mulDivRoundingUp(debt, params.closeFactor, BPS);
        // What all the collateral pays for; rounded up, because the liquidator chooses the rest.
        uint256 worth = LendingMath.worthUp(collateral, price, params.bonus);
        if (worth < owed) owed = worth;
    }

    /// @dev Nothing is left to take: the debt ends here, and somebody bears it openly.
    function _realise(bytes32 id, Market storage market, Account storage own, address borrower) private {
        uint128 bad = uint128(_debtOf(market.borrowed, market.borrowShares, own.borrowShares));
        (uint128 reserves, uint128 borrowShares) = (market.reserves, own.borrowShares);
        uint128 fromReserves = bad < reserves ? bad : reserves;
        market.borrowed -= bad;
        market.borrowShares -= borrowShares;
        market.reserves = reserves - fromReserves;
        market.supplied -= bad - fromReserves;
        own.borrowShares = 0;
        emit BadDebt(id, borrower, bad, fromReserves);
    }

    // Checks ----------------------------------------------------------------------------------

    function _checkCaller(address account) private view {
        if (msg.sender != account && !isOperator[account][msg.sender]) {
            revert NotAllowed(msg.sender, account);
        }
    }

    function _checkCash(Market storage market, uint256 wanted) private view {
        uint256 cash = uint256(market.supplied) + market.reserves - market.borrowed;
        if (wanted > cash) revert NoCash(wanted, cash);
    }

    /// @dev Debts are rounded up. Whoever holds every share owes everything, so nothing remains
    ///      that nobody owes.
    function _debtOf(uint128 borrowed, uint128 all, uint128 shares) private pure returns (uint256 debt) {
        if (shares == all) return borrowed;
        debt = LendingMath.toAssetsUp(shares, borrowed, all);
        if (debt > borrowed) debt = borrowed;
    }

    function _checkHealth(MarketParams calldata params, Market storage market, Account storage own)
        private
        view
        returns (uint256 debt)
    {
        uint128 shares = own.borrowShares;
        if (shares == 0) return 0;
        debt = _debtOf(market.borrowed, market.borrowShares, shares);
        // A share that is worth nothing now is worth a unit once somebody borrows.
        if (debt == 0) debt = 1;
        uint256 price = IPriceOracle(params.oracle).price();
        uint256 most = LendingMath.debtMax(own.collateral, price, params.collateralFactor);
        if (debt > most) revert Unhealthy(debt, most);
    }

    // Flash loans -----------------------------------------------------------------------------

    function maxFlashLoan(address token) public view override returns (uint256) {
        return token.code.length == 0 ? 0 : Money.held(token);
    }

    /// @notice Five hundredths of a percent, rounded up.
    function flashFee(address token, uint256 amount) public view override returns (uint256) {
        if (maxFlashLoan(token) == 0) revert FlashRefused(token);
        return FullMath.mulDivRoundingUp(amount, FLASH_FEE_BPS, BPS);
    }

    /// @notice Lends within this call (ERC-3156). The borrower may use the markets meanwhile: they
    ///         go by their books, which a loan does not touch.
    function flashLoan(IERC3156FlashBorrower receiver, address token, uint256 amount, bytes calldata data)
        external
        override
        returns (bool)
    {
        _lock();
        uint256 fee = flashFee(token, amount);
        _send(token, address(receiver), address(receiver), amount);
        _unlock();
        bytes32 answer = receiver.onFlashLoan(msg.sender, token, amount, fee, data);
        if (answer != FLASH_DONE) revert FlashRefused(token);
        _lock();
        (uint256 received,) = Money.collect(token, address(receiver), amount + fee, type(uint256).max);
        if (received < amount + fee) revert FlashNotRepaid(amount + fee, received);
        flashFees[token] += fee;
        _unlock();
        emit FlashLent(token, address(receiver), amount, fee);
        return true;
    }

    // Governance ------------------------------------------------------------------------------

    /// @notice Pays a part of a market's reserve out, as far as there is cash.
    function takeReserves(MarketParams calldata params, uint256 amount, address to)
        external
        locked
        onlyOwner
    {
        (bytes32 id, Market storage market) = _accrue(params);
        _checkCash(market, amount);
        market.reserves -= amount.toUint128();
        emit ReservesTaken(id, to, amount);
        _send(params.loan, msg.sender, to, amount);
    }

    function takeFlashFees(address token, address to) external locked onlyOwner {
        uint256 amount = flashFees[token];
        flashFees[token] = 0;
        emit FlashFeesTaken(token, to, amount);
        _send(token, msg.sender, to, amount);
    }
}
