// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title A plain ERC-20 token with a fixed supply.
/// @notice Used by the examples and tests. The creator receives the whole supply; nobody can mint,
///         burn or stop it. Errors are those of ERC-6093.
contract ERC20 {
    /// @notice Name of the token.
    string public name;
    /// @notice Short name of the token.
    string public symbol;
    /// @notice Decimal places that a wallet shows.
    uint8 public constant decimals = 18;
    /// @notice Amount of tokens in being.
    uint256 public totalSupply;
    /// @notice Amount that an account holds.
    mapping(address account => uint256) public balanceOf;
    /// @notice Amount that `spender` may still take from `owner`.
    mapping(address owner => mapping(address spender => uint256)) public allowance;

    /// @notice `value` tokens moved.
    event Transfer(address indexed from, address indexed to, uint256 value);
    /// @notice `spender` may take `value` tokens from `owner`.
    event Approval(address indexed owner, address indexed spender, uint256 value);

    error ERC20InsufficientBalance(address sender, uint256 balance, uint256 needed);
    error ERC20InsufficientAllowance(address spender, uint256 allowance, uint256 needed);
    error ERC20InvalidReceiver(address receiver);
    error ERC20InvalidSpender(address spender);

    /// @param name_ Name of the token.
    /// @param symbol_ Short name.
    /// @param supply Amount that the creator receives, in units of 10^-18.
    constructor(string memory name_, string memory symbol_, uint256 supply) {
        name = name_;
        symbol = symbol_;
        totalSupply = supply;
        balanceOf[msg.sender] = supply;
        emit Transfer(address(0), msg.sender, supply);
    }

    /// @notice Moves `value` tokens from the caller to `to`.
    function transfer(address to, uint256 value) external returns (bool) {
        _move(msg.sender, to, value);
        return true;
    }

    /// @notice Lets `spender` take up to `value`; the maximum uint256 never runs out.
    function approve(address spender, uint256 value) external returns (bool) {
        if (spender == address(0)) revert ERC20InvalidSpender(spender);
        allowance[msg.sender][spender] = value;
        emit Approval(msg.sender, spender, value);
        return true;
    }

    /// @notice Moves `value` tokens from `from` to `to` out of the caller's allowance.
    function transferFrom(address from, address to, uint256 value) external returns (bool) {
        uint256 allowed = allowance[from][msg.sender];
        if (allowed != type(uint256).max) {
            if (allowed < value) revert ERC20InsufficientAllowance(msg.sender, allowed, value);
            unchecked {
                allowance[from][msg.sender] = allowed - value;
            }
        }
        _move(from, to, value);
        return true;
    }

    function _move(address from, address to, uint256 value) private {
        if (to == address(0)) revert ERC20InvalidReceiver(to);
        uint256 balance = balanceOf[from];
        if (balance < value) revert ERC20InsufficientBalance(from, balance, value);
        unchecked {
            balanceOf[from] = balance - value;
            balanceOf[to] += value;
        }
        emit Transfer(from, to, value);
    }
}
