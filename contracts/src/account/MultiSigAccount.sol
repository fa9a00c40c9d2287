// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {ERC721Holder} from "@openzeppelin/contracts/token/ERC721/utils/ERC721Holder.sol";
import {ERC1155Holder} from "@openzeppelin/contracts/token/ERC1155/utils/ERC1155Holder.sol";
import {ERC7739} from "@openzeppelin/contracts/utils/cryptography/signers/draft-ERC7739.sol";
import {MultiSignerERC7913} from "@openzeppelin/contracts/utils/cryptography/signers/MultiSignerERC7913.sol";
import {MultiSignerERC7913Weighted} from "@openzeppelin/contracts/utils/cryptography/signers/MultiSignerERC7913Weighted.sol";
import {AbstractSigner} from "@openzeppelin/contracts/utils/cryptography/signers/AbstractSigner.sol";

/// @title An account of several signers with weights.
/// @notice A signer is an address, or a verifier contract and a key (ERC-7913), so that P-256,
///         WebAuthn, RSA or post-quantum keys sign beside ordinary ones. Whoever submits an operation
///         pays its gas and decides nothing: calls, nonce and deadline are signed (EIP-712, bound to
///         this chain and this account), each nonce is used once, in order.
///
///         There is no delegatecall and there are no modules: an operation is a list of plain calls
///         that all succeed or all fail. Signers, weights and threshold change by the account's own
///         operations. As an ERC-1271 signer (through ERC-7739) it may vote and grant permits.
/// @dev A signature is abi.encode(bytes[] signers, bytes[] signatures), signers in ascending order
///      of keccak256. Clones are set up once, by `initialize`, in the transaction that makes them.
contract MultiSigAccount is
    EIP712,
    MultiSignerERC7913Weighted,
    ERC7739,
    ERC721Holder,
    ERC1155Holder
{
    struct Call {
        address target;
        uint256 value;
        bytes data;
    }

    /// @notice Most signers of one account.
    uint256 public constant SIGNERS_MAX = 32;
    /// @notice Most calls of one operation.
    uint256 public constant CALLS_MAX = 64;

    bytes32 private constant CALL_TYPEHASH = keccak256("Call(address target,uint256 value,bytes data)");
    bytes32 private constant EXECUTE_TYPEHASH =
        keccak256(
            "Execute(Call[] calls,uint256 nonce,uint256 deadline)Call(address target,uint256 value,bytes data)"
        );

    /// @notice The nonce of the next operation.
    uint256 public nonce;

    event Executed(uint256 indexed nonce, address indexed submitter, uint256 calls);
    event Received(address indexed from, uint256 value);

    /// @notice It has signers already.
    error AlreadyInitialized();
    /// @notice Only the account's own operations do this.
    error OnlySelf(address caller);
    /// @notice Too many of them, or none.
    error BadCount(uint256 count, uint256 most);
    /// @notice The operation was to be submitted before this time.
    error Expired(uint256 deadline);
    /// @notice Signers, weights or signatures do not suffice.
    error NotSigned(bytes32 operation);

    modifier onlySelf() {
        if (msg.sender != address(this)) revert OnlySelf(msg.sender);
        _;
    }

    /// @dev The implementation itself belongs to a signer that nobody is, and does nothing.
    constructor()
        EIP712("QENEX MultiSig", "1")
        MultiSignerERC7913Weighted(_nobody(), _one(), 1)
    {}

    receive() external payable {
        emit Received(msg.sender, msg.value);
    }

    /// @notice Sets the first signers, their weights and the threshold.
    function initialize(
        bytes[] calldata signers,
        uint64[] calldata weights,
        uint64 threshold_
    ) external {
        if (getSignerCount() != 0) revert AlreadyInitialized();
        if (signers.length == 0) revert BadCount(0, SIGNERS_MAX);
        _addSigners(signers);
        _setSignerWeights(signers, weights);
        _setThreshold(threshold_);
    }

    /// @notice Returns what the signers sign for these calls with the next nonce.
    function operationHash(
        Call[] calldata calls,
        uint256 deadline
    ) public view returns (bytes32) {
        return _operationHash(calls, nonce, deadline);
    }

    /// @notice Makes the calls, in order, if enough weight signed them.
    function execute(
        Call[] calldata calls,
        uint256 deadline,
        bytes calldata signature
    ) external returns (bytes[] memory results) {
        uint256 count = calls.length;
        if (count == 0 || count > CALLS_MAX) revert BadCount(count, CALLS_MAX);
        if (block.timestamp > deadline) revert Expired(deadline);
        uint256 used = nonce++;
        bytes32 operation = _operationHash(calls, used, deadline);
        if (!_rawSignatureValidation(operation, signature)) revert NotSigned(operation);
        results = new bytes[](count);
        for (uint256 i = 0; i < count; ++i) results[i] = _call(calls[i]);
        emit Executed(used, msg.sender, count);
    }

    function addSigners(bytes[] calldata signers, uint64[] calldata weights) external onlySelf {
        _addSigners(signers);
        _setSignerWeights(signers, weights);
    }

    function removeSigners(bytes[] calldata signers) external onlySelf {
        _removeSigners(signers);
    }

    function setSignerWeights(
        bytes[] calldata signers,
        uint64[] calldata weights
    ) external onlySelf {
        _setSignerWeights(signers, weights);
    }

    function setThreshold(uint64 threshold_) external onlySelf {
        _setThreshold(threshold_);
    }

    function _operationHash(
        Call[] calldata calls,
        uint256 used,
        uint256 deadline
    ) private view returns (bytes32) {
        bytes32[] memory hashes = new bytes32[](calls.length);
        for (uint256 i = 0; i < calls.length; ++i) {
            Call calldata each = calls[i];
            hashes[i] = keccak256(
                abi.encode(CALL_TYPEHASH, each.target, each.value, keccak256(each.data))
            );
        }
        return
            _hashTypedDataV4(
                keccak256(
                    abi.encode(
                        EXECUTE_TYPEHASH,
                        keccak256(abi.encodePacked(hashes)),
                        used,
                        deadline
                    )
                )
            );
    }

    function _call(Call calldata each) private returns (bytes memory result) {
        bool done;
        (done, result) = each.target.call{value: each.value}(each.data);
        if (!done) {
            assembly ("memory-safe") {
                revert(add(result, 0x20), mload(result))
            }
        }
    }

    function _addSigners(bytes[] memory signers) internal override {
        super._addSigners(signers);
        if (getSignerCount() > SIGNERS_MAX) revert BadCount(getSignerCount(), SIGNERS_MAX);
    }

    function _rawSignatureValidation(
        bytes32 hash,
        bytes calldata signature
    ) internal view override(AbstractSigner, MultiSignerERC7913) returns (bool) {
        return super._rawSignatureValidation(hash, signature);
    }

    function _nobody() private pure returns (bytes[] memory signers) {
        signers = new bytes[](1);
        signers[0] = abi.encodePacked(address(0xdead));
    }

    function _one() private pure returns (uint64[] memory weights) {
        weights = new uint64[](1);
        weights[0] = 1;
    }
}
