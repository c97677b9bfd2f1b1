"""How a run was made, as its report shows it."""

import shlex

import pytest
from made_runs import ABOUT, TIED, VARIANTS, made_run, variant_run

from syndet_ray.analysis.compare import compare
from syndet_ray.report import provenance
from syndet_ray.runs.origins import origins_of, replace_paths


@pytest.mark.parametrize(
    ("about", "words"),
    [
        ({}, None),
        ({"command": "syndet_ray sweep mine"}, "syndet_ray sweep mine"),
        ({"command": ""}, "started from Python"),
    ],
)
def test_the_command_of_a_run_is_shown_or_that_there_was_none(about, words):
    run = made_run(scores=TIED, about=about)
    assert dict(provenance.facts(run.read())).get("command") == words


def test_a_run_that_was_sent_names_the_files_of_the_machine_that_sent_it():
    """A command that can be given there is shown, and its words are quoted."""
    files = "/home/me/syndet_projects/chess/submitted/mine-1/files"
    origins = {
        f"{files}/given/1a/meshes_of_mine": "/laptop/meshes of mine",
        "/home/me/syndet_projects/chess/submitted/mine-1/data/photos": "/laptop/photos",
    }
    photos = "/home/me/syndet_projects/chess/submitted/mine-1/data/photos"
    sent = {
        "folder": files,
        "file_origins": origins,
        "command": "syndet_ray sweep mine --address auto --set scene.assets=given/1a/meshes_of_mine"
        f" --set 'detector.program=command:python3 {files}/given/1a/meshes_of_mine/t.py --fast'"
        f" --real {photos} --points given/9f/run-1 --runs /home/me/syndet_projects/chess/runs",
        "real": {"path": photos, "notes": [f"see {files}/given/1a/meshes_of_mine/assets.json"]},
    }
    there = f"command:python3 {files}/given/1a/meshes_of_mine/t.py --fast"
    assert replace_paths(origins_of(sent), there) == (
        "command:python3 '/laptop/meshes of mine/t.py' --fast"
    )
    facts = dict(provenance.facts(made_run(scores=TIED, about=sent).read()))
    program = "command:python3 '/laptop/meshes of mine/t.py' --fast"
    words = ["syndet_ray", "sweep", "mine", "--cluster", "FILE"]
    words += ["--set", "scene.assets=/laptop/meshes of mine"]
    words += ["--set", f"detector.program={program}", "--real", "/laptop/photos"]
    assert shlex.split(facts["command"]) == words
    assert facts["real data"] == "/laptop/photos"
    assert facts["notes"] == "see /laptop/meshes of mine/assets.json"
    run = made_run(scores=TIED, about=sent | {"cluster": "/laptop/c.yaml"}, name="brought")
    facts = dict(provenance.facts(run.read()))
    assert "--cluster /laptop/c.yaml " in facts["command"]


def test_the_report_and_a_comparison_show_the_same_time_of_a_run():
    """That of its two attempts, a minute each; the hours between them do not count."""
    runs = []
    for name in ("a", "b"):
        run = made_run(scores=TIED, name=name)
        for began in (1000.0, 9000.0):
            run.ledger.append("attempt", None, time=began)
            run.ledger.append("opened", None, times=1, time=began + 60)
        runs.append(run.read())
    assert dict(provenance.facts(runs[0]))["time"] == "2 min 0 s, without pauses between attempts"
    assert compare(runs).runs[0].seconds == 120


@pytest.mark.parametrize(
    ("status", "name"),
    [
        ("finished", "finished"),
        ("interrupted", "last attempt ended"),
        ("spent", "last attempt ended"),
    ],
)
def test_only_a_run_that_finished_is_said_to_be(status, name):
    run = made_run(scores=TIED, about=ABOUT | {"status": status, "finished": 1000.0})
    facts = dict(provenance.facts(run.read()))
    assert {"finished", "last attempt ended"} & facts.keys() == {name}


def test_controls_and_variants_are_counted_apart():
    assert ", 2 controls, " in dict(provenance.facts(made_run().read()))["search"]
    compared = dict(provenance.facts(variant_run(VARIANTS, {"real_only": 0.5}).read()))
    assert ", 1 control, 3 variants, " in compared["search"]


def test_trials_with_too_little_gpu_memory_are_listed():
    run = made_run(scores=TIED)
    for number, parts in ((0, 1), (1, 2), (2, 2), (3, 4)):
        effective = {"batch_parts": parts}
        run.ledger.append("report", number, images=1, value=0.1, metrics={}, effective=effective)
    words = dict(provenance.facts(run.read()))["GPU memory"]
    assert words == (
        "too little for whole batches: batches in 2 parts in trials 1, 2; "
        "batches in 4 parts in trial 3"
    )
    assert "GPU memory" not in dict(provenance.facts(made_run(scores=TIED).read()))
