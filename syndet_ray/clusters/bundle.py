"""Bundle: what only this machine has of a sweep, and where it lies on a cluster.

Every local file or folder that a sweep or an option names becomes an item. Those that trials read
go to each node, those that only the driver reads stay on the head. What is an address stays one,
and what the cluster's file brings to the same path of every node stays a path.
"""

import errno
import hashlib
import os
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from syndet_ray.clusters.submission import DATA, FILES, GIVEN
from syndet_ray.data.memory import memory_words
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.definitions.located import with_absolute_paths
from syndet_ray.definitions.program import path_in, words_of
from syndet_ray.definitions.python_module import INTERPRETER
from syndet_ray.definitions.recipe import NAMED_WEIGHTS
from syndet_ray.definitions.scene_parameters import BUILT_IN, COMMAND
from syndet_ray.errors import DataError, DefinitionError
from syndet_ray.files import reading
from syndet_ray.wording import counted

# Settings that name files, by the last word of their path, and whether nodes need those files. The
# images of a source are decoded by the driver, and reach the nodes through Ray.
FILE_SETTINGS = {
    "folder": False,
    "assets": True,
    "surroundings": True,
    "backgrounds": True,
    "photos": True,
    "cutouts": True,
    "weights": True,
}
_NAMES = (*NAMED_WEIGHTS, *BUILT_IN)  # values of these settings that name no file
_PROGRAM = "detector.program"  # a setting whose words are paths as those of any other command
# What a node has under the same path or not at all: another system's programs would not run there.
_OF_THE_SYSTEM = tuple(
    map(Path, ("/bin", "/dev", "/etc", "/lib", "/opt", "/proc", "/run", "/sbin", "/sys", "/usr"))
)
_DISK_DEPTH = 2  # parts of /tmp or /data: such folders are disks, and no part of a program
_SCRIPTS = ("bin", "Scripts")  # folders of programs in a virtual environment
# Never sent: Ray would not bring the first ones to nodes, nor what the last ones name.
NEVER_SENT = ("__pycache__", ".git", ".venv", "venv", ".gitignore", ".rayignore")
_DIGITS = 8  # of a hash that tells the few items of a folder apart
MOST_BYTES = 20 * 10**9  # of all items; an ordinary line takes an hour for it
# Ray keeps the files of the nodes in the memory of the head, packed, and takes no more than this.
MOST_NODE_BYTES = 450 * 2**20


