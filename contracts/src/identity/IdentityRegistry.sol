// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title Who is behind an account, said by issuers that are trusted, without personal data.
/// @notice The interfaces of ERC-3643 in one contract: identity registry, claim topics, trusted
///         issuers and claims. On chain stand a number for each holder, a country code, and salted
///         hashes of claims with their expiry: never a name or the number of a document. Who drops
///         the salt off chain and revokes the claim has erased it.
///
///         An account is verified while its holder has, for every required topic, a claim that an
///         issuer trusted for this topic made, that it did not revoke and that has not expired. An
///         issuer that is no longer trusted takes its claims with it.
contract IdentityRegistry {
    struct Claim {
        bytes32 saltedHash;
        uint64 expiresAt;
    }

    struct Holder {
        bytes32 identity;
        uint16 country;
    }

    /// @notice Most required topics, and most issuers.
    uint256 public constant TOPICS_MAX = 15;
    uint256 public constant ISSUERS_MAX = 50;
    /// @notice Most accounts in one batch.
    uint256 public constant BATCH_MAX = 200;

    /// @notice Who sets topics, issuers and agents: the timelock.
    address public immutable governance;
    /// @notice Who may register holders.
    mapping(address agent => bool) public isAgent;

    mapping(address account => Holder) private _holders;
    uint256[] private _topics;
    address[] private _issuers;
    mapping(address issuer => uint256[] topics) private _topicsOf;
    mapping(address issuer => mapping(uint256 topic => bool)) public hasClaimTopic;
    mapping(bytes32 identity => mapping(uint256 topic => mapping(address issuer => Claim)))
        private _claims;

    event AgentSet(address indexed agent, bool allowed);
    event IdentityRegistered(address indexed account, bytes32 indexed identity, uint16 country);
    event IdentityRemoved(address indexed account, bytes32 indexed identity);
    event ClaimTopicAdded(uint256 indexed topic);
    event ClaimTopicRemoved(uint256 indexed topic);
    event TrustedIssuerSet(address indexed issuer, uint256[] topics);
    event ClaimAdded(
        bytes32 indexed identity,
        uint256 indexed topic,
        address indexed issuer,
        bytes32 saltedHash,
        uint64 expiresAt
    );
    event ClaimRevoked(bytes32 indexed identity, uint256 indexed topic, address indexed issuer);

    error Unauthorized(address caller);
    /// @notice Too many of them, or lists of different lengths.
    error BadCount(uint256 count, uint256 most);
    error AlreadyRegistered(address account);
    error NotRegistered(address account);
    error UnknownTopic(uint256 topic);
    /// @notice Nothing: zero in place of an account, an identity or a hash, or what is there already.
    error BadValue();

    modifier onlyGovernance() {
        if (msg.sender != governance) revert Unauthorized(msg.sender);
        _;
    }

    modifier onlyAgent() {
        if (!isAgent[msg.sender]) revert Unauthorized(msg.sender);
        _;
    }

    constructor(address governance_) {
        governance = governance_;
    }

    function setAgent(address agent, bool allowed) external onlyGovernance {
        isAgent[agent] = allowed;
        emit AgentSet(agent, allowed);
    }

    // ---- Holders ----

    /// @notice Says that `account` is `identity`'s; one identity may have several accounts.
    function registerIdentity(address account, bytes32 identity_, uint16 country) external onlyAgent {
        _register(account, identity_, country);
    }

    function batchRegisterIdentity(
        address[] calldata accounts,
        bytes32[] calldata identities,
        uint16[] calldata countries
    ) external onlyAgent {
        uint256 count = accounts.length;
        bool isEven = count == identities.length && count == countries.length;
        if (!isEven || count > BATCH_MAX) revert BadCount(count, BATCH_MAX);
        for (uint256 i = 0; i < count; ++i) {
            _register(accounts[i], identities[i], countries[i]);
        }
    }

    function updateCountry(address account, uint16 country) external onlyAgent {
        bytes32 identity_ = _holders[account].identity;
        if (identity_ == 0) revert NotRegistered(account);
        _holders[account].country = country;
        emit IdentityRegistered(account, identity_, country);
    }

    function deleteIdentity(address account) external onlyAgent {
        bytes32 identity_ = _holders[account].identity;
        if (identity_ == 0) revert NotRegistered(account);
        delete _holders[account];
        emit IdentityRemoved(account, identity_);
    }

    function identity(address account) external view returns (bytes32) {
        return _holders[account].identity;
    }

    function investorCountry(address account) external view returns (uint16) {
        return _holders[account].country;
    }

    function contains(address account) external view returns (bool) {
        return _holders[account].identity != 0;
    }

    /// @notice Returns whether every required topic has a good claim now.
    function isVerified(address account) external view returns (bool) {
        bytes32 identity_ = _holders[account].identity;
        if (identity_ == 0) return false;
        uint256 count = _topics.length;
        for (uint256 i = 0; i < count; ++i) {
            if (!_hasClaim(identity_, _topics[i])) return false;
        }
        return true;
    }

    // ---- Topics and issuers ----

    function addClaimTopic(uint256 topic) external onlyGovernance {
        if (_topics.length >= TOPICS_MAX) revert BadCount(_topics.length + 1, TOPICS_MAX);
        for (uint256 i = 0; i < _topics.length; ++i) if (_topics[i] == topic) revert BadValue();
        _topics.push(topic);
        emit ClaimTopicAdded(topic);
    }

    function removeClaimTopic(uint256 topic) external onlyGovernance {
        uint256 count = _topics.length;
        for (uint256 i = 0; i < count; ++i) {
            if (_topics[i] != topic) continue;
            _topics[i] = _topics[count - 1];
            _topics.pop();
            emit ClaimTopicRemoved(topic);
            return;
        }
        revert UnknownTopic(topic);
    }

    function getClaimTopics() external view returns (uint256[] memory) {
        return _topics;
    }

    /// @notice Trusts `issuer` for `topics` and no others; for none, no longer.
    function setTrustedIssuer(address issuer, uint256[] calldata topics) external onlyGovernance {
        if (issuer == address(0)) revert BadValue();
        if (topics.length > TOPICS_MAX) revert BadCount(topics.length, TOPICS_MAX);
        uint256[] storage old = _topicsOf[issuer];
        bool wasTrusted = old.length != 0;
        for (uint256 i = 0; i < old.length; ++i) hasClaimTopic[issuer][old[i]] = false;
        for (uint256 i = 0; i < topics.length; ++i) hasClaimTopic[issuer][topics[i]] = true;
        _topicsOf[issuer] = topics;
        if (topics.length != 0 && !wasTrusted) {
            if (_issuers.length >= ISSUERS_MAX) revert BadCount(_issuers.length + 1, ISSUERS_MAX);
            _issuers.push(issuer);
        } else if (topics.length == 0 && wasTrusted) {
            _dropIssuer(issuer);
        }
        emit TrustedIssuerSet(issuer, topics);
    }

    function getTrustedIssuers() external view returns (address[] memory) {
        return _issuers;
    }

    function isTrustedIssuer(address issuer) external view returns (bool) {
        return _topicsOf[issuer].length != 0;
    }

    function getTrustedIssuerClaimTopics(
        address issuer
    ) external view returns (uint256[] memory) {
        return _topicsOf[issuer];
    }

    // ---- Claims ----

    /// @notice Claims `topic` for a holder, in the name of the caller, who is trusted for it.
    /// @param saltedHash keccak256 of a random salt and the facts, which stay off chain.
    /// @param expiresAt Seconds since 1970.
    function addClaim(
        bytes32 identity_,
        uint256 topic,
        bytes32 saltedHash,
        uint64 expiresAt
    ) external {
        if (!hasClaimTopic[msg.sender][topic]) revert Unauthorized(msg.sender);
        if (identity_ == 0 || saltedHash == 0 || expiresAt <= block.timestamp) revert BadValue();
        _claims[identity_][topic][msg.sender] = Claim(saltedHash, expiresAt);
        emit ClaimAdded(identity_, topic, msg.sender, saltedHash, expiresAt);
    }

    /// @notice Takes the caller's claim back and erases its hash; also when no longer trusted.
    function revokeClaim(bytes32 identity_, uint256 topic) external {
        if (_claims[identity_][topic][msg.sender].saltedHash == 0) revert BadValue();
        delete _claims[identity_][topic][msg.sender];
        emit ClaimRevoked(identity_, topic, msg.sender);
    }

    function getClaim(
        bytes32 identity_,
        uint256 topic,
        address issuer
    ) external view returns (bytes32 saltedHash, uint64 expiresAt) {
        Claim storage claim = _claims[identity_][topic][issuer];
        return (claim.saltedHash, claim.expiresAt);
    }

    function _register(address account, bytes32 identity_, uint16 country) private {
        if (account == address(0) || identity_ == 0) revert BadValue();
        if (_holders[account].identity != 0) revert AlreadyRegistered(account);
        _holders[account] = Holder(identity_, country);
        emit IdentityRegistered(account, identity_, country);
    }

    function _dropIssuer(address issuer) private {
        uint256 count = _issuers.length;
        for (uint256 i = 0; i < count; ++i) {
            if (_issuers[i] != issuer) continue;
            _issuers[i] = _issuers[count - 1];
            _issuers.pop();
            return;
        }
    }

    function _hasClaim(bytes32 identity_, uint256 topic) private view returns (bool) {
        uint256 count = _issuers.length;
        for (uint256 i = 0; i < count; ++i) {
            address issuer = _issuers[i];
            if (!hasClaimTopic[issuer][topic]) continue;
            if (_claims[identity_][topic][issuer].expiresAt > block.timestamp) return true;
        }
        return false;
    }
}
