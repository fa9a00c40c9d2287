"""Measure on this machine: `python -m scripts.bench network|engine|rpc|...`.

`engine` is `scripts.bench_engine`, and so on, where it stands what is measured and how; each takes
`--json`, and `python -m scripts.bench network --help` shows every option of one. Progress goes to
standard error, the result to standard output.
"""

import argparse
import json
import sys

from scripts import (
    bench_engine,
    bench_logs,
    bench_network,
    bench_rpc,
    bench_sends,
    bench_start,
    bench_state,
    bench_subscriptions,
)
from scripts.bench_localnet import free_ports, fund, network, say
from scripts.load import LoadError


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m scripts.bench", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="what")
    bench_network.add_command(commands)
    bench_engine.add_command(commands)
    state = commands.add_parser("state", help="blocks, memory and restart as the state grows")
    bench_state.add_options(state)
    state.add_argument("--json", action="store_true", help="print the figures as JSON")
    state.set_defaults(run=bench_state.bench_state, report=bench_state.report)
    bench_rpc.add_command(commands, lambda: free_ports(1), say)
    bench_sends.add_command(commands, network, fund, say)
    bench_logs.add_command(commands)
    bench_subscriptions.add_command(commands, network, say)
    start = commands.add_parser("start", help="processor time until a node answers")
    bench_start.add_options(start)
    start.add_argument("--json", action="store_true", help="print the figures as JSON")
    start.set_defaults(run=bench_start.bench_start, report=bench_start.report)
    options = parser.parse_args()
    try:
        result = options.run(options)
    except LoadError as error:
        sys.exit(f"bench: {error}")
    if options.json:
        print(json.dumps(result, indent=2))
    else:
        print("\n".join(options.report(result)))


if __name__ == "__main__":
    main()
