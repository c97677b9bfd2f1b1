"""Blender: renders scenes by path tracing (Cycles) in a subprocess, with physical light and focus.

bpy is under the GPL and this package under Apache-2.0: it is never imported here.
`blender_script.py` is run as a program that gets scenes and meshes as files and answers with files.
"""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from syndet_ray.errors import MachineError
from syndet_ray.files import temporary_folder
from syndet_ray.progress import Progress
from syndet_ray.scenes import boards
from syndet_ray.scenes.detail import light_mesh
from syndet_ray.scenes.dice import die_faces, die_vertices, face_axis, normals
from syndet_ray.scenes.library import DICE, Library, Mesh, corner_normals
from syndet_ray.scenes.materials import FLOOR, TABLE, Materials, Surface, tint_colors
from syndet_ray.scenes.raycast import Rendering, reach_m
from syndet_ray.scenes.scene import Body, Color, Ground, Scene
from syndet_ray.scenes.sensor import DISPLAY_POWER
from syndet_ray.scenes.tracing import walls

SCRIPT = Path(__file__).with_name("blender_script.py")
# Names the Python that has bpy, if it is not the one that runs this.
PYTHON_VARIABLE = "SYNDET_BLENDER_PYTHON"
# Texels along an edge of a die's face, and along a floor's texture.
_FACE_PX, _GROUND_PX = 96, 512
_BLACK = (0.0, 0.0, 0.0)
_NO_GROUND = Ground(
    half_width=1.0,
    half_depth=1.0,
    wall_height=0.0,
    wall_thickness=0.0,
    floor_color=_BLACK,
    wall_color=_BLACK,
    table_color=_BLACK,
    horizon=_BLACK,
    texture="plain",
    texture_scale=1.0,
    texture_contrast=0.0,
    texture_seed=0,
)
_POLL_S = 0.05  # between looks at the output; short against the seconds of a scene
_LOG_LINES = 12  # of the log, quoted in an error
_PRECISION = {"faces": np.int32, "texture": np.int32}

_Arrays = dict[str, np.ndarray]


def render(
    scenes: Sequence[Scene],
    library: Library,
    *,
    samples: int = 32,
    progress: Progress | None = None,
    python: str | None = None,
    patience_s: float = 600.0,
) -> list[Rendering]:
    """Renders scenes with `samples` paths per pixel, denoised; the ids are those of pixel centres,
    as from `raycast`.

    python has bpy; by default $SYNDET_BLENDER_PYTHON, or the interpreter that runs this. `progress`
    is called with (scenes done, scenes in all) after each scene. Raises MachineError if bpy is
    missing, if the process fails, and if it finishes no scene for patience_s seconds.
    """
    interpreter = python or os.environ.get(PYTHON_VARIABLE) or sys.executable
    with temporary_folder() as folder:
        outputs = []
        for i, scene in enumerate(scenes):
            (folder / f"{i:06}.json").write_text(scene.to_json(), encoding="utf-8")
            arrays = _number_arrays(meshes(scene, library))
            np.savez(folder / f"{i:06}.npz", **arrays)  # type: ignore[arg-type]
            outputs.append(folder / f"{i:06}.out")
        command = [interpreter, str(SCRIPT), str(folder), str(samples)]
        _run(command, outputs, folder / "log", progress, patience_s)
        both = zip(scenes, outputs, strict=True)
        return [_rendering(scene, np.load(output)) for scene, output in both]


def check() -> None:
    """Raises MachineError unless Blender can be started."""
    command = [os.environ.get(PYTHON_VARIABLE) or sys.executable, "-c", "import bpy"]
    with temporary_folder() as folder:
        _run(command, [], folder / "log", None, patience_s=120.0)


def meshes(scene: Scene, library: Library) -> list[_Arrays]:
    """The meshes of a scene, the bodies first, in the world and painted; their arrays are described
    in `blender_script`.
    """
    arrays = []
    for body in scene.bodies:
        is_mesh = body.die is None
        local = _mesh(body, light_mesh(library.assets[body.asset])) if is_mesh else _die(body)
        arrays.append(_place(body, local))
    return [*arrays, *_ground(scene)]


def _place(body: Body, arrays: _Arrays) -> _Arrays:
    """A body in its own frame, moved into the world. Triangles share no corners."""
    rotation, corners = np.array(body.rotation).T, arrays["vertices"].reshape(-1, 3)
    return arrays | {
        "vertices": corners @ rotation * body.scale + body.position,
        "normals": arrays["normals"].reshape(-1, 3) @ rotation,
        "faces": np.arange(len(corners)).reshape(-1, 3),
    }


