"""Files: written whole or not at all, and known by their hashes."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_whole(path: Path, content: bytes) -> Path:
    """Writes a file: readers see the old file or the new one, never half of one."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    unfinished.write_bytes(content)
    os.replace(unfinished, path)
    return path


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Gives an empty temporary folder next to `path`, which becomes `path` when the block ends.

    Where the block or the renaming fails, the temporary folder is deleted and `path` stays as it
    was. Parents of `path` are made. Every user may read the folder, unlike one of `mkdtemp`;
    the block may set other permissions. As with `os.rename`, an empty folder at `path` is replaced;
    anything else there raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        unfinished.chmod(0o755)
        yield unfinished
        os.rename(unfinished, path)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal. Raises OSError where it cannot be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
