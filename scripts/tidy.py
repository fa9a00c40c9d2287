"""The rules of style that no linter knows: `python -m scripts.tidy` prints every fault.

Sizes (a function 60 lines without its docstring, a file 500, 6 positional parameters), a
docstring on every module, one word for one thing, no relative or late import, no `assert` and no
careless `except` outside tests, a reason beside every `type: ignore`, plain line endings, and
nothing in a file that is true on one machine only. `faults_of` is pure: a name and a text in,
faults out. `tests/house/test_tidy.py` shows each rule biting on a planted sample.
"""

import ast
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent

FUNCTION_LINES_MAX = 60
FILE_LINES_MAX = 500
POSITIONAL_PARAMETERS_MAX = 6

TEXT_ENDINGS = frozenset(
    {
        *(".cfg", ".css", ".html", ".ini", ".js", ".json", ".md", ".mjs", ".py", ".sh", ".sol"),
        *(".toml", ".ts", ".txt", ".yaml", ".yml", ""),
    }
)
# Written by tools, or copied byte for byte from elsewhere.
GENERATED = re.compile(
    r"(^|/)(package-lock\.json|LICENSE[^/]*|py\.typed)$|^requirements/"
    r"|^contracts/artifacts/|^tests/contracts/weak/artifacts/|^tests/golden/|\.bin$|\.hex$"
)
SKIPPED_FOLDERS = frozenset({"node_modules", "__pycache__"})
# Made by tools and by `scripts/localnet`, in the top folder only.
SKIPPED_AT_TOP = frozenset({"build", "dist", "localnet"})
OUR_HIDDEN = frozenset({".ci", ".editorconfig", ".gitignore", ".pre-commit-config.yaml"})
# The modules that load others by name: they keep `qenex --help` quick.
LOADS_BY_NAME = frozenset(
    {
        "primitives/deferred.py",
        "qenex/__init__.py",
        "qenex/cli.py",
        "tests/primitives/test_deferred.py",
    }
)
POST_QUANTUM = re.compile(r"\b(mldsa|mlkem)\b")
# They hold the words and samples that they forbid.
ABOUT_WORDS = frozenset({"scripts/tidy.py", "tests/house/test_tidy.py"})

SYNONYMS = {
    "mempool": "pool",
    "leader": "proposer",
    "replica": "validator",
    "miner": "proposer",
    "author": "proposer",
    "qc": "certificate",
    "seal": "certificate",
    "justification": "certificate",
    "coinbase": "fee_recipient",
}
# Words that the EVM, its tries and JSON-RPC fix; they stay in the rooms that speak to those.
FIXED_WORDS = {"vm/": ("coinbase", "seal"), "node/rpc/": ("coinbase",), "tests/": ("coinbase",)}
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|for now|simplified|placeholder(?!=))\b", re.IGNORECASE)
MACHINE_PATH = re.compile(r"(?<![\w./-])/(?:work|home|root|Users|opt)/[\w.]")
REGISTRY_HOST = re.compile(
    r'"resolved"\s*:|(?<!no-emit)--(?:extra-)?index-url\s|--find-links\s|\bregistry\s*=\s*\S*http'
)
"""The words beside which lock files and settings name a package registry."""
BARE_IGNORE = re.compile(r"#\s*type:\s*ignore(?!\[[a-z0-9, -]+\]\s+#\s*\w)")
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
CODED_IGNORE = re.compile(r"#\s*type:\s*ignore\[[a-z0-9, -]+\]")
EXCUSED_EXCEPT = re.compile(r"#\s*noqa:\s*BLE001\W+\w{2,}")


class Fault(NamedTuple):
    """One breach of one rule."""

    path: str
    line: int
    rule: str
    what: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.rule}: {self.what}"


def is_test(path: str) -> bool:
    """Whether a file is a test's, where asserts are wanted and files may be long."""
    return path.startswith("tests/")


def has_docstring(node: ast.AsyncFunctionDef | ast.FunctionDef) -> bool:
    """Whether a function opens with a docstring."""
    return ast.get_docstring(node, clean=False) is not None


def function_lines(node: ast.AsyncFunctionDef | ast.FunctionDef) -> int:
    """Return how many lines a function takes, without decorators and docstring."""
    lines = (node.end_lineno or node.lineno) - node.lineno + 1
    if has_docstring(node):
        text = node.body[0]
        lines -= (text.end_lineno or text.lineno) - text.lineno + 1
    return lines


