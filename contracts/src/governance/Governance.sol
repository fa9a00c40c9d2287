// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Governor} from "@openzeppelin/contracts/governance/Governor.sol";
import {GovernorCountingSimple} from "@openzeppelin/contracts/governance/extensions/GovernorCountingSimple.sol";
import {GovernorPreventLateQuorum} from "@openzeppelin/contracts/governance/extensions/GovernorPreventLateQuorum.sol";
import {GovernorSettings} from "@openzeppelin/contracts/governance/extensions/GovernorSettings.sol";
import {GovernorTimelockControl} from "@openzeppelin/contracts/governance/extensions/GovernorTimelockControl.sol";
import {GovernorVotes} from "@openzeppelin/contracts/governance/extensions/GovernorVotes.sol";
import {GovernorVotesQuorumFraction} from "@openzeppelin/contracts/governance/extensions/GovernorVotesQuorumFraction.sol";
import {IVotes} from "@openzeppelin/contracts/governance/utils/IVotes.sol";
import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";
import {IGovernanceEntry} from "../interfaces/IQXC.sol";

/// @title Decides by the votes of staked QXC, and acts through the timelock.
/// @notice Votes are those of the moment at which voting begins, so shares that were borrowed for
///         one transaction count nothing. A quorum that is reached late extends the vote.
///
///         Besides the calls of OpenZeppelin's Governor there are `createProposal` and `vote`, which
///         QXC forwards: a proposal by type, with `data` encoded as
///
///         ParameterChange    (uint256 targetBps, uint256 cooldownDays, uint256 quorumPercent)
///         TreasuryTransfer   (address token, address to, uint256 value), token 0 for native coins
///         ExemptionChange    (address account, bool exempt)
///         ValidatorChange    (address validator, uint64 power, bytes32 pqKeyHash)
///         PermissionChange   (address account, bool maySend, bool mayDeploy)
///         Calls              (address[] targets, uint256[] values, bytes[] calldatas)
/// @dev The clock is that of the votes: seconds.
contract Governance is
    Governor,
    GovernorSettings,
    GovernorCountingSimple,
    GovernorVotes,
    GovernorVotesQuorumFraction,
    GovernorPreventLateQuorum,
    GovernorTimelockControl,
    IGovernanceEntry
{
    /// @notice The contracts that typed proposals change.
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

    address public immutable qxc;
    address public immutable staking;
    address public immutable validatorRegistry;
    address public immutable permissions;

    /// @notice The caller is not QXC.
    error NotToken(address caller);

    constructor(
        Targets memory targets,
        TimelockController timelock,
        Settings memory settings
    )
        Governor("QENEX Governance")
        GovernorSettings(settings.votingDelay, settings.votingPeriod, settings.proposalThreshold)
        GovernorVotes(IVotes(targets.staking))
        GovernorVotesQuorumFraction(settings.quorumPercent)
        GovernorPreventLateQuorum(settings.lateQuorumExtension)
        GovernorTimelockControl(timelock)
    {
        qxc = targets.token;
        staking = targets.staking;
        validatorRegistry = targets.validatorRegistry;
        permissions = targets.permissions;
    }

    /// @notice Proposes a change by type with the caller's votes.
    function createProposal(
        string calldata description,
        ProposalType kind,
        bytes calldata data
    ) external returns (uint256 id) {
        return _createProposal(msg.sender, description, kind, data);
    }

    /// @notice The same for an account that called QXC.
    function proposeFromToken(
        address proposer,
        string calldata description,
        ProposalType kind,
        bytes calldata data
    ) external returns (uint256 id) {
        if (msg.sender != qxc) revert NotToken(msg.sender);
        return _createProposal(proposer, description, kind, data);
    }

    /// @notice Votes for (true) or against a proposal for an account that called QXC.
    function voteFromToken(
        address voter,
        uint256 id,
        bool support
    ) external returns (uint256 weight) {
        if (msg.sender != qxc) revert NotToken(msg.sender);
        return _castVote(id, voter, support ? 1 : 0, "");
    }

    /// @notice Returns the calls that a typed proposal makes; `hashProposal` names it from them.
    function callsOf(
        ProposalType kind,
        bytes calldata data
    )
        public
        view
        returns (address[] memory targets, uint256[] memory values, bytes[] memory calldatas)
    {
        if (kind == ProposalType.Calls) {
            return abi.decode(data, (address[], uint256[], bytes[]));
        }
        uint256 count = kind == ProposalType.ParameterChange ? 3 : 1;
        (targets, values, calldatas) = (
            new address[](count),
            new uint256[](count),
            new bytes[](count)
        );
        if (kind == ProposalType.ParameterChange) {
            (uint256 bps, uint256 cooldownDays, uint256 percent) = abi.decode(
                data,
                (uint256, uint256, uint256)
            );
            (targets[0], targets[1], targets[2]) = (staking, staking, address(this));
            calldatas[0] = abi.encodeWithSignature("setTarget(uint256)", bps);
            calldatas[1] = abi.encodeWithSignature("setCooldown(uint256)", cooldownDays * 1 days);
            calldatas[2] = abi.encodeCall(this.updateQuorumNumerator, (percent));
        } else if (kind == ProposalType.TreasuryTransfer) {
            (address token, address to, uint256 value) = abi.decode(
                data,
                (address, address, uint256)
            );
            if (token == address(0)) {
                (targets[0], values[0]) = (to, value);
            } else {
                targets[0] = token;
                calldatas[0] = abi.encodeWithSignature("transfer(address,uint256)", to, value);
            }
        } else if (kind == ProposalType.ExemptionChange) {
            (address account, bool exempt) = abi.decode(data, (address, bool));
            targets[0] = qxc;
            calldatas[0] = abi.encodeWithSignature("setExempt(address,bool)", account, exempt);
        } else if (kind == ProposalType.ValidatorChange) {
            (address validator, uint64 power, bytes32 keyHash) = abi.decode(
                data,
                (address, uint64, bytes32)
            );
            targets[0] = validatorRegistry;
            calldatas[0] = abi.encodeWithSignature(
                "governChange(address,uint64,bytes32)",
                validator,
                power,
                keyHash
            );
        } else {
            (address account, bool maySend, bool mayDeploy) = abi.decode(
                data,
                (address, bool, bool)
            );
            targets[0] = permissions;
            calldatas[0] = abi.encodeWithSignature(
                "setPermissions(address,bool,bool)",
                account,
                maySend,
                mayDeploy
            );
        }
    }

    /// @dev The checks of Governor.propose, for a proposer that is not the caller.
    function _createProposal(
        address proposer,
        string calldata description,
        ProposalType kind,
        bytes calldata data
    ) private returns (uint256) {
        if (!_isValidDescriptionForProposer(proposer, description)) {
            revert GovernorRestrictedProposer(proposer);
        }
        uint256 votes = getVotes(proposer, clock() - 1);
        if (votes < proposalThreshold()) {
            revert GovernorInsufficientProposerVotes(proposer, votes, proposalThreshold());
        }
        (
            address[] memory targets,
            uint256[] memory values,
            bytes[] memory calldatas
        ) = callsOf(kind, data);
        return _propose(targets, values, calldatas, description, proposer);
    }

    // ---- What more than one base defines ----

    function votingDelay() public view override(Governor, GovernorSettings) returns (uint256) {
        return super.votingDelay();
    }

    function votingPeriod() public view override(Governor, GovernorSettings) returns (uint256) {
        return super.votingPeriod();
    }

    function proposalThreshold()
        public
        view
        override(Governor, GovernorSettings)
        returns (uint256)
    {
        return super.proposalThreshold();
    }

    function state(
        uint256 id
    ) public view override(Governor, GovernorTimelockControl) returns (ProposalState) {
        return super.state(id);
    }

    function proposalNeedsQueuing(
        uint256 id
    ) public view override(Governor, GovernorTimelockControl) returns (bool) {
        return super.proposalNeedsQueuing(id);
    }

    function proposalDeadline(
        uint256 id
    ) public view override(Governor, GovernorPreventLateQuorum) returns (uint256) {
        return super.proposalDeadline(id);
    }

    function _tallyUpdated(uint256 id) internal override(Governor, GovernorPreventLateQuorum) {
        super._tallyUpdated(id);
    }

    function _queueOperations(
        uint256 id,
        address[] memory targets,
        uint256[] memory values,
        bytes[] memory calldatas,
        bytes32 descriptionHash
    ) internal override(Governor, GovernorTimelockControl) returns (uint48) {
        return super._queueOperations(id, targets, values, calldatas, descriptionHash);
    }

    function _executeOperations(
        uint256 id,
        address[] memory targets,
        uint256[] memory values,
        bytes[] memory calldatas,
        bytes32 descriptionHash
    ) internal override(Governor, GovernorTimelockControl) {
        super._executeOperations(id, targets, values, calldatas, descriptionHash);
    }

    function _cancel(
        address[] memory targets,
        uint256[] memory values,
        bytes[] memory calldatas,
        bytes32 descriptionHash
    ) internal override(Governor, GovernorTimelockControl) returns (uint256) {
        return super._cancel(targets, values, calldatas, descriptionHash);
    }

    function _executor()
        internal
        view
        override(Governor, GovernorTimelockControl)
        returns (address)
    {
        return super._executor();
    }
}
