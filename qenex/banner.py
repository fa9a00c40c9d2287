"""What `qenex localnet` shows when the network stands: everything that a first hour needs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from eth_utils.address import to_checksum_address

from genesis.profiles import TEST_BALANCE, TEST_KEYS, TEST_MNEMONIC, TEST_PATH
from qenex.localnet import Localnet

_WEI: Final = 10**18
_WARNING: Final = (
    "WARNING: these accounts and keys are public. Whoever sends anything of worth to them,",
    "on any network, loses it.",
)


def banner(net: Localnet, *, height: int, is_fresh: bool) -> Iterator[str]:
    """Yield the lines of the banner."""
    count = len(net.urls)
    yield ""
    yield f"QENEX localnet: {count} validator{'s' if count > 1 else ''}, height {height}"
    yield ""
    yield "Endpoints"
    for index, url in enumerate(net.urls):
        yield f"  validator {index + 1}   {url}   {url.replace('http', 'ws', 1)}"
    yield f"  chain id      {net.chain_id}"
    yield f"  folder        {net.path} (logs: {net.path}/node1/node.log ...)"
    yield ""
    yield "Accounts"
    for index, address in enumerate(TEST_KEYS):
        yield f"  ({index}) {to_checksum_address(address)}  {TEST_BALANCE // _WEI:,} QXC"
    yield ""
    yield "Private keys"
    for index, key in enumerate(TEST_KEYS.values()):
        yield f"  ({index}) 0x{key.hex()}"
    yield ""
    yield "Wallet"
    yield f"  mnemonic      {TEST_MNEMONIC}"
    yield f"  path          {TEST_PATH}0 ... {TEST_PATH}9"
    yield ""
    yield from (f"  {line}" for line in _WARNING)
    yield ""
    yield "Try it (Python with web3)"
    yield from (f"  {line}" for line in snippet(net.urls[0]).splitlines())
    yield ""
    yield "MetaMask: add a network by hand"
    yield f"  RPC URL {net.urls[0]}   chain id {net.chain_id}   symbol QXC"
    if is_fresh:
        yield "  If you used it with an older network of this chain id: Settings, Developer tools,"
        yield "  Delete activity and nonce data. Or take a new one: --fresh --chain-id N"
    yield ""
    yield "Ctrl-C stops all validators. The same command goes on with the same chain."
    yield ""


def snippet(url: str) -> str:
    """Return Python lines that send 1 QXC and print the receipt."""
    (sender, key), (receiver, _) = list(TEST_KEYS.items())[:2]
    return "\n".join(
        (
            "from web3 import Web3",
            "from web3.middleware import SignAndSendRawMiddlewareBuilder",
            f'w3 = Web3(Web3.HTTPProvider("{url}"))',
            f'key = "0x{key.hex()}"',
            "w3.middleware_onion.inject(SignAndSendRawMiddlewareBuilder.build(key), layer=0)",
            "sent = w3.eth.send_transaction({",
            f'    "from": "{to_checksum_address(sender)}",',
            f'    "to": "{to_checksum_address(receiver)}",',
            '    "value": 10**18,',
            "})",
            'print(w3.eth.wait_for_transaction_receipt(sent)["blockNumber"])',
        )
    )