def is_table(node: ast.AsyncFunctionDef | ast.FunctionDef) -> bool:
    """Whether a function is one `match` and nothing else, the table of a state machine."""
    body = node.body[1:] if has_docstring(node) else node.body
    return len(body) == 1 and isinstance(body[0], ast.Match)


def check_functions(path: str, tree: ast.Module) -> Iterator[Fault]:
    """Find functions that are too long, take too many positions, or import late."""
    for node in ast.walk(tree):
        if not isinstance(node, FUNCTIONS):
            continue
        lines = function_lines(node)
        if lines > FUNCTION_LINES_MAX and not is_table(node):
            what = f"{node.name} has {lines} lines, at most {FUNCTION_LINES_MAX}"
            yield Fault(path, node.lineno, "function-size", what)
        names = [each.arg for each in (*node.args.posonlyargs, *node.args.args)]
        count = len(names) - (1 if names[:1] in (["self"], ["cls"]) else 0)
        # What pytest and hypothesis hand to a test by name is no position.
        if count > POSITIONAL_PARAMETERS_MAX and not is_test(path):
            what = f"{node.name} takes {count}, at most {POSITIONAL_PARAMETERS_MAX}"
            yield Fault(path, node.lineno, "positional-parameters", what)
        for inner in ast.walk(node):
            if isinstance(inner, ast.Import | ast.ImportFrom):
                yield Fault(path, inner.lineno, "late-import", f"inside {node.name}")


def check_module(path: str, tree: ast.Module) -> Iterator[Fault]:
    """Find a missing module docstring, relative imports and re-exports."""
    if not ast.get_docstring(tree):
        yield Fault(path, 1, "module-docstring", "the file does not say what it does")
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            yield Fault(path, node.lineno, "relative-import", "write the whole path")
        if isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names if path not in LOADS_BY_NAME else ():
                if alias.asname == alias.name:
                    yield Fault(path, node.lineno, "re-export", f"{alias.name} as itself")
        if isinstance(node, ast.Name) and node.id == "__all__":
            yield Fault(path, node.lineno, "re-export", "__all__: import from where it is")


def check_hidden_imports(path: str, tree: ast.Module) -> Iterator[Fault]:
    """Find imports that the import linter does not see: by name, and of parts of cryptography."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func).rpartition(".")[2]
            if name in {"import_module", "__import__"} and path not in LOADS_BY_NAME:
                yield Fault(path, node.lineno, "import-by-name", "the walls do not see it")
        is_free = is_test(path) or path.startswith("primitives/crypto/")
        if isinstance(node, ast.Import | ast.ImportFrom) and not is_free:
            names = ast.unparse(node)
            if POST_QUANTUM.search(names):
                yield Fault(path, node.lineno, "post-quantum-wall", f"{names}: primitives/crypto")


def is_excused(handler: ast.ExceptHandler, lines: list[str]) -> bool:
    """Whether a handler of everything raises again what it caught, or says why it is there."""
    last = handler.body[-1]
    raises_again = isinstance(last, ast.Raise) and (last.exc is None or last.cause is not None)
    said_below = lines[handler.lineno].lstrip().startswith("#")
    return raises_again or said_below or bool(EXCUSED_EXCEPT.search(lines[handler.lineno - 1]))


def check_statements(path: str, tree: ast.Module, lines: list[str]) -> Iterator[Fault]:
    """Find `assert` outside tests, and handlers that catch everything without an excuse."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert) and not is_test(path):
            yield Fault(path, node.lineno, "assert", "use ensure(); -O removes assert")
        if isinstance(node, ast.ExceptHandler):
            caught = "BaseException" if node.type is None else ast.unparse(node.type)
            if re.search(r"\b(Base)?Exception\b", caught) and not is_excused(node, lines):
                what = "name the errors, or say why not after `noqa: BLE001` or on the next line"
                yield Fault(path, node.lineno, "catch-all", what)


