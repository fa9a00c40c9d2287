"""qenex_*: what only this node has: finality that a wallet can verify, consensus as it stands.

A certificate with its validator set is all that a light client needs for one header: the set's
hash stands in the header before, each signature is over the precommit for the block's hash, and
signatures of more than two thirds of the power decide. See `consensus.certificate`.
"""

from __future__ import annotations

from collections.abc import Sequence

from consensus.certificate import decode_certificate
from consensus.messages import NO_POL, Claim, Kind, Vote, encode_message
from consensus.signing import sign_digest
from node.rpc.arguments import BlockRef
from node.rpc.backend import Request, operator_of, resolve, validators_at
from node.rpc.dispatch import MethodTable
from node.rpc.encode import Json, header_json, to_hex
from node.rpc.lanes import Lane
from primitives.types import Height
from primitives.validators import ValidatorSet

TABLE = MethodTable()


@TABLE.method("qenex_status")
def status(request: Request) -> dict[str, object]:
    """Return height, round, step, peers, validators and pool of this node."""
    return request.backend.api.status()


@TABLE.method("qenex_validators")
def validators(request: Request) -> Json:
    """Return the validator set that decides the block after the head."""
    view = request.view
    return {"height": hex(view.head.height + 1), **_set_json(view.validators)}


def _set_json(found: ValidatorSet) -> Json:
    return {
        "hash": to_hex(found.hash),
        "totalPower": hex(found.total_power),
        "quorumPower": hex(found.quorum_power),
        "validators": [
            {
                "address": to_hex(each.address),
                "power": hex(each.power),
                "pqKeyHash": to_hex(each.pq_key_hash),
            }
            for each in found.validators
        ],
    }


@TABLE.method("qenex_getCertificate", lane=Lane.CALL)
def get_certificate(request: Request, block: BlockRef) -> Json | None:
    """Return the proof that a quorum decided a block; null for the genesis and unknown blocks.

    With the header, the validators of its height and the digest that each signature is over, so
    that a wallet which knows the set, or the header before, verifies it offline.
    """
    view = request.view
    height = resolve(view, block)
    raw = None if height is None else view.certificate(height)
    header = None if height is None else view.header(height)
    if height is None or raw is None or header is None:
        return None
    certificate = decode_certificate(raw)
    decided_by = validators_at(view, height)
    chain_id = request.rules.chain_id
    rows = []
    for validator, signature in certificate.signatures:
        vote = Vote(
            Kind.PRECOMMIT,
            certificate.height,
            certificate.round,
            certificate.block_hash,
            validator,
            b"",
        )
        digest = to_hex(sign_digest(vote, chain_id))
        signed = {"validator": to_hex(validator), "signature": to_hex(signature)}
        rows.append(signed | {"digest": digest})
    return {
        "height": hex(certificate.height),
        "round": hex(certificate.round),
        "blockHash": to_hex(certificate.block_hash),
        "signatures": rows,
        "certificate": to_hex(raw),
        "header": header_json(header, certificate.block_hash),
        "validatorSet": None if decided_by is None else _set_json(decided_by),
    }


@TABLE.method("qenex_getEvidence")
def get_evidence(request: Request) -> list[Json]:
    """Return the double signatures that this node knows; `evidence` is for EvidenceVerifier."""
    return [
        {
            "validator": to_hex(each.first.validator),
            "height": hex(each.first.height),
            "round": hex(each.first.round),
            "kind": each.first.kind.name.lower(),
            "claims": [_claim(each.first), _claim(each.second)],
            "evidence": to_hex(encode_message(each)),
        }
        for each in request.backend.api.evidence()
    ]


def _claim(claim: Claim) -> Json:
    return {
        "blockHash": to_hex(claim.block_hash),
        "polRound": None if claim.pol_round == NO_POL else hex(claim.pol_round),
        "bodyHash": to_hex(claim.body_hash),
        "signature": to_hex(claim.signature),
    }


@TABLE.method("qenex_consensusState")
def consensus_state(request: Request) -> dict[str, object]:
    """Return height, round, step, proposer, votes by round, locks and timers of this node."""
    return operator_of(request).consensus()


@TABLE.method("qenex_permissions")
def permissions(request: Request) -> dict[str, Sequence[str]]:
    """Return the peers that may connect, with the addresses at which this node dials them."""
    return operator_of(request).permissions()


@TABLE.method("qenex_getValidatorsAt", lane=Lane.CALL)
def get_validators_at(request: Request, block: BlockRef) -> Json | None:
    """Return the validators that decided a block; null for the genesis and unknown blocks."""
    height = resolve(request.view, block)
    found = None if height is None else validators_at(request.view, Height(height))
    return None if found is None or height is None else {"height": hex(height), **_set_json(found)}
