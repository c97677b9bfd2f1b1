"""Blender: draw scenes by path tracing (Cycles), in a process of its own: physics-true light and
depth of field.

bpy is under the GPL and this package under Apache-2.0: it is never imported here. `blender_draw.py`
is run as a program that gets scenes and meshes as files and answers with files.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from syndet_ray.errors import MachineError
from syndet_ray.progress import Progress
from syndet_ray.scenes.dice import die_faces, die_vertices, face_axis, normals
from syndet_ray.scenes.library import DICE, Library, Mesh, corner_normals
from syndet_ray.scenes.materials import FLOOR, TABLE, Materials, Surface, tinted
from syndet_ray.scenes.raycast import Rendering, walls
from syndet_ray.scenes.scene import Body, Die, Ground, Scene

SCRIPT = Path(__file__).with_name("blender_draw.py")
# Names the Python that has bpy, where it is not the one that runs this.
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
    texture="plain",
    texture_scale=1.0,
    texture_contrast=0.0,
    texture_seed=0,
)
_TABLE_HALF_M = 20.0  # nearly endless
_POLL_S = 0.05
_LOG_LINES = 12
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
    """Draws scenes with `samples` paths per pixel, denoised; the ids are those of pixel centres, as
    from `raycast`.

    python has bpy; by default what $SYNDET_BLENDER_PYTHON names, or the interpreter that runs this.
    `progress` is told (scenes done, scenes in all) after each. Raises MachineError where bpy is
    missing, where the process fails, and where it finishes no scene for patience_s seconds.
    """
    interpreter = python or os.environ.get(PYTHON_VARIABLE) or sys.executable
    with tempfile.TemporaryDirectory(prefix="syndet-blender-") as name:
        folder = Path(name)
        for i, scene in enumerate(scenes):
            (folder / f"{i:06}.json").write_text(scene.to_json())
            np.savez(folder / f"{i:06}.npz", **_numbered(meshes(scene, library)))  # type: ignore[arg-type]
        outputs = [folder / f"{i:06}.out" for i in range(len(scenes))]
        _run(
            [interpreter, str(SCRIPT), name, str(samples)],
            outputs,
            folder / "log",
            progress,
            patience_s,
        )
        return [
            _drawing(scene, np.load(output)) for scene, output in zip(scenes, outputs, strict=True)
        ]


def check() -> None:
    """Raises MachineError unless Blender can be started."""
    command = [os.environ.get(PYTHON_VARIABLE) or sys.executable, "-c", "import bpy"]
    with tempfile.TemporaryDirectory() as folder:
        _run(command, [], Path(folder) / "log", None, patience_s=120.0)


def meshes(scene: Scene, library: Library) -> list[_Arrays]:
    """All that stands in a scene, the bodies first, in the world and painted; what each holds is in
    `blender_draw`.
    """
    bodies = [
        _placed(
            body, _die(body, body.die) if body.die else _mesh(body, library.assets[body.asset].mesh)
        )
        for body in scene.bodies
    ]
    return [*bodies, *_ground(scene.ground)]


def _placed(body: Body, arrays: _Arrays) -> _Arrays:
    """A body in its own frame, moved into the world. Every triangle has corners of its own."""
    rotation, corners = np.array(body.rotation).T, arrays["vertices"].reshape(-1, 3)
    return arrays | {
        "vertices": corners @ rotation * body.scale + body.position,
        "normals": arrays["normals"].reshape(-1, 3) @ rotation,
        "faces": np.arange(len(corners)).reshape(-1, 3),
    }


def _die(body: Body, die: Die) -> _Arrays:
    """A die, each of its six sides painted on a part of the texture of its own."""
    local = die_vertices(np.array([die.rounding]))[0][die_faces()]
    axis = np.repeat(face_axis(local.mean(axis=1).T), 3)
    local = local.reshape(-1, 3)
    across = np.stack([local[np.arange(len(local)), (axis // 2 + k) % 3] for k in (1, 2)], axis=1)
    # The outermost texels lie on a side's very border, so that none of the next is mixed in.
    uv = (0.5 + (across + 0.5) * (_FACE_PX - 1)) / _FACE_PX
    uv[:, 0] = (axis + uv[:, 0]) / 6
    return {
        "vertices": local,
        "normals": normals(local.T, np.full(len(local), die.rounding)).T,
        "colors": np.ones_like(local),
        "uv": uv,
        "texture": _painted(body),
    }


def _painted(body: Body) -> np.ndarray:
    """(px, 6 px, 3) linear colours of a die's sides, next to one another in the order of
    `FACE_AXES`.
    """
    steps = np.linspace(-0.5, 0.5, _FACE_PX)
    v, axis, u = (
        grid.ravel() for grid in np.meshgrid(steps[::-1], np.arange(6), steps, indexing="ij")
    )
    local, every = np.empty((3, len(axis)), np.float32), np.arange(len(axis))
    for values, k in ((0.5 - axis % 2, 0), (u, 1), (v, 2)):
        local[(axis // 2 + k) % 3, every] = values
    surface = Surface(
        rays=every,
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
    found = {
        "vertices": mesh.vertices[mesh.faces],
        "normals": corner_normals(mesh),
        "colors": mesh.colors[mesh.faces].reshape(-1, 3),
        "recolor": _recolor(body),
    }
    if mesh.uv is None or mesh.texture is None:
        return found
    return found | {"uv": mesh.uv[mesh.faces].reshape(-1, 2), "texture": _linear(mesh)}


@lru_cache(maxsize=256)
def _linear(mesh: Mesh) -> np.ndarray:
    """(h, w, 3) the texture of a mesh as linear colours: one array for all bodies that have it."""
    assert mesh.texture is not None
    return ((mesh.texture / 255) ** 2.2).astype(np.float16)


def _recolor(body: Body) -> np.ndarray:
    """(3, 3) the matrix by which `materials.tinted` changes colours, found where it cuts nothing
    off.
    """
    grey, step = np.full((3, 1), 0.5, np.float32), np.float32(0.25)
    return (tinted(grey + step * np.eye(3, dtype=np.float32), body) - tinted(grey, body)) / step


def _ground(ground: Ground) -> list[_Arrays]:
    """Floor, table and the tray's walls."""
    w, d, far = ground.half_width, ground.half_depth, _TABLE_HALF_M
    inner, outer = (
        [(-x, -y, 0), (x, -y, 0), (x, y, 0), (-x, y, 0)] for x, y in ((w, d), (far, far))
    )
    frame = [
        corner
        for i in range(4)
        for corner in ((i, i + 4, (i + 1) % 4 + 4), (i, (i + 1) % 4 + 4, (i + 1) % 4))
    ]
    floor = np.array(inner, float), np.array([(0, 1, 2), (0, 2, 3)])
    table = np.array(inner + outer, float), np.array(frame)
    found = [_level(*shape, what, ground) for shape, what in ((floor, FLOOR), (table, TABLE))]
    vertices, faces = walls(ground)
    if len(faces):
        colors = np.tile(np.array(ground.wall_color), (len(vertices), 1))
        found.append({"vertices": vertices, "faces": faces, "colors": colors})
    return found