@dataclass(frozen=True, kw_only=True)
class Item:
    """A file or folder that goes along.

    source     its path here, absolute, as settings name it
    for_nodes  whether trials read it
    size       bytes
    files      number of files
    """

    source: Path
    for_nodes: bool
    size: int
    files: int

    @property
    def name_here(self) -> str:
        """Its name here; that of the folder itself for one that ends in ".."."""
        return Path(os.path.normpath(self.source)).name or "/"

    @property
    def name(self) -> str:
        """Its name there, which other items may have too: the shell of the head keeps it whole."""
        return re.sub(r"[^\w.-]+", "_", self.name_here.strip("/")) or "root"

    @property
    def place(self) -> str:
        """Its path below the folder of its kind: no other item of this machine ever has it."""
        return f"{hashlib.sha256(bytes(self.source)).hexdigest()[:_DIGITS]}/{self.name}"

    @property
    def words(self) -> str:
        """The item in words: "'my meshes' (31 files, 12 MB)"."""
        amounts = f"{counted(self.files, 'file')}, {memory_words(self.size)}"
        return f"{shlex.quote(self.name_here)} ({amounts})"


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """All items of a sweep.

    folder   that of the submission, absolute, on the head
    mounted  files and folders that every node has already, under the same path
    """

    items: tuple[Item, ...]
    folder: PurePosixPath
    mounted: tuple[Path, ...] = ()

    def place(self, source: Path) -> str | None:
        """The place of a path on the cluster: relative to the files that nodes get, or absolute on
        the head; None for a path that does not go along.
        """
        for item in self.items:
            if item.source == source:
                on_head = self.path_on_head(item)
                return f"{GIVEN}/{item.place}" if item.for_nodes else str(on_head)
        return None

    def path_on_head(self, item: Item) -> PurePosixPath:
        """The path of an item on the head: among the files that nodes get too, or elsewhere."""
        parent = self.folder / FILES / GIVEN if item.for_nodes else self.folder / DATA
        return parent / item.place

    def path_there(self, source: Path) -> str:
        """A path as the cluster has it: its place, or itself for one that every node has."""
        return self.place(source) or str(source)

    def is_mounted(self, path: Path) -> bool:
        """True for a path that every node has already."""
        return _is_within(path, self.mounted)

    def translate(self, value: Any) -> Any:
        """A value of a setting with the places of the cluster for absolute paths, at any depth.

        Other texts may read like relative paths, and are none: the loader makes all absolute.
        """
        return _with_texts(value, self._translate_text)

    def translate_recorded(self, value: Any) -> Any:
        """The same for a value that a run has recorded; all places are absolute."""

        def translate_text(text: str) -> str:
            place = self._translate_text(text)
            is_path = text != place and not text.startswith(COMMAND)
            return str(self.folder / FILES / place) if is_path else place

        return _with_texts(value, translate_text)

    def translate_written(self, text: str, root: Path) -> str:
        """The same for a text of a definition file that may name a file.

        root  the folder that relative paths start from
        """
        if text.startswith(COMMAND):
            return self._translate_text(with_absolute_paths(_PROGRAM, text, root))
        if text in _NAMES:
            return text
        return self._translate_path(root / os.path.expanduser(text)) or text

    def _translate_text(self, text: str) -> str:
        if text.startswith(COMMAND):
            words = [self._translate_word(word) for word in _words(text)]
            return COMMAND + shlex.join(words) if words else text
        place = self._translate_path(Path(text)) if text.startswith("/") else None
        return place or text

    def _translate_word(self, word: str) -> str:
        """A word of a command; paths are absolute, because a program may start in any folder."""

        def is_sent(text: str) -> bool:
            return text.startswith("/") and self._translate_path(Path(text)) is not None

        option, path = path_in(word, is_sent)
        if not is_sent(path):
            return word
        return f"{option}{self.folder / FILES / str(self._translate_path(Path(path)))}"

    def _translate_path(self, path: Path) -> str | None:
        """The place of an absolute path on the cluster; None if it does not go along."""
        is_mounted = self.is_mounted(path) and os.path.exists(path)
        return self.place(path) or (str(path) if is_mounted else None)

    @property
    def words(self) -> str:
        """The items in words: "'my meshes' (31 files, 12 MB), photos (250 files, 80 MB)"."""
        return ", ".join(item.words for item in self.items)


def bundle(
    sweep: LoadedSweep,
    others: Iterable[Path],
    folder: PurePosixPath,
    mounted: Sequence[Path] = (),
) -> Bundle:
    """Returns the bundle of a sweep: all files of this machine that it names.

    others   files and folders that options name, which the driver alone reads
    folder   that of the submission, absolute, on the head
    mounted  files and folders that every node has already, under the same path

    Raises DataError for what is not there, for a link that leads out of a folder, for an
    interpreter of this machine, and if it is too much to be sent; MachineError for what this user
    may not read.
    """
    sources = paths_of(sweep)
    for path in others:
        sources.setdefault(path.absolute(), False)
    items = []
    for source, for_nodes in sorted(sources.items()):
        if _is_within(source, mounted):
            continue
        if for_nodes:
            _check_program(source)
        size, files = _measure(source)
        items.append(Item(source=source, for_nodes=for_nodes, size=size, files=files))
    _check_sizes(items)
    return Bundle(items=tuple(items), folder=folder, mounted=tuple(mounted))


def _is_within(path: Path, folders: Iterable[Path]) -> bool:
    """True for a path in one of the folders, ".." resolved; absolute paths all."""
    normal = Path(os.path.normpath(path))
    return any(map(normal.is_relative_to, folders))


def bundle_again(origins: Mapping[str, str], folder: PurePosixPath) -> Bundle:
    """Returns the bundle of a submission that was sent before, with each item at the same place.

    origins  where each file or folder comes from, {absolute path on the head: path here}
    folder   that of the submission, absolute, on the head

    Raises DataError, with all of them, for what is not here any more, and as `bundle` does.
    """
    missing = [source for source in origins.values() if not os.path.exists(source)]
    if missing:
        rule = "is needed by the run, was sent from this path, and is not here"
        do = "Put it there again, with the same content; a link to where it lies now is enough."
        raise DataError(", ".join(missing), rule, do=do)
    items = []
    for place, text in origins.items():
        size, files = _measure(Path(text))
        for_nodes = PurePosixPath(place).is_relative_to(folder / FILES)
        items.append(Item(source=Path(text), for_nodes=for_nodes, size=size, files=files))
    _check_sizes(items)
    return Bundle(items=tuple(items), folder=folder)


