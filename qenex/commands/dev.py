"""`qenex dev`: a developer chain in one process, for test suites and first steps."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from genesis.profiles import TEST_MNEMONIC
from node.dev.app import DevSettings, run
from node.dev.chain import DevChain
from primitives.types import ChainId, Gas, Wei
from qenex.devlines import Printer, banner

CHAIN_ID: Final = 31_337
"""What hardhat and anvil use, so that their projects connect without a change."""

ACCOUNTS_MAX: Final = 1_000
BALANCE_MAX: Final = 10**12
WEI: Final = 10**18


@click.command("dev")
@click.option(
    "--port",
    "-p",
    type=click.IntRange(0, 65_535),
    default=8545,
    show_default=True,
    help="JSON-RPC port, HTTP and WebSocket; 0 takes a free one.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="IP address to listen on.")
@click.option(
    "--chain-id",
    type=click.IntRange(1, 2**53 - 1),
    default=CHAIN_ID,
    show_default=True,
    help="Chain id of a new chain.",
)
@click.option(
    "--accounts",
    "-a",
    type=click.IntRange(0, ACCOUNTS_MAX),
    default=10,
    show_default=True,
    help="How many funded, unlocked accounts.",
)
@click.option(
    "--balance",
    type=click.IntRange(0, BALANCE_MAX),
    default=10_000,
    show_default=True,
    help="Coins of each account.",
)
@click.option(
    "--mnemonic",
    "-m",
    default=TEST_MNEMONIC,
    help="Words that the accounts come from.  [default: test test ... junk]",
)
@click.option(
    "--block-time",
    "-b",
    type=click.FloatRange(0, 86_400),
    default=0,
    help="Make a block every so many seconds, instead of one for each transaction.",
)
@click.option("--no-mining", is_flag=True, help="Make blocks only when evm_mine asks for one.")
@click.option(
    "--gas-limit",
    type=click.IntRange(5_000, 2**53),
    default=30_000_000,
    show_default=True,
    help="Gas of a block.",
)
@click.option(
    "--base-fee",
    type=click.IntRange(0, 2**62),
    default=1_000_000_000,
    show_default=True,
    help="Base fee of the first block, in wei; 0 keeps gas free.",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder that keeps the chain; made, or gone on with.  [default: none is kept]",
)
@click.option(
    "--state",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Load the state of this file if it exists, and write it there at the end.",
)
@click.option(
    "--load-state",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Load the state of this file, ours or anvil's, at the start.",
)
@click.option(
    "--dump-state",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the state to this file at the end.",
)
@click.option("--quiet", "-q", is_flag=True, help="No banner, no line for each transaction.")
def command(
    *,
    port: int,
    host: str,
    chain_id: int,
    accounts: int,
    balance: int,
    mnemonic: str,
    block_time: float,
    no_mining: bool,
    gas_limit: int,
    base_fee: int,
    data: Path | None,
    state: Path | None,
    load_state: Path | None,
    dump_state: Path | None,
    quiet: bool,
) -> int:
    """Run a chain for development: one validator, a block for each transaction, funded accounts.

    It takes what test suites send to hardhat's and anvil's networks: evm_snapshot and evm_revert,
    evm_mine, evm_increaseTime, hardhat_setBalance, hardhat_impersonateAccount and their kin, and
    eth_sendTransaction of unlocked accounts. No other network has these methods. The keys are
    public: for development only.

    \b
    Examples:
      qenex dev                            port 8545, chain id 31337, ten accounts
      qenex dev -p 9545 --block-time 2     a block every two seconds
      qenex dev --data devchain            the chain is there again at the next start
      qenex dev --state state.gz           only the accounts are, on a new chain

    \b
    Connect:
      hardhat    networks: { dev: { type: "http", url: "http://127.0.0.1:8545" } }
      foundry    forge script S --broadcast --rpc-url http://127.0.0.1:8545 --unlocked ...
      viem       createTestClient({ mode: "anvil", chain: foundry, transport: http() })
    """
    settings = DevSettings(
        chain_id=ChainId(chain_id),
        mnemonic=mnemonic,
        accounts=accounts,
        balance=Wei(balance * WEI),
        gas_limit=Gas(gas_limit),
        base_fee=Wei(base_fee),
        block_time_s=block_time,
        automine=not no_mining,
        host=host,
        port=port,
        data=data,
        load_state=state if state is not None and state.exists() else load_state,
        dump_state=state if state is not None else dump_state,
    )

    def ready(chain: DevChain, bound: int) -> None:
        chain.is_quiet = quiet
        chain.subscribe(Printer(chain).block)
        lines = [f"listening on http://{host}:{bound}"] if quiet else banner(settings, chain, bound)
        for line in lines:
            print(line, flush=True)

    return run(settings, ready)
