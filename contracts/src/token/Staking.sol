// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import {ERC20Votes} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Votes.sol";
import {ERC4626} from "@openzeppelin/contracts/token/ERC20/extensions/ERC4626.sol";
import {IERC4626} from "@openzeppelin/contracts/interfaces/IERC4626.sol";
import {IERC20Metadata} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Metadata.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {Nonces} from "@openzeppelin/contracts/utils/Nonces.sol";
import {FixedPointMathLib} from "solady/src/utils/FixedPointMathLib.sol";
import {IQXC, IStakingEntry} from "../interfaces/IQXC.sol";

/// @title Staked QXC (sQXC): a share of all staked tokens that grows, and that votes.
/// @notice Deposits are ERC-4626. The staked tokens grow by the target rate out of a reserve that
///         anybody may fund, second by second, and by nothing when the reserve is empty: what is
///         owed never exceeds what is here. Tokens that are merely sent here change nothing, so the
///         price of a share cannot be moved by a gift.
///
///         Leaving takes two steps, after ERC-7540: `requestRedeem` ends the shares, their votes and
///         their growth at once and fixes the tokens; after the cooldown `redeem` or `withdraw` pays
///         them. A second request adds to the first, and the cooldown of both begins anew.
///
///         Who deposits and has no delegate votes with its own shares.
/// @dev Rounding: shares and tokens given round down, shares and tokens taken round up; growth
///      rounds down. Times are seconds, rates 1e18 = 100 % a year. Tokens fit in 104 bits, because
///      QXC.SUPPLY_MAX does; so do shares, of which there are never more than tokens behind them.
contract Staking is ERC20, ERC20Permit, ERC20Votes, ERC4626, IStakingEntry {
    using Math for uint256;

    struct Exit {
        uint104 assets;
        uint104 shares;
        uint40 releaseAt;
    }

    /// @notice Greatest target that governance may set, 30 % a year, in basis points.
    uint256 public constant TARGET_BPS_MAX = 3000;
    /// @notice Longest cooldown, in seconds.
    uint256 public constant COOLDOWN_MAX = 90 days;
    uint256 private constant YEAR = 365 days;
    uint256 private constant WAD = 1e18;

    /// @notice Who sets target and cooldown: the timelock.
    address public immutable governance;

    uint104 private _assets;
    uint104 private _reserve;
    uint40 private _grownAt;
    /// @notice Tokens that left their shares and wait for their owners.
    uint104 public owed;
    /// @dev ln(1 + target), 18 decimals.
    uint64 private _logRate;
    /// @notice Target rate in basis points a year.
    uint32 public targetBps;
    /// @notice Seconds from `requestRedeem` to payment.
    uint32 public cooldown;

    mapping(address owner => Exit) private _exits;

    event Funded(address indexed by, uint256 assets);
    event Grown(uint256 assets, uint256 reserve);
    event TargetSet(uint256 bps);
    event CooldownSet(uint256 duration);
    event RedeemRequest(
        address indexed controller,
        address indexed owner,
        uint256 indexed requestId,
        address sender,
        uint256 shares
    );
    event ExitRecovered(address indexed lost, address indexed successor, uint256 assets);

    /// @notice The caller may not do this.
    error Unauthorized(address caller);
    /// @notice The token took a part: staking must be exempt from the burn.
    error NotExempt(uint256 expected, uint256 received);
    /// @notice Above TARGET_BPS_MAX.
    error TargetTooHigh(uint256 bps);
    /// @notice Above COOLDOWN_MAX.
    error CooldownTooLong(uint256 duration);
    /// @notice Nothing to give, or shares that are worth nothing.
    error NothingToDo();
    /// @notice The request is paid at this time.
    error StillCooling(uint256 releaseAt);
    /// @notice The result of an exit cannot be previewed: it is fixed by `requestRedeem`.
    error AsynchronousExit();

    modifier onlyGovernance() {
        if (msg.sender != governance) revert Unauthorized(msg.sender);
        _;
    }

    constructor(
        IQXC token,
        address governance_,
        uint256 targetBps_,
        uint256 cooldown_
    ) ERC20("Staked QENEX", "sQXC") ERC20Permit("Staked QENEX") ERC4626(token) {
        governance = governance_;
        _grownAt = uint40(block.timestamp);
        _setTarget(targetBps_);
        _setCooldown(cooldown_);
    }

    // ---- Growth ----

    /// @notice Returns the tokens behind all shares, growth up to now included.
    function totalAssets() public view override returns (uint256) {
        return _assets + _growth();
    }

    /// @notice Returns the tokens that future growth is paid from.
    function reserve() public view returns (uint256) {
        return _reserve - _growth();
    }

    /// @notice Returns the rate that is paid now: the target, or 0 without reserve (1e18 = 100 %).
    function currentApy() external view returns (uint256) {
        return reserve() == 0 ? 0 : (uint256(targetBps) * WAD) / 10_000;
    }

    /// @notice Returns for how long the reserve pays the target rate on what is staked now, in
    ///         seconds; the greatest number when it never ends.
    function runwaySeconds() external view returns (uint256) {
        uint256 staked = totalAssets();
        uint256 left = reserve();
        if (left == 0) return 0;
        if (staked == 0 || _logRate == 0) return type(uint256).max;
        uint256 ratio = WAD + left.mulDiv(WAD, staked);
        if (ratio > uint256(type(int256).max)) return type(uint256).max;
        return (uint256(FixedPointMathLib.lnWad(int256(ratio))) * YEAR) / _logRate;
    }

    /// @notice Adds tokens of the caller to the reserve.
    function fund(uint256 assets) external {
        _grow();
        _reserve += uint104(_receive(msg.sender, assets));
        emit Funded(msg.sender, assets);
    }

    /// @notice Sets the target rate, in basis points a year.
    function setTarget(uint256 bps) external onlyGovernance {
        _grow();
        _setTarget(bps);
    }

    /// @notice Sets the cooldown in seconds; requests made before keep theirs.
    function setCooldown(uint256 duration) external onlyGovernance {
        _setCooldown(duration);
    }

    // ---- Entering ----

    /// @notice Takes tokens that QXC has already moved here for `owner`; QXC alone may call.
    function depositFromToken(address owner, uint256 assets) external returns (uint256 shares) {
        if (msg.sender != asset()) revert Unauthorized(msg.sender);
        shares = previewDeposit(assets);
        _enter(owner, owner, assets, shares);
        _checkBacked(assets);
    }

    function _deposit(
        address caller,
        address receiver,
        uint256 assets,
        uint256 shares
    ) internal override {
        _receive(caller, assets);
        _enter(caller, receiver, assets, shares);
    }

    function _enter(address caller, address receiver, uint256 assets, uint256 shares) private {
        if (shares == 0) revert NothingToDo();
        _grow();
        _assets += uint104(assets);
        _mint(receiver, shares);
        if (delegates(receiver) == address(0)) _delegate(receiver, receiver);
        emit Deposit(caller, receiver, assets, shares);
    }

    // ---- Leaving ----

    /// @notice Ends `shares` of `owner` and fixes what they are worth, to be paid to `owner` after
    ///         the cooldown.
    /// @param controller Must be the owner.
    /// @return requestId Always 0: requests of one owner are one.
    function requestRedeem(
        uint256 shares,
        address controller,
        address owner
    ) public returns (uint256 requestId) {
        if (controller != owner) revert Unauthorized(controller);
        if (msg.sender != owner) _spendAllowance(owner, msg.sender, shares);
        _grow();
        uint256 assets = convertToAssets(shares);
        if (assets == 0) revert NothingToDo();
        _burn(owner, shares);
        _assets -= uint104(assets);
        owed += uint104(assets);
        Exit storage exit = _exits[owner];
        exit.assets += uint104(assets);
        exit.shares += uint104(shares);
        exit.releaseAt = uint40(block.timestamp + cooldown);
        emit RedeemRequest(controller, owner, 0, msg.sender, shares);
        return 0;
    }

    /// @notice Returns the shares that `controller` asked to redeem and that still cool down.
    function pendingRedeemRequest(uint256, address controller) external view returns (uint256) {
        Exit storage exit = _exits[controller];
        return exit.releaseAt > block.timestamp ? exit.shares : 0;
    }

    /// @notice Returns the shares that `controller` may redeem now.
    function claimableRedeemRequest(uint256, address controller) public view returns (uint256) {
        Exit storage exit = _exits[controller];
        return exit.releaseAt > block.timestamp ? 0 : exit.shares;
    }

    /// @notice Returns the exit of `owner`: tokens, shares, and when it is paid.
    function exitOf(
        address owner
    ) external view returns (uint256 assets, uint256 shares, uint256 releaseAt) {
        Exit storage exit = _exits[owner];
        return (exit.assets, exit.shares, exit.releaseAt);
    }

    function maxRedeem(address owner) public view override returns (uint256) {
        return claimableRedeemRequest(0, owner);
    }

    function maxWithdraw(address owner) public view override returns (uint256) {
        return claimableRedeemRequest(0, owner) == 0 ? 0 : _exits[owner].assets;
    }

    function previewRedeem(uint256) public pure override returns (uint256) {
        revert AsynchronousExit();
    }

    function previewWithdraw(uint256) public pure override returns (uint256) {
        revert AsynchronousExit();
    }

    /// @notice Pays `shares` of the caller's finished request to `receiver`.
    function redeem(
        uint256 shares,
        address receiver,
        address owner
    ) public override returns (uint256 assets) {
        Exit memory exit = _exits[owner];
        if (shares == 0 || shares > exit.shares) {
            revert ERC4626ExceededMaxRedeem(owner, shares, exit.shares);
        }
        assets = uint256(exit.assets).mulDiv(shares, exit.shares);
        _pay(receiver, owner, assets, shares);
    }

    /// @notice Pays `assets` of the caller's finished request to `receiver`.
    function withdraw(
        uint256 assets,
        address receiver,
        address owner
    ) public override returns (uint256 shares) {
        Exit memory exit = _exits[owner];
        if (assets == 0 || assets > exit.assets) {
            revert ERC4626ExceededMaxWithdraw(owner, assets, exit.assets);
        }
        shares = uint256(exit.shares).mulDiv(assets, exit.assets, Math.Rounding.Ceil);
        _pay(receiver, owner, assets, shares);
    }

    function _pay(address receiver, address owner, uint256 assets, uint256 shares) private {
        if (msg.sender != owner) revert Unauthorized(msg.sender);
        Exit storage exit = _exits[owner];
        if (exit.releaseAt > block.timestamp) revert StillCooling(exit.releaseAt);
        exit.assets -= uint104(assets);
        exit.shares -= uint104(shares);
        if (exit.assets == 0) delete _exits[owner];
        owed -= uint104(assets);
        IQXC(asset()).transfer(receiver, assets);
        emit Withdraw(msg.sender, receiver, owner, assets, shares);
    }

    // ---- Recovery (ERC-3643) ----

    /// @notice Moves shares and exit of a lost account to another of its holder; QXC's agent alone.
    function recoverAccount(address lost, address successor) external {
        if (msg.sender != IQXC(asset()).agent()) revert Unauthorized(msg.sender);
        if (lost == successor || successor == address(0)) revert NothingToDo();
        Exit memory old = _exits[lost];
        Exit storage exit = _exits[successor];
        exit.assets += old.assets;
        exit.shares += old.shares;
        if (old.releaseAt > exit.releaseAt) exit.releaseAt = old.releaseAt;
        delete _exits[lost];
        _transfer(lost, successor, balanceOf(lost));
        if (delegates(successor) == address(0)) _delegate(successor, successor);
        emit ExitRecovered(lost, successor, old.assets);
    }

    // ---- Clock of votes (ERC-6372): seconds, because blocks come when there is work ----

    function clock() public view override returns (uint48) {
        return uint48(block.timestamp);
    }

    function CLOCK_MODE() public pure override returns (string memory) {
        return "mode=timestamp";
    }

    // ---- Inside ----

    function _growth() private view returns (uint256 growth) {
        if (_reserve == 0 || totalSupply() == 0) return 0;
        uint256 exponent = (uint256(_logRate) * (block.timestamp - _grownAt)) / YEAR;
        uint256 factor = uint256(FixedPointMathLib.expWad(int256(exponent))) - WAD;
        growth = uint256(_assets).mulDiv(factor, WAD);
        if (growth > _reserve) growth = _reserve;
    }

    function _grow() private {
        uint104 growth = uint104(_growth());
        (uint104 assets, uint104 left) = (_assets + growth, _reserve - growth);
        (_assets, _reserve, _grownAt) = (assets, left, uint40(block.timestamp));
        if (growth != 0) emit Grown(assets, left);
    }

    function _receive(address from, uint256 assets) private returns (uint256) {
        IQXC token = IQXC(asset());
        uint256 before = token.balanceOf(address(this));
        token.transferFrom(from, address(this), assets);
        uint256 received = token.balanceOf(address(this)) - before;
        if (received != assets) revert NotExempt(assets, received);
        return received;
    }

    /// @dev What QXC moved here before the call must be all of `assets`.
    function _checkBacked(uint256 assets) private view {
        uint256 held = IQXC(asset()).balanceOf(address(this));
        uint256 needed = uint256(_assets) + _reserve + owed;
        if (held < needed) revert NotExempt(assets, assets + held - needed);
    }

    function _setTarget(uint256 bps) private {
        if (bps > TARGET_BPS_MAX) revert TargetTooHigh(bps);
        targetBps = uint32(bps);
        _logRate = uint64(uint256(FixedPointMathLib.lnWad(int256(WAD + (bps * WAD) / 10_000))));
        emit TargetSet(bps);
    }

    function _setCooldown(uint256 duration) private {
        if (duration > COOLDOWN_MAX) revert CooldownTooLong(duration);
        cooldown = uint32(duration);
        emit CooldownSet(duration);
    }

    function decimals() public view override(ERC20, ERC4626) returns (uint8) {
        return super.decimals();
    }

    function nonces(address owner) public view override(ERC20Permit, Nonces) returns (uint256) {
        return super.nonces(owner);
    }

    function _update(
        address from,
        address to,
        uint256 value
    ) internal override(ERC20, ERC20Votes) {
        super._update(from, to, value);
    }
}
