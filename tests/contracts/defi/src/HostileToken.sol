// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title An ERC-20 token that misbehaves in the ways that real ones do, by a set of modes.
/// @notice Anybody may mint, change modes and rebase: it is for tests alone.
contract HostileToken {
    uint256 public constant FEE = 1;
    uint256 public constant NO_RETURN = 2;
    uint256 public constant RETURNS_FALSE = 4;
    uint256 public constant REENTER = 8;
    uint256 public constant BLACKLIST = 16;
    uint256 public constant PAUSED = 32;

    uint256 public modes;
    uint8 public immutable decimals;
    uint256 public feeBps = 100;
    uint256 public index = 1e18;
    uint256 private _shares;
    address public hook;
    mapping(address => uint256) private _shareOf;
    mapping(address => mapping(address => uint256)) public allowance;
    mapping(address => bool) public isListed;

    event Transfer(address indexed from, address indexed to, uint256 value);

    error Refused();

    constructor(uint256 modes_, uint8 decimals_) {
        modes = modes_;
        decimals = decimals_;
    }

    function set(uint256 modes_, uint256 feeBps_, address hook_) external {
        (modes, feeBps, hook) = (modes_, feeBps_, hook_);
    }

    function list(address account, bool listed) external {
        isListed[account] = listed;
    }

    function rebase(uint256 index_) external {
        index = index_;
    }

    function mint(address to, uint256 value) external {
        _shareOf[to] += (value * 1e18) / index;
        _shares += (value * 1e18) / index;
        emit Transfer(address(0), to, value);
    }

    function totalSupply() external view returns (uint256) {
        return (_shares * index) / 1e18;
    }

    function balanceOf(address account) public view returns (uint256) {
        return (_shareOf[account] * index) / 1e18;
    }

    function approve(address spender, uint256 value) external returns (bool) {
        allowance[msg.sender][spender] = value;
        return true;
    }

    function transfer(address to, uint256 value) external {
        _answer(_move(msg.sender, to, value));
    }

    function transferFrom(address from, address to, uint256 value) external {
        uint256 allowed = allowance[from][msg.sender];
        if (allowed < value) revert Refused();
        if (allowed != type(uint256).max) allowance[from][msg.sender] = allowed - value;
        _answer(_move(from, to, value));
    }

    function _move(address from, address to, uint256 value) private returns (bool) {
        if (modes & RETURNS_FALSE != 0) return false;
        if (modes & PAUSED != 0) revert Refused();
        if (modes & BLACKLIST != 0 && (isListed[from] || isListed[to])) revert Refused();
        uint256 share = (value * 1e18) / index;
        if (_shareOf[from] < share) revert Refused();
        _shareOf[from] -= share;
        uint256 burned = modes & FEE == 0 ? 0 : (share * feeBps) / 10_000;
        _shareOf[to] += share - burned;
        _shares -= burned;
        emit Transfer(from, to, value);
        if (modes & REENTER != 0 && hook != address(0)) {
            address called = hook;
            hook = address(0);
            (bool done,) = called.call(abi.encodeWithSignature("onToken()"));
            if (!done) revert Refused();
        }
        return true;
    }

    function _answer(bool good) private view {
        if (modes & NO_RETURN != 0) {
            assembly ("memory-safe") {
                return(0, 0)
            }
        }
        assembly ("memory-safe") {
            mstore(0, good)
            return(0, 32)
        }
    }
}
