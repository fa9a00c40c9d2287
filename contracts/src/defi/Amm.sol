// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {FullMath} from "@uniswap/v4-core/src/libraries/FullMath.sol";
import {SafeCast} from "@uniswap/v4-core/src/libraries/SafeCast.sol";
import {TickMath} from "@uniswap/v4-core/src/libraries/TickMath.sol";
import {AmmPools} from "./AmmPools.sol";
import {
    Hop, IAmmFlashBorrower, Loan, Observation, Pool, PoolKey, Position, Tick
} from "./AmmTypes.sol";
import {Guarded, IExitPolicy} from "./Guarded.sol";
import {Money} from "./Money.sol";

/// @title An exchange with concentrated liquidity: all pools, their router and their history.
/// @notice Tokens lie in this one contract, so a route moves only its first and its last token.
///         What comes in counts as it is measured, so tokens that burn a part of each transfer
///         are safe; what the pools owe is booked by liquidity and never read from a balance, so
///         a gift changes nothing. State changes before tokens leave, every entry takes one lock,
///         and the views that others price by refuse to answer while it is taken.
contract Amm is Guarded {
    using AmmPools for Pool;
    using SafeCast for uint256;

    uint256 public constant HOPS_MAX = 6;
    bytes32 public constant FLASH_DONE = keccak256("IAmmFlashBorrower.onAmmFlash");

    mapping(bytes32 id => Pool) private _pools;
    /// @notice Whether pools with this fee and tick spacing may be created.
    mapping(uint24 fee => mapping(int24 tickSpacing => bool)) public isTier;
    /// @notice Fees that wait for the treasury.
    mapping(address token => uint256) public protocolFees;

    event TierAllowed(uint24 fee, int24 tickSpacing);
    event PoolCreated(
        bytes32 indexed id,
        address indexed token0,
        address indexed token1,
        uint24 fee,
        int24 tickSpacing,
        uint160 sqrtPrice,
        int24 tick
    );
    event LiquidityChanged(
        bytes32 indexed id,
        address indexed owner,
        int24 lower,
        int24 upper,
        int128 liquidity,
        int256 amount0,
        int256 amount1,
        uint256 fees0,
        uint256 fees1,
        bytes32 salt
    );
    event Swapped(
        bytes32 indexed id,
        address indexed caller,
        bool zeroForOne,
        uint256 amountIn,
        uint256 amountOut,
        uint160 sqrtPrice,
        uint128 liquidity,
        int24 tick
    );
    event Flashed(
        bytes32 indexed id, address indexed receiver, uint256 amount0, uint256 amount1, uint256 paid0, uint256 paid1
    );
    event ProtocolShareSet(bytes32 indexed id, uint8 share);
    event ProtocolFeesTaken(address indexed token, address indexed to, uint256 amount);

    error BadKey();
    error BadTier(uint24 fee, int24 tickSpacing);
    error BadRoute(uint256 hops);
    error TooLittle(uint256 received, uint256 min);
    error TooMuch(uint256 needed, uint256 max);
    error Unfilled(uint256 filled, uint256 wanted);
    error NotRepaid(address token, uint256 owed, uint256 paid);
    error NotAcknowledged();
    error BadShare(uint8 share);
    error Quoted(uint256 amountIn, uint256 amountOut);

    constructor(address owner_, IExitPolicy policy) Guarded(owner_, policy) {
        _allow(100, 1);
        _allow(500, 10);
        _allow(3000, 60);
        _allow(10_000, 200);
    }

    /// @dev The native coin comes with a call, or back from a flash loan.
    receive() external payable {
        if (!_isLocked()) revert Money.WrongValue(msg.value, 0);
    }

    // Pools -----------------------------------------------------------------------------------

    /// @notice The name of a pool.
    function idOf(PoolKey memory key) public pure returns (bytes32) {
        return keccak256(abi.encode(key));
    }

    /// @notice Opens a pool at a price: the square root of token1 for token0, times 2^96.
    function createPool(PoolKey calldata key, uint160 sqrtPrice) external locked returns (bytes32 id) {
        if (key.token0 >= key.token1) revert BadKey();
        if (!isTier[key.fee][key.tickSpacing]) revert BadTier(key.fee, key.tickSpacing);
        if (key.token0 != Money.NATIVE && key.token0.code.length == 0) revert NoCode(key.token0);
        if (key.token1.code.length == 0) revert NoCode(key.token1);
        id = idOf(key);
        int24 tick = _pools[id].begin(sqrtPrice);
        emit PoolCreated(id, key.token0, key.token1, key.fee, key.tickSpacing, sqrtPrice, tick);
    }

    /// @notice Makes room in a pool's history; whoever wants a long average pays for it.
    function growHistory(PoolKey calldata key, uint16 observations) external locked returns (uint16) {
        return _pools[idOf(key)].grow(observations);
    }

    // Positions -------------------------------------------------------------------------------

    struct Add {
        PoolKey key;
        int24 lower;
        int24 upper;
        uint128 liquidity;
        uint256 amount0Max;
        uint256 amount1Max;
        bytes32 salt;
        uint256 deadline;
    }

    struct Remove {
        PoolKey key;
        int24 lower;
        int24 upper;
        uint128 liquidity;
        uint256 amount0Min;
        uint256 amount1Min;
        bytes32 salt;
        address recipient;
        uint256 deadline;
    }

    /// @notice Adds liquidity to the caller's position; what it earned pays a part of it.
    /// @return amount0 What the liquidity holds of token0, before what was earned.
    /// @return amount1 The same of token1.
    function addLiquidity(Add calldata wish)
        external
        payable
        locked
        before(wish.deadline)
        returns (uint256 amount0, uint256 amount1)
    {
        if (wish.liquidity == 0) revert AmmPools.NoLiquidity();
        (int256 need0, int256 need1, uint256 fees0, uint256 fees1) = _modify(
            wish.key, wish.lower, wish.upper, uint256(wish.liquidity).toInt128(), wish.salt
        );
        (amount0, amount1) = (uint256(need0), uint256(need1));
        if (wish.key.token0 != Money.NATIVE) _expectNoValue();
        _payFor(wish.key.token0, amount0, fees0, wish.amount0Max);
        _payFor(wish.key.token1, amount1, fees1, wish.amount1Max);
    }

    /// @notice Takes liquidity out of the caller's position, with all it earned. With a liquidity
    ///         of zero it takes the earnings alone.
    /// @return amount0 What the liquidity held of token0, without earnings; the minima bound this.
    /// @return amount1 The same of token1.
    function removeLiquidity(Remove calldata wish)
        external
        locked
        before(wish.deadline)
        returns (uint256 amount0, uint256 amount1)
    {
        (int256 need0, int256 need1, uint256 fees0, uint256 fees1) = _modify(
            wish.key, wish.lower, wish.upper, -uint256(wish.liquidity).toInt128(), wish.salt
        );
        (amount0, amount1) = (uint256(-need0), uint256(-need1));
        if (amount0 < wish.amount0Min) revert TooLittle(amount0, wish.amount0Min);
        if (amount1 < wish.amount1Min) revert TooLittle(amount1, wish.amount1Min);
        _send(wish.key.token0, msg.sender, wish.recipient, amount0 + fees0);
        _send(wish.key.token1, msg.sender, wish.recipient, amount1 + fees1);
    }

    function _modify(PoolKey memory key, int24 lower, int24 upper, int128 liquidity, bytes32 salt)
        private
        returns (int256 need0, int256 need1, uint256 fees0, uint256 fees1)
    {
        bytes32 id = idOf(key);
        (need0, need1, fees0, fees1) = _pools[id].modify(
            key,
            AmmPools.Change(lower, upper, liquidity, _positionOf(msg.sender, lower, upper, salt))
        );
        emit LiquidityChanged(
            id, msg.sender, lower, upper, liquidity, need0, need1, fees0, fees1, salt
        );
    }

    /// @dev `max` bounds the sum of what is paid and what the position earned.
    function _payFor(address token, uint256 amount, uint256 earned, uint256 max) private {
        if (amount > max) revert TooMuch(amount, max);
        if (earned > amount) {
            if (token == Money.NATIVE) _refund(msg.value);
            _send(token, msg.sender, msg.sender, earned - amount);
        } else {
            _collect(token, amount - earned, max - earned);
        }
    }

    // Swaps -----------------------------------------------------------------------------------

    /// @notice Swaps exactly `amountIn` along a route.
    /// @param amountOutMin Least that the recipient must receive, measured.
    /// @return amountOut What the recipient received.
    function swapExactIn(
        address tokenIn,
        Hop[] calldata route,
        uint256 amountIn,
        uint256 amountOutMin,
        address recipient,
        uint256 deadline
    ) external payable locked before(deadline) returns (uint256 amountOut) {
        amountOut = _route(tokenIn, route, _takeIn(tokenIn, amountIn));
        return _deliver(route[route.length - 1].token, recipient, amountOut, amountOutMin);
    }

    /// @notice Swaps for exactly `amountOut`, as it leaves the last pool.
    /// @param amountInMax Most that the caller pays, with what its token burns on the way.
    /// @return amountIn What the first pool asked for.
    function swapExactOut(
        address tokenIn,
        Hop[] calldata route,
        uint256 amountOut,
        uint256 amountInMax,
        address recipient,
        uint256 deadline
    ) external payable locked before(deadline) returns (uint256 amountIn) {
        if (tokenIn != Money.NATIVE) _expectNoValue();
        amountIn = _routeBack(tokenIn, route, amountOut);
        if (amountIn > amountInMax) revert TooMuch(amountIn, amountInMax);
        _collect(tokenIn, amountIn, amountInMax);
        _send(route[route.length - 1].token, msg.sender, recipient, amountOut);
    }

    /// @notice Swaps up to `amountIn` in one pool until its price is `sqrtPriceLimit`; what is not
    ///         needed goes back to the caller.
    function swapToPrice(
        PoolKey calldata key,
        bool zeroForOne,
        uint256 amountIn,
        uint160 sqrtPriceLimit,
        uint256 amountOutMin,
        address recipient,
        uint256 deadline
    ) external payable locked before(deadline) returns (uint256 spent, uint256 amountOut) {
        (address from, address to) =
            zeroForOne ? (key.token0, key.token1) : (key.token1, key.token0);
        uint256 received = _takeIn(from, amountIn);
        (spent, amountOut) = _swap(key, zeroForOne, -received.toInt256(), sqrtPriceLimit);
        amountOut = _deliver(to, recipient, amountOut, amountOutMin);
        Money.give(from, msg.sender, received - spent);
    }

    /// @notice Does a route, tells the result in the error `Quoted`, and changes nothing.
    /// @param amount Below zero: exactly so much in. Above zero: exactly so much out.
    function simulate(address tokenIn, Hop[] calldata route, int256 amount) external {
        _lock();
        if (amount < 0) revert Quoted(uint256(-amount), _route(tokenIn, route, uint256(-amount)));
        revert Quoted(_routeBack(tokenIn, route, uint256(amount)), uint256(amount));
    }

    /// @dev Every pool must take all that it is given: nothing may get lost between two of them.
    function _route(address token, Hop[] calldata route, uint256 amount) private returns (uint256) {
        _checkRoute(route.length);
        for (uint256 i; i < route.length; ++i) {
            (PoolKey memory key, bool zeroForOne) = _keyOf(token, route[i]);
            (uint256 spent, uint256 out) =
                _swap(key, zeroForOne, -amount.toInt256(), _farthest(zeroForOne));
            if (spent != amount) revert Unfilled(spent, amount);
            (token, amount) = (route[i].token, out);
        }
        return amount;
    }

    /// @dev From the last pool to the first: each asks the one before for what it needs itself.
    function _routeBack(address tokenIn, Hop[] calldata route, uint256 amount)
        private
        returns (uint256)
    {
        _checkRoute(route.length);
        for (uint256 i = route.length; i != 0; --i) {
            address from = i == 1 ? tokenIn : route[i - 2].token;
            (PoolKey memory key, bool zeroForOne) = _keyOf(from, route[i - 1]);
            (uint256 spent, uint256 out) =
                _swap(key, zeroForOne, amount.toInt256(), _farthest(zeroForOne));
            if (out != amount) revert Unfilled(out, amount);
            amount = spent;
        }
        return amount;
    }

    function _swap(PoolKey memory key, bool zeroForOne, int256 amount, uint160 limit)
        private
        returns (uint256, uint256)
    {
        bytes32 id = idOf(key);
        AmmPools.Swapping memory s = _pools[id].swap(key, zeroForOne, amount, limit);
        if (s.protocolFee != 0) protocolFees[zeroForOne ? key.token0 : key.token1] += s.protocolFee;
        emit Swapped(
            id, msg.sender, zeroForOne, s.amountIn, s.amountOut, s.sqrtPrice, s.liquidity, s.tick
        );
        return (s.amountIn, s.amountOut);
    }

    function _checkRoute(uint256 hops) private pure {
        if (hops == 0 || hops > HOPS_MAX) revert BadRoute(hops);
    }

    function _keyOf(address from, Hop calldata hop)
        private
        pure
        returns (PoolKey memory key, bool zeroForOne)
    {
        zeroForOne = from < hop.token;
        (address token0, address token1) = zeroForOne ? (from, hop.token) : (hop.token, from);
        key = PoolKey(token0, token1, hop.fee, hop.tickSpacing);
    }

    function _farthest(bool zeroForOne) private pure returns (uint160) {
        return zeroForOne ? TickMath.MIN_SQRT_PRICE + 1 : TickMath.MAX_SQRT_PRICE - 1;
    }

    // Flash loans -----------------------------------------------------------------------------

    /// @notice Lends to the caller within this call. Each amount comes back with the pool's fee,
    ///         rounded up; the liquidity in range earns what comes back above the amounts. The
    ///         exchange stays locked meanwhile.
    function flash(PoolKey calldata key, uint256 amount0, uint256 amount1, bytes calldata data)
        external
        locked
    {
        bytes32 id = idOf(key);
        if (_pools[id].sqrtPrice == 0) revert AmmPools.UnknownPool();
        (uint256 paid0, uint256 paid1) = _lend(key, amount0, amount1, data);
        _pools[id].donate(
            paid0 - _protocolPart(id, key.token0, paid0), paid1 - _protocolPart(id, key.token1, paid1)
        );
        emit Flashed(id, msg.sender, amount0, amount1, paid0, paid1);
    }

    function _lend(PoolKey calldata key, uint256 amount0, uint256 amount1, bytes calldata data)
        private
        returns (uint256, uint256)
    {
        Loan memory loan;
        (loan.amount0, loan.amount1) = (amount0, amount1);
        loan.fee0 = FullMath.mulDivRoundingUp(amount0, key.fee, AmmPools.PIPS);
        loan.fee1 = FullMath.mulDivRoundingUp(amount1, key.fee, AmmPools.PIPS);
        uint256 held0 = Money.held(key.token0);
        uint256 held1 = Money.held(key.token1);
        _send(key.token0, msg.sender, msg.sender, amount0);
        _send(key.token1, msg.sender, msg.sender, amount1);
        bytes32 done = IAmmFlashBorrower(msg.sender).onAmmFlash(msg.sender, key, loan, data);
        if (done != FLASH_DONE) revert NotAcknowledged();
        return (_gained(key.token0, held0, loan.fee0), _gained(key.token1, held1, loan.fee1));
    }

    function _gained(address token, uint256 was, uint256 fee) private view returns (uint256) {
        uint256 now_ = Money.held(token);
        if (now_ < was + fee) revert NotRepaid(token, was + fee, now_);
        return now_ - was;
    }

    function _protocolPart(bytes32 id, address token, uint256 paid) private returns (uint256 part) {
        uint8 share = _pools[id].protocolShare;
        if (share == 0) return 0;
        part = paid / share;
        protocolFees[token] += part;
    }

    // Views -----------------------------------------------------------------------------------

    function poolOf(PoolKey calldata key)
        external
        view
        settled
        returns (uint160 sqrtPrice, int24 tick, uint128 liquidity, uint8 protocolShare)
    {
        Pool storage pool = _pools[idOf(key)];
        return (pool.sqrtPrice, pool.tick, pool.liquidity, pool.protocolShare);
    }

    function feeGrowthOf(PoolKey calldata key) external view settled returns (uint256, uint256) {
        Pool storage pool = _pools[idOf(key)];
        return (pool.feeGrowth0, pool.feeGrowth1);
    }

    function tickOf(PoolKey calldata key, int24 tick) external view settled returns (Tick memory) {
        return _pools[idOf(key)].ticks[tick];
    }

    function bitmapOf(PoolKey calldata key, int16 word) external view settled returns (uint256) {
        return _pools[idOf(key)].bitmap[word];
    }

    function positionOf(PoolKey calldata key, address owner_, int24 lower, int24 upper, bytes32 salt)
        external
        view
        settled
        returns (Position memory)
    {
        return _pools[idOf(key)].positions[_positionOf(owner_, lower, upper, salt)];
    }

    /// @notice Growth of fees between two ticks that are ends of positions.
    function feesInside(PoolKey calldata key, int24 lower, int24 upper)
        external
        view
        settled
        returns (uint256, uint256)
    {
        return _pools[idOf(key)].feesInside(lower, upper);
    }

    function observationOf(PoolKey calldata key, uint256 index)
        external
        view
        returns (Observation memory)
    {
        return _pools[idOf(key)].observations[index];
    }

    /// @notice The sum of tick times seconds, as it was each of `agos` seconds ago.
    function observe(PoolKey calldata key, uint32[] calldata agos)
        external
        view
        settled
        returns (int56[] memory sums)
    {
        Pool storage pool = _pools[idOf(key)];
        sums = new int56[](agos.length);
        for (uint256 i; i < agos.length; ++i) sums[i] = pool.tickSumAt(agos[i]);
    }

    function _positionOf(address owner_, int24 lower, int24 upper, bytes32 salt)
        private
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(owner_, lower, upper, salt));
    }

    // Governance ------------------------------------------------------------------------------

    /// @notice Lets pools with this fee and spacing be created. There is no way back: pools stay.
    function allowTier(uint24 fee, int24 tickSpacing) external onlyOwner {
        _allow(fee, tickSpacing);
    }

    function _allow(uint24 fee, int24 spacing) private {
        bool good = fee <= 100_000 && spacing >= 1 && spacing <= TickMath.MAX_TICK_SPACING;
        if (!good) revert BadTier(fee, spacing);
        isTier[fee][spacing] = true;
        emit TierAllowed(fee, spacing);
    }

    /// @notice Gives one part in `share` of a pool's fees to the protocol; 0 gives nothing, else
    ///         from 4 to 20.
    function setProtocolShare(PoolKey calldata key, uint8 share) external locked onlyOwner {
        if (share != 0 && (share < 4 || share > 20)) revert BadShare(share);
        bytes32 id = idOf(key);
        if (_pools[id].sqrtPrice == 0) revert AmmPools.UnknownPool();
        _pools[id].protocolShare = share;
        emit ProtocolShareSet(id, share);
    }

    function takeProtocolFees(address token, address to) external locked onlyOwner {
        uint256 amount = protocolFees[token];
        protocolFees[token] = 0;
        _send(token, msg.sender, to, amount);
        emit ProtocolFeesTaken(token, to, amount);
    }

    // Money -----------------------------------------------------------------------------------

    /// @dev Takes an exact amount that somebody wants to spend; returns what arrived.
    function _takeIn(address token, uint256 amount) private returns (uint256) {
        if (token == Money.NATIVE) {
            if (msg.value != amount) revert Money.WrongValue(msg.value, amount);
            return amount;
        }
        _expectNoValue();
        return Money.take(token, msg.sender, amount);
    }

    /// @dev Takes until `owed` has arrived; native value that is not needed goes back.
    function _collect(address token, uint256 owed, uint256 payMax) private {
        if (token == Money.NATIVE) {
            if (msg.value < owed) revert Money.WrongValue(msg.value, owed);
            _refund(msg.value - owed);
            return;
        }
        if (owed == 0) return;
        (uint256 received,) = Money.collect(token, msg.sender, owed, payMax);
        if (received < owed) revert TooMuch(owed, received);
    }

    function _refund(uint256 value) private {
        Money.give(Money.NATIVE, msg.sender, value);
    }

    function _expectNoValue() private view {
        if (msg.value != 0) revert Money.WrongValue(msg.value, 0);
    }

    function _deliver(address token, address to, uint256 amount, uint256 min)
        private
        returns (uint256 received)
    {
        uint256 was = Money.balanceOf(token, to);
        _send(token, msg.sender, to, amount);
        received = Money.balanceOf(token, to) - was;
        if (received < min) revert TooLittle(received, min);
    }
}