def defined_names(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield the line and the name of everything that a module names itself."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.lineno, node.name
            case ast.arg():
                yield node.lineno, node.arg
            case ast.Name(ctx=ast.Store()):
                yield node.lineno, node.id
            case ast.Attribute(ctx=ast.Store()):
                yield node.lineno, node.attr


def words_of(name: str) -> list[str]:
    """Split an identifier at underscores and capitals: `QuorumSeal` -> quorum, seal."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]


def check_names(path: str, tree: ast.Module) -> Iterator[Fault]:
    """Find synonyms of glossary words among the names that a module defines."""
    fixed = [word for room, words in FIXED_WORDS.items() if path.startswith(room) for word in words]
    for line, name in defined_names(tree):
        for word in words_of(name):
            if word in SYNONYMS and word not in fixed:
                yield Fault(path, line, "glossary", f"{name}: we say {SYNONYMS[word]}")


def check_text(path: str, text: str) -> Iterator[Fault]:
    """Find, in any text file, what is unfinished, of one machine, or badly ended."""
    if "\r" in text:
        yield Fault(path, 1, "line-endings", "carriage returns")
    if text and not text.endswith("\n"):
        yield Fault(path, text.count("\n") + 1, "line-endings", "no newline at the end")
    for line, content in enumerate(text.split("\n"), 1):
        if content != content.rstrip():
            yield Fault(path, line, "line-endings", "blanks at the end of the line")
        if path in ABOUT_WORDS:
            continue
        if found := UNFINISHED.search(content):
            yield Fault(path, line, "unfinished", found.group())
        found = BARE_IGNORE.search(content)
        if found and not (is_test(path) and CODED_IGNORE.search(content)):
            yield Fault(path, line, "type-ignore", "name the code and the reason")


def check_places(path: str, text: str) -> Iterator[Fault]:
    """Find paths of one machine and hosts of package registries; generated files too."""
    if path in ABOUT_WORDS:
        return
    for line, content in enumerate(text.split("\n"), 1):
        if found := MACHINE_PATH.search(content):
            yield Fault(path, line, "machine-path", found.group())
        if found := REGISTRY_HOST.search(content):
            yield Fault(path, line, "registry-host", found.group())


def check_size(path: str, text: str) -> Iterator[Fault]:
    """Find files that are too long; tests may be longer."""
    lines = text.count("\n")
    if lines > FILE_LINES_MAX and not is_test(path):
        yield Fault(path, lines, "file-size", f"{lines} lines, at most {FILE_LINES_MAX}")


def faults_of(path: str, text: str) -> list[Fault]:
    """Return every fault of one file; `path` is relative to the checkout, with slashes."""
    faults = list(check_places(path, text))
    if GENERATED.search(path):
        return faults
    faults += check_text(path, text)
    if path.endswith(".py"):
        faults += check_size(path, text)
        tree = ast.parse(text)
        checks: tuple[Callable[[str, ast.Module], Iterator[Fault]], ...]
        checks = (check_module, check_functions, check_names, check_hidden_imports)
        for check in checks:
            faults += check(path, tree)
        faults += check_statements(path, tree, text.split("\n"))
    return faults


def files() -> list[Path]:
    """Return every text file of the checkout that is ours, sorted."""
    found: list[Path] = []
    waiting = [ROOT]
    while waiting:
        for path in waiting.pop().iterdir():
            name = path.name
            hidden = name.startswith(".") and name not in OUR_HIDDEN
            if hidden or name in SKIPPED_FOLDERS or name.endswith(".egg-info"):
                continue
            if path.parent == ROOT and name in SKIPPED_AT_TOP:
                continue
            if path.is_dir():
                waiting.append(path)
            elif path.suffix in TEXT_ENDINGS:
                found.append(path)
    return sorted(found)


def missing_packages() -> list[Fault]:
    """Return the folders with tests in them that lack an `__init__.py`."""
    folders = {path.parent for path in (ROOT / "tests").rglob("*.py")}
    folders = {folder for folder in folders if "node_modules" not in folder.parts}
    return [
        Fault(folder.relative_to(ROOT).as_posix(), 1, "test-package", "no __init__.py")
        for folder in sorted(folders)
        if not (folder / "__init__.py").exists()
    ]


def all_faults() -> list[Fault]:
    """Return every fault of the checkout."""
    faults = missing_packages()
    for path in files():
        faults += faults_of(path.relative_to(ROOT).as_posix(), path.read_bytes().decode())
    return faults


def main() -> None:
    """Print the faults; exit 1 when there are any."""
    faults = all_faults()
    for fault in faults:
        print(fault)
    print(f"tidy: {len(faults)} faults in {len(files())} files")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
