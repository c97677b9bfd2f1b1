"""Folder names: a folder for any name, and the name back."""

from syndet_ray.escapes import escape, unescape

_FORBIDDEN = "|".join(
    (
        r"[/\x00]",  # no file system has them in a name
        r"^\.",  # a hidden folder, or "." and "..", which are other folders
        r"^_",  # a folder that people have put aside
    )
)


def folder_for(name: str) -> str:
    """Returns the name of a folder for a name that is not empty.

    Different names have different folders: "soda/can" has soda_x2f_can.
    """
    return escape(name, _FORBIDDEN)


def name_of(folder: str) -> str:
    """Returns the name for which `folder_for` gave a folder; of any other folder its own name."""
    name = unescape(folder)
    return name if folder_for(name) == folder else folder


def is_aside(folder: str) -> bool:
    """True for a hidden folder, and for one that people have put aside."""
    return folder.startswith((".", "_")) and name_of(folder) == folder
