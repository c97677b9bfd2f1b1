"""The document of --json: its keys and types, which programs rely on, and what stdout holds."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from made_detections import TINY
from made_runs import TRIALS, made_run, variant_run

from syndet_ray import __version__
from syndet_ray.cli.document import one_document, plain
from syndet_ray.detection.models import build, save_model
from syndet_ray.errors import DataError
from syndet_ray.tuning.disk import Room

TEXT, TRUTH, WHOLE, NUMBER = ({"type": t} for t in ("string", "boolean", "integer", "number"))


def maybe(schema):
    return {"anyOf": [schema, {"type": "null"}]}


def each(schema):
    return {"type": "array", "items": schema}


def named(schema):
    return {"type": "object", "additionalProperties": schema}


def closed(**keys):
    """An object that has these keys, all of them, and no other."""
    required = list(keys)
    return {
        "type": "object",
        "properties": keys,
        "required": required,
        "additionalProperties": False,
    }


ANY = {}
ERROR = closed(
    kind=TEXT,
    place=maybe(TEXT),
    rule=maybe(TEXT),
    got=ANY,
    do=maybe(TEXT),
    message=TEXT,
)
SCORE = closed(value=maybe(NUMBER), low=maybe(NUMBER), high=maybe(NUMBER))
GAP = closed(mean=NUMBER, low=NUMBER, high=NUMBER, probability=NUMBER)
IMAGE = closed(source=TEXT, split=TEXT, image=TEXT)
RECIPE = closed(
    **dict.fromkeys(("name", "role", "recipe"), TEXT),
    **dict.fromkeys(("trial", "diverged", "images"), WHOLE),
    **dict.fromkeys(("best", "simplest"), TRUTH),
    **dict.fromkeys(("validation", "validation_error", "seconds"), maybe(NUMBER)),
    scores=named(SCORE),
    test_map_by_seed=each(maybe(NUMBER)),
)
FACTS = {
    "check": {
        "ready": TRUTH,
        "sweep": closed(
            **dict.fromkeys(("name", "question", "sampler", "pruner"), TEXT),
            **dict.fromkeys(("trials", "fixed_trials", "rungs"), WHOLE),
            controls=each(TEXT),
            variants=named(named(ANY)),
            parameters=named({"type": "object", "required": ["kind"]}),
            without_effect=named(each(TEXT)),
            objective=each(TEXT),
            first_pruned_rung=maybe(WHOLE),
            confirm=closed(top=WHOLE, seeds=WHOLE),
        ),
        "data": closed(
            path=maybe(TEXT),
            stand_in=TRUTH,
            images=closed(train=WHOLE, val=WHOLE, test=WHOLE),
            classes=each(TEXT),
            others=named(WHOLE),
            near_copies=named(WHOLE),
            memory_bytes=WHOLE,
        ),
        "cost": closed(
            **dict.fromkeys(("trainings", "images", "least_images"), WHOLE),
            parallel=maybe(WHOLE),
            **dict.fromkeys(("hours", "least_hours", "scoring_hours"), maybe(NUMBER)),
            seconds_per_training_image=maybe(NUMBER),
            seconds_per_scored_image=maybe(NUMBER),
            seconds_per_scene=maybe(NUMBER),
            images_per_second=maybe(NUMBER),
            gpus_per_trial=maybe(NUMBER),
            cores_per_trial=maybe(WHOLE),
            **dict.fromkeys(("gpu_hours", "least_gpu_hours"), maybe(NUMBER)),
            **dict.fromkeys(("core_hours", "least_core_hours"), maybe(NUMBER)),
            **dict.fromkeys(("gpu_hour_price", "core_hour_price"), maybe(NUMBER)),
            **dict.fromkeys(("money", "least_money"), maybe(NUMBER)),
        ),
        "disk": maybe(
            closed(
                checkpoint_bytes=WHOLE, scene_bytes=WHOLE, free_bytes=WHOLE, cache_limit_bytes=WHOLE
            )
        ),
        "places": closed(
            **dict.fromkeys(("runs", "cache", "experiment"), TEXT),
            **dict.fromkeys(("storage", "mlflow", "ray"), maybe(TEXT)),
            registry_variable_ignored=TRUTH,
        ),
        "machine": closed(cores=WHOLE, gpus=WHOLE),
        "cluster": maybe(closed(file=TEXT, nodes=each(TEXT))),
        "notes": each(TEXT),
    },
    "data inspect": {
        **dict.fromkeys(("reference", "page", "numbers"), TEXT),
        **dict.fromkeys(("classes", "notes", "answer"), each(TEXT)),
        "stand_in": TRUTH,
        "sources": each(
            closed(
                **dict.fromkeys(("name", "visibility"), TEXT),
                **dict.fromkeys(("images", "images_without_objects", "objects", "crowds"), WHOLE),
                splits=named(WHOLE),
                classes=each(TEXT),
                objects_by_class=named(WHOLE),
                statistics=named(maybe(closed(median=NUMBER, low=NUMBER, high=NUMBER))),
                shares=named(maybe(NUMBER)),
            )
        ),
        "distances": each(
            closed(
                **dict.fromkeys(("source", "statistic"), TEXT),
                **dict.fromkeys(("value", "low", "high", "by_chance", "ks"), maybe(NUMBER)),
                **dict.fromkeys(("reference_mean", "mean"), maybe(NUMBER)),
                is_infinite=TRUTH,
            )
        ),
        "size_tells_class": each(
            closed(
                source=TEXT,
                classes=each(TEXT),
                **dict.fromkeys(("value", "low", "high", "by_chance"), maybe(NUMBER)),
                tells=TRUTH,
                difference=maybe(closed(value=NUMBER, low=NUMBER, high=NUMBER, matters=TRUTH)),
            )
        ),
        "duplicates": each(closed(first=IMAGE, second=IMAGE, exact=TRUTH, copy=TRUTH, bits=WHOLE)),
    },
    "evaluate": {
        **dict.fromkeys(("model", "data", "split"), TEXT),
        **dict.fromkeys(("images", "objects"), WHOLE),
        "trained_on": maybe(WHOLE),
        **dict.fromkeys(("absent_classes", "notes"), each(TEXT)),
        "metrics": named(SCORE),
        "classes": named(closed(objects=WHOLE, ap=SCORE)),
        "visibility": closed(
            kind=TEXT,
            least_objects=WHOLE,
            bins=each(closed(low=NUMBER, high=NUMBER, objects=WHOLE, ap=SCORE, recall=SCORE)),
        ),
        "errors_ap50": named(maybe(NUMBER)),
        "out": maybe(TEXT),
    },
    "compare": {
        "test_set": TEXT,
        "too_few_images": TRUTH,
        "stand_in": TRUTH,
        "runs": each(
            closed(
                **dict.fromkeys(("letter", "name", "question", "test_set_opened"), TEXT),
                **dict.fromkeys(("trials", "images"), WHOLE),
                seconds=NUMBER,
                above_first=maybe(GAP),
                p_best=maybe(NUMBER),
                recipes=each(RECIPE),
            )
        ),
        "settings": named(named(TEXT)),
        "answer": each(TEXT),
        "page": maybe(TEXT),
    },
    "replay": {
        **dict.fromkeys(("curves", "pruned_trials_left_out", "orders"), WHOLE),
        "pruners": each(
            closed(
                name=TEXT,
                settings={"type": "object", "required": ["name"]},
                can_prune=TRUTH,
                **dict.fromkeys(("saved", "best_pruned", "top3_pruned"), NUMBER),
                **dict.fromkeys(("regret", "worst_regret"), NUMBER),
            )
        ),
    },
}


def checked(printed, verb, **facts):
    """The document that was printed; it has the keys of every document, and these facts."""
    assert printed.endswith("}\n")
    document = json.loads(printed, parse_constant=pytest.fail)
    schema = closed(verb=TEXT, schema=WHOLE, version=TEXT, errors=each(ERROR), **facts)
    Draft202012Validator(schema).validate(document)
    assert (document["verb"], document["schema"]) == (verb, 1)
    assert document["version"] == __version__
    return document


@pytest.fixture
def answered(syndet_here):
    """Runs a verb with --json; returns its document, whose keys and types are checked."""

    def run(verb, *arguments):
        done = syndet_here(*verb.split(), *arguments, "--json")
        assert done.returncode == 0, done.stderr
        document = checked(done.stdout, verb, **FACTS[verb])
        assert document["errors"] == []
        return document

    return run


def test_a_check_says_everything_that_it_has_looked_at(home, dice, answered):
    home()
    document = answered("check", "tiny", "--local", "--real", dice)
    assert document["ready"] is True
    assert document["data"]["path"] == str(dice)
    assert document["data"]["images"] == {"train": 6, "val": 3, "test": 4}
    assert document["places"]["ray"] is None
    assert 0 < document["cost"]["least_hours"] <= document["cost"]["hours"]
    assert any(note.startswith("the detector is") for note in document["notes"])


GPU_CLUSTER = """
cluster_name: c
max_workers: 1
provider: {type: gcp, region: us-west1, availability_zone: us-west1-a, project_id: p}
auth: {ssh_user: me}
head_start_ray_commands:
  - ray start --head --dashboard-host=127.0.0.1 --autoscaling-config=~/ray_bootstrap_config.yaml
