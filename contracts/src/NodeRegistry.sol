// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @notice What this registry asks the ValidatorRegistry.
interface IValidators {
    function getValidators()
        external
        view
        returns (address[] memory addresses, uint64[] memory powers, bytes32[] memory pqKeyHashes);

    function epoch() external view returns (uint64);
}

/// @title The nodes that may connect to a QENEX network, and the votes that change them.
/// @notice Placed by the genesis document at a fixed address, with the first nodes in its storage;
///         it has no constructor and no owner. Every node reads `getNodes` after a block that
///         changed it: a peer that is no longer in it is disconnected.
///
///         A change (admit or replace a node, remove one) takes effect when validators that hold a
///         quorum of the power, floor(2 * total / 3) + 1, have approved it. A proposal belongs to
///         the epoch of the nodes and to that of the validators in which it was made: each change
///         of either ends it. The last node of a present validator cannot be removed: without it
///         the validator would be out, and this registry is not where that is decided.
contract NodeRegistry {
    enum Role {
        OBSERVER,
        VALIDATOR
    }

    struct Node {
        address validator;
        bytes peerId;
        string[] addresses;
    }

    struct Change {
        uint64 epoch;
        uint64 validatorEpoch;
        bool isRemoval;
        Node node;
    }

    struct NodeView {
        bytes peerId;
        address validator;
        Role role;
        string[] addresses;
    }

    /// @notice Most nodes that a network admits.
    uint256 public constant NODES_MAX = 1000;
    /// @notice Most addresses of one node.
    uint256 public constant ADDRESSES_MAX = 8;
    /// @notice Longest address, in bytes.
    uint256 public constant ADDRESS_BYTES_MAX = 280;
    /// @notice A peer id is the identity multihash of an Ed25519 public key.
    uint256 public constant PEER_ID_BYTES = 38;
    bytes6 private constant PEER_ID_PREFIX = 0x002408011220;

    /// @notice Whose validators vote here; written by the genesis document.
    IValidators public validatorRegistry;
    /// @notice Number of changes made since genesis.
    uint64 public epoch;

    Node[] private _nodes;
    /// @dev Place in `_nodes`, from 1; 0 for a peer that is not admitted.
    mapping(bytes32 peerIdHash => uint256 place) private _places;
    mapping(address validator => uint256 count) private _nodesOf;
    mapping(bytes32 id => Change) private _changes;
    mapping(bytes32 id => mapping(address validator => bool)) private _approvals;
    mapping(uint64 epoch => bytes32[] ids) private _proposed;
    /// @notice Who may change the nodes besides a quorum of validators; zero for nobody. Written by
    ///         the genesis document.
    address public governance;

    /// @notice A validator proposed to admit or replace a node (or to remove it).
    event NodeChangeProposed(
        bytes32 indexed id,
        bytes peerId,
        address indexed validator,
        address indexed proposer,
        string[] addresses,
        bool isRemoval,
        uint64 epoch
    );
    /// @notice A validator approved; the change takes effect when `approving` reaches `quorum`.
    event NodeChangeApproved(
        bytes32 indexed id,
        address indexed approver,
        uint256 approving,
        uint256 quorum
    );
    /// @notice The node may connect now, with these facts, and `epoch` began.
    event NodeAdmitted(bytes peerId, address indexed validator, string[] addresses, uint64 epoch);
    /// @notice The node may no longer connect, and `epoch` began.
    event NodeRemoved(bytes peerId, uint64 epoch);

    /// @notice The caller is not a validator.
    error NotValidator(address caller);
    /// @notice The caller is not the governance contract.
    error NotGovernance(address caller);
    /// @notice Not the peer id of an Ed25519 key.
    error BadPeerId(bytes peerId);
    /// @notice Too many addresses, an empty or a too long one.
    error BadAddresses();
    /// @notice The node is so already.
    error NoChange(bytes peerId);
    /// @notice The node to remove is not admitted.
    error UnknownNode(bytes peerId);
    /// @notice The network has NODES_MAX nodes.
    error RegistryFull();
    /// @notice A present validator has no other node.
    error LastNodeOf(address validator);
    /// @notice Nobody proposed this, or its epoch is over.
    error UnknownProposal(bytes32 id);
    /// @notice The caller approved this already.
    error AlreadyApproved(bytes32 id, address approver);

    /// @notice Returns every node that may connect.
    function getNodes() external view returns (NodeView[] memory nodes) {
        uint256 count = _nodes.length;
        nodes = new NodeView[](count);
        for (uint256 i = 0; i < count; ++i) {
            Node storage node = _nodes[i];
            Role role = node.validator == address(0) ? Role.OBSERVER : Role.VALIDATOR;
            nodes[i] = NodeView(node.peerId, node.validator, role, node.addresses);
        }
    }

    /// @notice Returns the number of nodes that may connect.
    function nodeCount() external view returns (uint256) {
        return _nodes.length;
    }

    /// @notice Returns whether a peer may connect.
    function isAdmitted(bytes calldata peerId) external view returns (bool) {
        return _places[keccak256(peerId)] != 0;
    }

    /// @notice Proposes to admit a node, or to replace what is known of it, and approves it.
    /// @param peerId The 38 bytes of its peer id.
    /// @param validator The validator it signs for, or zero for an observer.
    /// @param addresses Where it listens, such as /ip4/192.0.2.7/tcp/30303.
    /// @return id Name of the proposal, to be used in `approve`.
    function proposeNode(
        bytes calldata peerId,
        address validator,
        string[] calldata addresses
    ) external returns (bytes32 id) {
        return _propose(Node(validator, peerId, addresses), false);
    }

    /// @notice Proposes to remove a node and approves it.
    /// @return id Name of the proposal, to be used in `approve`.
    function proposeRemoval(bytes calldata peerId) external returns (bytes32 id) {
        return _propose(Node(address(0), peerId, new string[](0)), true);
    }

    /// @notice Admits, replaces or removes a node at once, like a proposal that a quorum approved.
    function governNode(
        bytes calldata peerId,
        address validator,
        string[] calldata addresses,
        bool isRemoval
    ) external {
        if (msg.sender != governance) revert NotGovernance(msg.sender);
        Node memory node = Node(validator, peerId, addresses);
        _checkChange(node, isRemoval);
        ++epoch;
        if (isRemoval) _remove(peerId);
        else _admit(node);
    }

    /// @notice Approves a proposal of the present epochs; the one that completes the quorum applies it.
    function approve(bytes32 id) external {
        _approve(id);
    }

    /// @notice Returns an open proposal and the power behind it.
    function getChange(
        bytes32 id
    )
        external
        view
        returns (
            bytes memory peerId,
            address validator,
            string[] memory addresses,
            bool isRemoval,
            uint256 approving
        )
    {
        Change storage change = _openChange(id);
        Node storage node = change.node;
        (, approving, ) = _powers(id, address(0));
        return (node.peerId, node.validator, node.addresses, change.isRemoval, approving);
    }

    /// @notice Returns the names of the proposals that can be approved.
    function getOpenChanges() external view returns (bytes32[] memory ids) {
        ids = _proposed[epoch];
        uint64 validatorEpoch = validatorRegistry.epoch();
        uint256 open;
        for (uint256 i = 0; i < ids.length; ++i) {
            if (_changes[ids[i]].validatorEpoch == validatorEpoch) ids[open++] = ids[i];
        }
        assembly ("memory-safe") {
            mstore(ids, open)
        }
    }

    /// @notice Returns whether `validator` approved `id`.
    function hasApproved(bytes32 id, address validator) external view returns (bool) {
        return _approvals[id][validator];
    }

    function _propose(Node memory node, bool isRemoval) private returns (bytes32 id) {
        _checkChange(node, isRemoval);
        uint64 validatorEpoch = validatorRegistry.epoch();
        id = keccak256(abi.encode(node, isRemoval, epoch, validatorEpoch));
        Change storage change = _changes[id];
        if (change.node.peerId.length == 0) {
            change.epoch = epoch;
            change.validatorEpoch = validatorEpoch;
            change.isRemoval = isRemoval;
            change.node = node;
            _proposed[epoch].push(id);
            emit NodeChangeProposed(
                id,
                node.peerId,
                node.validator,
                msg.sender,
                node.addresses,
                isRemoval,
                epoch
            );
        }
        _approve(id);
    }

    function _approve(bytes32 id) private {
        (bool isMember, uint256 approving, uint256 total) = _powers(id, msg.sender);
        if (!isMember) revert NotValidator(msg.sender);
        Change storage change = _openChange(id);
        if (_approvals[id][msg.sender]) revert AlreadyApproved(id, msg.sender);
        _approvals[id][msg.sender] = true;
        uint256 quorum = (total * 2) / 3 + 1;
        emit NodeChangeApproved(id, msg.sender, approving, quorum);
        if (approving >= quorum) {
            Node memory node = change.node;
            bool isRemoval = change.isRemoval;
            delete _changes[id];
            ++epoch;
            if (isRemoval) _remove(node.peerId);
            else _admit(node);
        }
    }

    /// @dev Returns the power of the present validators who approved `id`, `caller` among them.
    function _powers(
        bytes32 id,
        address caller
    ) private view returns (bool isMember, uint256 approving, uint256 total) {
        (address[] memory addresses, uint64[] memory powers, ) = validatorRegistry.getValidators();
        for (uint256 i = 0; i < addresses.length; ++i) {
            total += powers[i];
            if (addresses[i] == caller) isMember = true;
            if (addresses[i] == caller || _approvals[id][addresses[i]]) approving += powers[i];
        }
    }

    function _admit(Node memory node) private {
        bytes32 key = keccak256(node.peerId);
        uint256 place = _places[key];
        if (place == 0) {
            _nodes.push(node);
            _places[key] = _nodes.length;
        } else {
            --_nodesOf[_nodes[place - 1].validator];
            _nodes[place - 1] = node;
        }
        ++_nodesOf[node.validator];
        emit NodeAdmitted(node.peerId, node.validator, node.addresses, epoch);
    }

    function _remove(bytes memory peerId) private {
        bytes32 key = keccak256(peerId);
        uint256 place = _places[key];
        --_nodesOf[_nodes[place - 1].validator];
        uint256 last = _nodes.length;
        if (place != last) {
            Node memory moved = _nodes[last - 1];
            _nodes[place - 1] = moved;
            _places[keccak256(moved.peerId)] = place;
        }
        _nodes.pop();
        delete _places[key];
        emit NodeRemoved(peerId, epoch);
    }

    /// @dev Nodes and validators stand still within an epoch, so what holds at the proposal holds
    ///      when it applies.
    function _checkChange(Node memory node, bool isRemoval) private view {
        if (node.peerId.length != PEER_ID_BYTES || bytes6(node.peerId) != PEER_ID_PREFIX) {
            revert BadPeerId(node.peerId);
        }
        if (node.addresses.length > ADDRESSES_MAX) revert BadAddresses();
        for (uint256 i = 0; i < node.addresses.length; ++i) {
            uint256 length = bytes(node.addresses[i]).length;
            if (length == 0 || length > ADDRESS_BYTES_MAX) revert BadAddresses();
        }
        uint256 place = _places[keccak256(node.peerId)];
        if (place == 0) {
            if (isRemoval) revert UnknownNode(node.peerId);
            if (_nodes.length >= NODES_MAX) revert RegistryFull();
            return;
        }
        Node memory found = _nodes[place - 1];
        if (keccak256(abi.encode(found)) == keccak256(abi.encode(node)) && !isRemoval) {
            revert NoChange(node.peerId);
        }
        bool leaves = isRemoval || found.validator != node.validator;
        if (leaves && _nodesOf[found.validator] == 1 && _isValidator(found.validator)) {
            revert LastNodeOf(found.validator);
        }
    }

    function _isValidator(address account) private view returns (bool isMember) {
        if (account != address(0)) (isMember, , ) = _powers(0, account);
    }

    function _openChange(bytes32 id) private view returns (Change storage change) {
        change = _changes[id];
        if (
            change.node.peerId.length == 0 ||
            change.epoch != epoch ||
            change.validatorEpoch != validatorRegistry.epoch()
        ) revert UnknownProposal(id);
    }
}
