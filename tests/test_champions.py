"""A saved model is found in a folder, a run and MLflow's registry; looking for one makes nothing."""

import shutil
from pathlib import Path

import boto3
import mlflow
import pytest
from made_detections import TINY
from mlflow.exceptions import MlflowException
from moto.server import ThreadedMotoServer

from syndet_ray import Recipe, SearchSpace
from syndet_ray.data import storage
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.definitions.parameter import Float
from syndet_ray.detection.models import build, load_model, save_model
from syndet_ray.errors import DataError, MachineError
from syndet_ray.metrics import OBJECTIVE
from syndet_ray.runs.results import Rung, Trial
from syndet_ray.tracking import champions
from syndet_ray.tracking.mlflow import Tracking
from syndet_ray.tracking.store import local_store

CLASSES = ("small", "big")
NAME = "syndet_ray-tiny"


@pytest.fixture(scope="module")
def champion(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "champion"
    save_model(folder, build(TINY, CLASSES, seed=0)[0], TINY, CLASSES)
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory, champion, empty_store):
    """A folder of runs whose store has the champion registered once."""
    runs = tmp_path_factory.mktemp("runs")
    shutil.copy(empty_store, runs)
    space = SearchSpace({"mix.synthetic": Float(low=0, high=1)})
    sweep = LoadedSweep(question="Which?", recipe=Recipe(), space=(space,), trials=1)
    tracking = Tracking(local_store(runs), runs / "artifacts", "tiny", sweep)
    trial = Trial(
        number=0,
        role="search",
        params={},
        recipe=Recipe(),
        state="COMPLETE",
        reason="",
        rungs=(Rung(4, {OBJECTIVE: 0.5}),),
        started=1.0,
        ended=2.0,
    )
    tracking.update(trial)
    tracking.register_champion(NAME, champion, trial, {"mAP": 0.5})
    tracking.end("FINISHED")
    return runs


def classes_of(model, runs=Path("runs"), tracking=None):
    with champions.model_folder(str(model), runs, tracking) as folder:
        return load_model(folder).classes


@pytest.mark.parametrize("inside", ["", "champion", "champion/model.safetensors"])
def test_a_run_its_champion_and_the_file_itself_are_all_the_model(champion, inside):
    assert classes_of(champion.parent / inside) == CLASSES


@pytest.mark.parametrize("address", [f"models:/{NAME}@champion", f"models:/{NAME}/1"])
def test_a_registered_model_is_found_by_alias_and_by_version(runs, address):
    mlflow.set_tracking_uri("sqlite:///elsewhere.db")
    assert classes_of(address, runs) == CLASSES
    assert classes_of(address, Path("nowhere"), f"sqlite:///{runs / 'mlflow.db'}") == CLASSES
    assert mlflow.get_tracking_uri() == "sqlite:///elsewhere.db"
    assert not Path("elsewhere.db").exists()


