// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title Weakened on purpose: pays before it books (The DAO, June 2016).
contract WeakWrap {
    mapping(address => uint256) public balanceOf;

    function deposit() external payable {
        balanceOf[msg.sender] += msg.value;
    }

    function withdraw(uint256 value) external {
        require(balanceOf[msg.sender] >= value, "too little");
        (bool paid, ) = msg.sender.call{value: value}("");
        require(paid, "not paid");
        unchecked {
            balanceOf[msg.sender] -= value;
        }
    }
}
