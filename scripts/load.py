"""What `scripts.bench` drives a network with: signed transfers, and a thin client over HTTP.

The client runs on the same cores as the nodes that it measures, so everything is signed and
encoded before the clock starts, and answers are read only as far as needed.
"""

import http.client
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from primitives.codec import Item, encode, uint
from primitives.crypto.keccak import keccak
from primitives.crypto.secp256k1 import PrivateKey

TRANSFER_GAS = 21_000
PRIORITY_FEE_WEI = 1_000_000_000
# Far above any base fee that a run reaches, so that a rising fee never holds a transfer back.
FEE_WEI_MAX = 10_000 * 10**9
RETRY_S = 0.2
# Refusals which say that the transaction is already where it should be.
ALREADY_THERE = ("already known", "nonce too low")


class LoadError(Exception):
    """The network did not do what a measurement needs."""


class Node:
    """One node over one kept connection; not for several threads at once."""

    def __init__(self, url: str, timeout_s: float = 30.0) -> None:
        parts = urlsplit(url)
        self.url = url
        self._http = http.client.HTTPConnection(
            parts.hostname or "127.0.0.1", parts.port, timeout=timeout_s
        )

    def post(self, body: bytes) -> Any:
        """Send a JSON-RPC body and return the decoded answer; connects again once when cut."""
        for attempt in (1, 2):
            try:
                self._http.request("POST", "/", body, {"Content-Type": "application/json"})
                return json.loads(self._http.getresponse().read())
            except (OSError, http.client.HTTPException) as error:
                self._http.close()
                if attempt == 2:
                    raise LoadError(f"{self.url} does not answer: {error!r}") from error
        raise LoadError("unreachable")

    def get(self, path: str) -> bytes:
        """Return a page of the node; raises LoadError when there is none."""
        try:
            self._http.request("GET", path)
            answer = self._http.getresponse()
            page = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self._http.close()
            raise LoadError(f"{self.url} does not answer: {error!r}") from error
        if answer.status != http.client.OK:
            raise LoadError(f"{self.url}{path}: {answer.status} {answer.reason}")
        return page

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def call_all(self, method: str, params: Sequence[Sequence[Any]]) -> list[Any]:
        """Return the results of calls of one method, made as one batch; raises as `call` does."""
        calls = [request(method, each, number) for number, each in enumerate(params)]
        answers = self.post(b"[" + b",".join(calls) + b"]")
        if not isinstance(answers, list) or any("error" in each for each in answers):
            raise LoadError(f"{self.url}: {method}: {str(answers)[:400]}")
        return [each["result"] for each in sorted(answers, key=lambda each: int(each["id"]))]

    def call(self, method: str, *params: Any) -> Any:
        """Return the result of one method; raises LoadError with the node's words."""
        answer = self.post(request(method, params))
        if "error" in answer:
            raise LoadError(f"{self.url}: {method}: {answer['error']}")
        return answer["result"]