def paths_of(sweep: LoadedSweep) -> dict[Path, bool]:
    """The files and folders of this machine that a loaded sweep names, and whether nodes need them.

    The loader has made all of them absolute.
    """
    paths: dict[Path, bool] = {}
    for setting, text in _texts(sweep.model_dump(mode="json"), ""):
        if text.startswith(COMMAND):
            for word in _words(text):
                path = Path(path_in(word)[1])
                if path.is_absolute() and not _stays_as_it_is(path):
                    paths[path] = True
        elif text.startswith("/") and setting in FILE_SETTINGS:
            path = Path(text)
            paths[path] = paths.get(path, False) or FILE_SETTINGS[setting]
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
            yield from _texts(inner, word if word in FILE_SETTINGS else setting)


def _with_texts(value: Any, change: Callable[[str], str]) -> Any:
    """A copy of a value of JSON with changed texts, at any depth."""
    if isinstance(value, Mapping):
        return {name: _with_texts(inner, change) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_with_texts(inner, change) for inner in value]
    return change(value) if isinstance(value, str) else value


def _words(command: str) -> list[str]:
    try:
        return words_of(command, "program")
    except DefinitionError:  # the setting's own error says what is wrong with it
        return []


def _stays_as_it_is(path: Path) -> bool:
    """True for a path that is not sent: of the system, a whole disk, or of nothing that is here."""
    if not os.path.exists(path) or (path.is_dir() and len(path.parts) <= _DISK_DEPTH):
        return True
    return any(map(path.is_relative_to, _OF_THE_SYSTEM))


def _check_program(path: Path) -> None:
    """Raises DataError for a program that runs on this machine only."""
    environment = path.parents[1] if path.parent.name in _SCRIPTS else None
    is_of_environment = environment is not None and (environment / "pyvenv.cfg").is_file()
    if is_of_environment or (INTERPRETER.fullmatch(path.name) and path.is_file()):
        rule = "is a program of this machine, which would not run on a node"
        do = f"Write {path.name} alone: it is then that of the node."
        raise DataError(path, rule, do=do)


def _measure(source: Path) -> tuple[int, int]:
    """Returns the bytes and the number of the files of an item; stops where they are too many."""
    with reading(source):
        if not source.exists():
            raise DataError(source, "does not exist", do="Correct the path.")
        root = source.resolve()
        size = files = 0
        for path in [root] if root.is_file() else _files(root):
            if not os.access(path, os.R_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
            size += path.stat().st_size
            files += 1
            if size > MOST_BYTES:  # of a whole disk the rest would take minutes
                break
    return size, files


def _files(root: Path) -> Iterator[Path]:
    """The files of a folder that are sent, also those that links within it lead to."""
    for folder, folders, names in os.walk(root, onerror=_raise, followlinks=True):
        folders[:] = [name for name in folders if name not in NEVER_SENT]
        files = [Path(folder, name) for name in names if name not in NEVER_SENT]
        for path in (*files, *(Path(folder, name) for name in folders)):
            if path.is_symlink():
                _check_link(path, root)
        yield from files


def _raise(error: OSError) -> None:
    raise error


def _check_link(path: Path, root: Path) -> None:
    """Raises DataError for a link out of a folder, or to a folder that it is in itself."""
    target = path.resolve()
    if not path.exists() or not target.is_relative_to(root):
        rule = f"is a link that leads out of {root}, so it would not be sent"
        raise DataError(path, rule, do="Put the file itself there, or delete the link.")
    if any(parent.resolve().is_relative_to(target) for parent in path.parents):
        rule = f"is a link to {target}, in which it lies, so that it has no end"
        raise DataError(path, rule, do="Delete it.")


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
                f"is too large {what}: with the rest it has {memory_words(size)} or more, and "
                f"{memory_words(most)} are the most"
            )
            do = (
                "Put photos into a bucket and give its address; bring other files to the same path "
                f'of every node, with "{largest.source}": "{largest.source}" in file_mounts of the '
                "cluster's file."
            )
            raise DataError(largest.source, rule, do=do)
