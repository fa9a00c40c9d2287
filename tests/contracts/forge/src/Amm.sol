// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Coin, Handler, Suite, vm} from "./Suite.sol";

struct PoolKey {
    address token0;
    address token1;
    uint24 fee;
    int24 tickSpacing;
}

struct Hop {
    address token;
    uint24 fee;
    int24 tickSpacing;
}

struct Loan {
    uint256 amount0;
    uint256 amount1;
    uint256 fee0;
    uint256 fee1;
}

interface IAmm {
    struct Tick {
        uint128 gross;
        int128 net;
        uint256 feesOutside0;
        uint256 feesOutside1;
    }

    struct Position {
        uint128 liquidity;
        uint256 feesInside0;
        uint256 feesInside1;
    }

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

    function createPool(PoolKey calldata key, uint160 sqrtPrice) external returns (bytes32);
    function growHistory(PoolKey calldata key, uint16 observations) external returns (uint16);
    function addLiquidity(Add calldata wish) external payable returns (uint256, uint256);
    function removeLiquidity(Remove calldata wish) external returns (uint256, uint256);
    function swapExactIn(address, Hop[] calldata, uint256, uint256, address, uint256)
        external
        payable
        returns (uint256);
    function swapExactOut(address, Hop[] calldata, uint256, uint256, address, uint256)
        external
        payable
        returns (uint256);
    function swapToPrice(PoolKey calldata, bool, uint256, uint160, uint256, address, uint256)
        external
        payable
        returns (uint256, uint256);
    function flash(PoolKey calldata key, uint256 amount0, uint256 amount1, bytes calldata data) external;
    function setProtocolShare(PoolKey calldata key, uint8 share) external;
    function takeProtocolFees(address token, address to) external;
    function protocolFees(address token) external view returns (uint256);
    function poolOf(PoolKey calldata key) external view returns (uint160, int24, uint128, uint8);
    function feeGrowthOf(PoolKey calldata key) external view returns (uint256, uint256);
    function tickOf(PoolKey calldata key, int24 tick) external view returns (Tick memory);
    function bitmapOf(PoolKey calldata key, int16 word) external view returns (uint256);
    function positionOf(PoolKey calldata, address, int24, int24, bytes32) external view returns (Position memory);
    function feesInside(PoolKey calldata key, int24 lower, int24 upper) external view returns (uint256, uint256);
    function observe(PoolKey calldata key, uint32[] calldata agos) external view returns (int56[] memory);
}

