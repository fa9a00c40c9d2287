"""What a person uses: the command `qenex`, and the Python client.

    from qenex import Client

cli.py         the command and how its errors look      commands/   one file per subcommand
localnet.py    a network of processes on one machine    jsonrpc.py  a small JSON-RPC client
client.py      the client                               contract.py contracts by name, signing
predeploys.py  the standard contracts of a network      abi.py      calls, events and errors

`Client` is loaded when it is asked for, so that `qenex --help` does not wait for it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qenex.client import Client as Client  # what __getattr__ gives


def __getattr__(name: str) -> object:
    if name == "Client":
        return importlib.import_module("qenex.client").Client
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
