// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title A signature scheme for tests: the key is the hash of a secret, the signature the secret.
contract KeccakVerifier {
    function verify(
        bytes calldata key,
        bytes32,
        bytes calldata signature
    ) external pure returns (bytes4) {
        return keccak256(signature) == bytes32(key) ? this.verify.selector : bytes4(0xffffffff);
    }
}