@pytest.fixture
def bucket(monkeypatch):
    """Makes an S3 bucket, photos, hold an object for each of the files given by key."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    settings = {"ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "b", "DEFAULT_REGION": "us-east-1"}
    settings |= {
        "ENDPOINT_URL": "http://{}:{}".format(*server.get_host_and_port()),
        "EC2_METADATA_DISABLED": "true",
    }
    for name, value in settings.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    client = boto3.client("s3")
    client.create_bucket(Bucket="bucket")

    def fill(**folders):
        for key, folder in folders.items():
            for file in folder.iterdir():
                client.upload_file(str(file), "bucket", f"{key}/{file.name}")

    yield fill
    server.stop()


@pytest.mark.parametrize("inside", ["", "/", "/run", "/run/champion", "/checkpoints/0"])
def test_of_a_run_in_a_store_the_champion_alone_is_fetched(champion, bucket, monkeypatch, inside):
    bucket(**{"runs/1/run/champion": champion, "runs/1/checkpoints/0": champion})
    asked = []
    monkeypatch.setattr(
        champions,
        "local_copy",
        lambda address: asked.append(address) or storage.local_copy(address),
    )
    assert classes_of(f"s3://bucket/runs/1{inside}") == CLASSES
    assert asked == [
        f"s3://bucket/runs/1/{'checkpoints/0' if 'check' in inside else 'run/champion'}"
    ]


def test_what_is_no_model_in_a_store_is_reported_and_not_fetched(tmp_path, bucket, monkeypatch):
    (tmp_path / "sweep.json").write_text("{}")
    bucket(**{"runs/2/run": tmp_path})
    monkeypatch.setattr(champions, "local_copy", pytest.fail)
    with pytest.raises(DataError, match="s3://bucket/runs/2: is a run without a champion"):
        classes_of("s3://bucket/runs/2")
    for address in ("s3://bucket/runs", "s3://lost/runs/1"):
        with pytest.raises(DataError, match=f"{address}: holds no saved model"):
            classes_of(address)


@pytest.mark.parametrize(
    ("error", "told"), [(OSError(), "(OSError)"), (MlflowException("\nGone.\nAlas"), "(Gone)")]
)
def test_a_store_that_fails_without_a_word_is_reported(runs, monkeypatch, error, told):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(mlflow.artifacts, "download_artifacts", fail)
    with pytest.raises(DataError) as found:
        classes_of(f"models:/{NAME}/1", runs)
    assert told in str(found.value)


@pytest.mark.parametrize("registry", ["databricks-uc", "http://127.0.0.1:9"])
def test_a_registry_that_the_environment_names_is_not_used(runs, champion, registry, monkeypatch):
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", registry)
    assert classes_of(f"models:/{NAME}@champion", runs) == CLASSES
    assert mlflow.get_registry_uri() == registry
    monkeypatch.delenv("MLFLOW_REGISTRY_URI")
    assert classes_of(f"models:/{NAME}@champion", runs) == CLASSES
    assert mlflow.get_registry_uri() == mlflow.get_tracking_uri()


def test_what_was_fetched_is_gone_afterwards(runs):
    with champions.model_folder(f"models:/{NAME}@champion", runs, None) as folder:
        assert (folder / "model.json").exists()
    assert not folder.exists()


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("models:/syndet_ray-tinny@champion", f"Did you mean '{NAME}'?"),
        (f"models:/{NAME}@best", f"alias best not found). There are {NAME}@champion, {NAME}/1."),
        (f"models:/{NAME}/7", f"There are {NAME}@champion, {NAME}/1."),
        (f"models:/{NAME}", "cannot be fetched from MLflow's store"),
    ],
)
def test_a_model_that_is_not_registered_is_reported_with_those_that_are(runs, address, told):
    with pytest.raises(DataError) as error:
        classes_of(address, runs)
    assert str(error.value).startswith(f"{address}: ")
    assert told in str(error.value)


@pytest.mark.parametrize("tracking", [None, "sqlite:///nope.db", "sqlite+pysqlite:///nope.db"])
def test_to_look_makes_no_store(tmp_path, monkeypatch, tracking):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MachineError, match="there is no MLflow store"):
        classes_of("models:/x@champion", Path("runs"), tracking)
    assert not list(tmp_path.iterdir())


def test_a_server_that_does_not_answer_is_reported():
    with pytest.raises(MachineError, match="does not answer"):
        classes_of("models:/x@champion", tracking="http://127.0.0.1:9")


def test_what_is_no_model_is_reported(tmp_path, champion):
    with pytest.raises(DataError, match=r"nope: does not exist\. Give a run"):
        classes_of(tmp_path / "nope")
    with pytest.raises(
        DataError, match=r"holds no saved model \(no model.safetensors, here or in champion/\)"
    ):
        classes_of(tmp_path)
    (tmp_path / "sweep.json").write_text("{}")
    told = f"is a run without a champion. Finish it: python -m syndet_ray resume {tmp_path}, or"
    with pytest.raises(DataError, match=told):
        classes_of(tmp_path)
    shutil.copytree(champion, tmp_path / "torn")
    (tmp_path / "torn" / "model.safetensors").write_bytes(
        (champion / "model.safetensors").read_bytes()[:999]
    )
    with pytest.raises(DataError, match=r"torn: is not a saved model \(SafetensorError"):
        classes_of(tmp_path / "torn")


@pytest.fixture
def read_only_runs(runs, bound_by_permissions):
    """The folder of runs, which cannot be written until the test ends."""
    paths = [runs, *runs.glob("mlflow.db*")]
    modes = [path.stat().st_mode for path in paths]
    for path, mode in zip(paths, modes, strict=True):
        path.chmod(mode & ~0o222)
    yield runs
    for path, mode in zip(paths, modes, strict=True):
        path.chmod(mode)


def test_a_model_in_a_store_that_can_only_be_read_is_found(read_only_runs):
    assert classes_of(f"models:/{NAME}@champion", read_only_runs) == CLASSES
