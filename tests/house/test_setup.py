"""`scripts/setup` is quick the second time, waits for another, and fails in plain words.

A stand-in for Python notes what it is asked for, so nothing is downloaded here; continuous
integration runs the real set-up in an empty checkout before any test.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

STAND_IN = """#!/bin/sh
echo "$*" >>"$ASKED"
case "$1 $2" in
"-c import sys; sys.exit(sys.version_info < (3, 11))") exit "${TOO_OLD:-0}" ;;
"--version ") echo "Python 3.9.2" ;;
"-m venv") mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
"-m pip")
    sleep "${SLOW:-0}"
    echo "Collecting one"
    echo "$PIP_SAYS"
    exit "${PIP_FAILS:-0}"
    ;;
esac
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with the set-up script, small lock files and a stand-in for Python."""
    for name in ("scripts", "requirements", "bin"):
        (tmp_path / name).mkdir()
    shutil.copy(ROOT / "scripts" / "setup", tmp_path / "scripts" / "setup")
    for name in ("build", "runtime", "dev"):
        (tmp_path / "requirements" / f"{name}.txt").write_text("one==1 --hash=sha256:00\n")
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    python = tmp_path / "bin" / "python3"
    python.write_text(STAND_IN)
    python.chmod(0o755)
    return tmp_path


def start(checkout: Path, kind: str, **variables: str) -> subprocess.Popen[str]:
    """Start the set-up with only the stand-in as Python."""
    environment = {
        "PATH": f"{checkout}/bin:/usr/bin:/bin",
        "QENEX_PYTHON": "python3",
        "ASKED": str(checkout / "asked"),
        **variables,
    }
    return subprocess.Popen(
        [checkout / "scripts" / "setup", kind],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait for a set-up; return its exit code and what it said."""
    _, said = process.communicate(timeout=30)
    return process.returncode, said


def asked(checkout: Path) -> list[str]:
    """Return what the stand-in was asked for, and forget it."""
    path = checkout / "asked"
    lines = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return lines


@pytest.mark.process
def test_second_run_does_nothing(checkout: Path) -> None:
    """The first run installs by hash and wheels only; the second asks Python for nothing."""
    code, said = finish(start(checkout, "runtime"))
    assert code == 0, said
    installs = [line for line in asked(checkout) if line.startswith("-m pip")]
    assert len(installs) == 3
    assert all("--no-deps" in line for line in installs)
    assert all("--require-hashes --only-binary :all:" in line for line in installs[:2])
    assert finish(start(checkout, "runtime")) == (0, "")
    assert asked(checkout) == []


@pytest.mark.process
def test_changed_lock_installs_again(checkout: Path) -> None:
    """A changed lock file is installed, and dev serves those who need runtime."""
    assert finish(start(checkout, "dev"))[0] == 0
    asked(checkout)
    assert finish(start(checkout, "runtime")) == (0, "")
    (checkout / "requirements" / "dev.txt").write_text("one==2 --hash=sha256:00\n")
    assert finish(start(checkout, "dev"))[0] == 0
    assert any("dev.txt" in line for line in asked(checkout))


@pytest.mark.process
def test_moved_checkout_begins_anew(checkout: Path) -> None:
    """The environment of a moved checkout is made again: its commands name the old place."""
    assert finish(start(checkout, "runtime"))[0] == 0
    moved = checkout.rename(checkout.with_name("moved"))
    asked(moved)
    assert finish(start(moved, "runtime"))[0] == 0
    assert any(line.startswith("-m venv") for line in asked(moved))


@pytest.mark.process
def test_broken_environment_is_made_again(checkout: Path) -> None:
    """An environment whose Python is gone is made again."""
    assert finish(start(checkout, "runtime"))[0] == 0
    asked(checkout)
    (checkout / ".venv" / "bin" / "python").unlink()
    assert finish(start(checkout, "runtime"))[0] == 0
    assert any(line.startswith("-m venv") for line in asked(checkout))


@pytest.mark.process
def test_two_at_once_install_once(checkout: Path) -> None:
    """Of two set-ups at the same time one installs, and the other waits for it."""
    both = [start(checkout, "runtime", SLOW="0.1") for _ in range(2)]
    ends = [finish(each) for each in both]
    assert [code for code, _ in ends] == [0, 0]
    assert sum("another set-up is running" in said for _, said in ends) == 1
    assert sum(line.startswith("-m venv") for line in asked(checkout)) == 1
    assert not (checkout / ".venv-busy").exists()


@pytest.mark.process
def test_dead_holder_blocks_nobody(checkout: Path) -> None:
    """The lock of a set-up that was killed is taken over."""
    dead = subprocess.Popen(["true"])
    dead.wait()
    (checkout / ".venv-busy").mkdir()
    (checkout / ".venv-busy" / "pid").write_text(f"{dead.pid}\n")
    code, said = finish(start(checkout, "runtime"))
    assert code == 0
    assert f"process {dead.pid} ended half-way" in said


@pytest.mark.process
def test_old_python_is_named(checkout: Path) -> None:
    """Where no Python is new enough, the error says what is needed and what was found."""
    code, said = finish(start(checkout, "runtime", TOO_OLD="1"))
    assert code == 1
    assert "Python 3.11 or newer is needed; found: Python 3.9.2" in said
    assert not (checkout / ".venv").exists()


@pytest.mark.process
def test_failed_install_shows_why(checkout: Path) -> None:
    """When pip fails its words are shown, and the next run starts again."""
    code, said = finish(start(checkout, "runtime", PIP_FAILS="1", PIP_SAYS="HASHES DO NOT MATCH"))
    assert code == 1
    assert "HASHES DO NOT MATCH" in said
    assert "build tools failed" in said
    assert finish(start(checkout, "runtime"))[0] == 0


@pytest.mark.process
def test_unknown_kind_is_refused(checkout: Path) -> None:
    """A kind without a lock file is refused by name."""
    assert finish(start(checkout, "other")) == (
        1,
        "setup: no lock file requirements/other.txt (kinds: runtime, dev)\n",
    )


@pytest.mark.parametrize("name", ["setup", "localnet", "test", "check"])
def test_commands_can_be_run(name: str) -> None:
    """Each command is executable and its shell reads it."""
    path = ROOT / "scripts" / name
    assert os.access(path, os.X_OK)
    subprocess.run(["sh", "-n", path], check=True, timeout=10)
