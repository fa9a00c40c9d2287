// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IComplianceModule, IIdentities} from "./Compliance.sol";

/// @title A rule for compliance: holders of some countries (ISO 3166-1 numbers) receive nothing.
contract CountryModule is IComplianceModule {
    address public immutable governance;
    IIdentities public immutable identities;
    mapping(uint16 country => bool) public isRestricted;

    event CountrySet(uint16 indexed country, bool restricted);

    error Unauthorized(address caller);

    constructor(address governance_, IIdentities identities_) {
        governance = governance_;
        identities = identities_;
    }

    function setCountry(uint16 country, bool restricted) external {
        if (msg.sender != governance) revert Unauthorized(msg.sender);
        isRestricted[country] = restricted;
        emit CountrySet(country, restricted);
    }

    function moduleCheck(address, address to, uint256) external view returns (bool) {
        return !isRestricted[identities.investorCountry(to)];
    }

    function moduleTransferAction(address, address, uint256) external {}
}
