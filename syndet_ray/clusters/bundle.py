"""Bundle: what only this machine has of a sweep, and where it lies on a cluster.

Every local file or folder that a sweep or an option names becomes an item. Those that trials read
go to each node, those that only the driver reads stay on the head. What is an address stays one.
"""

import ast
import os
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from syndet_ray.definitions.given import with_given
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.definitions.loader import available, find, load
from syndet_ray.definitions.located import located_changes
from syndet_ray.definitions.scene_parameters import COMMAND
from syndet_ray.errors import DataError, DefinitionError
from syndet_ray.wording import counted

# Settings that name files, by the last word of their path, and whether nodes need those files. The
# images of a source are decoded by the driver, and reach the nodes through Ray.
_SETTINGS = {
    "folder": False,
    "assets": True,
    "surroundings": True,
    "backgrounds": True,
    "photos": True,
    "cutouts": True,
    "weights": True,
}
# Files of programs, which a node has under the same path or not at all: another system's would not
# run there.
_OF_THE_SYSTEM = tuple(map(Path, ("/bin", "/lib", "/opt", "/sbin", "/usr")))
GIVEN = "given"  # the folder, among the files that nodes get, of what a sweep names
_KINDS = ("sweeps", "search_spaces")
_GIGABYTE = 1e9
MOST_BYTES = int(20 * _GIGABYTE)  # of all items; an ordinary line takes an hour for it
# Ray keeps the files of the nodes in the memory of the head, packed, and takes no more than this.
MOST_NODE_BYTES = 450 * 2**20


@dataclass(frozen=True, kw_only=True)
class Item:
    """A file or folder that goes along.

    source     its path here, absolute, as settings name it
    name       its name there, which no other item has
    for_nodes  whether trials read it
    size       bytes
    files      number of files
    """

    source: Path
    name: str
    for_nodes: bool
    size: int
    files: int


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """All items of a sweep, and the folder of the head for those that nodes do not need."""

    items: tuple[Item, ...]
    data: PurePosixPath

    def place(self, source: Path) -> str | None:
        """The place of a path on the cluster: relative to the files that nodes get, or absolute on
        the head; None for a path that does not go along.
        """
        for item in self.items:
            if item.source == source:
                return f"{GIVEN}/{item.name}" if item.for_nodes else str(self.data / item.name)
        return None

    def translate(self, value: Any, root: Path) -> Any:
        """A value of a setting with the places of the cluster for paths, at any depth.

        root  the folder that relative paths start from
        """
        if isinstance(value, Mapping):
            return {name: self.translate(inner, root) for name, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self.translate(inner, root) for inner in value]
        return self._translate_text(value, root) if isinstance(value, str) else value

    def _translate_text(self, text: str, root: Path) -> str:
        if not text.startswith(COMMAND):
            return self.place(root / Path(text).expanduser()) or text
        words = _words(text)
        return COMMAND + shlex.join(self.place(root / word) or word for word in words)

    @property
    def words(self) -> str:
        """The items in words: "meshes (31 files, 12 MB), photos (250 files, 80 MB)"."""
        return ", ".join(
            f"{item.name} ({counted(item.files, 'file')}, {size_words(item.size)})"
            for item in self.items
        )


def size_words(size: float) -> str:
    """A number of bytes as 12 MB or 1.3 GB."""
    return f"{size / 1e6:.1f} MB" if size < _GIGABYTE else f"{size / _GIGABYTE:.1f} GB"


def bundle(sweep: LoadedSweep, others: Iterable[Path], data: PurePosixPath) -> Bundle:
    """Looks at all files of this machine that a sweep names.

    others  files and folders that options name, which the driver alone reads
    data    the folder of the head for what nodes do not need

    Raises DataError for what is not there, for a link that leads out of a folder, and if it is too
    much to be sent.
    """
    sources = paths_of(sweep)
    for path in others:
        sources.setdefault(path.absolute(), False)
    names: set[str] = set()
    items = []
    for source, for_nodes in sorted(sources.items()):
        # the shell of the head reads names: it would take a space for their end
        name = _free_name(re.sub(r"[^\w.-]+", "_", source.name), names)
        size, files = _measure(source)
        items.append(Item(source=source, name=name, for_nodes=for_nodes, size=size, files=files))
    _check_sizes(items)
    return Bundle(items=tuple(items), data=data)


def paths_of(sweep: LoadedSweep) -> dict[Path, bool]:
    """The files and folders of this machine that a loaded sweep names, and whether nodes need them.

    The loader has made all of them absolute.
    """
    paths: dict[Path, bool] = {}
    for setting, text in _texts(sweep.model_dump(mode="json"), ""):
        if text.startswith(COMMAND):
            for word in _words(text):
                if word.startswith("/") and not _is_of_the_system(Path(word)):
                    paths[Path(word)] = True
        elif text.startswith("/") and setting in _SETTINGS:
            path = Path(text)
            paths[path] = paths.get(path, False) or _SETTINGS[setting]
    return paths


