"""eth_getProof: Merkle proofs of an account and its slots, at any height whose state is kept.

Source: EIP-1186 and execution-apis. An account that does not exist is shown as the empty account,
and its `accountProof` proves that it is not there.
"""

from __future__ import annotations

from typing import Final

from node.rpc.arguments import LATEST, BlockRef, Slots
from node.rpc.backend import Request, height_at
from node.rpc.dispatch import MethodTable
from node.rpc.encode import Json, to_hex
from node.rpc.errors import invalid_params
from node.rpc.lanes import Lane
from primitives.account import Account
from primitives.types import Address

SLOTS_MAX: Final = 1_024

TABLE = MethodTable()


@TABLE.method("eth_getProof", lane=Lane.CALL)
def get_proof(request: Request, address: Address, slots: Slots, block: BlockRef = LATEST) -> Json:
    """Return the account, its storage values and the nodes that prove them."""
    if len(slots) > SLOTS_MAX:
        raise invalid_params(f"too many slots (max {SLOTS_MAX})")
    prover = request.view.prover_at(height_at(request.view, block))
    numbers = tuple(slot for _, slot in slots)
    proof = prover.prove(address, numbers, request.check_time)
    account = proof.account or Account()
    return {
        "address": to_hex(address),
        "accountProof": [to_hex(node) for node in proof.nodes],
        "balance": hex(account.balance),
        "codeHash": to_hex(account.code_hash),
        "nonce": hex(account.nonce),
        "storageHash": to_hex(account.storage_root),
        "storageProof": [
            {"key": shown, "value": hex(each.value), "proof": [to_hex(n) for n in each.nodes]}
            for (shown, _), each in zip(slots, proof.slots, strict=True)
        ],
    }