def request(method: str, params: Sequence[Any], number: int = 1) -> bytes:
    """Return the body of one JSON-RPC call."""
    call = {"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)}
    return json.dumps(call, separators=(",", ":")).encode()


def sign_transfer(key: PrivateKey, chain_id: int, nonce: int, to: bytes, value: int) -> bytes:
    """Return a signed EIP-1559 transfer as it goes over the wire."""
    return sign_transaction(key, chain_id, nonce, to, value=value, gas=TRANSFER_GAS)


def sign_transaction(
    key: PrivateKey,
    chain_id: int,
    nonce: int,
    to: bytes,
    *,
    gas: int,
    value: int = 0,
    data: bytes = b"",
) -> bytes:
    """Return a signed EIP-1559 transaction as it goes over the wire; `to` empty creates."""
    fields = [uint(chain_id), uint(nonce), uint(PRIORITY_FEE_WEI), uint(FEE_WEI_MAX)]
    body: list[Item] = [*fields, uint(gas), to, uint(value), data, []]
    signature = key.sign(keccak(b"\x02" + encode(body)))
    r, s = (int.from_bytes(signature[at : at + 32], "big") for at in (0, 32))
    return b"\x02" + encode([*body, uint(signature[64]), uint(r), uint(s)])


def accounts(count: int, first: int = 0) -> list[PrivateKey]:
    """Return `count` keys that are the same in every run, from number `first` on."""
    return [
        PrivateKey(keccak(b"qenex bench account" + uint(each + 1)))
        for each in range(first, first + count)
    ]


def recipient_of(key: PrivateKey) -> bytes:
    """Return the address that a key of a load sends to; nobody has its key."""
    return keccak(key.address)[:20]


def batches(
    keys: Sequence[PrivateKey], rounds: int, size: int, sign: Callable[[PrivateKey, int], bytes]
) -> Iterator[list[bytes]]:
    """Yield JSON calls for `rounds` transactions of every key, at most `size` to a batch.

    `sign` returns the transaction of a key and nonce. The nonces of a key come in order, and a
    batch never holds two of one key, so that a network sees many senders side by side, as in real
    use.
    """
    for nonce in range(rounds):
        for at in range(0, len(keys), size):
            yield [
                request("eth_sendRawTransaction", ["0x" + sign(key, nonce).hex()], number)
                for number, key in enumerate(keys[at : at + size])
            ]


def send_batch(node: Node, calls: list[bytes]) -> tuple[int, list[bytes], str]:
    """Send calls as one batch; return how many were taken, those to try again, and why not."""
    answers = node.post(b"[" + b",".join(calls) + b"]")
    if not isinstance(answers, list):
        raise LoadError(f"{node.url}: a batch was refused: {answers}")
    again, reason = [], ""
    for answer in answers:
        message = str(answer.get("error", {}).get("message", ""))
        if message and not any(words in message for words in ALREADY_THERE):
            again.append(calls[answer["id"]])
            reason = message
    # Numbers tell the calls of a batch apart; those to try again get new ones.
    renumbered = [_numbered(call, number) for number, call in enumerate(again)]
    return len(calls) - len(again), renumbered, reason


def _numbered(call: bytes, number: int) -> bytes:
    """Return a call with another id."""
    head, _, rest = call.partition(b',"method"')
    return head[: head.rindex(b":") + 1] + str(number).encode() + b',"method"' + rest


@dataclass
class Flow:
    """What the senders and the watcher of one run know together."""

    in_flight_max: int
    lock: threading.Lock = field(default_factory=threading.Lock)
    stop: threading.Event = field(default_factory=threading.Event)
    taken: int = 0
    included: int = 0
    refused: int = 0
    last_refusal: str = ""
    failures: deque[str] = field(default_factory=deque)

    @property
    def under_way(self) -> int:
        """How many were taken and stand in no block yet."""
        return self.taken - self.included

    def is_full(self) -> bool:
        """Whether as many are under way as the run allows."""
        return self.under_way >= self.in_flight_max


def send_all(flow: Flow, url: str, work: Sequence[list[bytes]]) -> None:
    """Send batches to one node in order until they or the run end; body of a sender thread."""
    node = Node(url)
    try:
        for batch in work:
            calls = batch
            while calls and not flow.stop.is_set():
                if flow.is_full():
                    time.sleep(0.01)
                    continue
                taken, calls, reason = send_batch(node, calls)
                with flow.lock:
                    flow.taken += taken
                    flow.refused += len(calls)
                    flow.last_refusal = reason or flow.last_refusal
                if calls:
                    time.sleep(RETRY_S)
            if flow.stop.is_set():
                return
    except LoadError as error:
        flow.failures.append(str(error))


def nearest_rank(values: Sequence[float], percent: float) -> float:
    """Return the percentile by nearest rank: the least value that `percent` % do not exceed."""
    ordered = sorted(values)
    rank = max(1, -(-len(ordered) * percent // 100))
    return ordered[int(rank) - 1]
