"""XML files of other tools: read whole, without entities and external files."""

from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

from syndet_ray.data.images.mistaken import check_pointer
from syndet_ray.errors import DataError

_MOST_BYTES = 500_000_000  # its elements take ten times as much memory
_DEEPEST = 100  # levels; label files have about five
_DO = "Copy or export the file again."


def load_xml(path: Path) -> Element:
    """The root of an XML file, in the encoding that it declares. Raises DataError.

    A document type is refused: entities of a few lines can grow to gigabytes, or name other files.
    """
    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import fromstring

    if path.is_dir():
        raise DataError(path, "is a folder, not an XML file", do="Rename the folder.")
    check_pointer(path)
    size = path.stat().st_size
    if size > _MOST_BYTES:
        rule = "is too large to be read as a whole, at most 500 MB can be"
        raise DataError(path, rule, got=f"{size / 1e6:.0f} MB", do="Export it in several parts.")
    try:
        root: Element = fromstring(path.read_bytes(), forbid_dtd=True)
    except DefusedXmlException:
        do = "Delete the <!DOCTYPE ...> from the file."
        raise DataError(path, "must not declare a document type or entities", do=do) from None
    except (LookupError, ValueError) as error:
        rule = f"has an encoding that cannot be read ({error})"
        raise DataError(path, rule, do="Save it as UTF-8.") from None
    except ParseError as error:
        raise DataError(path, f"is not valid XML ({error})", do=_DO) from None
    if _is_deeper(root, _DEEPEST):
        raise DataError(path, "is nested too deep for a label file", do=_DO)
    return root


def _is_deeper(root: Element, levels: int) -> bool:
    level = [root]
    for _ in range(levels):
        level = [child for element in level for child in element]
    return bool(level)
