"""TensorBoard's event files, read back from their frames."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from made_runs import SWEEP, confirmed_run, made_run, train
from PIL import Image
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData
from test_search import Silent

from syndet_ray import Choice, Mix, Recipe, Scenes, SearchSpace, Simplex
from syndet_ray.data.readers.example import _frame
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.definitions.loader import find, load
from syndet_ray.search.search import Search
from syndet_ray.tracking.tensorboard import TensorBoard, examples, folder_name, settings
from syndet_ray.tuning.options import Options, Origin
from syndet_ray.tuning.resume import resume
from syndet_ray.tuning.run import start

UNFINISHED = ("search", 40, 0.4, 0.002, (0.12, 0.22), "RUNNING", "")


def events(folder):
    """All events of the one file of a folder, with their checksums checked."""
    (path,) = folder.glob("events.out.tfevents.*")
    found = []
    with path.open("rb") as file:
        while (data := _frame(file, str(path), limit=2**30)) is not None:
            found.append(Event.FromString(data))
    return found


def scalars(folder):
    """(step, value) of every scalar, by its name."""
    found = {}
    for event in events(folder):
        for value in event.summary.value:
            if value.WhichOneof("value") == "simple_value":
                found.setdefault(value.tag, []).append(
                    (event.step, pytest.approx(value.simple_value))
                )
    return found


def plugin(folder, tag):
    """What the HParams plugin gets under a tag."""
    return [
        HParamsPluginData.FromString(value.metadata.plugin_data.content)
        for event in events(folder)
        for value in event.summary.value
        if value.tag == f"_hparams_/{tag}"
    ]


OPEN = []


@pytest.fixture
def notes():
    """What boards have noted; they are ended with the test, as a process that is killed would end
    them.
    """
    yield []
    while OPEN:
        OPEN.pop().end()


def board(folder, notes):
    OPEN.append(TensorBoard(folder, folder.sweep, notes.append))
    return OPEN[-1]


def followed(folder, notes):
    """A board that got all trials of a run, one event at a time."""
    found, trials = board(folder, notes), {}
    for event in folder.ledger.events():
        number = event["trial"]
        trials[number] = folder.ledger.trial_after(trials.get(number), event)
        found.update(trials[number])
    found.flush()
    return found


def test_every_trial_has_a_folder_with_its_curves(tmp_path, notes):
    folder = made_run().write(tmp_path / "run")
    followed(folder, notes).end()
    for trial in folder.trials():
        found = scalars(folder.path / "tensorboard" / folder_name(trial))
        for name in trial.rungs[0].metrics if trial.rungs else ():
            assert found[name] == [(rung.images, rung.metrics[name]) for rung in trial.rungs]
    assert not notes


def test_points_can_be_read_while_a_trial_runs(tmp_path, notes):
    folder = made_run(trials=[UNFINISHED]).write(tmp_path / "run")
    live = followed(folder, notes)
    place = folder.path / "tensorboard" / "trial-000"
    assert scalars(place)["val/mAP"] == [(100, 0.12), (200, 0.22)]
    folder.ledger.append("report", 0, images=300, metrics={"val/mAP": 0.3}, effective={})
    live.update(folder.trials()[0])
    live.flush()
    assert scalars(place)["val/mAP"] == [(100, 0.12), (200, 0.22), (300, 0.3)]
    assert not plugin(place, "session_end_info")


@pytest.mark.parametrize("lost", [0, 1, 40])
def test_a_resumed_run_has_every_point_once(tmp_path, notes, lost):
    """However much of the file a kill left behind."""
    folder = made_run(trials=[UNFINISHED]).write(tmp_path / "run")
    followed(folder, notes)  # and no end: it was killed
    place = folder.path / "tensorboard" / "trial-000"
    (path,) = place.iterdir()
    path.write_bytes(path.read_bytes()[: -lost or None])
    again = followed(folder, notes)
    train(folder, 0, (0.12, 0.22))
    again.update(replace(folder.trials()[0], rungs=folder.trials()[0].rungs[:2]))
    again.end()
    assert scalars(place)["val/mAP"] == [(100, 0.12), (200, 0.22)]
    assert [event.session_log.status for event in events(place)][1] == SessionLog.START, (
        "what was seen is forgotten"
    )
    assert len(list(place.iterdir())) == 1


def test_a_run_that_first_goes_without_has_all_its_trials_in_the_end(tmp_path, notes):
    folder = made_run().write(tmp_path / "run")
    late = board(folder, notes)
    for trial in folder.trials():
        late.update(trial)
    late.end()
    assert len([path for path in (folder.path / "tensorboard").iterdir() if path.is_dir()]) == len(
        folder.trials()
    )


def test_the_hparams_are_what_the_search_varied(tmp_path, notes):
    folder = made_run().write(tmp_path / "run")
    followed(folder, notes).end()
    (experiment,) = plugin(folder.path / "tensorboard", "experiment")
    kinds = {info.name: info.type for info in experiment.experiment.hparam_infos}
    assert kinds == {"kind": 1, "scene.objects": 3, "training.learning_rate": 3, "mix.synthetic": 3}
    assert [info.name.tag for info in experiment.experiment.metric_infos] == ["val/mAP"]
    place = folder.path / "tensorboard" / "trial-002"
    (start,) = plugin(place, "session_start_info")
    told = {
        name: getattr(value, value.WhichOneof("kind"))
        for name, value in start.session_start_info.hparams.items()
    }
    assert told == {
        "kind": "search",
        "scene.objects": 40,
        "training.learning_rate": 0.002,
        "mix.synthetic": 0.4,
    }
    assert len(plugin(place, "session_end_info")) == 1


def test_shares_are_reported_one_by_one_and_nothing_that_is_not_there():
    space = SearchSpace(
        {
            "mix.shares": Simplex(sources=("real", "a", "b")),
            "mix.real_images": Choice(values=(5, "all")),
            "scene.blur": Choice(values=(0.0, 0.5)),
        }
    )
    sweep = LoadedSweep.model_construct(space=(space,))
    kinds = examples(sweep)
    assert kinds == {
        "kind": "search",
        "mix.synthetic": 0.0,
        "mix.parts/a": 0.0,
        "mix.parts/b": 0.0,
        "mix.real_images": "any",
        "scene.blur": 0.0,
    }
    trial = replace(
        made_run().trials()[2],
        recipe=Recipe(
            mix=Mix(sources={"a": Scenes(), "b": Scenes()}, parts={"a": 0.25, "b": 0.75})
        ),
    )
    assert settings(trial, ["mix.parts", "mix.switch_at", "y"]) == {
        "kind": "search",
        "mix.parts/a": 0.25,
        "mix.parts/b": 0.75,
    }


def test_the_champion_has_test_scores_and_pictures(tmp_path, notes):
    folder = confirmed_run().write(tmp_path / "run")
    folder.write_test(
        replace(folder.test(), champion=14, models={14: {"mAP": 0.33, "AP_visible/0.25-0.50": 0.1}})
    )
    folder.figures.mkdir()
    for name in ("sheet_training", "best_predictions", "learning_curves"):
        Image.new("RGB", (30, 20), "red").save(folder.figures / f"{name}.png")
    made = followed(folder, notes)
    made.publish(folder)
    made.end()
    place = folder.path / "tensorboard" / "champion"
    assert scalars(place) == {"test/mAP": [(400, 0.33)], "test/AP_visible/0.25-0.50": [(400, 0.1)]}
    shown = {
        v.tag: v.image
        for event in events(place)
        for v in event.summary.value
        if v.WhichOneof("value") == "image"
    }
    assert set(shown) == {"sheet_training", "best_predictions"}
    assert (shown["sheet_training"].width, shown["sheet_training"].height) == (30, 20)
    assert (
        shown["sheet_training"].encoded_image_string
        == (folder.figures / "sheet_training.png").read_bytes()
    )
    assert not notes


def test_without_a_test_set_there_is_no_champion(tmp_path, notes):
    folder = made_run().write(tmp_path / "run")
    made = board(folder, notes)
    made.publish(folder)
    made.end()
    assert not (folder.path / "tensorboard" / "champion").exists()
    assert not notes


def test_a_full_disk_is_reported_once_and_the_search_goes_on(tmp_path, notes):
    folder = made_run().write(tmp_path / "run")
    (folder.path / "tensorboard").write_text("a file where the folder should be")
    made = followed(folder, notes)
    made.publish(folder)
    made.end()
    (said,) = notes
    assert said.startswith(
        f"TensorBoard: nothing more is written to {folder.path / 'tensorboard'} ("
    )
    assert said.endswith("a later resume writes it again")


class Telling:
    """MLflow and the terminal in one, of which nothing is asked here."""

    def __init__(self):
        self.seen = []

    def update(self, trial):
        self.seen.append(trial)

    def flush(self, limit_s): ...
    def interrupt(self, number): ...
    def note(self, text): ...
    def trial(self, trial): ...


def test_a_search_tells_the_board_what_it_tells_mlflow(tmp_path, notes):
    folder = made_run(trials=[], sweep=SWEEP).write(tmp_path / "run")
    mlflow, made = Telling(), board(folder, notes)
    search = Search(folder, SWEEP, Telling(), [mlflow, made])
    number = search.propose().number
    search.report(number, 100, {"val/mAP": 0.1}, {})
    search.close()
    place = folder.path / "tensorboard" / folder_name(folder.trials()[0])
    assert scalars(place)["val/mAP"] == [(100, 0.1)]
    shutil.rmtree(folder.path / "tensorboard")
    again = board(folder, notes)
    Search(folder, SWEEP, Telling(), [mlflow, again]).close()
    assert scalars(place)["val/mAP"] == [(100, 0.1)]


def test_names_of_folders_hold_no_slash():
    trial = made_run().trials()[0]
    assert folder_name(trial) == "trial-000 real_only"
    assert (
        folder_name(replace(trial, role="variant", name="a/b: 50 %")) == "trial-000 a_x2f_b: 50 %"
    )
    assert folder_name(replace(trial, role="confirmation", of=3)) == "trial-000 again 3"


def test_a_run_that_is_resumed_leaves_every_rung_once_and_its_champion(home, dice, empty_store):
    home(images=8, trials=1)
    Path("runs").mkdir()
    shutil.copy(empty_store, "runs")
    options = Options(runs=Path("runs"), real=dice, images=20, local=True, tensorboard=True)
    stopped = start(
        Origin(name="tiny", file=find("tiny")), load("tiny"), options, Silent(), force=True
    )
    assert stopped.status == "spent"
    # and says nothing of TensorBoard: it goes on with it
    ended = resume(stopped.folder, {"images": 10_000}, Silent())
    assert ended.status == "finished"
    place = ended.folder.path / "tensorboard"
    for trial in ended.folder.trials():
        found = scalars(place / folder_name(trial))
        assert found["val/mAP"] == [(rung.images, rung.metrics["val/mAP"]) for rung in trial.rungs]
        assert len(found["train/loss"]) == len(trial.rungs)
    assert scalars(place / "champion")["test/mAP"][0][0] == 8
    shown = [
        value.tag
        for event in events(place / "champion")
        for value in event.summary.value
        if value.image.height
    ]
    assert {"sheet_training", "best_predictions"} <= set(shown)


def test_no_event_files_are_written_unless_asked_for(tmp_path):
    assert not Options(runs=tmp_path).tensorboard
