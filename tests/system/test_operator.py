"""What an operator sees and does over JSON-RPC, on a real network: peers, consensus, votes."""

from __future__ import annotations

from pathlib import Path

import pytest

from consensus.certificate import check_certificate, decode_certificate
from primitives.crypto.secp256k1 import recover
from primitives.types import Address, Hash32, Power
from primitives.validators import Validator, ValidatorSet
from tests.system.cluster import CHAIN_ID, Cluster, RpcError, rpc, wait_until

pytestmark = [pytest.mark.process, pytest.mark.slow]

NEWCOMER = "0x" + "5a" * 20


def test_an_operator_sees_and_votes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Peers, consensus state and permissions are shown; votes by the nodes' keys take effect."""
    monkeypatch.setenv("QENEX_RPC__OPERATOR", "true")
    with Cluster(tmp_path) as cluster:
        cluster.start()
        cluster.wait_height(2)
        first, second = cluster.urls[:2]
        wait_until(lambda: len(rpc(first, "admin_peers")) == 3, "all are connected")
        other = rpc(second, "admin_nodeInfo")
        assert other["id"] in {each["id"] for each in rpc(first, "admin_peers")}
        assert set(rpc(first, "qenex_permissions")) >= {other["id"]}
        assert rpc(first, "admin_removePeer", other["enode"]) is True
        wait_until(lambda: len(rpc(first, "admin_peers")) == 3, "the peer comes again")
        assert rpc(first, "admin_addPeer", other["enode"]) is True
        with pytest.raises(RpcError, match="want /ip4"):
            rpc(first, "admin_addPeer", "enode://00")
        _check_consensus(first)
        _check_certificate(first)
        for url in cluster.urls[:2]:
            assert rpc(url, "qbft_proposeValidatorVote", NEWCOMER, True) is True
        wait_until(lambda: rpc(first, "qbft_getPendingVotes") == {NEWCOMER: True}, "it is open")
        assert rpc(cluster.urls[2], "ibft_proposeValidatorVote", NEWCOMER, True) is True
        wait_until(
            lambda: NEWCOMER in rpc(first, "qbft_getValidatorsByBlockNumber", "latest"),
            "three of four have decided it",
        )
        assert len(rpc(first, "qenex_validators")["validators"]) == 5
        metrics = rpc(first, "qbft_getSignerMetrics", "0x1", "0x2")
        assert sum(int(each["proposedBlockCount"], 16) for each in metrics) == 2


def _check_consensus(url: str) -> None:
    """Height, proposer, timers; and, some time in a height, who voted for what."""
    state = rpc(url, "qenex_consensusState")
    assert int(state["height"], 16) > int(rpc(url, "eth_blockNumber"), 16) - 5
    assert state["proposer"].startswith("0x")
    names = {each["address"] for each in rpc(url, "qenex_status")["validators"]}
    assert len(names) == 4

    def has_votes() -> bool:
        rounds = rpc(url, "qenex_consensusState")["rounds"]
        votes = [set(each["prevotes"]["votes"]) for each in rounds]
        return any(votes) and all(each <= names for each in votes)

    wait_until(has_votes, "votes of a height in progress are seen")


def _check_certificate(url: str) -> None:
    """A wallet verifies a header from the answer alone: hash, set, digests, signatures."""
    found = rpc(url, "qenex_getCertificate", "0x2")
    before = rpc(url, "eth_getBlockByNumber", "0x1", False)
    assert found["header"]["parentHash"] == before["hash"]
    members = ValidatorSet.of(
        [
            Validator(
                Address(bytes.fromhex(each["address"][2:])),
                Power(int(each["power"], 16)),
                Hash32(bytes.fromhex(each["pqKeyHash"][2:])),
            )
            for each in found["validatorSet"]["validators"]
        ]
    )
    assert "0x" + members.hash.hex() == before["extraData"] == found["validatorSet"]["hash"]
    for each in found["signatures"]:
        signature = bytes.fromhex(each["signature"][2:])
        digest = Hash32(bytes.fromhex(each["digest"][2:]))
        assert "0x" + recover(digest, signature).hex() == each["validator"]
    certificate = decode_certificate(bytes.fromhex(found["certificate"][2:]))
    check_certificate(certificate, members, CHAIN_ID)
    assert "0x" + certificate.block_hash.hex() == found["blockHash"] == found["header"]["hash"]
