// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

/// @title What other contracts ask QXC.
interface IQXC is IERC20 {
    function deposit() external payable;
    function withdraw(uint256 value) external;
    function burn(uint256 value) external;
    function isExempt(address account) external view returns (bool);
    function agent() external view returns (address);
}

/// @title What QXC asks before and tells after each transfer, where governance has set one.
/// @dev The functions of ERC-3643's ICompliance that a transfer needs.
interface ICompliance {
    function canTransfer(address from, address to, uint256 value) external view returns (bool);
    function transferred(address from, address to, uint256 value) external;
    function isSameHolder(address one, address other) external view returns (bool);
}

/// @title What QXC asks the staking contract.
interface IStakingEntry {
    function depositFromToken(address owner, uint256 assets) external returns (uint256 shares);
}

/// @title What QXC asks the governance contract.
interface IGovernanceEntry {
    enum ProposalType {
        ParameterChange,
        TreasuryTransfer,
        ExemptionChange,
        ValidatorChange,
        PermissionChange,
        Calls
    }

    function proposeFromToken(
        address proposer,
        string calldata description,
        ProposalType kind,
        bytes calldata data
    ) external returns (uint256 id);

    function voteFromToken(address voter, uint256 id, bool support) external returns (uint256);
}