def _die(body: Body) -> _Arrays:
    """A die. Each of its six sides is painted on its own part of the texture."""
    assert body.die is not None
    rounding = body.die.rounding
    local = die_vertices(np.array([rounding]))[0][die_faces()]
    axis = np.repeat(face_axis(local.mean(axis=1).T), 3)
    local = local.reshape(-1, 3)
    rows = np.arange(len(local))
    across = np.stack([local[rows, (axis // 2 + k) % 3] for k in (1, 2)], axis=1)
    # The outermost texels lie exactly on a side's border, so that no other side is mixed in.
    uv = (0.5 + (across + 0.5) * (_FACE_PX - 1)) / _FACE_PX
    uv[:, 0] = (axis + uv[:, 0]) / 6
    return {
        "vertices": local,
        "normals": normals(local.T, np.full(len(local), rounding)).T,
        "colors": np.ones_like(local),
        "uv": uv,
        "texture": _paint(body),
    }


def _paint(body: Body) -> np.ndarray:
    """(px, 6 px, 3) linear colours of a die's sides, next to one another in the order of
    `FACE_AXES`.
    """
    steps = np.linspace(-0.5, 0.5, _FACE_PX)
    grid = np.meshgrid(steps[::-1], np.arange(6), steps, indexing="ij")
    v, axis, u = (values.ravel() for values in grid)
    texels = np.arange(len(axis))
    local = np.empty((3, len(axis)), np.float32)
    for values, k in ((0.5 - axis % 2, 0), (u, 1), (v, 2)):
        local[(axis // 2 + k) % 3, texels] = values
    surface = Surface(
        rays=texels,
        local=local,
        face=axis,
        triangles=np.zeros_like(axis),
        weights=np.zeros((2, len(axis))),
    )
    alone = Materials((body,), _NO_GROUND, DICE)
    colors = alone.bodies(np.zeros(len(axis), int), surface, body.scale / _FACE_PX)
    return colors.T.reshape(_FACE_PX, 6 * _FACE_PX, 3)


def _mesh(body: Body, mesh: Mesh) -> _Arrays:
    """A mesh of the library, in the body's colours."""
    arrays = {
        "vertices": mesh.vertices[mesh.faces],
        "normals": corner_normals(mesh),
        "colors": mesh.colors[mesh.faces].reshape(-1, 3),
        "recolor": _recolor(body),
    }
    if mesh.uv is None or mesh.texture is None:
        return arrays
    return arrays | {"uv": mesh.uv[mesh.faces].reshape(-1, 2), "texture": _linear(mesh)}


@lru_cache(maxsize=256)
def _linear(mesh: Mesh) -> np.ndarray:
    """(h, w, 3) the texture of a mesh as linear colours: one array for all bodies that have it."""
    assert mesh.texture is not None
    return ((mesh.texture / 255) ** DISPLAY_POWER).astype(np.float16)


def _recolor(body: Body) -> np.ndarray:
    """(3, 3) the matrix by which `materials.tint_colors` changes colours.

    It is computed at colours that are not clipped.
    """
    grey, step = np.full((3, 1), 0.5, np.float32), np.float32(0.25)
    changed = grey + step * np.eye(3, dtype=np.float32)
    return (tint_colors(changed, body) - tint_colors(grey, body)) / step


def _ground(scene: Scene) -> list[_Arrays]:
    """Floor, table and the tray's walls."""
    ground, reach = scene.ground, reach_m(scene)
    inner = _rectangle(ground.half_width, ground.half_depth)
    outer = _rectangle(reach, reach)
    frame = []
    for i in range(4):
        next_ = (i + 1) % 4
        frame += [(i, i + 4, next_ + 4), (i, next_ + 4, next_)]
    inner_faces, outer_faces = np.array([(0, 1, 2), (0, 2, 3)]), np.array(frame)
    both = np.concatenate([inner, outer])
    if ground.is_board:
        return [_board(inner, inner_faces, ground), _plain(both, outer_faces, ground.table_color)]
    floor = _level(inner, inner_faces, FLOOR, ground)
    table = _level(both, outer_faces, TABLE, ground)
    vertices, faces = walls(ground)
    if not len(faces):
        return [floor, table]
    return [floor, table, _plain(vertices, faces, ground.wall_color)]


def _plain(vertices: np.ndarray, faces: np.ndarray, color: Color) -> _Arrays:
    """A surface of one colour."""
    colors = np.tile(np.array(color), (len(vertices), 1))
    return {"vertices": vertices, "faces": faces, "colors": colors}


def _board(vertices: np.ndarray, faces: np.ndarray, ground: Ground) -> _Arrays:
    """The floor with the picture of a board on it, once."""
    return {
        "vertices": vertices,
        "faces": faces,
        "colors": np.ones_like(vertices),
        "uv": vertices[:, :2] / (2 * np.array(ground.half_size)) + 0.5,
        "texture": boards.floor_texture(ground),
    }


def _rectangle(x: float, y: float) -> np.ndarray:
    """(4, 3) corners, counter-clockwise from above, on the ground."""
    return np.array([(-x, -y, 0), (x, -y, 0), (x, y, 0), (-x, y, 0)], float)


def _level(vertices: np.ndarray, faces: np.ndarray, target: int, ground: Ground) -> _Arrays:
    """A level surface, FLOOR or TABLE, with the ground's texture. The image holds one repetition
    of the texture.
    """
    scale, px = ground.texture_scale, _GROUND_PX
    steps = (np.arange(px) + 0.5) / px * scale
    y, x = np.meshgrid(steps[::-1], steps, indexing="ij")
    points = np.stack([x.ravel(), y.ravel(), np.zeros(px * px)]).astype(np.float32)
    colors = Materials((), ground, DICE).ground(np.full(px * px, target), points)
    return {
        "vertices": vertices,
        "faces": faces,
        "colors": np.ones_like(vertices),
        "uv": vertices[:, :2] / scale,
        "texture": colors.T.reshape(px, px, 3),
    }


def _number_arrays(meshes: Sequence[_Arrays]) -> _Arrays:
    """All arrays of all meshes by one name. Each texture is stored once, in half precision, as
    textures are the bulk; a mesh has the number of its texture.
    """
    numbers: dict[int, int] = {}  # by a texture's id
    numbered = {}
    for i, arrays in enumerate(meshes):
        for name, values in arrays.items():
            stored = values
            if name == "texture":
                number = numbers.setdefault(id(values), len(numbers))
                numbered[f"texture.{number}"] = values.astype(np.float16)
                stored = np.array(number)
            numbered[f"{i}.{name}"] = stored.astype(_PRECISION.get(name, np.float32))
    return numbered


def _run(
    command: Sequence[str],
    outputs: Sequence[Path],
    log: Path,
    progress: Progress | None,
    patience_s: float,
) -> None:
    """Runs the script until all outputs are there."""
    with log.open("w", encoding="utf-8") as stream:
        try:
            process = subprocess.Popen(
                command, stdout=stream, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
            )
        except OSError as error:
            raise _failure(command, f"could not be started ({error.strerror})") from None
    done, since = 0, time.monotonic()
    try:
        while True:
            # asked before the look at its files, so that the last file counts
            ended = process.poll() is not None
            while done < len(outputs) and outputs[done].exists():
                done, since = done + 1, time.monotonic()
                if progress is not None:
                    progress(done, len(outputs))
            if ended:
                break
            if time.monotonic() - since > patience_s:
                raise _failure(command, f"must finish a scene within {patience_s:g} s", log)
            time.sleep(_POLL_S)
    finally:
        process.kill()
        process.wait()
    if process.returncode or done < len(outputs):
        rule = f"ended with {process.returncode} after {done} of {len(outputs)} scenes"
        raise _failure(command, rule, log)


def _failure(command: Sequence[str], rule: str, log: Path | None = None) -> MachineError:
    """The error of a failed process, with the end of its log."""
    last = (
        log.read_text(errors="replace", encoding="utf-8").splitlines()[-_LOG_LINES:] if log else []
    )
    if any("No module named 'bpy'" in line for line in last):
        do = "pip install 'syndet_ray[blender]', or name a Python that has it "
        do += f"in ${PYTHON_VARIABLE}."
        return MachineError(command[0], "cannot import bpy, which path tracing needs", do=do)
    do = "\n".join(["The end of its log:", *last])
    return MachineError(f"Blender ({' '.join(command)})", rule, do=do)


def _rendering(scene: Scene, output: np.ndarray) -> Rendering:
    """The rendering of the script's output (h, w, 4)."""
    radiance = output[..., :3] * _near(scene)[..., None]
    linear = np.ascontiguousarray(radiance, np.float32)
    return Rendering(radiance=linear, ids=output[..., 3].astype(int))


def _near(scene: Scene) -> np.ndarray:
    """(h, w) factors by which the light grows towards the point of each pixel, computed at the
    height of the ground.
    """
    camera = scene.camera
    columns, rows = (np.arange(side) + 0.5 - side / 2 for side in camera.size_wh)
    x, y = np.meshgrid(columns / camera.focal_px, rows / camera.focal_px)
    rays = np.stack([x, y, np.ones_like(x)], axis=2) @ np.array(camera.rotation)
    reach = -camera.position[2] / np.minimum(rays[..., 2], -1e-6)
    points = rays[..., :2] * reach[..., None] + camera.position[:2]
    return np.clip(1 + points @ np.array(scene.light.slope), 0.5, 1.5)
