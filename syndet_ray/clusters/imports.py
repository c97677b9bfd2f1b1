"""Imports: modules beside a script, which do not go along with it to a cluster."""

import ast
from collections.abc import Iterator
from pathlib import Path

from syndet_ray.clusters.bundle import Bundle

_SCRIPT = ".py"


def import_notes(bundle: Bundle) -> Iterator[str]:
    """Notes on modules that scripts of a bundle import from their folder, and that stay here.

    Nothing is said of a script whose folder goes along too: it may be told to look there.
    """
    sources = {item.source for item in bundle.items}
    scripts = [item.source for item in bundle.items if item.for_nodes]
    for script in scripts:
        is_script = script.suffix == _SCRIPT and script.is_file()
        if is_script and sources.isdisjoint(script.parents):
            names = ", ".join(_modules_beside(script))
            if names:
                yield (
                    f"{script.name} imports {names} from its folder, which is not sent: name a "
                    "folder that has both, as in python3 ./train with train/__main__.py"
                )


def _modules_beside(script: Path) -> list[str]:
    """The modules and packages that a script imports and that lie in its folder, sorted."""
    names = {name.partition(".")[0] for name in _imported_modules(script)}
    modules = [Path(script.parent, name + _SCRIPT) for name in names]
    packages = [Path(script.parent, name) for name in names]
    beside = [module.name for module in modules if module.is_file() and module != script]
    beside += [f"{package.name}/" for package in packages if any(package.glob(f"*{_SCRIPT}"))]
    return sorted(beside)


def _imported_modules(script: Path) -> Iterator[str]:
    """The names of the modules that a script imports; none if it cannot be read as Python."""
    try:
        tree = ast.parse(script.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module
