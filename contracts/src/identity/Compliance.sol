// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IExitPolicy} from "../defi/IExitPolicy.sol";
import {ICompliance} from "../interfaces/IQXC.sol";

/// @title What the rules ask of the identity registry.
interface IIdentities {
    function isVerified(address account) external view returns (bool);
    function identity(address account) external view returns (bytes32);
    function investorCountry(address account) external view returns (uint16);
}

/// @title What the rules ask of the token.
interface IExemptions {
    function isExempt(address account) external view returns (bool);
}

/// @title One more rule, such as a limit for a country. Source: ERC-3643, compliance modules.
interface IComplianceModule {
    function moduleCheck(address from, address to, uint256 value) external view returns (bool);
    function moduleTransferAction(address from, address to, uint256 value) external;
}

/// @title The rules of a token that only verified holders may have (ERC-3643).
/// @notice Optional: QXC asks this contract once governance has set it. A transfer needs both sides
///         verified; system contracts (those that the token exempts) hold for others and count as
///         verified, so that staking, pools and markets work, and whoever takes tokens out of them
///         is checked at that exit. Exchange, lending and farming ask it about every token that
///         leaves them once governance has set it there. Modules add rules of their own.
contract Compliance is ICompliance, IExitPolicy {
    /// @notice Most modules.
    uint256 public constant MODULES_MAX = 8;

    address public immutable governance;
    address public immutable token;
    IIdentities public immutable identities;
    address[] private _modules;

    event ModuleAdded(address indexed module);
    event ModuleRemoved(address indexed module);

    error Unauthorized(address caller);
    error TooManyModules();
    error UnknownModule(address module);
    error KnownModule(address module);

    constructor(address governance_, address token_, IIdentities identities_) {
        governance = governance_;
        token = token_;
        identities = identities_;
    }

    function addModule(address module) external {
        if (msg.sender != governance) revert Unauthorized(msg.sender);
        if (_modules.length >= MODULES_MAX) revert TooManyModules();
        (bool found, ) = _find(module);
        if (found) revert KnownModule(module);
        _modules.push(module);
        emit ModuleAdded(module);
    }

    function removeModule(address module) external {
        if (msg.sender != governance) revert Unauthorized(msg.sender);
        (bool found, uint256 place) = _find(module);
        if (!found) revert UnknownModule(module);
        _modules[place] = _modules[_modules.length - 1];
        _modules.pop();
        emit ModuleRemoved(module);
    }

    function getModules() external view returns (address[] memory) {
        return _modules;
    }

    function canTransfer(address from, address to, uint256 value) public view returns (bool) {
        if (!isAllowed(from) || (to != from && !isAllowed(to))) return false;
        uint256 count = _modules.length;
        for (uint256 i = 0; i < count; ++i) {
            if (!IComplianceModule(_modules[i]).moduleCheck(from, to, value)) return false;
        }
        return true;
    }

    /// @notice An exit from a pool is a transfer by who had the value in it. Modules know amounts
    ///         of this token, which the native coin equals; for another they are asked about 0.
    function canExit(address asset, address holder, address to, uint256 amount)
        external
        view
        returns (bool)
    {
        bool isOurs = asset == token || asset == address(0);
        return canTransfer(holder, to, isOurs ? amount : 0);
    }

    /// @notice Returns whether `account` may hold the token.
    function isAllowed(address account) public view returns (bool) {
        return identities.isVerified(account) || IExemptions(token).isExempt(account);
    }

    function transferred(address from, address to, uint256 value) external {
        if (msg.sender != token) revert Unauthorized(msg.sender);
        uint256 count = _modules.length;
        for (uint256 i = 0; i < count; ++i) {
            IComplianceModule(_modules[i]).moduleTransferAction(from, to, value);
        }
    }

    function isSameHolder(address one, address other) external view returns (bool) {
        bytes32 found = identities.identity(one);
        return found != 0 && found == identities.identity(other);
    }

    function _find(address module) private view returns (bool found, uint256 place) {
        uint256 count = _modules.length;
        while (place < count && _modules[place] != module) ++place;
        found = place < count;
    }
}