def _level(vertices: np.ndarray, faces: np.ndarray, what: int, ground: Ground) -> _Arrays:
    """A level surface, FLOOR or TABLE, with the ground's texture, of which the image holds one
    repetition.
    """
    scale, px = ground.texture_scale, _GROUND_PX
    steps = (np.arange(px) + 0.5) / px * scale
    y, x = np.meshgrid(steps[::-1], steps, indexing="ij")
    points = np.stack([x.ravel(), y.ravel(), np.zeros(px * px)]).astype(np.float32)
    colors = Materials((), ground, DICE).ground(np.full(px * px, what), points)
    return {
        "vertices": vertices,
        "faces": faces,
        "colors": np.ones_like(vertices),
        "uv": vertices[:, :2] / scale,
        "texture": colors.T.reshape(px, px, 3),
    }


def _numbered(found: Sequence[_Arrays]) -> _Arrays:
    """Every array of every mesh by one name. Textures, the bulk of them, in half precision, each
    but once, and of each mesh the number of its own."""
    textures = {id(arrays["texture"]): arrays["texture"] for arrays in found if "texture" in arrays}
    number = {key: k for k, key in enumerate(textures)}
    numbered = {
        f"texture.{number[key]}": values.astype(np.float16) for key, values in textures.items()
    }
    for i, arrays in enumerate(found):
        for name, values in arrays.items():
            kept = np.array(number[id(values)]) if name == "texture" else values
            numbered[f"{i}.{name}"] = kept.astype(_PRECISION.get(name, np.float32))
    return numbered


def _run(
    command: Sequence[str],
    outputs: Sequence[Path],
    log: Path,
    progress: Progress | None,
    patience_s: float,
) -> None:
    """Runs the script until all outputs are there."""
    with log.open("w") as stream:
        try:
            process = subprocess.Popen(
                command, stdout=stream, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
            )
        except OSError as error:
            raise _failure(command, f"could not be started ({error.strerror})") from None
    done, since = 0, time.monotonic()
    try:
        while True:
            # before the look at its files: what it wrote last counts
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
        raise _failure(
            command, f"ended with {process.returncode} after {done} of {len(outputs)} scenes", log
        )


def _failure(command: Sequence[str], rule: str, log: Path | None = None) -> MachineError:
    """What went wrong, with the last of what the process said."""
    last = log.read_text(errors="replace").splitlines()[-_LOG_LINES:] if log else []
    if any("No module named 'bpy'" in line for line in last):
        do = f"pip install 'syndet_ray[blender]', or name a Python that has it in ${PYTHON_VARIABLE}."
        return MachineError(command[0], "cannot import bpy, which path tracing needs", do=do)
    return MachineError(
        f"Blender ({' '.join(command)})", rule, do="\n".join(["Its last words:", *last])
    )


def _drawing(scene: Scene, found: np.ndarray) -> Rendering:
    radiance = found[..., :3] * _near(scene)[..., None]
    return Rendering(np.ascontiguousarray(radiance, np.float32), found[..., 3].astype(int))


def _near(scene: Scene) -> np.ndarray:
    """(h, w) by how much the light grows towards what each pixel sees, taken to lie at the height
    of the ground.
    """
    camera = scene.camera
    steps = (np.arange(camera.size_px) + 0.5 - camera.size_px / 2) / camera.focal_px
    x, y = np.meshgrid(steps, steps)
    rays = np.stack([x, y, np.ones_like(x)], axis=2) @ np.array(camera.rotation)
    reach = -camera.position[2] / np.minimum(rays[..., 2], -1e-6)
    points = rays[..., :2] * reach[..., None] + camera.position[:2]
    return np.clip(1 + points @ np.array(scene.light.slope), 0.5, 1.5)