def _texts(value: Any, setting: str) -> Iterator[tuple[str, str]]:
    """All texts within a value, each with the setting that it belongs to; "" if it is none that
    names files.
    """
    if isinstance(value, str):
        yield setting, value
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner, setting)
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            word = name.rpartition(".")[2]
            yield from _texts(inner, word if word in _SETTINGS else setting)


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command.removeprefix(COMMAND))
    except ValueError:  # an error of the generator says what is wrong with it
        return []


def _is_of_the_system(path: Path) -> bool:
    return not path.is_file() or any(map(path.is_relative_to, _OF_THE_SYSTEM))


def _free_name(name: str, names: set[str]) -> str:
    """A name that is not among `names`, to which it is added: meshes, meshes-2, ..."""
    stem, suffix = os.path.splitext(name)
    number = 1
    while name in names:
        number += 1
        name = f"{stem}-{number}{suffix}"
    names.add(name)
    return name


def _measure(source: Path) -> tuple[int, int]:
    """Returns the bytes and the number of the files of an item."""
    if not source.exists():
        raise DataError(source, "does not exist", do="Correct the path.")
    root = source.resolve()
    if root.is_file():
        return root.stat().st_size, 1
    size = files = 0
    for folder, folders, names in os.walk(root):
        for name in (*folders, *names):
            path = Path(folder, name)
            if path.is_symlink():
                _check_link(path, root)
        for name in names:
            size += Path(folder, name).stat().st_size
        files += len(names)
    return size, files


def _check_link(path: Path, root: Path) -> None:
    if not path.exists() or not path.resolve().is_relative_to(root):
        rule = f"is a link that leads out of {root}, so it would not be sent"
        raise DataError(path, rule, do="Put the file itself there, or delete the link.")


def _check_sizes(items: Iterable[Item]) -> None:
    items = sorted(items, key=lambda item: item.size)
    for most, chosen, what in (
        (MOST_BYTES, items, "to be sent from here"),
        (MOST_NODE_BYTES, [item for item in items if item.for_nodes], "for Ray to bring to nodes"),
    ):
        size = sum(item.size for item in chosen)
        if size > most:
            largest = chosen[-1]
            rule = (
                f"is too large {what}: with the rest it has {size_words(size)}, and "
                f"{size_words(most)} are the most"
            )
            do = (
                "Put photos into a bucket and give its address; put other files under the same "
                "path on every node, with file_mounts in the file of the cluster."
            )
            raise DataError(largest.source, rule, do=do)


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
            text = _translate_source(path.read_text(encoding="utf-8"), bundle)
            (folder / f"{stem}.py").write_text(text, encoding="utf-8")
    sweep = load(str(target / "sweeps" / f"{file.stem}.py"), target)
    settings = bundle.translate(given.get("settings", {}), Path.cwd())
    moved = with_given(sweep, {**given, "settings": located_changes(settings, target)})
    places = {target / str(bundle.place(item.source)) for item in bundle.items}
    for path in paths_of(moved).keys() - places:
        rule = f"names {path.name} in parts, so it cannot name its place on the cluster"
        raise DefinitionError(file, rule, do="Write the path as one text in quotes.")
    return file.stem


def _translate_source(source: str, bundle: Bundle) -> str:
    """The text of a definition file, with the places of the cluster for paths of this machine."""
    lines = source.encode().splitlines(keepends=True)
    for node in reversed(list(_path_nodes(ast.parse(source), is_path=False))):
        place = bundle.translate(node.value, Path.cwd())
        if place == node.value:
            continue
        # positions are in bytes
        start, end = node.lineno - 1, (node.end_lineno or node.lineno) - 1
        before, after = lines[start][: node.col_offset], lines[end][node.end_col_offset :]
        lines[start : end + 1] = [before + repr(place).encode() + after]
    return b"".join(lines).decode()


def _path_nodes(node: ast.AST, *, is_path: bool) -> Iterator[ast.Constant]:
    """The texts of a definition file that may name files, in their order."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        if is_path or node.value.startswith(COMMAND):
            yield node
    elif isinstance(node, ast.keyword):
        yield from _path_nodes(node.value, is_path=is_path or node.arg in _SETTINGS)
    elif isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            word = str(getattr(key, "value", "")).rpartition(".")[2]
            yield from _path_nodes(value, is_path=is_path or word in _SETTINGS)
    else:
        for child in ast.iter_child_nodes(node):
            yield from _path_nodes(child, is_path=is_path)
