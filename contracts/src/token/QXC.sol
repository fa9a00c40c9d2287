// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC165} from "@openzeppelin/contracts/utils/introspection/IERC165.sol";
import {IERC20Metadata} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Metadata.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {IERC7802} from "@openzeppelin/contracts/interfaces/draft-IERC7802.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {Nonces} from "@openzeppelin/contracts/utils/Nonces.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";
import {ICompliance, IGovernanceEntry, IStakingEntry} from "../interfaces/IQXC.sol";

/// @title QXC, the coin of a QENEX network as an ERC-20.
/// @notice On its home chain every token is backed 1:1 by the native coin that lies here: `deposit`
///         makes tokens of coins and `withdraw` turns them back. On another chain (`isBridged`) its
///         gateway mints and burns them instead (ERC-7802), and there is no deposit.
///
///         A transfer burns floor(value / 1000) of what the recipient gets, unless one of the two
///         is exempt; the coins that backed it stay here for good. Exemptions, the guardian and the
///         agent are set by governance, which acts through a timelock.
///
///         The guardian may stop all transfers for up to 72 hours, and block an account for up to
///         30 days. Both end by themselves, and the guardian cannot repeat either before the same
///         time has passed again: lasting measures are governance's. Neither touches native coins.
/// @dev Balance, exemption, frozen part and block of an account share one storage word; supply,
///      pause and the mark of a compliance contract another. Votes live in the staking share, so a
///      transfer reads three words and writes three.
contract QXC is IERC20Metadata, IERC20Permit, IERC20Errors, IERC7802, EIP712, Nonces {
    /// @notice What a new token is made with; see the functions that change each.
    struct Setup {
        address governance;
        address guardian;
        address staking;
        address governor;
        bool isBridged;
        address[] exempt;
    }

    /// @notice A transfer burns its value divided by this.
    uint256 public constant BURN_DIVISOR = 1000;
    /// @notice Longest pause, and the rest after one of the guardian, in seconds.
    uint256 public constant PAUSE_SECONDS_MAX = 72 hours;
    /// @notice Longest block that the guardian may set, and the rest after it, in seconds.
    uint256 public constant BLOCK_SECONDS_MAX = 30 days;
    /// @notice Greatest supply, in wei.
    uint256 public constant SUPPLY_MAX = type(uint104).max;

    string public constant name = "QENEX";
    string public constant symbol = "QXC";
    uint8 public constant decimals = 18;

    /// @notice Who sets exemptions, guardian, agent, compliance and bridge: the timelock.
    address public immutable governance;
    /// @notice Where `stake` puts tokens.
    IStakingEntry public immutable staking;
    /// @notice Where `createProposal` and `vote` go.
    IGovernanceEntry public immutable governor;
    /// @notice Whether this is the token on a chain that is not its home.
    bool public immutable isBridged;

    bytes32 private constant PERMIT_TYPEHASH =
        keccak256(
            "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"
        );
    uint256 private constant AMOUNT = type(uint104).max;
    uint256 private constant EXEMPT = 1 << 104;
    uint256 private constant FROZEN_SHIFT = 105;
    uint256 private constant BLOCK_SHIFT = 216;
    uint256 private constant PAUSE_SHIFT = 128;
    uint256 private constant HOOKED = 1 << 192;

    /// @dev Bits 0-103 balance, 104 exempt, 105-208 frozen part, 216-255 blocked until (seconds).
    mapping(address account => uint256 word) private _accounts;
    mapping(address owner => mapping(address spender => uint256)) private _allowances;
    /// @dev Bits 0-103 supply, 128-191 paused until (seconds), 192 set with `compliance`.
    uint256 private _state;
    /// @notice Who may pause, and block accounts for a while.
    address public guardian;
    /// @notice Who may freeze, force and recover under the law; zero where there is none.
    address public agent;
    /// @notice Asked about each transfer; zero where anybody may hold the token.
    ICompliance public compliance;
    /// @notice Who may mint and burn on a chain that is not the token's home.
    address public bridge;

    event Deposit(address indexed account, uint256 value);
    event Withdrawal(address indexed account, address indexed to, uint256 value);
    event Paused(uint256 until, address indexed by);
    event AccountBlocked(address indexed account, uint256 until, address indexed by);
    event ExemptionSet(address indexed account, bool exempt);
    event RoleSet(bytes32 indexed role, address indexed holder);
    event TokensFrozen(address indexed account, uint256 frozen);
    event TransferForced(address indexed from, address indexed to, uint256 value, bytes32 reason);
    event AccountRecovered(address indexed lost, address indexed successor, uint256 value);

    /// @notice The caller may not do this.
    error Unauthorized(address caller);
    /// @notice Transfers rest until this time.
    error TransfersPaused(uint256 until);
    /// @notice The account may not send or receive until this time.
    error Blocked(address account, uint256 until);
    /// @notice The rest of the balance is frozen.
    error Frozen(address account, uint256 available, uint256 needed);
    /// @notice The compliance contract refuses.
    error NotCompliant(address from, address to, uint256 value);
    /// @notice Longer than allowed, or too soon after the last time.
    error TooLong(uint256 until, uint256 most);
    /// @notice An exempt (system) account is beyond guardian and agent.
    error SystemAccount(address account);
    /// @notice More tokens than SUPPLY_MAX.
    error SupplyTooGreat(uint256 supply);
    /// @notice Not on this kind of chain.
    error WrongChain();
    /// @notice The native coins could not be delivered.
    error PaymentFailed(address to);
    error PermitExpired(uint256 deadline);
    error PermitInvalid(address owner);
    /// @notice The two accounts are not one holder's.
    error NotSameHolder(address lost, address successor);

    modifier onlyGovernance() {
        if (msg.sender != governance) revert Unauthorized(msg.sender);
        _;
    }

    modifier onlyAgent() {
        if (msg.sender != agent || msg.sender == address(0)) revert Unauthorized(msg.sender);
        _;
    }

    constructor(Setup memory setup) EIP712("QENEX", "1") {
        governance = setup.governance;
        guardian = setup.guardian;
        staking = IStakingEntry(setup.staking);
        governor = IGovernanceEntry(setup.governor);
        isBridged = setup.isBridged;
        for (uint256 i = 0; i < setup.exempt.length; ++i) {
            _accounts[setup.exempt[i]] |= EXEMPT;
            emit ExemptionSet(setup.exempt[i], true);
        }
    }

    receive() external payable {
        deposit();
    }

    // ---- ERC-20 ----

    function totalSupply() external view returns (uint256) {
        return _state & AMOUNT;
    }

    function balanceOf(address account) external view returns (uint256) {
        return _accounts[account] & AMOUNT;
    }

    function allowance(address owner, address spender) external view returns (uint256) {
        return _allowances[owner][spender];
    }

    /// @notice Moves tokens; the recipient gets `value` less the burn.
    function transfer(address to, uint256 value) external returns (bool) {
        _move(msg.sender, to, value);
        return true;
    }

    function approve(address spender, uint256 value) external returns (bool) {
        _approve(msg.sender, spender, value);
        return true;
    }

    function transferFrom(address from, address to, uint256 value) external returns (bool) {
        uint256 allowed = _allowances[from][msg.sender];
        if (allowed != type(uint256).max) {
            if (allowed < value) revert ERC20InsufficientAllowance(msg.sender, allowed, value);
            unchecked {
                _allowances[from][msg.sender] = allowed - value;
            }
        }
        _move(from, to, value);
        return true;
    }

    /// @notice Returns what a recipient of `value` gets, and what is burned.
    function quoteTransfer(
        address from,
        address to,
        uint256 value
    ) external view returns (uint256 received, uint256 burned) {
        bool isFree = from == to || (_accounts[from] | _accounts[to]) & EXEMPT != 0;
        burned = isFree ? 0 : value / BURN_DIVISOR;
        received = value - burned;
    }

    /// @notice Burns tokens of the caller; the coins behind them stay locked for good.
    function burn(uint256 value) external {
        _checkFree(msg.sender, msg.sender, value);
        _take(msg.sender, value);
        emit Transfer(msg.sender, address(0), value);
    }

    // ---- Permit (EIP-2612) ----

    /// @notice Sets an allowance by signature, of a key or of a contract (ERC-1271).
    function permit(
        address owner,
        address spender,
        uint256 value,
        uint256 deadline,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external {
        if (block.timestamp > deadline) revert PermitExpired(deadline);
        bytes32 digest = _hashTypedDataV4(
            keccak256(
                abi.encode(PERMIT_TYPEHASH, owner, spender, value, _useNonce(owner), deadline)
            )
        );
        bool isValid = SignatureChecker.isValidSignatureNow(
            owner,
            digest,
            abi.encodePacked(r, s, v)
        );
        if (!isValid) revert PermitInvalid(owner);
        _approve(owner, spender, value);
    }

    function nonces(
        address owner
    ) public view override(IERC20Permit, Nonces) returns (uint256) {
        return super.nonces(owner);
    }

    function DOMAIN_SEPARATOR() external view returns (bytes32) {
        return _domainSeparatorV4();
    }

    // ---- Home chain: native coins ----

    /// @notice Makes tokens of the native coins that come with the call.
    function deposit() public payable {
        if (isBridged) revert WrongChain();
        _checkFree(msg.sender, msg.sender, 0);
        _give(msg.sender, msg.value);
        emit Transfer(address(0), msg.sender, msg.value);
        emit Deposit(msg.sender, msg.value);
    }

    /// @notice Turns tokens of the caller into native coins.
    function withdraw(uint256 value) external {
        withdrawTo(msg.sender, value);
    }

    /// @notice Turns tokens of the caller into native coins of `to`.
    function withdrawTo(address to, uint256 value) public {
        if (isBridged) revert WrongChain();
        _checkFree(msg.sender, to, value);
        _take(msg.sender, value);
        emit Transfer(msg.sender, address(0), value);
        emit Withdrawal(msg.sender, to, value);
        (bool paid, ) = to.call{value: value}("");
        if (!paid) revert PaymentFailed(to);
    }

    // ---- Other chains: the bridge (ERC-7802) ----

    function crosschainMint(address to, uint256 value) external {
        if (msg.sender != bridge || !isBridged) revert Unauthorized(msg.sender);
        if (to == address(0)) revert ERC20InvalidReceiver(to);
        _give(to, value);
        emit Transfer(address(0), to, value);
        emit CrosschainMint(to, value, msg.sender);
    }

    function crosschainBurn(address from, uint256 value) external {
        if (msg.sender != bridge || !isBridged) revert Unauthorized(msg.sender);
        _checkFree(from, from, value);
        _take(from, value);
        emit Transfer(from, address(0), value);
        emit CrosschainBurn(from, value, msg.sender);
    }

    function supportsInterface(bytes4 id) external pure returns (bool) {
        return
            id == type(IERC165).interfaceId ||
            id == type(IERC7802).interfaceId ||
            id == type(IERC20).interfaceId ||
            id == type(IERC20Permit).interfaceId;
    }

    // ---- Staking and governance from the token ----

    /// @notice Stakes tokens of the caller; the shares are the caller's.
    function stake(uint256 value) external returns (uint256 shares) {
        _move(msg.sender, address(staking), value);
        return staking.depositFromToken(msg.sender, value);
    }

    /// @notice Proposes a change with the caller's votes; see Governance for `data` of each type.
    function createProposal(
        string calldata description,
        IGovernanceEntry.ProposalType kind,
        bytes calldata data
    ) external returns (uint256 id) {
        return governor.proposeFromToken(msg.sender, description, kind, data);
    }

    /// @notice Votes for or against a proposal with all votes of the caller.
    function vote(uint256 id, bool support) external returns (uint256 weight) {
        return governor.voteFromToken(msg.sender, id, support);
    }

    // ---- Pause and block ----

    /// @notice Returns until when transfers rest, in seconds since 1970.
    function pausedUntil() public view returns (uint256) {
        return uint64(_state >> PAUSE_SHIFT);
    }

    /// @notice Returns until when `account` may not send or receive, in seconds since 1970.
    function blockedUntil(address account) public view returns (uint256) {
        return _accounts[account] >> BLOCK_SHIFT;
    }

    /// @notice Stops all transfers until a time at most 72 hours away; governance may also end it.
    function pause(uint256 until) external {
        uint256 last = pausedUntil();
        if (until > block.timestamp + PAUSE_SECONDS_MAX) {
            revert TooLong(until, block.timestamp + PAUSE_SECONDS_MAX);
        }
        if (msg.sender != governance) _checkGuardian(last, until, PAUSE_SECONDS_MAX);
        _state = (_state & ~(uint256(type(uint64).max) << PAUSE_SHIFT)) | (until << PAUSE_SHIFT);
        emit Paused(until, msg.sender);
    }

    /// @notice Blocks an account until a time; the guardian for 30 days at most, governance for
    ///         any time, also for none.
    function blockAccount(address account, uint256 until) external {
        uint256 word = _accounts[account];
        if (until > type(uint40).max) revert TooLong(until, type(uint40).max);
        if (msg.sender != governance) {
            if (word & EXEMPT != 0) revert SystemAccount(account);
            _checkGuardian(word >> BLOCK_SHIFT, until, BLOCK_SECONDS_MAX);
        }
        _accounts[account] = (word & ((1 << BLOCK_SHIFT) - 1)) | (until << BLOCK_SHIFT);
        emit AccountBlocked(account, until, msg.sender);
    }

    // ---- Governance ----

    function isExempt(address account) external view returns (bool) {
        return _accounts[account] & EXEMPT != 0;
    }

    /// @notice Frees the transfers of a system contract from the burn, or ends that.
    function setExempt(address account, bool exempt) external onlyGovernance {
        uint256 word = _accounts[account];
        _accounts[account] = exempt ? word | EXEMPT : word & ~EXEMPT;
        emit ExemptionSet(account, exempt);
    }

    function setGuardian(address account) external onlyGovernance {
        guardian = account;
        emit RoleSet("guardian", account);
    }

    function setAgent(address account) external onlyGovernance {
        agent = account;
        emit RoleSet("agent", account);
    }

    function setBridge(address account) external onlyGovernance {
        bridge = account;
        emit RoleSet("bridge", account);
    }

    /// @notice Has each transfer asked of `rules`, or of nobody when it is zero.
    function setCompliance(ICompliance rules) external onlyGovernance {
        compliance = rules;
        _state = address(rules) == address(0) ? _state & ~HOOKED : _state | HOOKED;
        emit RoleSet("compliance", address(rules));
    }

    // ---- Agent: duties under the law (the token side of ERC-3643) ----

    function getFrozenTokens(address account) external view returns (uint256) {
        return (_accounts[account] >> FROZEN_SHIFT) & AMOUNT;
    }

    /// @notice Sets how much of an account's balance may not move; it may be above the balance.
    function setFrozenTokens(address account, uint256 value) external onlyAgent {
        if (value > AMOUNT) revert SupplyTooGreat(value);
        _checkPerson(account);
        _accounts[account] =
            (_accounts[account] & ~(AMOUNT << FROZEN_SHIFT)) |
            (value << FROZEN_SHIFT);
        emit TokensFrozen(account, value);
    }

    /// @notice Moves tokens without their owner, without burn, past pause, block and freeze;
    ///         `reason` names the order that the agent holds.
    function forcedTransfer(
        address from,
        address to,
        uint256 value,
        bytes32 reason
    ) external onlyAgent returns (bool) {
        if (to == address(0)) revert ERC20InvalidReceiver(to);
        _checkPerson(from);
        _shift(from, to, value);
        uint256 word = _accounts[from];
        uint256 frozen = (word >> FROZEN_SHIFT) & AMOUNT;
        if (frozen > word & AMOUNT) {
            frozen = word & AMOUNT;
            _accounts[from] = (word & ~(AMOUNT << FROZEN_SHIFT)) | (frozen << FROZEN_SHIFT);
            emit TokensFrozen(from, frozen);
        }
        emit Transfer(from, to, value);
        emit TransferForced(from, to, value, reason);
        return true;
    }

    /// @notice Moves everything of a lost account to another of the same holder: balance, frozen
    ///         part and block. Where there is a compliance contract, it must know them as one.
    function recoverAccount(address lost, address successor) external onlyAgent {
        if (lost == successor || successor == address(0)) revert NotSameHolder(lost, successor);
        _checkPerson(lost);
        bool isKnown = address(compliance) == address(0) ||
            compliance.isSameHolder(lost, successor);
        if (!isKnown) revert NotSameHolder(lost, successor);
        uint256 word = _accounts[lost];
        uint256 value = word & AMOUNT;
        _shift(lost, successor, value);
        uint256 other = _accounts[successor];
        uint256 frozen = ((word >> FROZEN_SHIFT) & AMOUNT) + ((other >> FROZEN_SHIFT) & AMOUNT);
        if (frozen > AMOUNT) frozen = AMOUNT;
        uint256 until = word >> BLOCK_SHIFT;
        if (until < other >> BLOCK_SHIFT) until = other >> BLOCK_SHIFT;
        _accounts[successor] =
            (other & (AMOUNT | EXEMPT)) |
            (frozen << FROZEN_SHIFT) |
            (until << BLOCK_SHIFT);
        _accounts[lost] = word & (EXEMPT | (uint256(type(uint40).max) << BLOCK_SHIFT));
        emit Transfer(lost, successor, value);
        emit AccountRecovered(lost, successor, value);
    }

    // ---- Inside ----

    /// @dev The one transfer that users make. Whatever is not common (a block, a frozen part, a
    ///      pause, a compliance contract) leaves a bit in one of the words and takes the slow way.
    function _move(address from, address to, uint256 value) private {
        if (to == address(0)) revert ERC20InvalidReceiver(to);
        uint256 state = _state;
        uint256 source = _accounts[from];
        uint256 target = _accounts[to];
        if (((source | target) >> FROZEN_SHIFT) | (state >> PAUSE_SHIFT) != 0) {
            _checkFree(from, to, value);
        }
        if (source & AMOUNT < value) {
            revert ERC20InsufficientBalance(from, source & AMOUNT, value);
        }
        unchecked {
            if (from != to) {
                uint256 received = value;
                if ((source | target) & EXEMPT == 0) {
                    uint256 burned = value / BURN_DIVISOR;
                    if (burned != 0) {
                        received -= burned;
                        _state = state - burned;
                        emit Transfer(from, address(0), burned);
                    }
                }
                _accounts[from] = source - value;
                _accounts[to] = target + received;
                value = received;
            }
        }
        emit Transfer(from, to, value);
        if (state & HOOKED != 0) compliance.transferred(from, to, value);
    }

    /// @dev Moves a part of a balance and nothing else; nobody is asked.
    function _shift(address from, address to, uint256 value) private {
        uint256 source = _accounts[from];
        if (source & AMOUNT < value) {
            revert ERC20InsufficientBalance(from, source & AMOUNT, value);
        }
        unchecked {
            _accounts[from] = source - value;
            _accounts[to] += value;
        }
    }

    function _give(address to, uint256 value) private {
        uint256 state = _state;
        unchecked {
            uint256 supply = (state & AMOUNT) + value;
            if (value > AMOUNT || supply > AMOUNT) revert SupplyTooGreat(value);
            _state = state + value;
            _accounts[to] += value;
        }
    }

    function _take(address from, uint256 value) private {
        uint256 source = _accounts[from];
        if (source & AMOUNT < value) {
            revert ERC20InsufficientBalance(from, source & AMOUNT, value);
        }
        unchecked {
            _accounts[from] = source - value;
            _state -= value;
        }
    }

    /// @dev Reverts unless tokens of `from` may go to `to` now, the frozen part apart.
    function _checkFree(address from, address to, uint256 value) private view {
        uint256 state = _state;
        uint256 until = uint64(state >> PAUSE_SHIFT);
        if (until > block.timestamp) revert TransfersPaused(until);
        _checkAccount(from);
        _checkAccount(to);
        uint256 word = _accounts[from];
        uint256 frozen = (word >> FROZEN_SHIFT) & AMOUNT;
        if (frozen != 0) {
            uint256 balance = word & AMOUNT;
            uint256 available = frozen < balance ? balance - frozen : 0;
            if (value > available) revert Frozen(from, available, value);
        }
        if (state & HOOKED != 0 && !compliance.canTransfer(from, to, value)) {
            revert NotCompliant(from, to, value);
        }
    }

    /// @dev The agent's orders are about holders: what system contracts hold is their users'.
    function _checkPerson(address account) private view {
        if (_accounts[account] & EXEMPT != 0) revert SystemAccount(account);
    }

    function _checkAccount(address account) private view {
        uint256 until = _accounts[account] >> BLOCK_SHIFT;
        if (until > block.timestamp) revert Blocked(account, until);
    }

    /// @dev The guardian acts for at most `most` seconds, and not again before as long a rest.
    function _checkGuardian(uint256 last, uint256 until, uint256 most) private view {
        if (msg.sender != guardian) revert Unauthorized(msg.sender);
        if (until > block.timestamp + most) revert TooLong(until, block.timestamp + most);
        if (last != 0 && block.timestamp < last + most) revert TooLong(until, last + most);
    }

    function _approve(address owner, address spender, uint256 value) private {
        if (spender == address(0)) revert ERC20InvalidSpender(spender);
        _allowances[owner][spender] = value;
        emit Approval(owner, spender, value);
    }
}
