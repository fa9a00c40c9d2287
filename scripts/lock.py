"""Write the lock files of `requirements/` anew: `python -m scripts.lock [--upgrade]`.

Each file holds exact versions with the hashes of every published file, for Linux and macOS, and
no address of an index. `build.txt` has what the set-up builds with, `runtime.txt` what a network
runs on, `dev.txt` the same and what the tests and checks add. The exceptions to what packages ask
for stand in `[tool.uv]` of `pyproject.toml`. Needs uv, which nothing else does.
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "requirements"
HEADER = "# Written by `python -m scripts.lock`; do not edit.\n"


def compile_command(uv: str, source: Path, extras: tuple[str, ...], output: Path) -> list[str]:
    """Return the uv command that resolves `source` with `extras` into `output`."""
    command = [uv, "pip", "compile", str(source), "--universal", "--python-version", "3.11"]
    command += ["--generate-hashes", "--no-emit-index-url", "--no-emit-find-links"]
    command += ["--no-header", "--no-annotate", "--output-file", str(output)]
    for extra in extras:
        command += ["--extra", extra]
    return command


def write_lock(uv: str, name: str, extras: tuple[str, ...], options: list[str]) -> None:
    """Resolve one lock file; exits with uv's own words when it can not."""
    output = FOLDER / name
    print(f"lock: {name}", flush=True)
    command = [*compile_command(uv, ROOT / "pyproject.toml", extras, output), *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(done.stderr)
    output.write_text(HEADER + output.read_text())


def write_build_lock(uv: str, options: list[str]) -> None:
    """Resolve `build.txt`, which holds setuptools alone."""
    output = FOLDER / "build.txt"
    print("lock: build.txt", flush=True)
    command = [*compile_command(uv, Path("-"), (), output), *options]
    done = subprocess.run(
        command, cwd=ROOT, input="setuptools>=77\n", capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        sys.exit(done.stderr)
    output.write_text(HEADER + output.read_text())


def main() -> None:
    """Write the three files; versions already in them stay unless `--upgrade` is given."""
    parser = argparse.ArgumentParser(prog="python -m scripts.lock", description=__doc__)
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions")
    arguments = parser.parse_args()
    uv = shutil.which("uv")
    if uv is None:
        sys.exit("lock: uv is not on PATH (install it with pip, anywhere)")
    options = ["--upgrade"] if arguments.upgrade else []
    FOLDER.mkdir(exist_ok=True)
    write_build_lock(uv, options)
    write_lock(uv, "runtime.txt", (), options)
    constraint = ["--constraint", str(FOLDER / "runtime.txt")]
    write_lock(uv, "dev.txt", ("dev",), [*options, *constraint])


if __name__ == "__main__":
    main()
