"""Definition files: sweeps and search spaces as they are sent to a cluster, with its paths."""

import ast
import io
import tokenize
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from syndet_ray.clusters.bundle import FILE_SETTINGS, Bundle, paths_of
from syndet_ray.definitions.given import with_given
from syndet_ray.definitions.loader import available, find, load
from syndet_ray.definitions.located import located_changes
from syndet_ray.definitions.scene_parameters import COMMAND
from syndet_ray.errors import DefinitionError

_KINDS = ("sweeps", "search_spaces")


def write_definitions(name: str, given: Mapping[str, Any], bundle: Bundle, target: Path) -> str:
    """Writes the sweep of this name, and all other sweeps and search spaces, into a folder; paths
    are those of the cluster. Returns the name of the sweep there.

    given  what replaces settings of the sweep's file, with the paths of this machine

    Raises DefinitionError for a path that the file of the sweep does not hold as one text.
    """
    file = find(name)
    for kind in _KINDS:
        folder = target / kind
        folder.mkdir(parents=True)
        files = available(kind) | ({file.stem: file} if kind == "sweeps" else {})
        for stem, path in files.items():
            (folder / f"{stem}.py").write_bytes(_translate_file(path, bundle))
    sweep = load(str(target / "sweeps" / f"{file.stem}.py"), target)
    settings = bundle.translate(given.get("settings", {}))
    moved = with_given(sweep, {**given, "settings": located_changes(settings, target)})
    # a place on the head alone is absolute, and stays as it is
    places = {target / bundle.path_there(item.source) for item in bundle.items}
    for path in paths_of(moved).keys() - places:
        if bundle.is_mounted(path):
            continue
        rule = f"names {path.name} in parts, so it cannot name its place on the cluster"
        raise DefinitionError(file, rule, do="Write the path as one text in quotes.")
    return file.stem


def _translate_file(file: Path, bundle: Bundle) -> bytes:
    content = file.read_bytes()
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
        text = _translate_source(content.decode(encoding), bundle)
        # a place stands in quotes, where Python reads such escapes
        return text.encode(encoding, "backslashreplace")
    # of another sweep, which is not used: this one has been loaded
    except (SyntaxError, ValueError):
        return content


def _translate_source(source: str, bundle: Bundle) -> str:
    """The text of a definition file, with the places of the cluster for paths of this machine."""
    lines = source.encode().splitlines(keepends=True)
    nodes = list(_path_nodes(ast.parse(source), is_path=False))
    # the last first: a replacement moves what follows it
    nodes.sort(key=lambda node: (node.lineno, node.col_offset), reverse=True)
    for node in nodes:
        try:
            place = bundle.translate_written(str(node.value), Path.cwd())
        except DefinitionError:  # of another sweep, which is not used: this one has been loaded
            continue
        if place == node.value:
            continue
        # positions are in bytes
        start, end = node.lineno - 1, (node.end_lineno or node.lineno) - 1
        before, after = lines[start][: node.col_offset], lines[end][node.end_col_offset :]
        lines[start : end + 1] = [before + repr(place).encode() + after]
    return b"".join(lines).decode()


def _path_nodes(node: ast.AST, *, is_path: bool) -> Iterator[ast.Constant]:
    """The texts of a definition file that may name files."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        if is_path or node.value.startswith(COMMAND):
            yield node
    elif isinstance(node, ast.keyword):
        yield from _path_nodes(node.value, is_path=is_path or node.arg in FILE_SETTINGS)
    elif isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            word = str(getattr(key, "value", "")).rpartition(".")[2]
            yield from _path_nodes(value, is_path=is_path or word in FILE_SETTINGS)
    else:
        for child in ast.iter_child_nodes(node):
            yield from _path_nodes(child, is_path=is_path)