/// @title Positions, swaps and flash loans in two pools that share a token, one of them burning.
/// @notice Numbers are those of Trail of Bits' end-to-end properties of a concentrated exchange.
contract AmmHandler is Handler {
    struct State {
        uint160 root;
        int24 tick;
        uint128 liquidity;
        uint256 growth0;
        uint256 growth1;
    }

    struct Owned {
        address owner;
        uint8 pool;
        uint8 low;
        uint8 high;
        uint128 liquidity;
    }

    uint256 private constant FAR = 2 ** 60;
    uint256 private constant POSITIONS_MAX = 16;
    bytes32 private constant FLASH_DONE = keccak256("IAmmFlashBorrower.onAmmFlash");
    address private constant NATIVE = address(0);
    int24[7] private ENDS = [int24(-6000), -600, -60, 0, 60, 600, 6000];
    uint160[7] private ROOTS = [
        58694546734607936014596754229,
        76886731765546235930195592750,
        78990846045029531151608375686,
        79228162514264337593543950336,
        79466191966197645195421774833,
        81640896826356156310682304526,
        106945228894416644761163377414
    ];

    IAmm private immutable amm;
    address private immutable owner;
    PoolKey[2] private _keys;
    address[3] private _tokens;
    Owned[] private _positions;
    int56[2] private _tickSums;
    uint256 private _giveBack;
    bool private _answered;

    constructor(IAmm amm_, address owner_, Coin plain, Coin burning) {
        (amm, owner) = (amm_, owner_);
        _tokens = [NATIVE, address(plain), address(burning)];
        (address a, address b) = (address(plain), address(burning));
        _keys[0] = a < b ? PoolKey(a, b, 3000, 60) : PoolKey(b, a, 3000, 60);
        _keys[1] = PoolKey(NATIVE, a, 3000, 60);
        for (uint256 i; i < 2; ++i) amm_.createPool(_keys[i], ROOTS[3]);
        for (uint256 i; i < people.length; ++i) _enrich(people[i], plain, burning);
        _enrich(address(this), plain, burning);
        for (uint8 i; i < 2; ++i) _add(Owned(people[0], i, 0, 6, 10 ** 21), true);
    }

    receive() external payable {}

    function _enrich(address who, Coin plain, Coin burning) private {
        vm.deal(who, 10 ** 40);
        plain.mint(who, 10 ** 40);
        burning.mint(who, 10 ** 40);
        vm.prank(who);
        plain.approve(address(amm), type(uint256).max);
        vm.prank(who);
        burning.approve(address(amm), type(uint256).max);
    }

    function selectors() external pure override returns (bytes4[] memory list) {
        list = new bytes4[](12);
        (list[0], list[1], list[2]) = (this.add.selector, this.remove.selector, this.swap.selector);
        (list[3], list[4], list[5]) = (this.crumbs.selector, this.toEnd.selector, this.thereAndBack.selector);
        (list[6], list[7], list[8]) = (this.route.selector, this.flash.selector, this.gift.selector);
        (list[9], list[10], list[11]) = (this.treasury.selector, this.wait.selector, this.swap.selector);
    }

    // Actions ---------------------------------------------------------------------------------

    function add(uint256 who, uint8 pool, uint8 one, uint8 two, uint256 pick) external {
        (one, two) = (one % 7, two % 7);
        if (one == two) return;
        if (one > two) (one, two) = (two, one);
        _add(Owned(_person(who), pool % 2, one, two, uint128(_amount(pick, 10 ** 26))), false);
    }

    function _add(Owned memory wish, bool must) private {
        IAmm.Add memory call;
        (call.key, call.lower, call.upper) = (_keys[wish.pool], ENDS[wish.low], ENDS[wish.high]);
        (call.liquidity, call.deadline) = (wish.liquidity, FAR);
        (call.amount0Max, call.amount1Max) = (type(uint256).max, type(uint256).max);
        uint256 value = wish.pool == 1 ? 10 ** 32 : 0;
        uint256 place = _find(wish);
        if (place == _positions.length && place == POSITIONS_MAX) return;
        State memory was = _state(wish.pool);
        (bool done,) = _try("add", wish.owner, address(amm), value, abi.encodeCall(IAmm.addLiquidity, (call)));
        _hold(done || !must, "the first position was refused");
        if (!done) return;
        _hold(_state(wish.pool).root == was.root, "adding moved the price");
        if (place == _positions.length) _positions.push(wish);
        else _positions[place].liquidity += wish.liquidity;
    }

    function remove(uint256 pick, uint256 part) external {
        if (_positions.length == 0) return;
        uint256 place = pick % _positions.length;
        Owned memory own = _positions[place];
        part %= 5;
        uint128 liquidity = part == 4 ? own.liquidity : uint128((own.liquidity * part) / 4);
        _hold(_remove(own, liquidity), "a position could not leave");
        if (own.liquidity != liquidity) {
            _positions[place].liquidity -= liquidity;
            return;
        }
        _positions[place] = _positions[_positions.length - 1];
        _positions.pop();
    }

    function _remove(Owned memory own, uint128 liquidity) private returns (bool) {
        IAmm.Remove memory call;
        (call.key, call.lower, call.upper) = (_keys[own.pool], ENDS[own.low], ENDS[own.high]);
        (call.liquidity, call.recipient, call.deadline) = (liquidity, own.owner, FAR);
        return _try("remove", own.owner, address(amm), abi.encodeCall(IAmm.removeLiquidity, (call)));
    }

    function swap(uint256 who, uint8 pool, bool up, bool out, uint256 pick) external {
        pool %= 2;
        address a = _person(who);
        (address sold, address bought) = _sides(pool, up);
        State memory was = _state(pool);
        (uint256 purse, uint256 other) = (_held(sold, a), _held(bought, a));
        Hop[] memory hops = new Hop[](1);
        hops[0] = Hop(bought, 3000, 60);
        bool done = _swap("swap", a, sold, hops, _amount(pick, 10 ** 26), out);
        _compare(was, _state(pool), up, done);
        (uint256 paid, uint256 got) = (purse - _held(sold, a), _held(bought, a) - other);
        _hold(paid != 0 || got == 0, "18, 19: a receipt without a payment");
    }

    /// @dev A unit or some asked for exactly cost more than their worth: rounded up, and a fee.
    function crumbs(uint256 who, uint8 pool, bool up, uint256 crumb) external {
        pool %= 2;
        crumb = 1 + crumb % 3;
        address a = _person(who);
        (address sold, address bought) = _sides(pool, up);
        uint256 root = _state(pool).root;
        uint256 purse = _held(sold, a);
        Hop[] memory hops = new Hop[](1);
        hops[0] = Hop(bought, 3000, 60);
        if (!_swap("crumbs", a, sold, hops, crumb, true)) return;
        uint256 paid = purse - _held(sold, a);
        uint256 square = (root * root) >> 96;
        uint256 left = up ? paid << 96 : paid * square;
        uint256 right = up ? crumb * square : crumb << 96;
        _hold(left > right, "an exact output was too cheap");
    }

    /// @dev To the exact price of an end of positions, or one unit beside it.
    function toEnd(uint256 who, uint8 pool, uint256 end, uint256 shift) external {
        pool %= 2;
        uint160 limit = uint160(ROOTS[end % 7] - 1 + shift % 3);
        State memory was = _state(pool);
        bool up = limit > was.root;
        bytes memory data = abi.encodeCall(
            IAmm.swapToPrice, (_keys[pool], !up, 10 ** 30, limit, 0, _person(who), FAR)
        );
        uint256 value = pool == 1 && !up ? 10 ** 30 : 0;
        (bool done,) = _try("to end", _person(who), address(amm), value, data);
        State memory is_ = _state(pool);
        _compare(was, is_, up, done);
        _hold(!done || is_.root == limit, "the price did not reach its limit");
    }

    function thereAndBack(uint256 who, uint8 pool, bool up, uint256 pick) external {
        pool %= 2;
        address a = _person(who);
        (address one, address two) = _sides(pool, up);
        (uint256 purse, uint256 other) = (_held(one, a), _held(two, a));
        Hop[] memory hops = new Hop[](1);
        hops[0] = Hop(two, 3000, 60);
        if (!_swap("there", a, one, hops, _amount(pick, 10 ** 26), false)) return;
        uint256 got = _held(two, a) - other;
        hops[0] = Hop(one, 3000, 60);
        if (got != 0) _swap("back", a, two, hops, got, false);
        if (_held(two, a) == other) _hold(_held(one, a) <= purse, "there and back made money");
    }

    function route(uint256 who, bool back, bool out, uint256 pick) external {
        Hop[] memory hops = new Hop[](2);
        hops[0] = Hop(_tokens[1], 3000, 60);
        hops[1] = Hop(back ? NATIVE : _tokens[2], 3000, 60);
        _swap("route", _person(who), back ? _tokens[2] : NATIVE, hops, _amount(pick, 10 ** 24), out);
    }

    /// @dev What is lent comes back with its fee, or nothing happened. Meanwhile nobody trades, and
    ///      nobody reads a price.
    function flash(uint8 side, uint256 pick, uint256 back) external {
        PoolKey memory key = _keys[0];
        uint256 amount = _amount(pick, 10 ** 24);
        uint256 fee = (amount * 3000 + 999_999) / 10 ** 6;
        _giveBack = back % 3 == 0 ? amount : ((amount + fee) * 102) / 100 + 2;
        (uint256 lent0, uint256 lent1) = side % 2 == 0 ? (amount, uint256(0)) : (uint256(0), amount);
        address token = side % 2 == 0 ? key.token0 : key.token1;
        uint256 had = Coin(token).balanceOf(address(amm));
        bytes memory data = abi.encodeCall(IAmm.flash, (key, lent0, lent1, ""));
        bool done = _try("flash", address(this), address(amm), data);
        _hold(!_answered, "the exchange answered while it was in between");
        uint256 has = Coin(token).balanceOf(address(amm));
        _hold(done ? has >= had + fee : has == had, "a flash loan was not repaid with its fee");
    }

    function onAmmFlash(address, PoolKey calldata key, Loan calldata loan, bytes calldata)
        external
        returns (bytes32)
    {
        address token = loan.amount0 != 0 ? key.token0 : key.token1;
        (bool read,) = address(amm).staticcall(abi.encodeCall(IAmm.poolOf, (key)));
        (bool shared,) = address(amm).call(abi.encodeCall(IAmm.growHistory, (key, 2)));
        _answered = read || shared;
        Coin(token).transfer(address(amm), _giveBack);
        return FLASH_DONE;
    }

    function gift(uint256 who, uint8 token, uint256 pick) external {
        State[2] memory was = [_state(0), _state(1)];
        bytes memory data = abi.encodeCall(Coin.transfer, (address(amm), _amount(pick, 10 ** 26)));
        _try("gift", _person(who), _tokens[1 + (token % 2)], data);
        for (uint8 i; i < 2; ++i) {
            _hold(keccak256(abi.encode(was[i])) == keccak256(abi.encode(_state(i))), "a gift moved a price");
        }
    }

    function treasury(uint256 pick, uint8 pool, uint8 token) external {
        uint8[4] memory shares = [0, 4, 10, 20];
        if (pick % 2 == 0) {
            bytes memory data = abi.encodeCall(IAmm.setProtocolShare, (_keys[pool % 2], shares[(pick >> 8) % 4]));
            _try("share", owner, address(amm), data);
        } else {
            bytes memory data = abi.encodeCall(IAmm.takeProtocolFees, (_tokens[token % 3], owner));
            _hold(_try("take", owner, address(amm), data), "the treasury could not be paid");
            (bool done,) = _call(_person(pick), address(amm), 0, data);
            _hold(!done, "a stranger took the treasury's fees");
        }
    }

    function wait(uint256 pick, uint16 room) external {
        for (uint8 i; i < 2; ++i) {
            if (room % 3 == 0) amm.growHistory(_keys[i], room % 12);
        }
        uint256 was = time;
        _wait(pick, 10_000);
        for (uint8 i; i < 2; ++i) _tickSums[i] += int56(_state(i).tick) * int56(uint56(time - was));
    }

    function _swap(string memory name, address who, address sold, Hop[] memory hops, uint256 amount, bool out)
        private
        returns (bool done)
    {
        uint256 value;
        if (sold == NATIVE) value = out ? 10 ** 32 : amount;
        bytes memory data = out
            ? abi.encodeCall(IAmm.swapExactOut, (sold, hops, amount, 10 ** 32, who, FAR))
            : abi.encodeCall(IAmm.swapExactIn, (sold, hops, amount, 0, who, FAR));
        (done,) = _try(name, who, address(amm), value, data);
    }

    function _compare(State memory was, State memory is_, bool up, bool done) private pure {
        if (!done) {
            _hold(keccak256(abi.encode(was)) == keccak256(abi.encode(is_)), "a refused swap changed a pool");
            return;
        }
        (uint256 sold, uint256 soldNow) = up ? (was.growth1, is_.growth1) : (was.growth0, is_.growth0);
        _hold(soldNow >= sold, "13, 15: the fee growth of the sold side fell");
        (uint256 bought, uint256 boughtNow) = up ? (was.growth0, is_.growth0) : (was.growth1, is_.growth1);
        _hold(boughtNow == bought, "14, 16: the fee growth of the bought side moved");
        if (was.tick == is_.tick) _hold(was.liquidity == is_.liquidity, "17: the same tick, other liquidity");
        _hold(up ? is_.root >= was.root : is_.root <= was.root, "the price went the other way");
    }

    // Properties ------------------------------------------------------------------------------

    function check() external view override {
        for (uint8 i; i < 2; ++i) {
            _checkTicks(i, _state(i));
            uint32[] memory now_ = new uint32[](1);
            _hold(amm.observe(_keys[i], now_)[0] == _tickSums[i], "the history is not the sum of ticks");
        }
        _checkSolvent();
    }

    function _checkTicks(uint8 pool, State memory state) private view {
        int256 total;
        int256 below;
        for (uint8 i; i < 7; ++i) {
            IAmm.Tick memory tick = amm.tickOf(_keys[pool], ENDS[i]);
            (uint256 gross, int256 net) = _expected(pool, i);
            _hold(tick.gross == gross && tick.net == net, "a tick is not the sum of its positions");
            int24 place = ENDS[i] / 60;
            uint256 word = amm.bitmapOf(_keys[pool], int16(place >> 8));
            _hold(((word >> uint8(int8(place))) & 1 == 1) == (gross != 0), "the bitmap is not the ticks'");
            total += net;
            if (ENDS[i] <= state.tick) below += net;
            if (gross == 0) continue;
            _hold(tick.feesOutside0 <= state.growth0, "22: more fees outside than there were");
            _hold(tick.feesOutside1 <= state.growth1, "23: more fees outside than there were");
        }
        _hold(total == 0, "20: net liquidity does not add up to nothing");
        _hold(below == int256(uint256(state.liquidity)), "21: liquidity is not the sum up to the tick");
    }

    function _expected(uint8 pool, uint8 end) private view returns (uint256 gross, int256 net) {
        for (uint256 i; i < _positions.length; ++i) {
            Owned storage own = _positions[i];
            if (own.pool != pool || (own.low != end && own.high != end)) continue;
            gross += own.liquidity;
            net += own.low == end ? int256(uint256(own.liquidity)) : -int256(uint256(own.liquidity));
        }
    }

    /// @dev The exchange holds what all positions would get, less a unit of rounding each, and fees.
    function _checkSolvent() private view {
        uint256[3] memory owed;
        for (uint256 i; i < _positions.length; ++i) {
            Owned memory own = _positions[i];
            PoolKey memory key = _keys[own.pool];
            (uint256 due0, uint256 due1) = _worth(own, _state(own.pool).root);
            (uint256 fees0, uint256 fees1) = _earned(key, own);
            owed[_placeOf(key.token0)] += due0 + fees0;
            owed[_placeOf(key.token1)] += due1 + fees1;
        }
        for (uint256 i; i < 3; ++i) {
            uint256 needed = owed[i] + amm.protocolFees(_tokens[i]);
            _hold(_held(_tokens[i], address(amm)) >= needed, "the exchange owes more than it holds");
        }
    }

    function _worth(Owned memory own, uint256 root) private view returns (uint256 due0, uint256 due1) {
        (uint256 low, uint256 high) = (ROOTS[own.low], ROOTS[own.high]);
        uint256 price = root < low ? low : root > high ? high : root;
        if (price < high) due0 = ((((uint256(own.liquidity) << 96) / price) * (high - price)) / high);
        if (due0 != 0) --due0;
        due1 = (uint256(own.liquidity) * (price - low)) >> 96;
    }

    function _earned(PoolKey memory key, Owned memory own) private view returns (uint256, uint256) {
        (int24 low, int24 high) = (ENDS[own.low], ENDS[own.high]);
        IAmm.Position memory kept = amm.positionOf(key, own.owner, low, high, bytes32(0));
        _hold(kept.liquidity == own.liquidity, "a position is not what was added");
        (uint256 inside0, uint256 inside1) = amm.feesInside(key, low, high);
        unchecked {
            return (
                _scaled(inside0 - kept.feesInside0, own.liquidity), _scaled(inside1 - kept.feesInside1, own.liquidity)
            );
        }
    }

    /// @dev growth * liquidity / 2^128, of halves so that it fits.
    function _scaled(uint256 growth, uint256 liquidity) private pure returns (uint256) {
        uint256 low = ((growth & type(uint128).max) * liquidity) >> 128;
        return (growth >> 128) * liquidity + low;
    }

    /// @notice Everybody leaves: every position and every fee is paid out.
    function finish() external override {
        while (_positions.length != 0) {
            Owned memory own = _positions[_positions.length - 1];
            _hold(_remove(own, own.liquidity), "a position could not leave at the end");
            _positions.pop();
        }
        for (uint256 i; i < 3; ++i) {
            bytes memory data = abi.encodeCall(IAmm.takeProtocolFees, (_tokens[i], owner));
            _hold(_try("take", owner, address(amm), data), "the treasury could not be paid at the end");
        }
        for (uint8 i; i < 2; ++i) _hold(_state(i).liquidity == 0, "liquidity is left that nobody has");
    }

    function _state(uint8 pool) private view returns (State memory s) {
        (s.root, s.tick, s.liquidity,) = amm.poolOf(_keys[pool]);
        (s.growth0, s.growth1) = amm.feeGrowthOf(_keys[pool]);
    }

    function _sides(uint8 pool, bool up) private view returns (address, address) {
        PoolKey storage key = _keys[pool];
        return up ? (key.token1, key.token0) : (key.token0, key.token1);
    }

    function _find(Owned memory wish) private view returns (uint256 place) {
        for (; place < _positions.length; ++place) {
            Owned storage own = _positions[place];
            bool same = own.owner == wish.owner && own.pool == wish.pool && own.low == wish.low;
            if (same && own.high == wish.high) return place;
        }
    }

    function _placeOf(address token) private view returns (uint256) {
        return token == NATIVE ? 0 : token == _tokens[1] ? 1 : 2;
    }

    function _held(address token, address who) private view returns (uint256) {
        return token == NATIVE ? who.balance : Coin(token).balanceOf(who);
    }
}

/// @notice Properties 13 to 23, solvency, history, and that everybody can leave.
contract AmmSuite is Suite {
    function name() public pure override returns (string memory) {
        return "AmmSuite";
    }

    function setUp() external {
        vm.warp(1_800_000_000);
        address amm = _deploy("Amm", abi.encode(address(0x7100), address(0)));
        handler = new AmmHandler(IAmm(amm), address(0x7100), new Coin(0), new Coin(100));
    }
}
