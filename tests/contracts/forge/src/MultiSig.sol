// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Handler, Suite, vm} from "./Suite.sol";

interface IMultiSig {
    struct Call {
        address target;
        uint256 value;
        bytes data;
    }

    function nonce() external view returns (uint256);
    function threshold() external view returns (uint64);
    function totalWeight() external view returns (uint64);
    function signerWeight(bytes calldata signer) external view returns (uint64);
    function isSigner(bytes calldata signer) external view returns (bool);
    function operationHash(Call[] calldata calls, uint256 deadline) external view returns (bytes32);
    function execute(Call[] calldata calls, uint256 deadline, bytes calldata signature)
        external
        returns (bytes[] memory);
    function initialize(bytes[] calldata signers, uint64[] calldata weights, uint64 threshold_) external;
    function addSigners(bytes[] calldata signers, uint64[] calldata weights) external;
    function removeSigners(bytes[] calldata signers) external;
    function setSignerWeights(bytes[] calldata signers, uint64[] calldata weights) external;
    function setThreshold(uint64 threshold_) external;
}

interface IMultiSigFactory {
    function create(bytes[] calldata signers, uint64[] calldata weights, uint64 threshold, bytes32 salt)
        external
        returns (address);
}

interface VmP256 {
    function publicKeyP256(uint256 key) external view returns (uint256, uint256);
    function signP256(uint256 key, bytes32 digest) external view returns (bytes32, bytes32);
}

VmP256 constant vmP256 = VmP256(address(vm));

/// @title What operations call: counts them, and writes over its own first words of storage.
contract Ledger {
    uint256 public calls;
    address public last;

    error Refused();

    function note() external payable {
        ++calls;
        last = msg.sender;
    }

    function refuse() external pure {
        revert Refused();
    }
}

