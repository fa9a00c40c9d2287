// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IToken, Pair} from "Pair.sol";

/// @title Pays a pair and takes what it gives, for `scripts.bench engine` alone.
contract Swap {
    error TooLittle();

    function swapExact(Pair pair, bool zeroForOne, uint256 amount, uint256 least, address to)
        external
        returns (uint256 out)
    {
        IToken token = IToken(zeroForOne ? pair.token0() : pair.token1());
        token.transferFrom(msg.sender, address(pair), amount);
        (uint112 reserve0, uint112 reserve1,) = pair.getReserves();
        (uint256 from, uint256 into) =
            zeroForOne ? (uint256(reserve0), uint256(reserve1)) : (uint256(reserve1), uint256(reserve0));
        uint256 paid = amount * 997;
        out = (paid * into) / (from * 1000 + paid);
        if (out < least) revert TooLittle();
        pair.swap(zeroForOne ? 0 : out, zeroForOne ? out : 0, to);
    }
}
