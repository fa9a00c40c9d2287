// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title The validators of a QENEX network and the votes that change them.
/// @notice Placed by the genesis document at a fixed address, with the first set in its storage;
///         it has no constructor and no owner. After each block the node reads `getValidators`,
///         and the set found there decides the next height.
///
///         A change (add, set the power or key hash of a member, remove, hand a member's power to a
///         new key) takes effect when members that hold a quorum of the power,
///         floor(2 * total / 3) + 1, have approved it. A proposal belongs to the epoch in which it was made: each change starts a new epoch, and every
///         proposal of an older epoch is dead. So approvals always come from the present set,
///         measured by its present powers.
///
///         Where the genesis document names a governance contract, that may make the same changes by
///         itself, without the members; where it names none, nobody else can.
/// @dev Members are kept in ascending order of address: the order of the set's hash in headers.
contract ValidatorRegistry {
    struct Validator {
        address account;
        uint64 power;
        bytes32 pqKeyHash;
    }

    struct Change {
        address validator;
        uint64 power;
        uint64 epoch;
        bytes32 pqKeyHash;
        address successor;
    }

    /// @notice Most members that a set can have.
    uint256 public constant VALIDATORS_MAX = 100;
    /// @notice Greatest power of one member; the least is 1.
    uint64 public constant POWER_MAX = 1000;

    Validator[] private _validators;
    mapping(bytes32 id => Change) private _changes;
    mapping(bytes32 id => mapping(address validator => bool)) private _approvals;
    mapping(uint64 epoch => bytes32[] ids) private _proposed;

    /// @notice Number of changes made since genesis.
    uint64 public epoch;
    /// @notice Who may change the set besides a quorum of members; zero for nobody. Written by the
    ///         genesis document.
    address public governance;

    /// @notice A member proposed a change in `epoch`; power 0 means removal.
    event ValidatorChangeProposed(
        bytes32 indexed id,
        address indexed validator,
        address indexed proposer,
        uint64 power,
        bytes32 pqKeyHash,
        uint64 epoch
    );
    /// @notice A member proposed in `epoch` that `validator` hands its power to `successor`.
    event ValidatorRotationProposed(
        bytes32 indexed id,
        address indexed validator,
        address indexed successor,
        address proposer,
        bytes32 pqKeyHash,
        uint64 epoch
    );
    /// @notice A member approved; the change takes effect when `approving` reaches `quorum`.
    event ValidatorChangeApproved(
        bytes32 indexed id,
        address indexed approver,
        uint256 approving,
        uint256 quorum
    );
    /// @notice The set changed and `epoch` began; power 0 means that `validator` left.
    event ValidatorChanged(
        address indexed validator,
        uint64 power,
        bytes32 pqKeyHash,
        uint64 epoch
    );

    /// @notice The caller is not a member of the present set.
    error NotValidator(address caller);
    /// @notice The caller is not the governance contract.
    error NotGovernance(address caller);
    /// @notice The validator to remove, or to rotate, is not a member.
    error UnknownValidator(address validator);
    /// @notice The successor is a member already.
    error AlreadyValidator(address validator);
    /// @notice The zero address cannot be a member.
    error ZeroAddress();
    /// @notice A power is 1 to POWER_MAX, or 0 to remove.
    error PowerOutOfRange(uint64 power);
    /// @notice A removal carries no key hash.
    error KeyHashWithRemoval(bytes32 pqKeyHash);
    /// @notice The set is so already.
    error NoChange(address validator);
    /// @notice The last member cannot be removed.
    error LastValidator();
    /// @notice The set has VALIDATORS_MAX members.
    error SetFull();
    /// @notice Nobody proposed this, or its epoch is over.
    error UnknownProposal(bytes32 id);
    /// @notice The caller approved this already.
    error AlreadyApproved(bytes32 id, address approver);

    /// @notice Returns the present set in ascending order of address.
    /// @return addresses Signing addresses.
    /// @return powers Voting powers, 1 to POWER_MAX.
    /// @return pqKeyHashes Hashes of post-quantum keys, or zero.
    function getValidators()
        external
        view
        returns (address[] memory addresses, uint64[] memory powers, bytes32[] memory pqKeyHashes)
    {
        uint256 count = _validators.length;
        addresses = new address[](count);
        powers = new uint64[](count);
        pqKeyHashes = new bytes32[](count);
        for (uint256 i = 0; i < count; ++i) {
            Validator storage member = _validators[i];
            addresses[i] = member.account;
            powers[i] = member.power;
            pqKeyHashes[i] = member.pqKeyHash;
        }
    }

    /// @notice Proposes a change and approves it; made again by another member, it approves.
    /// @param validator Who joins, changes or leaves.
    /// @param power New power, or 0 to remove.
    /// @param pqKeyHash Hash of the post-quantum key, or zero.
    /// @return id Name of the proposal, to be used in `approve`.
    function proposeChange(
        address validator,
        uint64 power,
        bytes32 pqKeyHash
    ) external returns (bytes32 id) {
        _requireMember(msg.sender);
        _checkChange(validator, power, pqKeyHash);
        id = changeId(validator, power, pqKeyHash, epoch);
        if (_changes[id].validator == address(0)) {
            _changes[id] = Change(validator, power, epoch, pqKeyHash, address(0));
            _proposed[epoch].push(id);
            emit ValidatorChangeProposed(id, validator, msg.sender, power, pqKeyHash, epoch);
        }
        _approve(id);
    }

    /// @notice Proposes that a member's power goes to a new key at once, and approves it: one block
    ///         is decided with the old key, the next with the new one.
    /// @param validator The member whose key is replaced.
    /// @param successor Address of the new key; not a member.
    /// @param pqKeyHash Hash of the successor's post-quantum key, or zero.
    /// @return id Name of the proposal, to be used in `approve`.
    function proposeRotation(
        address validator,
        address successor,
        bytes32 pqKeyHash
    ) external returns (bytes32 id) {
        _requireMember(msg.sender);
        if (successor == address(0)) revert ZeroAddress();
        (uint256 index, bool found) = _find(validator);
        if (!found) revert UnknownValidator(validator);
        (, bool taken) = _find(successor);
        if (taken) revert AlreadyValidator(successor);
        id = rotationId(validator, successor, pqKeyHash, epoch);
        if (_changes[id].validator == address(0)) {
            uint64 power = _validators[index].power;
            _changes[id] = Change(validator, power, epoch, pqKeyHash, successor);
            _proposed[epoch].push(id);
            emit ValidatorRotationProposed(
                id,
                validator,
                successor,
                msg.sender,
                pqKeyHash,
                epoch
            );
        }
        _approve(id);
    }

    /// @notice Changes the set at once, like a proposal that a quorum approved.
    function governChange(address validator, uint64 power, bytes32 pqKeyHash) external {
        if (msg.sender != governance) revert NotGovernance(msg.sender);
        _checkChange(validator, power, pqKeyHash);
        _apply(Change(validator, power, epoch, pqKeyHash, address(0)));
    }

    /// @notice Approves a proposal of the present epoch; the one that completes the quorum applies it.
    function approve(bytes32 id) external {
        _requireMember(msg.sender);
        _approve(id);
    }

    /// @notice Returns an open proposal and the power behind it; `successor` is zero unless a key
    ///         is rotated.
    function getChange(
        bytes32 id
    )
        external
        view
        returns (
            address validator,
            uint64 power,
            bytes32 pqKeyHash,
            uint256 approving,
            address successor
        )
    {
        Change storage change = _openChange(id);
        return (
            change.validator,
            change.power,
            change.pqKeyHash,
            approvingPower(id),
            change.successor
        );
    }

    /// @notice Returns the names of the proposals that can be approved.
    function getOpenChanges() external view returns (bytes32[] memory) {
        return _proposed[epoch];
    }

    /// @notice Returns the name of a proposal made in `inEpoch`.
    function changeId(
        address validator,
        uint64 power,
        bytes32 pqKeyHash,
        uint64 inEpoch
    ) public pure returns (bytes32) {
        return keccak256(abi.encode(validator, power, pqKeyHash, inEpoch));
    }

    /// @notice Returns the name of a rotation proposed in `inEpoch`.
    function rotationId(
        address validator,
        address successor,
        bytes32 pqKeyHash,
        uint64 inEpoch
    ) public pure returns (bytes32) {
        return keccak256(abi.encode("rotation", validator, successor, pqKeyHash, inEpoch));
    }

    /// @notice Returns the power of the present members who approved `id`.
    function approvingPower(bytes32 id) public view returns (uint256 sum) {
        uint256 count = _validators.length;
        for (uint256 i = 0; i < count; ++i) {
            Validator storage member = _validators[i];
            if (_approvals[id][member.account]) sum += member.power;
        }
    }

    /// @notice Returns whether `validator` approved `id`.
    function hasApproved(bytes32 id, address validator) external view returns (bool) {
        return _approvals[id][validator];
    }

    /// @notice Returns the power of `validator`, 0 when it is not a member.
    function powerOf(address validator) external view returns (uint64) {
        (uint256 index, bool found) = _find(validator);
        return found ? _validators[index].power : 0;
    }

    /// @notice Returns the sum of all powers.
    function totalPower() public view returns (uint256 sum) {
        uint256 count = _validators.length;
        for (uint256 i = 0; i < count; ++i) sum += _validators[i].power;
    }

    /// @notice Returns the least power above two thirds of the total.
    function quorumPower() public view returns (uint256) {
        return (totalPower() * 2) / 3 + 1;
    }

    function _approve(bytes32 id) private {
        Change memory change = _openChange(id);
        if (_approvals[id][msg.sender]) revert AlreadyApproved(id, msg.sender);
        _approvals[id][msg.sender] = true;
        uint256 approving = approvingPower(id);
        uint256 quorum = quorumPower();
        emit ValidatorChangeApproved(id, msg.sender, approving, quorum);
        if (approving >= quorum) {
            delete _changes[id];
            _apply(change);
        }
    }

    function _apply(Change memory change) private {
        if (change.successor != address(0)) {
            _rotate(change);
            return;
        }
        (uint256 index, bool found) = _find(change.validator);
        if (change.power == 0) {
            _removeAt(index);
        } else if (found) {
            _validators[index].power = change.power;
            _validators[index].pqKeyHash = change.pqKeyHash;
        } else {
            _insertAt(index, Validator(change.validator, change.power, change.pqKeyHash));
        }
        ++epoch;
        emit ValidatorChanged(change.validator, change.power, change.pqKeyHash, epoch);
    }

    function _rotate(Change memory change) private {
        (uint256 index, ) = _find(change.validator);
        _removeAt(index);
        (index, ) = _find(change.successor);
        _insertAt(index, Validator(change.successor, change.power, change.pqKeyHash));
        ++epoch;
        emit ValidatorChanged(change.validator, 0, 0, epoch);
        emit ValidatorChanged(change.successor, change.power, change.pqKeyHash, epoch);
    }

    function _insertAt(uint256 index, Validator memory member) private {
        _validators.push(member);
        for (uint256 i = _validators.length - 1; i > index; --i) {
            _validators[i] = _validators[i - 1];
        }
        _validators[index] = member;
    }

    function _removeAt(uint256 index) private {
        uint256 last = _validators.length - 1;
        for (uint256 i = index; i < last; ++i) {
            _validators[i] = _validators[i + 1];
        }
        _validators.pop();
    }

    /// @dev The set stands still within an epoch, so what holds at the proposal holds when it applies.
    function _checkChange(address validator, uint64 power, bytes32 pqKeyHash) private view {
        if (validator == address(0)) revert ZeroAddress();
        if (power > POWER_MAX) revert PowerOutOfRange(power);
        (uint256 index, bool found) = _find(validator);
        if (power == 0) {
            if (!found) revert UnknownValidator(validator);
            if (pqKeyHash != 0) revert KeyHashWithRemoval(pqKeyHash);
            if (_validators.length == 1) revert LastValidator();
        } else if (found) {
            Validator storage member = _validators[index];
            if (member.power == power && member.pqKeyHash == pqKeyHash) revert NoChange(validator);
        } else if (_validators.length >= VALIDATORS_MAX) {
            revert SetFull();
        }
    }

    function _openChange(bytes32 id) private view returns (Change storage change) {
        change = _changes[id];
        if (change.validator == address(0) || change.epoch != epoch) revert UnknownProposal(id);
    }

    function _requireMember(address account) private view {
        (, bool found) = _find(account);
        if (!found) revert NotValidator(account);
    }

    /// @dev Returns where `account` is, or where it would stand in the order of addresses.
    function _find(address account) private view returns (uint256 index, bool found) {
        uint256 count = _validators.length;
        while (index < count && _validators[index].account < account) ++index;
        found = index < count && _validators[index].account == account;
    }
}
