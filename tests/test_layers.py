"""The import rules, the purity of cores, and the sizes of DESIGN, read from the source itself."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent / "gateway"
FILES = sorted(ROOT.rglob("*.py"))
SHARED = {"events", "config", "metrics", "resources", "private_files", ""}
ALLOWED = {
    "app": {
        "chronicle",
        "doors",
        "errands",
        "overload",
        "roster",
        "tapping",
        "tls",
        "vitals",
        "connection",
        "inference",
        "ward",
        "detection",
        "transcript",
    },
    "chronicle": {"connection", "ward"},
    "discovery": set(),
    "doors": {"connection", "discovery"},
    "errands": {"connection"},
    "overload": {"connection", "inference"},
    "roster": {"connection"},
    "tapping": {"detection", "ward"},
    "vitals": {"chronicle", "connection", "diagnosis", "inference", "overload", "roster", "ward"},
    "connection": {"connection", "detection", "transcript", "upload", "ward"},
    "detection": {"detection"},
    "diagnosis": {"detection", "diagnosis", "inference"},
    "inference": {"inference"},
    "benchmark": {"benchmark", "inference"},
    "transcript": {"transcript"},
    "upload": {"detection", "transcript", "upload"},
    "ward": {"ward"},
    "client": {"client", "connection"},
    "loadtest": {"loadtest", "client", "connection"},
    "events": set(),
    "config": set(),
    "metrics": set(),
    "resources": set(),
    "private_files": set(),
    "local_ca": set(),
    "tls": {"local_ca"},
    "logs": set(),
    "__init__": set(),
    "__main__": {"commands"},
}
IMPURE = {
    "aiohttp", "asyncio", "atexit", "concurrent", "datetime", "io", "logging", "multiprocessing", "os", "pathlib",
    "random", "secrets", "select", "shutil", "signal", "socket", "ssl", "structlog", "subprocess", "tempfile",
    "threading", "time", "urllib", "uvloop", "uuid", "websockets",
}  # fmt: skip
HEAVY_OWNERS = {
    "ctranslate2": "inference",
    "faster_whisper": "inference",
    "torch": ("inference/torch_encoder.py", "inference/encoders.py", "benchmark"),
    "webrtcvad": "detection/speech.py",
    "aiohttp": "connection",
    "websockets": ("client", "loadtest"),
}


def stage(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def is_core(path: Path) -> bool:
    doc = ast.get_docstring(ast.parse(path.read_text())) or ""
    return doc.startswith("core:")


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", FILES, ids=name)
def test_stages_import_only_what_the_design_allows(path: Path) -> None:
    """app knows all parts; connection knows detection, transcript and ward; the other stages are strangers."""
    here = stage(path)
    if here == "commands":
        return
    for module in imports(path):
        if module.split(".")[0] != "gateway":
            continue
        there = [*module.split("."), ""][1]
        if there.startswith("__"):
            continue
        assert there in SHARED | ALLOWED[here] or there == here, f"{name(path)} imports {module}"


@pytest.mark.parametrize("path", FILES, ids=name)
def test_a_file_says_whether_it_is_a_core_or_a_shell(path: Path) -> None:
    """Every stage file's docstring begins with `core:` or `shell:`."""
    if len(path.relative_to(ROOT).parts) == 1 or path.name == "__init__.py":
        return
    doc = ast.get_docstring(ast.parse(path.read_text())) or ""
    assert doc.startswith(("core:", "shell:")), f"{name(path)} says neither core nor shell"


@pytest.mark.parametrize("path", [p for p in FILES if is_core(p)], ids=name)
def test_cores_do_no_io(path: Path) -> None:
    """A core imports no clock, socket, thread, file, log or randomness."""
    tops = {module.split(".")[0] for module in imports(path) if not module.startswith("urllib.parse.")}
    assert not tops & IMPURE, f"{name(path)} imports {sorted(tops & IMPURE)}"


@pytest.mark.parametrize("path", FILES, ids=name)
def test_heavy_libraries_have_one_owner(path: Path) -> None:
    """Only its owner imports a library that loads CUDA, opens sockets or holds a model."""
    for module in imports(path):
        owner = HEAVY_OWNERS.get(module.split(".")[0])
        if owner and stage(path) not in {"app", "commands", "doors"}:
            assert name(path).startswith(owner), f"{name(path)} imports {module}, which belongs to {owner}"


@pytest.mark.parametrize("path", FILES, ids=name)
def test_package_inits_are_empty(path: Path) -> None:
    """Importing a core never drags in its neighbours."""
    if path.name == "__init__.py":
        body = ast.parse(path.read_text()).body
        limit = 2 if path.parent == ROOT else 0
        assert len(body) <= limit


@pytest.mark.parametrize("path", FILES, ids=name)
def test_files_and_functions_stay_small(path: Path) -> None:
    """No file above 300 lines, no function above 40 without its docstring, every parameter annotated (mypy)."""
    text = path.read_text()
    assert text.count("\n") <= 300
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            length = body[-1].end_lineno - body[0].lineno + 1 if body else 0  # type: ignore[operator]
            assert length <= 40, f"{name(path)}:{node.lineno} {node.name} has {length} lines"