head_node_type: head
available_node_types:
  head: {resources: {CPU: 0}, node_config: {machineType: n1-standard-2}}
  gpu: {resources: {CPU: 8, GPU: 2}, max_workers: 1, node_config: {machineType: n1-standard-8}}
"""


@pytest.mark.cluster
def test_a_check_for_a_cluster_counts_its_nodes_and_not_this_machine(home, dice, s3):
    """Nothing listens at the address of the MLflow server: it is one of the head.

    The check starts a Ray that asks for a token, after which this process could join no other one.
    """
    home()
    Path("c.yaml").write_text(GPU_CLUSTER)
    address = "http://127.0.0.1:1"
    places = ("--cluster", "c.yaml", "--tracking", address, "--storage", "s3://photos/runs")
    use = ("--gpus-per-trial", "1", "--parallel", "9")  # this machine has no GPU
    words = ("check", "tiny", *places, *use, "--real", str(dice), "--json")
    done = subprocess.run(
        [sys.executable, "-m", "syndet_ray", *words], capture_output=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    document = checked(done.stdout, "check", **FACTS["check"])
    cost = document["cost"]
    assert (cost["parallel"], cost["gpus_per_trial"], cost["cores_per_trial"]) == (2, 1, 4)
    assert (cost["hours"], cost["gpu_hours"], document["disk"]) == (None, None, None)
    assert document["places"]["ray"] == document["cluster"]["file"] == "c.yaml"


def test_notes_name_options_by_their_flags(capsys):
    with one_document("check", is_wanted=True) as document:
        document.facts["notes"] = ["take a larger share with `hold_out`"]
    notes = json.loads(capsys.readouterr().out)["notes"]
    assert notes == ["take a larger share with --hold-out"]


def test_a_check_that_fails_says_what_it_knows_and_every_problem(
    home, dice, syndet_here, monkeypatch
):
    home()
    monkeypatch.setattr("syndet_ray.tuning.disk.room", lambda *_: Room(free=1, cache=1))
    arguments = ("check", "tiny", "--local", "--real", dice, "--hours", "1e-9")
    done = syndet_here(*arguments, "--json")
    document = checked(done.stdout, "check", **FACTS["check"])
    assert done.returncode == 1 and document["ready"] is False
    first, second = document["errors"]
    assert first["place"] == "--hours" and first["got"] == 1e-9 and "--force" in first["do"]
    assert second["place"] == "runs" and second["rule"].startswith("lacks")
    assert done.stderr.endswith(f"syndet_ray: {first['message']}\n")


def test_sources_are_inspected_as_numbers(home, dice, answered):
    home()
    shutil.copytree(dice, "other")
    document = answered("data inspect", dice, "other", "--split", "val")
    first, second = document["sources"]
    assert first["images"] == second["images"] == 3 and first["splits"] == {"val": 3}
    assert list(first["objects_by_class"]) == first["classes"]
    assert sum(first["objects_by_class"].values()) == first["objects"] > 0
    assert {pair["exact"] for pair in document["duplicates"]} == {True}
    assert Path(document["page"]).exists() and Path(document["numbers"]).exists()


def test_a_model_is_scored_as_numbers(home, dice, answered):
    home()
    classes = ("one", "two", "three", "four", "five", "six")
    save_model(Path("model"), build(TINY, classes, seed=0)[0], TINY, classes)
    document = answered("evaluate", "model", dice, "--out", "scores")
    assert document["images"] == 4 and list(document["classes"]) == list(classes)
    counts = [one["objects"] for one in document["classes"].values()]
    assert sum(counts) == document["objects"]
    scores = json.loads((Path(document["out"]) / "scores.json").read_text(encoding="utf-8"))
    assert document["metrics"]["mAP"]["value"] == scores["metrics"]["mAP"]["value"]


def test_runs_are_compared_as_numbers(home, answered):
    home()
    variants = {"ü": ({}, (0.30, 0.32)), "[/new]": ({"scene.blur": 0.0}, (0.20, 0.18))}
    for name in ("a", "b"):
        variant_run(variants).write(Path(name))
    document = answered("compare", "a", "b", "--out", "page.html")
    assert [run["letter"] for run in document["runs"]] == ["A", "B"]
    names = {recipe["name"] for recipe in document["runs"][0]["recipes"]}
    assert {"ü", "[/new]"} <= names
    assert document["page"] == "page.html"


def test_pruners_are_replayed_as_numbers(home, answered):
    home()
    made_run(trials=_full_curves()).write(Path("run"))
    document = answered("replay", "run", "--orders", "3", "--pruner", "median")
    assert document["orders"] == 3 and document["curves"] >= 4
    assert {pruner["settings"]["name"] for pruner in document["pruners"]} == {"median"}


def _full_curves():
    """The trials of a run, and some more searched ones that were trained to their end."""
    finished = next(trial for trial in TRIALS if trial[0] == "search")
    return [*TRIALS, *[finished] * 4]


@pytest.mark.parametrize(
    ("arguments", "verb"),
    [
        (("check", "nothing"), "check"),
        (("data", "inspect", "nowhere"), "data inspect"),
        (("evaluate", "nowhere", "stand-in"), "evaluate"),
        (("compare", "nowhere"), "compare"),
        (("check", "tiny", "--real", "https://x.org/a.zip"), "check"),
        (("replay", "nowhere"), "replay"),
    ],
)
def test_an_error_is_a_document_too_and_the_same_message_as_ever(
    arguments, verb, home, syndet_here
):
    home()
    done, as_ever = syndet_here(*arguments, "--json"), syndet_here(*arguments)
    assert done.returncode == as_ever.returncode == 1
    assert done.stderr.splitlines()[-1] == as_ever.stderr.splitlines()[-1]
    ready = {"ready": TRUTH} if verb == "check" else {}
    (error,) = checked(done.stdout, verb, **ready)["errors"]
    assert done.stderr.endswith(f"syndet_ray: {error['message']}\n")
    assert error["message"].startswith(f"{error['place']}: {error['rule']}")


def test_an_unexpected_error_has_only_a_kind_and_a_message(capsys):
    with pytest.raises(ValueError, match="odd"), one_document("check", is_wanted=True):
        raise ValueError("odd")
    (error,) = checked(capsys.readouterr().out, "check")["errors"]
    assert (error["kind"], error["place"]) == ("ValueError", None)
    assert error["message"].endswith("odd")


@pytest.mark.parametrize("ending", [KeyboardInterrupt, SystemExit])
def test_an_interrupted_verb_prints_no_document(capsys, ending):
    with pytest.raises(ending), one_document("check", is_wanted=True):
        raise ending
    assert capsys.readouterr().out == ""


def test_nothing_is_printed_for_people(capsys):
    with pytest.raises(DataError), one_document("check", is_wanted=False):
        raise DataError("photos", "are bad")
    assert capsys.readouterr().out == ""


def test_values_are_plain():
    values = {1: np.float32(0.5), "nan": float("nan"), "path": Path("a"), "n": np.int64(3)}
    assert plain(values) == {"1": 0.5, "nan": None, "path": "a", "n": 3}
    assert plain({"\udcff": ["\udcff", Path("\udcff")]}) == {"\\udcff": ["\\udcff"] * 2}
    assert plain((np.array([1.0, np.inf]), True)) == [[1.0, None], True]


def test_a_name_of_any_script_survives_an_ascii_pipe(tmp_path):
    run = str(tmp_path / "größe")
    done = subprocess.run(
        [sys.executable, "-X", "utf8", "-m", "syndet_ray", "replay", run, "--json"],
        capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        check=False,
    )
    (error,) = json.loads(done.stdout)["errors"]
    assert error["place"].startswith(run)
