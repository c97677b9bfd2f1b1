"""What does Label Studio's own server export of photos that were uploaded and annotated?

    python benchmarks/writers.py photos ../shared/data/chess CONTENT
    VENV/bin/python benchmarks/label_studio.py CONTENT EXPORTS    # VENV has label-studio 1.23
    python benchmarks/writers.py compare CONTENT EXPORTS

Starts the server on 127.0.0.1 with a store of its own in a temporary folder, creates a project with
boxes over its API, and writes one folder for each format into EXPORTS/label_studio/. Exports
without images get the files that the server keeps. Works in the environment of Label Studio.
"""

import argparse
import io
import os
import re
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from shutil import copytree
from typing import Any

from writers import CLASSES, Photo, load

FORMATS = ("JSON", "JSON_MIN", "CSV", "COCO", "COCO_WITH_IMAGES", "VOC", "YOLO", "YOLO_WITH_IMAGES")
TOKEN = "0" * 40  # of a server that only this machine reaches, for a minute
PORT = 8099
LONGEST_START_S = 120


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("content", type=Path)
    parser.add_argument("exports", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, server(Path(scratch)) as call:
        project = annotated_project(call, given.content)
        for kind in FORMATS:
            folder = given.exports / "label_studio" / kind.lower()
            export(call, project, kind, folder)
            if not any((folder / "images").glob("*")):
                copytree(Path(scratch, "media/upload"), folder / "images", dirs_exist_ok=True)
            print(folder)


@contextmanager
def server(data: Path) -> Iterator[Any]:
    """A running server; gives a function (method, path, arguments) that returns its answer."""
    requests = import_module("requests")
    program = Path(sys.executable).with_name("label-studio")
    user = ("--username", "me@example.org", "--password", "secret123", "--user-token", TOKEN)
    place = ("--data-dir", str(data), "--internal-host", "127.0.0.1", "--port", str(PORT))
    settings = {"COLLECT_ANALYTICS": "false", "LATEST_VERSION_CHECK": "false", "SENTRY_DSN": ""}
    settings["LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN"] = "true"
    process = subprocess.Popen(
        [str(program), "start", "--no-browser", *place, *user],
        env={**os.environ, **settings},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def call(method: str, path: str, **arguments: Any) -> Any:
        address = f"http://127.0.0.1:{PORT}/api/{path}"
        answer = requests.request(
            method, address, headers={"Authorization": f"Token {TOKEN}"}, timeout=120, **arguments
        )
        answer.raise_for_status()
        return answer

    try:
        wait(call, requests.RequestException)
        yield call
    finally:
        process.terminate()
        process.wait()


def wait(call: Any, failure: type[Exception]) -> None:
    end = time.monotonic() + LONGEST_START_S
    while True:
        try:
            call("GET", "projects")
            return
        except failure:
            if time.monotonic() > end:
                raise
            time.sleep(1)


def annotated_project(call: Any, content: Path) -> int:
    """The number of a new project, whose tasks are the photos with their boxes."""
    labels = "".join(f'<Label value="{name}"/>' for name in CLASSES)
    image = '<Image name="image" value="$image"/>'
    boxes = f'<RectangleLabels name="label" toName="image">{labels}</RectangleLabels>'
    config = f"<View>{image}{boxes}</View>"
    settings = {"title": "photos", "label_config": config}
    project = int(call("POST", "projects", json=settings).json()["id"])
    photos = load(content)
    for photo in photos:
        file = content / "photos" / photo.name
        upload = {"file": (file.name, file.read_bytes(), "image/jpeg")}
        call("POST", f"projects/{project}/import", files=upload)
    tasks = call("GET", f"tasks?project={project}&page_size=100").json()["tasks"]
    tasks.sort(key=lambda task: task["id"])
    for task, photo in zip(tasks, photos, strict=True):
        call("POST", f"tasks/{task['id']}/annotations/", json={"result": regions(photo)})
    return project


def regions(photo: Photo) -> list[dict[str, Any]]:
    """The boxes of a photo as its window sends them, in percent of the sides."""
    size = {"original_width": photo.width, "original_height": photo.height, "image_rotation": 0}
    kind = {"type": "rectanglelabels", "from_name": "label", "to_name": "image"}
    found = []
    for name, x1, y1, x2, y2 in photo.boxes:
        value = {
            "x": 100 * x1 / photo.width,
            "y": 100 * y1 / photo.height,
            "width": 100 * (x2 - x1) / photo.width,
            "height": 100 * (y2 - y1) / photo.height,
            "rotation": 0,
            "rectanglelabels": [name],
        }
        found.append({**kind, **size, "value": value})
    return found


def export(call: Any, project: int, kind: str, folder: Path) -> None:
    """Writes what the server exports, archives unpacked."""
    path = f"projects/{project}/export?exportType={kind}&download_resources=true"
    answer = call("GET", path)
    folder.mkdir(parents=True)
    if zipfile.is_zipfile(io.BytesIO(answer.content)):
        zipfile.ZipFile(io.BytesIO(answer.content)).extractall(folder)
        return
    name = re.search(r'filename="?([^";]+)', answer.headers["content-disposition"])
    assert name is not None, kind
    (folder / Path(name[1]).name).write_bytes(answer.content)


if __name__ == "__main__":
    main()
