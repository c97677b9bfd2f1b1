"""Local: the folder on this node that holds a dataset, wherever it was given."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from syndet_ray.data.readers.splits import SPLITS
from syndet_ray.data.remote import node_cache
from syndet_ray.data.remote.address import (
    WebFile,
    for_messages,
    is_archive,
    photo_place,
    web_file,
    without_ending,
)
from syndet_ray.data.remote.download import fetch
from syndet_ray.data.remote.unpack import unpack
from syndet_ray.errors import DataError
from syndet_ray.files import file_hash, whole_folder
from syndet_ray.progress import NamedProgress


def local_folder(place: Path | str, cache: Path, progress: NamedProgress) -> Path:
    """The folder of a dataset that is a folder, s3://bucket/prefix, or https://host/FILE#sha256=HEX.

    What lies elsewhere is copied into the cache of this node, each object once; this process then
    uses the copy until it ends. Raises DataError for an address or an archive that cannot be used,
    and MachineError for a store that refuses, or too little room.
    """
    checked = photo_place(place)
    if isinstance(checked, Path):
        return checked
    return NodeCopy.of(checked, cache).make(progress)


@dataclass(frozen=True, kw_only=True)
class NodeCopy:
    """A dataset that lies elsewhere, and the folder of its copy, which is the same on all nodes.

    address  s3:// or https://
    folder   absolute, in the cache of a node
    """

    address: str
    folder: Path

    @staticmethod
    def of(address: str, cache: Path) -> "NodeCopy":
        """Raises DataError for an address that cannot be used."""
        cache = cache.absolute()
        if _is_bucket(address):
            parts = urlsplit(address)
            name = parts.path.strip("/").rpartition("/")[2] or parts.netloc
            identity = f"{address.rstrip('/')} {_endpoint(address)}"
        else:  # named by its sum: the same file from another address is not fetched again
            file = web_file(address)
            name = without_ending(file.name)
            identity = f"{file.sha256} {file.name}"
        folder = node_cache.dataset_folder(cache, identity, name)
        return NodeCopy(address=address, folder=folder)

    def make(self, progress: NamedProgress) -> Path:
        """Copies to this node what it lacks; returns the folder in which the dataset lies.

        One process of the node copies at a time. See `local_folder` for what raises.
        """
        with node_cache.alone(self.folder):
            node_cache.use(self.folder)
            if _is_bucket(self.address):
                self._copy_bucket(progress)
                return self.folder
            if not self.folder.exists():
                _make(web_file(self.address), self.folder, progress)
        return dataset_root(self.folder)

    def _copy_bucket(self, progress: NamedProgress) -> None:
        from syndet_ray.data.remote.bucket import copy

        copy(self.address, self.folder, partial(progress, f"fetching {self.address}"))


def _is_bucket(address: str) -> bool:
    return address.lower().startswith("s3:")


def _endpoint(address: str) -> str:
    """The store of an address, if it is not Amazon's: two may have buckets of one name."""
    from syndet_ray.data.storage import endpoint

    return "" if "endpoint_override" in address else endpoint()


def _make(file: WebFile, folder: Path, progress: NamedProgress) -> None:
    """Fetches a file and makes its folder, which is there once it is whole."""
    reserve = partial(node_cache.make_room, folder, address=for_messages(file.url))
    loaded = folder.with_name(file.name)
    if loaded.exists() and file_hash(loaded) != file.sha256:  # damaged since it came
        loaded.unlink()
    if not loaded.exists():
        fetch(
            file.url,
            loaded,
            file.sha256,
            most_bytes=node_cache.room(folder),
            progress=partial(progress, f"fetching {file.name} (MB)"),
            reserve=reserve,
        )
    if is_archive(file.name):
        reserve(loaded.stat().st_size)  # photos are as large outside
    try:
        _put(loaded, folder, progress)
    except DataError:  # it stays as it is however often it is tried
        loaded.unlink()
        raise
    reserve(0)


def _put(loaded: Path, folder: Path, progress: NamedProgress) -> None:
    """Makes the folder of a file that was fetched: unpacks it, or puts it there."""
    with whole_folder(folder) as unfinished:
        if not is_archive(loaded.name):
            loaded.rename(unfinished / loaded.name)
            return
        showing = partial(progress, f"unpacking {loaded.name} (MB)")
        unpack(loaded, unfinished, most_bytes=node_cache.room(folder), progress=showing)
        loaded.unlink()


def dataset_root(folder: Path) -> Path:
    """The folder in which a dataset lies: archives often hold one folder that holds all.

    A folder that is named after a split stays the place of that split.
    """
    while True:
        entries = list(folder.iterdir())
        if len(entries) != 1 or not entries[0].is_dir() or _is_split(entries[0].name):
            return folder
        folder = entries[0]


def _is_split(name: str) -> bool:
    return any(name.lower() in synonyms for synonyms in SPLITS.values())
