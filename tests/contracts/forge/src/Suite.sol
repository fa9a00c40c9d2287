// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title The functions of forge's own address that the suites use.
interface Vm {
    function envOr(string calldata name, string calldata other) external view returns (string memory);
    function readFile(string calldata path) external view returns (string memory);
    function parseJsonBytes(string calldata json, string calldata key) external pure returns (bytes memory);
    function writeLine(string calldata path, string calldata line) external;
    function toString(uint256 value) external pure returns (string memory);
    function etch(address target, bytes calldata code) external;
    function deal(address account, uint256 value) external;
    function warp(uint256 time) external;
    function prank(address sender) external;
    function getNonce(address account) external view returns (uint64);
    function computeCreateAddress(address sender, uint256 nonce) external pure returns (address);
    function chainId(uint256 id) external;
    function addr(uint256 key) external pure returns (address);
    function sign(uint256 key, bytes32 digest) external pure returns (uint8, bytes32, bytes32);
}

Vm constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

/// @notice A property of a protocol does not hold.
error Broken(string property);

/// @title Books and helpers of one protocol's actions.
/// @notice An action is one call, or some, by somebody who may be greedy or foolish. What the
///         contract refuses is counted and changes nothing; a failed `assert` inside a contract, or
///         a property that does not hold, ends the run.
abstract contract Handler {
    struct Action {
        string name;
        uint256 tried;
        uint256 refused;
    }

    uint256 internal constant START = 1_800_000_000;
    bytes4 private constant PANIC = 0x4e487b71;

    /// @dev The time of the next call; forge's own clock is set from it.
    uint256 public time = START;
    address[4] internal people = [address(0xa11ce), address(0xb0b), address(0xca01), address(0xda7e)];
    Action[] private _actions;
    mapping(bytes4 => uint256) private _placeOf;

    /// @notice The functions that forge may call.
    function selectors() external view virtual returns (bytes4[] memory);

    /// @notice Reverts with `Broken` when a property does not hold; called after every action.
    function check() external virtual;

    /// @notice Everybody goes, at the end of a run; reverts when somebody cannot.
    function finish() external virtual {}

    /// @notice Writes how often each action was tried and refused, a line each.
    function report(string calldata path, string calldata suite) external {
        for (uint256 i; i < _actions.length; ++i) {
            Action storage each = _actions[i];
            vm.writeLine(
                path,
                string.concat(
                    suite, ",", each.name, ",", vm.toString(each.tried), ",", vm.toString(each.refused)
                )
            );
        }
    }

    /// @dev Makes a call as `who`; false when it was refused.
    function _try(string memory name, address who, address target, uint256 value, bytes memory data)
        internal
        returns (bool done, bytes memory output)
    {
        (done, output) = _call(who, target, value, data);
        _count(name, done);
    }

    function _try(string memory name, address who, address target, bytes memory data)
        internal
        returns (bool done)
    {
        (done,) = _try(name, who, target, 0, data);
    }

    function _call(address who, address target, uint256 value, bytes memory data)
        internal
        returns (bool done, bytes memory output)
    {
        vm.warp(time);
        vm.prank(who);
        (done, output) = target.call{value: value}(data);
        if (!done && output.length == 36 && bytes4(output) == PANIC) {
            require(output[35] != 0x01, Broken("an assertion of the contract failed"));
        }
    }

    function _count(string memory name, bool done) internal {
        bytes4 key = bytes4(keccak256(bytes(name)));
        if (_placeOf[key] == 0) {
            _actions.push(Action(name, 0, 0));
            _placeOf[key] = _actions.length;
        }
        Action storage action = _actions[_placeOf[key] - 1];
        ++action.tried;
        if (!done) ++action.refused;
    }

    function _hold(bool good, string memory property) internal pure {
        if (!good) revert Broken(property);
    }

    function _person(uint256 pick) internal view returns (address) {
        return people[pick % people.length];
    }

    /// @dev Amounts of every magnitude: rounding hurts at one unit, overflow at many.
    function _amount(uint256 pick, uint256 most) internal pure returns (uint256) {
        uint256 places = (pick >> 128) % 27;
        uint256 value = pick % 3 == 0 ? 1 + (pick >> 8) % 100 : (1 + (pick >> 8) % 999) * 10 ** places;
        return value > most ? value % (most + 1) : value;
    }

    /// @dev Lets from a second to `most` pass, more often little than much.
    function _wait(uint256 pick, uint256 most) internal {
        uint256 part = pick % 4 == 0 ? most : pick % 4 == 1 ? 1 : most / 50 + 1;
        time += 1 + (pick >> 8) % part;
        vm.warp(time);
    }

    function _min(uint256 one, uint256 other) internal pure returns (uint256) {
        return one < other ? one : other;
    }
}

