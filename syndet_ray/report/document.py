"""Document: an HTML file that needs nothing else. Its figures are pictures, and charts where a
browser can draw them.
"""

import base64
import io
from collections.abc import Mapping
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from syndet_ray import wording
from syndet_ray.report.figures.drawing import DARK, Drawn, responsive, script
from syndet_ray.runs import names

_FILTERS = {
    "number": wording.number,
    "percent": wording.percent,
    "signed": wording.signed,
    "probability": wording.probability,
    "duration": wording.duration,
    "role_name": names.role_name,
    "setting_name": names.setting_name,
    "setting_value": names.setting_value,
}

_JPEG_QUALITY = 88


def html(template: str, figures: Mapping[str, Drawn], **content: Any) -> str:
    """A template of this package with its content; `figures` are known to it by their names."""
    pictures = {name: _embedded(drawn) for name, drawn in figures.items()}
    charts = {
        name: responsive(drawn.spec) for name, drawn in figures.items() if drawn.spec is not None
    }
    library = script() if charts else ""
    return (
        _environment()
        .get_template(template)
        .render(content, pictures=pictures, charts=charts, library=library, darkened=DARK)
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
    return environment


def _embedded(drawn: Drawn) -> str:
    """A chart as it is; a sheet of photos as JPEG, a tenth of it."""
    if drawn.spec is not None:
        return "data:image/png;base64," + base64.b64encode(drawn.png.read_bytes()).decode()
    small = io.BytesIO()
    with Image.open(drawn.png) as image:
        image.convert("RGB").save(small, "JPEG", quality=_JPEG_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(small.getvalue()).decode()
