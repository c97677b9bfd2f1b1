"""What the machine of a node must be like: each lack is said, and nothing else."""

from dataclasses import replace

import pytest
import torch
from made_detections import TINY
from torchvision.models.detection import FasterRCNN

from syndet_ray import Recipe, Training
from syndet_ray.workers.nodes import conditions
from syndet_ray.workers.nodes.conditions import (
    Demands,
    Findings,
    Host,
    clock_findings,
    disk_findings,
    findings_here,
    memory_findings,
    software,
    software_findings,
    step_findings,
)

GB = 10**9


@pytest.fixture
def demands(tmp_path):
    return Demands(
        software=software(),
        recipe=Recipe(detector=TINY, training=Training(images=8, batch_size=4, crop_px=64)),
        classes=("a", "b"),
        seed=0,
        photo_bytes=1,
        scene_bytes=1,
        cache=tmp_path / "runs" / "cache",
    )


@pytest.fixture
def host(tmp_path):
    return Host(trials=1, threads=1, device="cpu", store_bytes=1, session=tmp_path, skew_s=0.0)


def test_a_machine_like_the_drivers_lacks_nothing(demands, host):
    assert findings_here(demands, host) == Findings()


@pytest.mark.parametrize(
    ("there", "problem", "note"),
    [
        ({}, "", ""),
        ({"torch": "2.15.0+cu128"}, "", ""),  # built for GPUs
        ({"torch": "2.15.2"}, "", "torch is 2.15.2, and 2.15.0 on the driver"),
        (
            {"torch": "2.9.0"},
            "torch is 2.9.0, and 2.15.0 on the driver. Install the driver's version, see constraints.txt.",
            "",
        ),
        (
            {"torch": "missing"},
            "torch is missing, and 2.15.0 on the driver. Install the driver's version, see constraints.txt.",
            "",
        ),
        (
            {"code of syndet_ray": "b"},
            "syndet_ray has other code than on the driver. Install the same.",
            "",
        ),
    ],
)
def test_other_software_is_a_problem_if_it_matters(there, problem, note):
    driver = {"code of syndet_ray": "a", "Python": "3.11.7", "torch": "2.15.0"}
    found = software_findings(driver, driver | there)
    assert found == Findings(tuple(filter(None, [problem])), tuple(filter(None, [note])))


def test_a_clock_is_noted_from_5_s_and_a_problem_from_60_s():
    assert clock_findings(4.9) == clock_findings(-4.9) == Findings()
    assert clock_findings(6.2).notes == ("the clock is 6 s ahead of the driver's",)
    assert clock_findings(-61).problems == (
        "the clock is 61 s behind the driver's. Start a time service there, such as chrony.",
    )


def test_photos_outside_of_shared_memory_are_noted(host):
    large = replace(host, store_bytes=5 * GB)
    assert memory_findings(4 * GB, large, 6 * GB) == Findings()
    shared, store = memory_findings(8 * GB, large, 64_000_000).notes
    assert shared.startswith("/dev/shm has 64 MB, so that the object store of Ray, 5.0 GB, lies on")
    assert store == (
        "the object store of Ray has 5.0 GB, and the decoded photos take 8.0 GB: "
        f"the rest lies on the disk of {host.session}"
    )


def test_a_full_disk_is_a_problem_for_checkpoints_and_a_note_for_scenes(demands, host, tmp_path):
    assert disk_findings(demands, host, 1000) == Findings()
    (problem,) = disk_findings(demands, replace(host, trials=8), 10**15).problems
    assert "is too full: " in problem
    assert problem.endswith("are free, and trials need 16000001.0 GB.")
    found = disk_findings(replace(demands, scene_bytes=10**18), host, 1000)
    assert found.problems == ()
    (note,) = found.notes
    assert str(demands.cache) in note
    assert note.endswith(" GB, with rendered scenes")


def test_a_gpu_that_does_not_work_shows_in_a_training_step(demands, host, monkeypatch):
    found, size = step_findings(demands, host)
    assert found == Findings()
    assert size > 10_000, "the bytes of a checkpoint"
    if torch.cuda.is_available():
        return
    (problem,) = findings_here(demands, replace(host, device="cuda")).problems
    assert problem.startswith("a training step fails on its GPU (")


def test_too_little_memory_of_a_gpu_shows(demands, host, monkeypatch):
    fitting = 2
    compute = FasterRCNN.forward

    def forward(model, images, targets=None):
        if len(images) > fitting:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return compute(model, images, targets)

    monkeypatch.setattr(FasterRCNN, "forward", forward)
    monkeypatch.setattr(conditions, "_CPU_BATCH", 4)
    batch = demands.recipe.replace({"training.batch_size": 4})
    found, size = step_findings(replace(demands, recipe=batch), host)
    assert found.problems == ()
    assert size > 10_000
    assert found.notes == (
        "a batch of 4 images does not fit the memory of its GPU: trials there train it in 2 parts, "
        "which takes more time",
    )
    fitting = 0
    (problem,) = step_findings(demands, host)[0].problems
    assert "one image at a time needs more memory than the GPU has" in problem


def test_a_training_program_takes_no_step_of_ours(demands, host):
    program = demands.recipe.replace({"detector.program": "command:false"})
    assert step_findings(replace(demands, recipe=program), host) == (Findings(), 0)
