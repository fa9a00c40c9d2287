"""What `qenex dev` prints: a banner in the form that developers know, then a line a transaction."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from eth_utils.address import to_checksum_address

from node.dev.app import DevSettings
from node.dev.chain import DevChain
from node.dev.outcome import failure_of
from primitives.block import Block
from primitives.crypto.mnemonic import keys_of
from primitives.receipt import Receipt
from primitives.transaction import Transaction
from vm.blocks import Executed

_WEI: Final = 10**18
_SHOWN_MAX: Final = 20
_WARNING: Final = (
    "WARNING: these accounts and keys are public. Whoever sends anything of worth to them,",
    "on any network, loses it.",
)


def banner(settings: DevSettings, chain: DevChain, port: int) -> Iterator[str]:
    """Yield the lines of the banner."""
    url = f"http://{settings.host}:{port}"
    keys = keys_of(settings.mnemonic, min(settings.accounts, _SHOWN_MAX))
    more = settings.accounts - len(keys)
    yield ""
    yield f"QENEX developer chain, height {chain.view().height}"
    yield ""
    yield "Accounts (unlocked)"
    for index, each in enumerate(keys):
        coins = settings.balance // _WEI
        yield f"  ({index}) {to_checksum_address(each.address)}  {coins:,} QXC"
    if more:
        yield f"  and {more} more"
    yield ""
    yield "Private keys"
    for index, each in enumerate(keys):
        yield f"  ({index}) 0x{each.raw.hex()}"
    yield ""
    yield "Wallet"
    yield f"  mnemonic      {settings.mnemonic}"
    yield "  path          m/44'/60'/0'/0/0 ..."
    yield ""
    yield from (f"  {line}" for line in _WARNING)
    yield ""
    yield f"Chain id        {chain.params.chain_id}"
    yield f"Gas limit       {chain.params.gas_limit:,}"
    yield f"Base fee        {chain.view().head.base_fee_per_gas:,} wei"
    yield f"Blocks          {_mining(chain)}"
    yield f"Kept            {settings.data or 'nothing: the chain goes with this process'}"
    yield ""
    yield f"Listening on {url} and {url.replace('http', 'ws', 1)}"
    yield ""


def _mining(chain: DevChain) -> str:
    if chain.interval_ms:
        return f"one every {chain.interval_ms / 1_000:g} s"
    return "one for each transaction" if chain.automine else "one for each evm_mine"


class Printer:
    """Prints what each transaction of a new block did."""

    def __init__(self, chain: DevChain) -> None:
        self._chain = chain

    def block(self, executed: Executed) -> None:
        """Print one line for each transaction, unless the chain is quiet."""
        if self._chain.is_quiet:
            return
        block, before = executed.block, 0
        for index, (transaction, receipt) in enumerate(
            zip(block.transactions, executed.receipts, strict=True)
        ):
            gas, before = receipt.cumulative_gas_used - before, receipt.cumulative_gas_used
            outcome = self._outcome(block, index, receipt)
            print(transaction_line(block.header.height, transaction, gas, outcome), flush=True)

    def _outcome(self, block: Block, index: int, receipt: Receipt) -> str:
        return "ok" if receipt.status else f"FAILED: {failure_of(self._chain, block, index).words}"


def transaction_line(height: int, transaction: Transaction, gas: int, outcome: str) -> str:
    """Return the line of one transaction: block, hash, who, to whom, which function, gas, end."""
    if transaction.to is None:
        what = "creates a contract"
    else:
        what = f"to 0x{transaction.to.hex()}"
        if len(transaction.data) >= 4:
            what += f" calls 0x{transaction.data[:4].hex()}"
        if transaction.value:
            what += f" with {transaction.value / _WEI:g} QXC"
    return (
        f"block {height}  0x{transaction.hash.hex()}\n"
        f"  0x{transaction.sender.hex()} {what}  gas {gas:,}  {outcome}"
    )
