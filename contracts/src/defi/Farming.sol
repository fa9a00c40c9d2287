// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {FullMath} from "@uniswap/v4-core/src/libraries/FullMath.sol";
import {SafeCast} from "@uniswap/v4-core/src/libraries/SafeCast.sol";
import {Guarded, IExitPolicy} from "./Guarded.sol";
import {Money} from "./Money.sol";

/// @title Farms: a fund is paid out evenly over time among those who stake a token.
/// @notice Principal and reward are booked apart per farm and never read from a balance, so a farm
///         whose reward is its own staking token cannot pay principal out as reward. The clock
///         stands still while nobody stakes: no reward is lost then, or captured by the first to
///         come. Reward per staked unit is fixed point with 128 binary places, rounded down.
contract Farming is Guarded {
    using SafeCast for uint256;

    /// @dev `left` is paid out over the next `timeLeft` seconds with somebody staking; `forfeited`
    ///      is what emergency withdrawals gave up, the manager's.
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

    uint256 private constant Q128 = 1 << 128;
    uint40 public constant DURATION_MIN = 60;
    uint40 public constant DURATION_MAX = 10 * 365 days;

    /// @dev Shares its word with the exit policy.
    uint96 private _count;
    mapping(uint256 farm => Farm) private _farms;
    mapping(uint256 farm => mapping(address => Stake)) private _stakes;

    event FarmCreated(
        uint256 indexed farm, address indexed stakeToken, address indexed rewardToken, address manager
    );
    event Funded(uint256 indexed farm, uint256 amount, uint256 left, uint256 timeLeft);
    event Staked(uint256 indexed farm, address indexed account, uint256 amount);
    event Withdrawn(uint256 indexed farm, address indexed account, uint256 amount);
    event Claimed(uint256 indexed farm, address indexed account, uint256 reward);
    event EmergencyWithdrawn(uint256 indexed farm, address indexed account, uint256 amount, uint256 forfeited);
    event Reclaimed(uint256 indexed farm, address indexed to, uint256 amount);

    error UnknownFarm(uint256 farm);
    error NotManager(address caller);
    error BadDuration(uint40 duration);
    error RateWouldFall();
    error TooSmall();

    constructor(address owner_, IExitPolicy policy) Guarded(owner_, policy) {}

    function count() external view returns (uint256) {
        return _count;
    }

    function farmOf(uint256 farm) external view settled returns (Farm memory) {
        return _stored(farm);
    }

    function stakeOf(uint256 farm, address account) external view settled returns (Stake memory) {
        return _stakes[farm][account];
    }

    /// @notice What an account could claim now.
    function earned(uint256 farm, address account) external view settled returns (uint256) {
        Farm storage book = _stored(farm);
        (uint256 paid,) = _due(book);
        uint256 perUnit = book.perUnit;
        unchecked {
            if (paid != 0) perUnit += FullMath.mulDiv(paid, Q128, book.staked);
        }
        return _owed(_stakes[farm][account], perUnit);
    }

    /// @notice What all stakers together earn per second, times 10^18.
    function rewardRate(uint256 farm) external view settled returns (uint256) {
        Farm storage book = _stored(farm);
        (uint256 paid, uint256 time) = _due(book);
        if (book.timeLeft == time) return 0;
        return (uint256(book.left - paid) * 1e18) / (book.timeLeft - time);
    }

    /// @notice When the reward ends if somebody stakes from now on.
    function periodFinish(uint256 farm) external view settled returns (uint256) {
        Farm storage book = _stored(farm);
        (, uint256 time) = _due(book);
        return block.timestamp + book.timeLeft - time;
    }

    // Managers --------------------------------------------------------------------------------

    /// @notice Opens a farm that pays `reward` out over `duration` seconds; the caller manages it.
    function createFarm(address stakeToken, address rewardToken, uint256 reward, uint40 duration)
        external
        locked
        returns (uint256 farm)
    {
        if (stakeToken.code.length == 0) revert NoCode(stakeToken);
        farm = _count++;
        Farm storage book = _farms[farm];
        book.stakeToken = stakeToken;
        book.rewardToken = rewardToken;
        book.manager = msg.sender;
        book.updated = uint40(block.timestamp);
        emit FarmCreated(farm, stakeToken, rewardToken, msg.sender);
        _fund(farm, book, reward, duration);
    }

    /// @notice Adds to the fund; what is left is paid out over `duration` seconds from now on, at
    ///         no lower rate than before. For the manager alone, so nobody dilutes with one unit.
    function fund(uint256 farm, uint256 reward, uint40 duration) external locked {
        Farm storage book = _managed(farm);
        _update(book);
        _fund(farm, book, reward, duration);
    }

    function _fund(uint256 farm, Farm storage book, uint256 reward, uint40 duration) private {
        if (duration < DURATION_MIN || duration > DURATION_MAX) revert BadDuration(duration);
        uint256 received = Money.take(book.rewardToken, msg.sender, reward);
        if (received == 0) revert TooSmall();
        (uint256 left, uint256 timeLeft) = (book.left, book.timeLeft);
        // left / timeLeft <= (left + received) / duration
        if (left * duration > (left + received) * timeLeft && timeLeft != 0) revert RateWouldFall();
        book.left = (left + received).toUint128();
        book.timeLeft = duration;
        emit Funded(farm, received, left + received, duration);
    }

    /// @notice Pays the manager what emergency withdrawals gave up.
    function reclaim(uint256 farm, address to) external locked {
        Farm storage book = _managed(farm);
        uint256 amount = book.forfeited;
        book.forfeited = 0;
        emit Reclaimed(farm, to, amount);
        _send(book.rewardToken, msg.sender, to, amount);
    }

    // Stakers ---------------------------------------------------------------------------------

    /// @notice Stakes `amount`; returns what arrived and counts.
    function stake(uint256 farm, uint256 amount) external locked returns (uint256 received) {
        Farm storage book = _stored(farm);
        Stake storage own = _settle(farm, book);
        received = Money.take(book.stakeToken, msg.sender, amount);
        if (received == 0) revert TooSmall();
        book.staked = (book.staked + received).toUint128();
        own.amount += uint128(received);
        emit Staked(farm, msg.sender, received);
    }

    /// @notice Takes `amount` of the principal back; the reward stays to be claimed.
    function withdraw(uint256 farm, uint256 amount) external locked {
        Farm storage book = _stored(farm);
        Stake storage own = _settle(farm, book);
        _takeOut(farm, book, own, amount);
    }

    /// @notice Pays the reward so far.
    function claim(uint256 farm) external locked returns (uint256 reward) {
        Farm storage book = _stored(farm);
        Stake storage own = _settle(farm, book);
        return _pay(farm, book, own);
    }

    /// @notice Takes all principal and the reward.
    function exit(uint256 farm) external locked returns (uint256 amount, uint256 reward) {
        Farm storage book = _stored(farm);
        Stake storage own = _settle(farm, book);
        amount = own.amount;
        reward = _pay(farm, book, own);
        _takeOut(farm, book, own, amount);
    }

    /// @notice Takes all principal and gives up the reward: works even when the reward token does
    ///         not, because it is not touched.
    function emergencyWithdraw(uint256 farm) external locked returns (uint256 amount) {
        Farm storage book = _stored(farm);
        uint256 perUnit = _update(book);
        Stake memory own = _stakes[farm][msg.sender];
        amount = own.amount;
        if (amount == 0) revert TooSmall();
        uint128 given = uint128(_owed(own, perUnit));
        delete _stakes[farm][msg.sender];
        book.staked -= own.amount;
        uint128 room = type(uint128).max - book.forfeited;
        book.forfeited += given > room ? room : given;
        emit EmergencyWithdrawn(farm, msg.sender, amount, given);
        _send(book.stakeToken, msg.sender, msg.sender, amount);
    }

    function _takeOut(uint256 farm, Farm storage book, Stake storage own, uint256 amount) private {
        if (amount == 0 || amount > own.amount) revert TooSmall();
        own.amount -= uint128(amount);
        book.staked -= uint128(amount);
        emit Withdrawn(farm, msg.sender, amount);
        _send(book.stakeToken, msg.sender, msg.sender, amount);
    }

    function _pay(uint256 farm, Farm storage book, Stake storage own) private returns (uint256 reward) {
        reward = own.reward;
        if (reward == 0) return 0;
        own.reward = 0;
        emit Claimed(farm, msg.sender, reward);
        _send(book.rewardToken, msg.sender, msg.sender, reward);
    }

    // Time ------------------------------------------------------------------------------------

    /// @dev What is due since the last update, and the seconds it took.
    function _due(Farm storage book) private view returns (uint256 paid, uint256 time) {
        (uint256 updated, uint256 timeLeft) = (book.updated, book.timeLeft);
        (uint256 staked, uint256 left) = (book.staked, book.left);
        time = block.timestamp - updated;
        if (time > timeLeft) time = timeLeft;
        if (time == 0 || staked == 0) return (0, 0);
        // All of it in the last second: no dust stays behind. 128 bits times 40 fit.
        unchecked {
            paid = (left * time) / timeLeft;
        }
    }

    /// @dev Books what is due; returns the reward per unit so far.
    function _update(Farm storage book) private returns (uint256 perUnit) {
        (uint256 paid, uint256 time) = _due(book);
        uint40 timeLeft = book.timeLeft;
        perUnit = book.perUnit;
        // No more is due than is left, in no more time than is left.
        unchecked {
            (book.updated, book.timeLeft) = (uint40(block.timestamp), timeLeft - uint40(time));
            if (paid == 0) return perUnit;
            (uint128 staked, uint128 left) = (book.staked, book.left);
            book.left = left - uint128(paid);
            // Wraps around; only differences of it are ever used. No fund can lock principal in.
            perUnit += FullMath.mulDiv(paid, Q128, staked);
        }
        book.perUnit = perUnit;
    }

    function _settle(uint256 farm, Farm storage book) private returns (Stake storage own) {
        uint256 perUnit = _update(book);
        own = _stakes[farm][msg.sender];
        if (own.perUnit == perUnit) return own;
        own.reward = uint128(_owed(own, perUnit));
        own.perUnit = perUnit;
    }

    /// @dev At most what 128 bits hold: a worthless token may be funded for ever.
    function _owed(Stake memory own, uint256 perUnit) private pure returns (uint256 owed) {
        unchecked {
            owed = FullMath.mulDiv(own.amount, perUnit - own.perUnit, Q128);
        }
        uint256 room = type(uint128).max - own.reward;
        owed = owed > room ? type(uint128).max : owed + own.reward;
    }

    function _stored(uint256 farm) private view returns (Farm storage book) {
        book = _farms[farm];
        if (book.stakeToken == address(0)) revert UnknownFarm(farm);
    }

    function _managed(uint256 farm) private view returns (Farm storage book) {
        book = _stored(farm);
        if (msg.sender != book.manager) revert NotManager(msg.sender);
    }
}
