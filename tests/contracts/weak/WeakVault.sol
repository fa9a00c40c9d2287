// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {ERC4626} from "@openzeppelin/contracts/token/ERC20/extensions/ERC4626.sol";

/// @title Weakened on purpose: the price of a share is the balance that lies here, and the amount
///        that was sent is believed. Inflation and fee-on-transfer attacks succeed against it.
contract WeakVault is ERC4626 {
    constructor(IERC20 token) ERC20("Weak", "WEAK") ERC4626(token) {}
}
