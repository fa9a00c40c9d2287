// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ERC7913P256Verifier} from "@openzeppelin/contracts/utils/cryptography/verifiers/ERC7913P256Verifier.sol";

/// @title Verifies P-256 signatures, as phones and passkeys make them, for the accounts of the tests.
contract P256Signer is ERC7913P256Verifier {}