/// @title A weighted account beside a model of signers, weights, threshold and nonce.
/// @notice Signers 0 to 3 are keys of Ethereum, 4 is a hash lock and 5 a P-256 key (ERC-7913); of
///         these 0, 1, 4 and 5 are signers from the beginning.
contract MultiSigHandler is Handler {
    uint256 private constant SIGNERS = 6;
    uint256 private constant HALF_P256 = 0x7fffffff800000007fffffffffffffffde737d56d38bcf4279dce5617e3192a8;
    uint256 private constant P256_N = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551;
    bytes private constant SECRET = "one-time secret of a hash lock";

    IMultiSig private immutable account;
    IMultiSig private immutable other;
    Ledger private immutable ledger;

    bytes[SIGNERS] private _signers;
    uint64[SIGNERS] private _weight = [1, 2, 0, 0, 1, 2];
    uint64 private _threshold = 3;
    uint256 private _nonce;
    uint256 private _notes;
    bytes[] private _used;

    constructor(IMultiSigFactory factory, address lock_, address p256_) {
        ledger = new Ledger();
        for (uint256 i; i < 4; ++i) _signers[i] = abi.encodePacked(vm.addr(i + 1));
        _signers[4] = abi.encodePacked(lock_, keccak256(SECRET));
        (uint256 x, uint256 y) = vmP256.publicKeyP256(77);
        _signers[5] = abi.encodePacked(p256_, x, y);
        bytes[] memory signers = new bytes[](4);
        uint64[] memory weights = new uint64[](4);
        uint256[4] memory first = [uint256(0), 1, 4, 5];
        for (uint256 i; i < 4; ++i) (signers[i], weights[i]) = (_signer(first[i]), _weight[first[i]]);
        account = IMultiSig(factory.create(signers, weights, _threshold, bytes32(0)));
        other = IMultiSig(factory.create(signers, weights, _threshold, bytes32(uint256(1))));
        vm.deal(address(account), 10 ** 30);
        vm.deal(address(other), 10 ** 30);
    }

    function selectors() external pure override returns (bytes4[] memory list) {
        list = new bytes4[](9);
        (list[0], list[1], list[2]) = (this.pay.selector, this.forge.selector, this.replay.selector);
        (list[3], list[4], list[5]) = (this.add.selector, this.remove.selector, this.weigh.selector);
        (list[6], list[7], list[8]) = (this.limit.selector, this.stranger.selector, this.fail.selector);
    }

    /// @dev Any set of signers, in any order: it acts exactly when enough weight signed.
    function pay(uint256 mask, uint256 count, bool reversed) external {
        IMultiSig.Call[] memory calls = _notesOf(1 + count % 3);
        uint256[] memory chosen = _chosen(mask % 2 == 0 ? mask >> 1 : _all() & ~(1 << (mask >> 1) % 8));
        if (reversed) _reverse(chosen);
        (bool done, bytes memory used) = _execute("pay", calls, chosen);
        _hold(done == _signs(chosen), "too little weight acted, or enough did not");
        if (!done) return;
        _done(used, chosen);
        _notes += calls.length;
    }

    /// @dev Enough weight, but with a flaw: a signer twice, a stranger, a wrong signature, another
    ///      digest, account or chain, a wrong nonce, or too late. Nothing of it may pass.
    function forge(uint256 flaw, uint256 pick) external {
        flaw %= 8;
        vm.warp(time);
        IMultiSig.Call[] memory calls = _notesOf(1);
        uint256[] memory chosen = flaw == 0 ? _light() : _chosen(_all());
        if (!_isBound(chosen)) return;
        bytes32 digest = account.operationHash(calls, time);
        if (flaw == 3) digest = keccak256(abi.encode(digest));
        if (flaw == 4) digest = other.operationHash(calls, time);
        (bytes[] memory signers, bytes[] memory proofs) = _sign(digest, chosen);
        if (flaw == 1) signers[pick % signers.length] = abi.encodePacked(address(0xdead));
        if (flaw == 2) proofs[pick % proofs.length] = abi.encodePacked(bytes32(pick), bytes32(pick), uint8(27));
        uint256 deadline = flaw == 5 ? time - 1 : time;
        if (flaw == 6) calls[0].value += 1;
        if (flaw == 7) vm.chainId(31_338);
        bytes memory data = abi.encodeCall(IMultiSig.execute, (calls, deadline, abi.encode(signers, proofs)));
        bool done = _try("forge", people[0], address(account), data);
        vm.chainId(31_337);
        _hold(!done, "a flawed signature acted");
    }

    /// @dev What was used once is used: here, on the other account, and on another chain.
    function replay(uint256 pick, uint256 where) external {
        if (_used.length == 0) return;
        bytes memory data = _used[pick % _used.length];
        if (where % 3 == 1) vm.chainId(31_338);
        bool done = _try("replay", people[0], where % 3 == 2 ? address(other) : address(account), data);
        vm.chainId(31_337);
        _hold(!done, "an operation was done twice");
    }

    function add(uint256 mask, uint256 which, uint64 weight) external {
        which %= SIGNERS;
        weight = weight % 4;
        bool may = _weight[which] == 0 && weight != 0;
        bytes memory change =
            abi.encodeCall(IMultiSig.addSigners, (_one(_signer(which)), _oneWeight(weight)));
        if (_change("add", change, mask, may)) _weight[which] = weight;
    }

    function remove(uint256 mask, uint256 which) external {
        which %= SIGNERS;
        bool may = _weight[which] != 0 && _total() - _weight[which] >= _threshold;
        bytes memory change = abi.encodeCall(IMultiSig.removeSigners, (_one(_signer(which))));
        if (_change("remove", change, mask, may)) _weight[which] = 0;
    }

    function weigh(uint256 mask, uint256 which, uint64 weight) external {
        which %= SIGNERS;
        weight = weight % 5;
        bool may = _weight[which] != 0 && weight != 0 && _total() - _weight[which] + weight >= _threshold;
        bytes memory change =
            abi.encodeCall(IMultiSig.setSignerWeights, (_one(_signer(which)), _oneWeight(weight)));
        if (_change("weigh", change, mask, may)) _weight[which] = weight;
    }

    function limit(uint256 mask, uint64 threshold) external {
        threshold = threshold % 8;
        bytes memory change = abi.encodeCall(IMultiSig.setThreshold, (threshold));
        if (_change("limit", change, mask, threshold != 0 && threshold <= _total())) _threshold = threshold;
    }

    /// @dev Nobody but the account itself changes it, whoever asks and however much signed before.
    function stranger(uint256 who, uint256 what) external {
        bytes[] memory signers = _one(abi.encodePacked(_person(who)));
        bytes[5] memory data = [
            abi.encodeCall(IMultiSig.addSigners, (signers, _oneWeight(9))),
            abi.encodeCall(IMultiSig.removeSigners, (_one(_signer(0)))),
            abi.encodeCall(IMultiSig.setSignerWeights, (_one(_signer(0)), _oneWeight(9))),
            abi.encodeCall(IMultiSig.setThreshold, (1)),
            abi.encodeCall(IMultiSig.initialize, (signers, _oneWeight(9), 1))
        ];
        address caller = what % 2 == 0 ? _person(who) : vm.addr(1);
        _hold(!_try("stranger", caller, address(account), data[what % 5]), "a stranger changed the account");
    }

    /// @dev One failing call undoes the others, and the nonce is not used.
    function fail(uint256 count) external {
        IMultiSig.Call[] memory calls = _notesOf(2 + count % 3);
        calls[calls.length - 1].data = abi.encodeCall(Ledger.refuse, ());
        (bool done,) = _execute("fail", calls, _chosen(_all()));
        _hold(!done, "an operation with a failing call was done");
    }

    function _change(string memory name, bytes memory data, uint256 mask, bool may) private returns (bool) {
        IMultiSig.Call[] memory calls = _notesOf(2);
        calls[1] = IMultiSig.Call(address(account), 0, data);
        uint256[] memory chosen = _chosen(mask % 4 == 0 ? mask >> 2 : _all());
        (bool done, bytes memory used) = _execute(name, calls, chosen);
        _hold(done == (may && _signs(chosen)), "a change without a right, or a right without its change");
        if (!done) return false;
        _done(used, chosen);
        _notes += 1;
        return true;
    }

    function _execute(string memory name, IMultiSig.Call[] memory calls, uint256[] memory chosen)
        private
        returns (bool done, bytes memory data)
    {
        (bytes[] memory signers, bytes[] memory proofs) = _sign(account.operationHash(calls, time), chosen);
        data = abi.encodeCall(IMultiSig.execute, (calls, time, abi.encode(signers, proofs)));
        done = _try(name, people[1], address(account), data);
    }

    function _done(bytes memory used, uint256[] memory chosen) private {
        ++_nonce;
        if (!_isBound(chosen)) return;
        if (_used.length < 8) _used.push(used);
        else _used[_nonce % 8] = used;
    }

    function _sign(bytes32 digest, uint256[] memory chosen)
        private
        view
        returns (bytes[] memory signers, bytes[] memory proofs)
    {
        signers = new bytes[](chosen.length);
        proofs = new bytes[](chosen.length);
        for (uint256 i; i < chosen.length; ++i) {
            (signers[i], proofs[i]) = (_signer(chosen[i]), _proof(chosen[i], digest));
        }
    }

    function _signer(uint256 which) private view returns (bytes memory) {
        return _signers[which];
    }

    function _proof(uint256 which, bytes32 digest) private view returns (bytes memory) {
        if (which == 4) return SECRET;
        if (which < 4) {
            (uint8 v, bytes32 r, bytes32 s) = vm.sign(which + 1, digest);
            return abi.encodePacked(r, s, v);
        }
        (bytes32 first, bytes32 second) = vmP256.signP256(77, digest);
        if (uint256(second) > HALF_P256) second = bytes32(P256_N - uint256(second));
        return abi.encodePacked(first, second);
    }

    /// @dev The signers of a mask; bit 6 names the lightest twice.
    function _chosen(uint256 mask) private pure returns (uint256[] memory chosen) {
        uint256 count;
        for (uint256 i; i < SIGNERS; ++i) count += (mask >> i) & 1;
        bool twice = count != 0 && (mask >> 6) & 7 == 7;
        chosen = new uint256[](twice ? count + 1 : count);
        for (uint256 i; i < SIGNERS; ++i) {
            if ((mask >> i) & 1 == 1) chosen[--count] = i;
        }
        if (twice) chosen[chosen.length - 1] = chosen[0];
    }

    function _all() private view returns (uint256 mask) {
        for (uint256 i; i < SIGNERS; ++i) if (_weight[i] != 0) mask |= 1 << i;
    }

    /// @dev One signer as often as the threshold asks, alone too light; nobody when none is.
    function _light() private view returns (uint256[] memory chosen) {
        chosen = new uint256[](_threshold);
        for (uint256 i; i < SIGNERS; ++i) {
            if (_weight[i] == 0 || _weight[i] >= _threshold) continue;
            for (uint256 j; j < chosen.length; ++j) chosen[j] = i;
            return chosen;
        }
        return new uint256[](0);
    }

    function _signs(uint256[] memory chosen) private view returns (bool) {
        uint256 sum;
        uint256 seen;
        for (uint256 i; i < chosen.length; ++i) {
            if (_weight[chosen[i]] == 0 || (seen >> chosen[i]) & 1 == 1) return false;
            seen |= 1 << chosen[i];
            sum += _weight[chosen[i]];
        }
        return sum >= _threshold;
    }

    /// @dev Whether somebody signed the digest: a hash lock alone opens for any.
    function _isBound(uint256[] memory chosen) private pure returns (bool) {
        return chosen.length > 1 || (chosen.length == 1 && chosen[0] != 4);
    }

    function _reverse(uint256[] memory chosen) private pure {
        for (uint256 i; i < chosen.length / 2; ++i) {
            uint256 end = chosen.length - 1 - i;
            (chosen[i], chosen[end]) = (chosen[end], chosen[i]);
        }
    }

    function _notesOf(uint256 count) private view returns (IMultiSig.Call[] memory calls) {
        calls = new IMultiSig.Call[](count);
        for (uint256 i; i < count; ++i) {
            calls[i] = IMultiSig.Call(address(ledger), i, abi.encodeCall(Ledger.note, ()));
        }
    }

    function _one(bytes memory signer) private pure returns (bytes[] memory list) {
        list = new bytes[](1);
        list[0] = signer;
    }

    function _oneWeight(uint64 weight) private pure returns (uint64[] memory list) {
        list = new uint64[](1);
        list[0] = weight;
    }

    function _total() private view returns (uint64 sum) {
        for (uint256 i; i < SIGNERS; ++i) sum += _weight[i];
    }

    function check() external view override {
        _hold(account.nonce() == _nonce && other.nonce() == 0, "nonces are not the operations done");
        _hold(account.threshold() == _threshold, "a threshold that no operation set");
        _hold(account.totalWeight() == _total(), "weights do not add up");
        _hold(_total() >= _threshold && _threshold != 0, "the threshold is out of reach, or none");
        for (uint256 i; i < SIGNERS; ++i) {
            bytes memory signer = _signer(i);
            _hold(account.signerWeight(signer) == _weight[i], "a weight that no operation set");
            _hold(account.isSigner(signer) == (_weight[i] != 0), "a signer that no operation made");
        }
        _hold(ledger.calls() == _notes, "calls are not those of the operations done");
        address last = ledger.last();
        _hold(last == address(0) || last == address(account), "the account ran foreign code as its own");
    }
}

/// @notice Weights, threshold, nonce, and every forged, repeated or moved signature.
contract MultiSigSuite is Suite {
    function name() public pure override returns (string memory) {
        return "MultiSigSuite";
    }

    function setUp() external {
        vm.warp(1_800_000_000);
        vm.chainId(31_337);
        address code = _deploy("MultiSigAccount", "");
        address factory = _deploy("MultiSigFactory", abi.encode(code));
        address lock = _deployFrom("../weak/artifacts/KeccakVerifier.json");
        address p256 = _deployFrom("../weak/artifacts/P256Signer.json");
        handler = new MultiSigHandler(IMultiSigFactory(factory), lock, p256);
    }

    function _deployFrom(string memory path) private returns (address made) {
        bytes memory code = vm.parseJsonBytes(vm.readFile(path), ".bytecode");
        assembly ("memory-safe") {
            made := create(0, add(code, 0x20), mload(code))
        }
    }
}
