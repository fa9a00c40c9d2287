"""Run a difference between two engines again: `python -m scripts.replay DUMP`.

A node with `engine.kind = shadow` writes a dump when its engines differ. This runs what the dump
holds on the tuned and on the plain engine, without a chain, and shows both results. The exit code
is 1 while they still differ, 0 when they agree.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

from primitives.errors import ConfigError, Invalid
from vm.engine import CallResult, Execution
from vm.pyevm.dump import DumpedState, Job, decode_dump
from vm.pyevm.engine import make_engine
from vm.pyevm.shadow import differences

SHOWN_CHARACTERS_MAX = 2_000


def run(kind: str, job: Job, state: DumpedState) -> Execution | CallResult | Invalid:
    """Return the result of one kind of engine, or its refusal."""
    engine = make_engine(kind)
    try:
        if job.call is not None:
            return engine.call(state, job.context, job.call)
        return engine.execute(state, job.context, job.transactions, skip_invalid=job.skip_invalid)
    except Invalid as error:
        return error


def show(name: str, results: dict[str, Any]) -> Iterator[str]:
    """Yield the lines that show one field of both results."""
    for kind, result in results.items():
        text = repr(getattr(result, name, result))
        if len(text) > SHOWN_CHARACTERS_MAX:
            text = text[:SHOWN_CHARACTERS_MAX] + f"... ({len(text)} characters)"
        yield f"  {kind:6} {text}"


def main() -> None:
    """Read the dump, run it twice, print what differs."""
    parser = argparse.ArgumentParser(prog="python -m scripts.replay", description=__doc__)
    parser.add_argument("dump", type=Path)
    options = parser.parse_args()
    try:
        job, state = decode_dump(options.dump.read_bytes())
    except (ConfigError, OSError) as error:
        sys.exit(f"replay: {error}")
    results = {kind: run(kind, job, state) for kind in ("tuned", "plain")}
    wrong = differences(results["tuned"], results["plain"])
    what = "call" if job.call is not None else f"{len(job.transactions)} transactions"
    print(f"{what} at height {job.context.height}: {'differ' if wrong else 'agree'}")
    for name in wrong or [each.name for each in fields(CallResult) if job.call is not None]:
        print(name)
        print("\n".join(show(name, results)))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
