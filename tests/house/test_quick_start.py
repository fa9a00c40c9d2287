"""A node's process loads what a node needs and no more, for each import is time without a block.

Each name below was once loaded at every start: together they were a third of its processor time. A
new line at the top of one of our files that loads one of them again fails here, without a clock.
"""

import subprocess
import sys

# What a start must do without, and who once brought it in.
NOT_IN_A_NODE = {
    "aioquic": "libp2p's QUIC",
    "eth_abi": "eth-account",
    "eth_account": "key files; the developer chain's signing methods",
    "eth_keyfile": "eth-account",
    "ethereum": "the judge",
    "httpx": "libp2p's certificates from the web",
    "hypothesis": "tests",
    "node.dev": "the developer chain",
    "parsimonious": "eth-account",
    "py_ecc.bls": "py-evm's precompiles",
    "py_ecc.optimized_bls12_381": "py-evm's precompiles",
    "pytest": "tests",
    "requests": "libp2p's certificates from the web",
    "trio_websocket": "libp2p's WebSocket",
    "web3": "the client",
    "zeroconf": "libp2p's discovery",
}
# What the commands that only speak to a node do without.
NOT_IN_THE_HELP = ("cryptography", "eth", "eth_utils", "libp2p", "rocksdict", "structlog", "trio")

NODE = """
import sys
import qenex.commands.node
from p2p.host import Host
from p2p.keys import generate_node_key
from vm.pyevm.engine import make_engine
Host(generate_node_key(), lambda peer: True)
make_engine("tuned")
print(*sys.modules)
"""
HELP = """
import sys
from qenex.cli import main
main(["--help"])
print("modules:", *sys.modules)
"""


def modules_of(program: str) -> set[str]:
    command = [sys.executable, "-c", program]
    ran = subprocess.run(command, check=False, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return set(ran.stdout.splitlines()[-1].split())


def test_what_a_node_does_not_import() -> None:
    """The command, a libp2p host and the engine are made; none of the heavy extras is there."""
    loaded = modules_of(NODE)
    assert {"eth", "libp2p", "rocksdict", "node.app"} <= loaded
    found = {name: owner for name, owner in NOT_IN_A_NODE.items() if name in loaded}
    assert not found, f"loaded by a start, and not needed: {found}"


def test_what_the_help_does_not_import() -> None:
    """`qenex --help` waits for nothing of a node."""
    loaded = modules_of(HELP)
    assert "click" in loaded
    assert loaded.isdisjoint(NOT_IN_THE_HELP)
