// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Suite, vm} from "./Suite.sol";

interface IQXC {
    struct Setup {
        address governance;
        address guardian;
        address staking;
        address governor;
        bool isBridged;
        address[] exempt;
    }

    function totalSupply() external view returns (uint256);
    function balanceOf(address account) external view returns (uint256);
    function isExempt(address account) external view returns (bool);
    function pausedUntil() external view returns (uint256);
    function blockedUntil(address account) external view returns (uint256);
    function getFrozenTokens(address account) external view returns (uint256);
    function transfer(address to, uint256 value) external returns (bool);
    function approve(address spender, uint256 value) external returns (bool);
    function transferFrom(address from, address to, uint256 value) external returns (bool);
    function deposit() external payable;
    function withdraw(uint256 value) external;
    function burn(uint256 value) external;
    function stake(uint256 value) external returns (uint256);
    function vote(uint256 id, bool support) external returns (uint256);
    function pause(uint256 until) external;
    function blockAccount(address account, uint256 until) external;
    function setExempt(address account, bool exempt) external;
    function setGuardian(address account) external;
    function setAgent(address account) external;
    function setFrozenTokens(address account, uint256 value) external;
    function forcedTransfer(address from, address to, uint256 value, bytes32 reason) external returns (bool);
}

interface IStaking {
    function totalAssets() external view returns (uint256);
    function totalSupply() external view returns (uint256);
    function balanceOf(address account) external view returns (uint256);
    function reserve() external view returns (uint256);
    function owed() external view returns (uint128);
    function currentApy() external view returns (uint256);
    function runwaySeconds() external view returns (uint256);
    function targetBps() external view returns (uint32);
    function cooldown() external view returns (uint32);
    function convertToAssets(uint256 shares) external view returns (uint256);
    function previewDeposit(uint256 assets) external view returns (uint256);
    function previewMint(uint256 shares) external view returns (uint256);
    function exitOf(address owner) external view returns (uint256, uint256, uint256);
    function maxWithdraw(address owner) external view returns (uint256);
    function maxRedeem(address owner) external view returns (uint256);
    function delegates(address account) external view returns (address);
    function getVotes(address account) external view returns (uint256);
    function getPastVotes(address account, uint256 moment) external view returns (uint256);
    function getPastTotalSupply(uint256 moment) external view returns (uint256);
    function deposit(uint256 assets, address receiver) external returns (uint256);
    function mint(uint256 shares, address receiver) external returns (uint256);
    function requestRedeem(uint256 shares, address controller, address owner) external returns (uint256);
    function redeem(uint256 shares, address receiver, address owner) external returns (uint256);
    function withdraw(uint256 assets, address receiver, address owner) external returns (uint256);
    function fund(uint256 assets) external;
    function setTarget(uint256 bps) external;
    function setCooldown(uint256 duration) external;
    function transfer(address to, uint256 value) external returns (bool);
    function delegate(address to) external;
}

interface IGovernance {
    struct Targets {
        address token;
        address staking;
        address validatorRegistry;
        address permissions;
    }

    struct Settings {
        uint48 votingDelay;
        uint32 votingPeriod;
        uint256 proposalThreshold;
        uint256 quorumPercent;
        uint48 lateQuorumExtension;
    }

    function createProposal(string calldata description, uint8 kind, bytes calldata data)
        external
        returns (uint256);
    function callsOf(uint8 kind, bytes calldata data)
        external
        view
        returns (address[] memory, uint256[] memory, bytes[] memory);
    function state(uint256 id) external view returns (uint8);
    function proposalSnapshot(uint256 id) external view returns (uint256);
    function proposalDeadline(uint256 id) external view returns (uint256);
    function proposalEta(uint256 id) external view returns (uint256);
    function proposalVotes(uint256 id) external view returns (uint256, uint256, uint256);
    function quorum(uint256 moment) external view returns (uint256);
    function quorumNumerator() external view returns (uint256);
    function hasVoted(uint256 id, address account) external view returns (bool);
    function castVote(uint256 id, uint8 support) external returns (uint256);
    function updateQuorumNumerator(uint256 percent) external;
    function setVotingDelay(uint48 delay) external;
    function queue(address[] calldata, uint256[] calldata, bytes[] calldata, bytes32) external returns (uint256);
    function execute(address[] calldata, uint256[] calldata, bytes[] calldata, bytes32)
        external
        payable
        returns (uint256);
    function cancel(address[] calldata, uint256[] calldata, bytes[] calldata, bytes32) external returns (uint256);
}

interface ITimelock {
    function getMinDelay() external view returns (uint256);
    function updateDelay(uint256 delay) external;
    function schedule(address, uint256, bytes calldata, bytes32, bytes32, uint256) external;
    function execute(address, uint256, bytes calldata, bytes32, bytes32) external payable;
    function grantRole(bytes32 role, address account) external;
}

/// @title Token, staking, governance and timelock as a genesis document places them.
abstract contract Core is Suite {
    address internal constant TIMELOCK = address(0x7100);
    address internal constant QXC_AT = address(0x515843);
    address internal constant STAKING_AT = address(0x57a4);
    address internal constant GOVERNANCE_AT = address(0x6043);
    address internal constant GUARDIAN = address(0x6a4d);

    function _placeCore(uint256 delay, uint256 targetBps, uint256 cooldown) internal {
        vm.warp(1_800_000_000);
        address[] memory one = new address[](1);
        address[] memory anybody = new address[](1);
        one[0] = GOVERNANCE_AT;
        _place("Timelock", TIMELOCK, abi.encode(delay, one, anybody));
        address[] memory exempt = new address[](2);
        (exempt[0], exempt[1]) = (STAKING_AT, TIMELOCK);
        IQXC.Setup memory setup =
            IQXC.Setup(TIMELOCK, GUARDIAN, STAKING_AT, GOVERNANCE_AT, false, exempt);
        _place("QXC", QXC_AT, abi.encode(setup));
        _place("Staking", STAKING_AT, abi.encode(QXC_AT, TIMELOCK, targetBps, cooldown));
        IGovernance.Targets memory targets =
            IGovernance.Targets(QXC_AT, STAKING_AT, address(0x4e61), address(0x9e43));
        IGovernance.Settings memory settings = IGovernance.Settings(10, 100, 10 ** 18, 10, 20);
        _place("Governance", GOVERNANCE_AT, abi.encode(targets, TIMELOCK, settings));
    }
}
