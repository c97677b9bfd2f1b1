"""Document: an HTML file that needs nothing else. Its figures are pictures, and charts if the
browser can render them.
"""

import base64
import io
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from syndet_ray import wording
from syndet_ray.errors import DefinitionError
from syndet_ray.report import palette
from syndet_ray.report.figures.plot import SavedPlot, responsive, script
from syndet_ray.runs import names

_FILTERS = {
    "money": wording.money,
    "number": wording.number,
    "percent": wording.percent,
    "signed": wording.signed,
    "probability": wording.probability,
    "duration": wording.duration,
    "display_name": names.display_name,
    "setting_name": names.setting_name,
    "setting_value": names.setting_value,
}

_JPEG_QUALITY = 88  # of sheets: the lines of boxes stay sharp, and a page stays small

_SUFFIXES = (".html", ".htm")


def check_name(out: Path) -> None:
    """Raises DefinitionError unless the name of a page is one: browsers would show its source."""
    if out.suffix.lower() not in _SUFFIXES:
        raise DefinitionError("`out`", "must be a file that ends in .html", got=str(out))


def html(template: str, figures: Mapping[str, SavedPlot], **content: Any) -> str:
    """Fills a template of this package with its content, and with `figures` by their names."""
    pictures = {name: _embed(plot) for name, plot in figures.items()}
    charts = {
        name: responsive(plot.spec) for name, plot in figures.items() if plot.spec is not None
    }
    library = script() if charts else ""
    page = _environment().get_template(template)
    return page.render(
        content,
        pictures=pictures,
        charts=charts,
        library=library,
    )


@cache  # with the templates that it has compiled, which takes longer than filling them
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("syndet_ray.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= _FILTERS
    environment.globals["palette"] = palette
    return environment


def _embed(plot: SavedPlot) -> str:
    """Returns a picture as a data URL: a chart as PNG; a sheet as JPEG, a tenth of its size."""
    if plot.spec is not None:
        return "data:image/png;base64," + base64.b64encode(plot.png.read_bytes()).decode()
    jpeg = io.BytesIO()
    with Image.open(plot.png) as image:
        image.convert("RGB").save(jpeg, "JPEG", quality=_JPEG_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(jpeg.getvalue()).decode()