/// @title What every suite shares: placing contracts, and telling forge what to call.
abstract contract Suite {
    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    Handler internal handler;

    /// @notice The protocol, as counts and failures name it.
    function name() public pure virtual returns (string memory);

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    function targetSelectors() external view returns (FuzzSelector[] memory chosen) {
        chosen = new FuzzSelector[](1);
        chosen[0] = FuzzSelector(address(handler), handler.selectors());
    }

    /// @notice Every property of the protocol, after every call.
    function invariant_holds() external {
        handler.check();
    }

    function afterInvariant() external {
        string memory path = vm.envOr("QENEX_COUNTS", "");
        handler.finish();
        if (bytes(path).length != 0) handler.report(path, name());
    }

    /// @dev The creation code of an artifact; QENEX_<contract> names the file of a weakened copy.
    function _code(string memory contract_) internal view returns (bytes memory) {
        string memory usual = string.concat("../../../contracts/artifacts/", contract_, ".json");
        string memory path = vm.envOr(string.concat("QENEX_", contract_), usual);
        return vm.parseJsonBytes(vm.readFile(path), ".bytecode");
    }

    function _deploy(string memory contract_, bytes memory arguments) internal returns (address made) {
        bytes memory code = bytes.concat(_code(contract_), arguments);
        assembly ("memory-safe") {
            made := create(0, add(code, 0x20), mload(code))
        }
        require(made != address(0), contract_);
    }

    /// @dev Runs a constructor as code of `place`, as a genesis document is made, so that
    ///      contracts can know each other's address before they stand.
    function _place(string memory contract_, address place, bytes memory arguments) internal {
        vm.etch(place, bytes.concat(_code(contract_), arguments));
        (bool done, bytes memory code) = place.call("");
        require(done, contract_);
        vm.etch(place, code);
    }
}

/// @title Told by a token of each transfer, before it happens.
interface IWatcher {
    function moving() external;
}

/// @title A plain token, or one that burns a part of each transfer; anybody mints, and may watch.
contract Coin {
    uint256 public immutable burnBps;
    uint256 public totalSupply;
    IWatcher private _watcher;
    mapping(address => uint256) public balanceOf;
    mapping(address => mapping(address => uint256)) public allowance;

    constructor(uint256 burnBps_) {
        burnBps = burnBps_;
    }

    function decimals() external pure returns (uint8) {
        return 18;
    }

    function mint(address to, uint256 value) external {
        totalSupply += value;
        balanceOf[to] += value;
    }

    function watch(IWatcher watcher) external {
        _watcher = watcher;
    }

    function approve(address spender, uint256 value) external returns (bool) {
        allowance[msg.sender][spender] = value;
        return true;
    }

    function transfer(address to, uint256 value) external returns (bool) {
        _move(msg.sender, to, value);
        return true;
    }

    function transferFrom(address from, address to, uint256 value) external returns (bool) {
        uint256 allowed = allowance[from][msg.sender];
        if (allowed != type(uint256).max) allowance[from][msg.sender] = allowed - value;
        _move(from, to, value);
        return true;
    }

    function _move(address from, address to, uint256 value) private {
        if (address(_watcher) != address(0)) _watcher.moving();
        uint256 burned = (value * burnBps) / 10_000;
        balanceOf[from] -= value;
        balanceOf[to] += value - burned;
        totalSupply -= burned;
    }
}
