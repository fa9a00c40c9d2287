"""The ERC-20 of `scripts.bench network`: made once, given to every sender, and judged afterwards.

A rate of token transfers means nothing if they are reverted, so after the load every receipt of
every block must be one of a successful transfer, and the balances of senders and recipients must
have moved by exactly that many.
"""

from collections.abc import Sequence

from genesis.profiles import TEST_KEYS
from primitives.crypto.secp256k1 import PrivateKey
from scripts.bench_localnet import Running, hex_of, say, wait_for_receipt
from scripts.bench_workloads import call_data, token_code
from scripts.load import LoadError, Node, recipient_of, request, send_batch, sign_transaction

CREATE_GAS = 2_000_000
TRANSFER_GAS = 60_000
"""Above what a transfer to an address without tokens takes, about 52,000."""
GIVEN = 10**9
"""Units that each sender gets; a transfer moves one."""
PIECE = 500
"""Gifts under way at once: all come from one account, and a pool keeps 1,024 of one."""
ASK_MAX = 100
SUCCESS = "0x1"


def sign_move(key: PrivateKey, chain_id: int, nonce: int, token: bytes) -> bytes:
    """Return a signed transfer of one unit to the key's recipient."""
    data = call_data("transfer(address,uint256)", recipient_of(key), 1)
    return sign_transaction(key, chain_id, nonce, token, data=data, gas=TRANSFER_GAS)


def make_token(running: Running, keys: Sequence[PrivateKey]) -> bytes:
    """Create the token, give every key GIVEN units, and return its address."""
    node = Node(running.urls[0])
    maker = PrivateKey(next(iter(TEST_KEYS.values())))
    nonce = int(node.call("eth_getTransactionCount", hex_of(maker.address), "latest"), 16)
    code = token_code(GIVEN * len(keys))
    raw = sign_transaction(maker, running.chain_id, nonce, b"", data=code, gas=CREATE_GAS)
    created = node.call("eth_sendRawTransaction", hex_of(raw))
    wait_for_receipt(node, created)
    receipt = node.call("eth_getTransactionReceipt", created)
    token = bytes.fromhex(receipt["contractAddress"][2:])
    for at in range(0, len(keys), PIECE):
        gifts = [
            sign_transaction(
                maker,
                running.chain_id,
                nonce + 1 + at + each,
                token,
                data=call_data("transfer(address,uint256)", key.address, GIVEN),
                gas=TRANSFER_GAS,
            )
            for each, key in enumerate(keys[at : at + PIECE])
        ]
        _send_in_order(node, gifts)
        say(f"erc20: {at + len(gifts)} of {len(keys)} senders have tokens")
    check_balances(node, token, keys, 0)
    return token


def _send_in_order(node: Node, raws: Sequence[bytes]) -> None:
    calls = [request("eth_sendRawTransaction", [hex_of(raw)], n) for n, raw in enumerate(raws[:-1])]
    if calls:
        _, again, reason = send_batch(node, calls)
        if again:
            raise LoadError(f"could not give tokens: {reason}")
    wait_for_receipt(node, node.call("eth_sendRawTransaction", hex_of(raws[-1])))


def check_balances(node: Node, token: bytes, keys: Sequence[PrivateKey], moved: int) -> None:
    """Raise LoadError unless exactly `moved` units went from the keys to their recipients."""
    left = sum(_balances(node, token, [key.address for key in keys]))
    there = sum(_balances(node, token, [recipient_of(key) for key in keys]))
    if (left, there) != (GIVEN * len(keys) - moved, moved):
        raise LoadError(
            f"{moved} token transfers succeeded, but the senders lack "
            f"{GIVEN * len(keys) - left} units and the recipients have {there}"
        )


def _balances(node: Node, token: bytes, holders: Sequence[bytes]) -> list[int]:
    calls = [
        [{"to": hex_of(token), "data": hex_of(call_data("balanceOf(address)", each))}, "latest"]
        for each in holders
    ]
    found: list[int] = []
    for at in range(0, len(calls), ASK_MAX):
        answers = node.call_all("eth_call", calls[at : at + ASK_MAX])
        found += [int(each, 16) for each in answers]
    return found


def count_moves(node: Node, token: bytes, first: int, last: int) -> list[int]:
    """Return how many token transfers each block from `first` to `last` holds.

    Raises LoadError for a transaction that failed or does something else.
    """
    counts: list[int] = []
    for height in range(first, last + 1):
        receipts = node.call("eth_getBlockReceipts", hex(height))
        wrong = [each for each in receipts if not _is_move(each, token)]
        if wrong:
            raise LoadError(f"block {height}: no successful token transfer: {wrong[0]}")
        counts.append(len(receipts))
    return counts


def _is_move(receipt: dict[str, object], token: bytes) -> bool:
    logs = receipt["logs"]
    is_logged = isinstance(logs, list) and len(logs) == 1
    return receipt["status"] == SUCCESS and receipt["to"] == hex_of(token) and is_logged
