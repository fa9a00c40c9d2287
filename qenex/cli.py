"""The command `qenex`: finds the subcommand, and turns every error of ours into one clear line.

A subcommand's module is loaded when it is asked for, so that `qenex --help` and `qenex status` do
not wait for the engine and the network library. Exit codes: 0 done, 1 it failed, 2 it was asked or
set up wrongly, 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Final

import click

from primitives.errors import ConfigError, QenexError

EXIT_FAILED: Final = 1
EXIT_WRONG: Final = 2
EXIT_STOPPED: Final = 130

_COMMANDS: Final = {
    "localnet": "Start a whole network on this machine (begin here).",
    "dev": "Run a chain for development and test suites.",
    "init": "Make the data folder of a node.",
    "node": "Run one node.",
    "import": "Import a public Ethereum chain, to serve it.",
    "keys": "Make and show keys.",
    "genesis": "Write the document that a network begins with.",
    "status": "Show what a running node does.",
    "validator": "See the validators and vote on changes of their set.",
    "peers": "See who may connect, and vote on it.",
    "token": "See, wrap and send QXC tokens.",
    "stake": "Stake QXC, see what it earns, leave.",
    "gov": "Propose changes, vote, and carry them out.",
    "amm": "Swap tokens, and give liquidity.",
    "lend": "Lend, borrow, liquidate.",
    "farm": "Stake in farms, or open one.",
    "db": "Look after a node's database.",
    "snapshot": "Carry the state of a long chain to a new node.",
}


_MODULES: Final = {"import": "import_chain"}
"""Modules whose command is a word of Python."""


class LazyGroup(click.Group):
    """A group whose subcommands are modules of `qenex.commands`, loaded on demand."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the help page."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the subcommand, or None when there is no such one."""
        if cmd_name not in _COMMANDS:
            return None
        # What modules make stays for ever: looking for garbage among it takes a tenth of a start,
        # and later a pause of the node's loop at each full collection.
        gc.disable()
        module = importlib.import_module(f"qenex.commands.{_MODULES.get(cmd_name, cmd_name)}")
        gc.freeze()
        gc.enable()
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of subcommands without loading them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.command(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Each command has its own --help with examples.",
)
@click.version_option(package_name="qenex", prog_name="qenex")
def root() -> None:
    """QENEX: a permissioned blockchain for Ethereum contracts, with instant finality.

    \b
    Examples:
      qenex localnet                      four validators, accounts, JSON-RPC on port 8545
      qenex status                        height, round, peers, pool of the node on port 8545
      qenex keys new --data-dir mynode    keys for a node of your own network
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `qenex` with `arguments` (the command line's own by default); return the exit code."""
    try:
        code = root.main(args=arguments, prog_name="qenex", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return EXIT_WRONG
    except (click.Abort, KeyboardInterrupt):
        print("qenex: stopped", file=sys.stderr)
        return EXIT_STOPPED
    except QenexError as error:
        print(f"qenex: {error.message}", file=sys.stderr)
        return EXIT_WRONG if isinstance(error, ConfigError) else EXIT_FAILED
    except BrokenPipeError:
        # Nobody reads the output any more; the interpreter must not try once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except OSError as error:
        print(f"qenex: {error}", file=sys.stderr)
        return EXIT_FAILED
    return code if isinstance(code, int) else 0
