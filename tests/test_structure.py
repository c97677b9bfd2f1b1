"""The package keeps its ranks: a module imports only lower ranks, and heavy packages only where
design allows them.
"""

import ast
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "syndet_ray"
# Lowest first. Rooms that the design gives the same rank stand in the order in which they may know
# each other.
ORDER = (
    *(
        "cores",
        "wording",
        "errors",
        "disk_share",
        "escapes",
        "files",
        "interrupts",
        "folder_names",
        "locks",
        "cache_folders",
        "metrics",
        "progress",
        "timer",
        "seeds",
        "boxes",
        "spread",
    ),
    *("definitions",),
    *("importing",),
    *("data", "scenes"),
    *("inspection", "detection"),
    *("runs",),
    *("analysis", "search"),
    *("report", "tracking", "workers"),
    *("clusters", "tuning", "deploy"),
    *("cli",),
)
# Who may import what is heavy or ties us to one system.
OWNERS = {
    "ray": {"workers", "clusters"},
    "optuna": {"search", "tracking"},
    "mlflow": {"tracking"},
    "torch": {"detection", "workers", "tuning", "deploy", "cli"},
    "torchvision": {"detection"},
    "timm": {"detection"},
    "typer": {"cli"},
    "rich": {"cli"},
    "boto3": {"data", "clusters"},
    "joblib": {"cores"},
    "psutil": {"data", "runs", "workers", "clusters"},
    "pynvml": {"workers"},
    "trimesh": {"scenes"},
    "embreex": {"scenes"},
    "fast_simplification": {"scenes"},
    "mapbox_earcut": {"scenes"},
    "cv2": {"data", "scenes", "inspection", "detection", "workers"},
    "matplotlib": {"report"},
    "jinja2": {"report"},
    "altair": {"report"},
    "vl_convert": {"report"},
    "sklearn": {"analysis"},
    "tensorboardX": {"tracking"},
}


def room(path: Path) -> str:
    """The top-level module or folder of the package that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found += [node.module or ""]
            found += [
                f"{node.module}.{alias.name}" for alias in node.names if node.module == "syndet_ray"
            ]
    return found


@cache
def imported_at_once(path: Path) -> set[str]:
    """The modules that importing a file imports, and not those that its functions or type checkers
    do.
    """
    names = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def imported_with(module: str) -> set[str]:
    """The modules that importing one of the package imports, one through another; those of others
    are not followed.
    """
    names: set[str] = set()
    waiting = {module}
    while waiting:
        name = waiting.pop()
        names.add(name)
        place = ROOT / name.replace(".", "/")
        for path in (place.with_suffix(".py"), place / "__init__.py"):
            waiting |= imported_at_once(path) - names if path.exists() else set()
    return names


def modules() -> list[Path]:
    return [
        path
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.parent != PACKAGE or not path.name.startswith("__")
    ]


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_lower_ranks_and_what_it_may(path):
    for name in imports(path):
        top, *rest = name.split(".")
        if top == "syndet_ray" and rest and rest[0] in ORDER and rest[0] != room(path):
            assert ORDER.index(rest[0]) < ORDER.index(room(path)), f"{path} imports {name}"
        if top in OWNERS:
            assert room(path) in OWNERS[top], f"{path} imports {top}"


def test_every_module_has_a_rank_and_a_sentence():
    for path in modules():
        assert room(path) in ORDER, path
        assert ast.get_docstring(ast.parse(path.read_text())), f"{path} does not say what it is"


def test_nodes_import_nothing_else_of_workers():
    """What `workers` does with nodes, `workers.nodes` need not know."""
    paths = list((PACKAGE / "workers" / "nodes").glob("*.py"))
    for path in paths:
        of_workers = [name for name in imports(path) if name.startswith("syndet_ray.workers")]
        assert all(name.startswith("syndet_ray.workers.nodes") for name in of_workers), path
    assert len(paths) > 10, "the check above could not fail"
    assert "syndet_ray.workers.nodes.check" in imports(PACKAGE / "workers" / "tune.py")


def test_definitions_need_nothing_heavy():
    heavy = ("torch", "timm", "ray", "mlflow", "optuna", "matplotlib", "pyarrow", "trimesh")
    code = f"import sys, syndet_ray.cli, syndet_ray; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.strip() == "[]"
    code = f"import sys, torch; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "torch" in done.stdout, "the check above could not fail"


def test_workers_do_without_mlflow():
    """They import the module of what they are to run, and MLflow would take seconds of each of
    their processes.
    """
    modules = (
        "workers.trainable",
        "workers.tasks",
        "workers.trial",
        "workers.render",
        "workers.nodes.check",
        "tuning.cost",
        "tuning.scoring",
    )
    for module in modules:
        assert "mlflow" not in imported_with(f"syndet_ray.{module}"), module
    assert "mlflow" in imported_with("syndet_ray.tuning.run"), "the check above could not fail"


def test_workers_do_without_the_search():
    """Only the driver proposes and prunes: a worker that trains or renders imports no Optuna."""
    for module in ("workers.trainable", "workers.tasks", "workers.trial", "workers.render"):
        modules = imported_with(f"syndet_ray.{module}")
        assert not {"optuna", "syndet_ray.search.search"} & modules, module
    assert "optuna" in imported_with("syndet_ray.workers.tune"), "the check above could not fail"


@pytest.mark.parametrize(
    "path",
    sorted([*ROOT.glob("sweeps/*.py"), *ROOT.glob("search_spaces/*.py")]),
    ids=lambda p: p.stem,
)
def test_a_definition_file_is_one_expression(path):
    docstring, *imported, value = ast.parse(path.read_text()).body
    assert isinstance(docstring, ast.Expr)
    assert all(
        isinstance(node, ast.ImportFrom) and node.module == "syndet_ray" for node in imported
    )
    assert isinstance(value, ast.Assign)
    assert value.targets[0].id in ("SWEEP", "SPACE")


def test_telemetry_is_off_wherever_one_comes_from():
    names = ("RAY_USAGE_STATS_ENABLED", "MLFLOW_DISABLE_TELEMETRY")
    for name in names:
        assert [path for path in PACKAGE.rglob("*.py") if name in path.read_text()] == [
            PACKAGE / "__init__.py"
        ], name
    code = f"import os, syndet_ray.definitions.space; print([os.environ[name] for name in {names}])"
    bare = {name: value for name, value in os.environ.items() if name not in names}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT, env=bare
    )
    assert done.stdout.strip() == "['0', 'true']"


def without_encoding(code: str) -> list[str]:
    """The calls that read or write text in whatever encoding the locale has."""
    found = []
    for node in ast.walk(ast.parse(code)):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        name, keywords = node.func.attr, {keyword.arg: keyword.value for keyword in node.keywords}
        modes = [arg.value for arg in node.args if isinstance(arg, ast.Constant)]
        is_program = getattr(keywords.get("text"), "value", None) is True
        is_text = name in ("read_text", "write_text") or is_program
        if name == "open" and modes and modes[0] in ("r", "w", "a", "x", "r+", "w+", "a+"):
            is_text = True
        if is_text and "encoding" not in keywords:
            found.append(ast.unparse(node))
    return found


def test_text_files_are_utf8_whatever_the_locale():
    for folder in ("syndet_ray", "benchmarks"):
        for path in (ROOT / folder).rglob("*.py"):
            assert without_encoding(path.read_text(encoding="utf-8")) == [], path
    for faulty in (
        "p.read_text()",
        "p.write_text(a)",
        "p.open('w')",
        "run(a); s.run(a, text=True)",
    ):
        assert len(without_encoding(faulty)) == 1, "the check above could not fail"
