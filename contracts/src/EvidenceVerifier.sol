// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title Proof that a validator of this chain signed two different things at one place.
/// @notice Placed by the genesis document at a fixed address; it has no owner and no settings.
///         `check` takes the bytes that nodes exchange and that `qenex_getEvidence` returns:
///         `04 ‖ rlp([claim, claim])`, where a claim is `[kind, height, round, blockHash,
///         polRound + 1, bodyHash, validator, signature]`. It accepts two claims of one validator
///         for one height, round and kind that say different things, both signed for this chain
///         id, in canonical form and order, and reverts on everything else.
/// @dev Whether the signer was a validator at that height is for the caller to know: the
///      signatures alone prove that the key contradicted itself.
contract EvidenceVerifier {
    struct Claim {
        uint256 kind;
        uint256 height;
        uint256 round;
        bytes32 blockHash;
        int256 polRound;
        bytes32 bodyHash;
        address validator;
        bytes32 r;
        bytes32 s;
        uint8 v;
    }

    uint256 private constant MESSAGE_TYPE = 4;
    uint256 private constant PROPOSAL = 1;
    uint256 private constant PRECOMMIT = 3;
    uint256 private constant ROUND_MAX = 2 ** 31 - 1;
    uint256 private constant SIGNATURE_BYTES = 65;
    uint256 private constant HALF_ORDER =
        0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0;

    /// @notice Whether evidence for this place was recorded; see `placeOf`.
    mapping(bytes32 place => bool) public isRecorded;

    /// @notice `validator` signed twice at (height, round, kind); kinds are 1 proposal, 2 prevote,
    ///         3 precommit.
    event DoubleSigned(
        address indexed validator,
        uint64 indexed height,
        uint32 round,
        uint8 kind,
        bytes evidence
    );

    /// @notice The bytes are no canonical evidence.
    error Malformed();
    /// @notice The claims are of different validators, heights, rounds or kinds.
    error DifferentPlaces();
    /// @notice The claims say the same thing, or stand in the wrong order.
    error NoConflict();
    /// @notice A signature is not the claimed validator's for this chain.
    error BadSignature(address validator);
    /// @notice There is evidence for this place already.
    error AlreadyRecorded(bytes32 place);

    /// @notice Returns who signed twice, and where; reverts unless `evidence` proves it.
    function check(
        bytes calldata evidence
    ) public view returns (address validator, uint64 height, uint32 round, uint8 kind) {
        (Claim memory first, Claim memory second) = _decode(evidence);
        if (
            first.kind != second.kind ||
            first.height != second.height ||
            first.round != second.round ||
            first.validator != second.validator
        ) revert DifferentPlaces();
        if (!_isBefore(first, second)) revert NoConflict();
        _checkSignature(first);
        _checkSignature(second);
        return (first.validator, uint64(first.height), uint32(first.round), uint8(first.kind));
    }

    /// @notice Checks `evidence` and records it, once for each place, with an event.
    function submit(bytes calldata evidence) external {
        (address validator, uint64 height, uint32 round, uint8 kind) = check(evidence);
        bytes32 place = placeOf(validator, height, round, kind);
        if (isRecorded[place]) revert AlreadyRecorded(place);
        isRecorded[place] = true;
        emit DoubleSigned(validator, height, round, kind, evidence);
    }

    /// @notice Returns the name of a place where a validator may sign one thing.
    function placeOf(
        address validator,
        uint64 height,
        uint32 round,
        uint8 kind
    ) public pure returns (bytes32) {
        return keccak256(abi.encode(validator, height, round, kind));
    }

    function _isBefore(Claim memory a, Claim memory b) private pure returns (bool) {
        if (a.blockHash != b.blockHash) return a.blockHash < b.blockHash;
        if (a.polRound != b.polRound) return a.polRound < b.polRound;
        return a.bodyHash < b.bodyHash;
    }

    function _checkSignature(Claim memory claim) private view {
        bytes32 digest = claim.kind == PROPOSAL
            ? keccak256(
                abi.encode(
                    keccak256("QENEX/consensus/proposal/1"),
                    block.chainid,
                    claim.height,
                    claim.round,
                    claim.blockHash,
                    claim.polRound,
                    claim.bodyHash
                )
            )
            : keccak256(
                abi.encode(
                    claim.kind == PRECOMMIT
                        ? keccak256("QENEX/consensus/precommit/1")
                        : keccak256("QENEX/consensus/prevote/1"),
                    block.chainid,
                    claim.height,
                    claim.round,
                    claim.blockHash
                )
            );
        if (claim.v > 1 || uint256(claim.s) > HALF_ORDER) revert BadSignature(claim.validator);
        address signer = ecrecover(digest, claim.v + 27, claim.r, claim.s);
        if (signer == address(0) || signer != claim.validator) revert BadSignature(claim.validator);
    }

    // -- canonical RLP, this one shape ------------------------------------------------------------

    function _decode(
        bytes calldata raw
    ) private pure returns (Claim memory first, Claim memory second) {
        if (raw.length < 4 || uint8(raw[0]) != MESSAGE_TYPE || uint8(raw[1]) != 0xf9) {
            revert Malformed();
        }
        // Two claims of 158 to 174 bytes and their prefixes: always two bytes of length.
        if ((uint256(uint8(raw[2])) << 8) + uint8(raw[3]) != raw.length - 4) revert Malformed();
        uint256 start;
        (first, start) = _claim(raw, 4);
        (second, start) = _claim(raw, start);
        if (start != raw.length) revert Malformed();
    }

    function _claim(
        bytes calldata raw,
        uint256 start
    ) private pure returns (Claim memory claim, uint256 next) {
        if (_byte(raw, start) != 0xf8) revert Malformed();
        uint256 end = start + 2 + _byte(raw, start + 1);
        start += 2;
        (claim.kind, start) = _uint(raw, start, 1);
        (claim.height, start) = _uint(raw, start, 8);
        (claim.round, start) = _uint(raw, start, 4);
        (claim.blockHash, start) = _word(raw, start);
        uint256 polNumber;
        (polNumber, start) = _uint(raw, start, 4);
        (claim.bodyHash, start) = _word(raw, start);
        if (_byte(raw, start) != 0x94) revert Malformed();
        claim.validator = address(bytes20(_load(raw, start + 1, 20)));
        start += 21;
        if (_byte(raw, start) != 0xb8 || _byte(raw, start + 1) != SIGNATURE_BYTES) revert Malformed();
        claim.r = _load(raw, start + 2, 32);
        claim.s = _load(raw, start + 34, 32);
        claim.v = uint8(_byte(raw, start + 66));
        next = start + 67;
        if (next != end) revert Malformed();
        claim.polRound = int256(polNumber) - 1;
        _checkValues(claim, polNumber);
    }

    function _checkValues(Claim memory claim, uint256 polNumber) private pure {
        if (claim.kind < PROPOSAL || claim.kind > PRECOMMIT) revert Malformed();
        if (claim.height == 0 || claim.round > ROUND_MAX) revert Malformed();
        if (polNumber > ROUND_MAX + 1) revert Malformed();
        if (claim.kind != PROPOSAL && (polNumber != 0 || claim.bodyHash != 0)) revert Malformed();
    }

    function _uint(
        bytes calldata raw,
        uint256 start,
        uint256 bytesMax
    ) private pure returns (uint256 value, uint256 next) {
        uint256 prefix = _byte(raw, start);
        if (prefix < 0x80) {
            if (prefix == 0) revert Malformed();
            return (prefix, start + 1);
        }
        uint256 count = prefix - 0x80;
        if (count > bytesMax) revert Malformed();
        if (count == 0) return (0, start + 1);
        value = uint256(_load(raw, start + 1, count)) >> (8 * (32 - count));
        if (value < 0x80 || value >> (8 * (count - 1)) == 0) revert Malformed();
        next = start + 1 + count;
    }

    function _word(
        bytes calldata raw,
        uint256 start
    ) private pure returns (bytes32 value, uint256 next) {
        if (_byte(raw, start) != 0xa0) revert Malformed();
        return (_load(raw, start + 1, 32), start + 33);
    }

    /// @dev Returns `count` bytes at the left of a word, zeros after them.
    function _load(bytes calldata raw, uint256 start, uint256 count) private pure returns (bytes32) {
        if (start + count > raw.length) revert Malformed();
        return bytes32(raw[start:start + count]);
    }

    function _byte(bytes calldata raw, uint256 start) private pure returns (uint256) {
        if (start >= raw.length) revert Malformed();
        return uint8(raw[start]);
    }
}
