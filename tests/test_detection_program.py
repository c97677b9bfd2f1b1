"""A training program of the user: what it is given, how it is spoken to, and what it may get wrong."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from made_detections import TINY
from made_programs import recipe_of, write_program
from pyarrow import parquet

from syndet_ray import Mix, Recipe, Training
from syndet_ray.data.decode import decode
from syndet_ray.data.read import read
from syndet_ray.detection import program as programs
from syndet_ray.detection import program_training as trainings
from syndet_ray.detection.models import load_model
from syndet_ray.detection.program import Workplace
from syndet_ray.detection.program_files import image_files, write_order
from syndet_ray.detection.program_report import read_predictions, read_rung
from syndet_ray.detection.program_training import predict_by_program, program_training
from syndet_ray.detection.train import Trainer
from syndet_ray.errors import DataError, MachineError, NonFiniteLoss
from syndet_ray.tracking.champions import saved_in
from syndet_ray.workers.disk import fault

RUNGS = [4, 8, 12]


@pytest.fixture
def workplace(tmp_path):
    return Workplace(cache=tmp_path / "cache", device="cpu", threads=1)


@pytest.fixture
def starts(squares, tmp_path, workplace):
    """Starts a program that is broken by some code, on eight photos."""

    def start(broken="pass", restore=None, **limits):
        recipe = recipe_of(write_program(tmp_path / "my_train.py", broken))
        return program_training(
            recipe,
            {"real": squares(8)},
            squares(3, seed=7),
            replace(workplace, **limits),
            seed=1,
            rungs=RUNGS,
            restore=restore,
        )

    return start


def test_a_program_trains_from_rung_to_rung_and_its_model_predicts(
    squares, starts, tmp_path, workplace
):
    saved = tmp_path / "saved"
    saved.mkdir()
    with starts() as training:
        assert training.rungs == (4, 8, 12)
        first = training.train_until(4)
        metrics, effective = training.metrics(first), training.effective(first)
        assert (metrics["train/loss"], metrics["realised/synthetic"]) == (0.25, 0.0)
        assert effective["training.learning_rate"] == 1e-3
        assert effective["drawn"] == effective["planned"] == {"real": 4}
        assert effective["pools"]["real"]["images"] == 8
        found, *others = first.predictions
        assert found.xyxy.tolist() == [[10, 20, 40.5, 60]]
        assert (found.labels.tolist(), found.scores.tolist()) == ([1], [0.9])
        assert [len(other.scores) for other in others] == [0, 0]
        training.save(training.train_until(8), saved)
    assert (saved / "log.txt").read_text() == "epoch 4\nepoch 8\n"
    with starts(restore=saved) as rest:
        assert rest.rungs == (12,)
        assert rest.train_until(12).drawn == {"real": 12}
    command = recipe_of(write_program(tmp_path / "my_train.py")).detector.program
    (found, _) = predict_by_program(saved, squares(2, seed=9), command, workplace)
    assert found.scores.tolist() == [0.9]
    assert saved_in(tmp_path / "saved", "saved") == saved
    with pytest.raises(DataError, match="is the model of a training program, which this command"):
        load_model(saved)
    with pytest.raises(DataError, match=r"^models:/mine@champion: is the model of a training pro"):
        load_model(saved, "models:/mine@champion")


@pytest.mark.parametrize(
    ("device", "limit", "told"),
    [("cuda", 0.249999, 0.25), ("cuda", 1.0, None), ("cpu", 0.249999, None)],
)
def test_a_program_is_told_its_share_of_the_memory_of_a_gpu(
    device, limit, told, starts, squares, workplace, tmp_path, monkeypatch
):
    monkeypatch.setattr(torch.cuda, "get_per_process_memory_fraction", lambda device: limit)
    saved = tmp_path / "saved"
    saved.mkdir()
    check = f"assert task['gpu_memory_fraction'] == {told}"
    with starts(check, device=device) as training:
        training.save(training.train_until(4), saved)
    file = tmp_path / "my_train.py"
    write_program(file)
    file.write_text(file.read_text().replace('if task["task"]', f'{check}\nif task["task"]'))
    command = f"command:{sys.executable} {file}"
    assert predict_by_program(saved, squares(1), command, replace(workplace, device=device))


def test_the_images_are_those_of_the_pool_and_shared(squares, tmp_path):
    pool = squares(3)
    with image_files(pool, tmp_path, "train") as files:
        written = decode(read(files[0].parent).splits["train"])
        times = [file.stat().st_mtime_ns for file in files]
        with image_files(pool, tmp_path, "train") as again:
            assert [file.stat().st_mtime_ns for file in again] == times
    assert written.classes == pool.classes
    assert np.array_equal(written.pixels, pool.pixels)
    assert np.array_equal(written.xyxy, pool.xyxy)
    with image_files(pool, tmp_path, "test", labelled=False) as files:
        bare = read(files[0].parent).splits["test"]
    assert bare.class_counts().sum() == 0
    assert {file.parent.stat().st_mode & 0o777 for file in files} == {0o755}


def test_the_order_is_that_of_our_own_trainer(squares, tmp_path):
    lengths = Training(images=14, batch_size=4, crop_px=96)
    recipe = Recipe(detector=TINY, mix=Mix(synthetic=0.4), training=lengths)
    pools = {"real": squares(5), "synthetic": squares(3, seed=3, name="synthetic")}
    write_order(recipe, pools, 7, [5, 10, 14], tmp_path / "order.parquet")
    rows = parquet.read_table(tmp_path / "order.parquet").to_pylist()
    trainer = Trainer(recipe, pools, device=torch.device("cpu"), seed=7)
    number = 0
    for rung in (5, 10, 14):
        for places in trainer._draws(rung):
            batch = [(row["source"], row["image"]) for row in rows if row["batch"] == number]
            assert batch == [(source, index) for _, source, index in places]
            number += 1
        trainer.images_seen = rung
    assert number == rows[-1]["batch"] + 1
    assert [row["batch"] for row in rows[:6]] == [0, 0, 0, 0, 1, 2], "a batch ends at a rung"


@pytest.mark.parametrize(
    ("broken", "error", "message"),
    [
        (
            "print('no memory'); sys.exit(3)",
            DataError,
            r"program .*my_train.py: ended with exit code 3 before it had reported every rung\. It printed: "
            r"epoch 4 \| no memory",
        ),
        ("raise ValueError('odd')", DataError, r"exit code 1.*ValueError: odd"),
        ("sys.exit(-1)", DataError, "ended with exit code 255 before it had reported"),
        ("sys.exit(200)", DataError, "ended with exit code 200 before it had reported"),
        ("sys.exit(137)", MachineError, "every rung, as a shell does whose program was killed"),
        ("os.kill(os.getpid(), 9)", MachineError, "was killed by signal 9"),
        ("os.kill(os.getpid(), 11)", MachineError, "was killed by signal 11"),
        ("os.kill(os.getppid(), 9); time.sleep(1000)", MachineError, "was killed by signal 9"),
        (
            "print('{\"images\": 4')",
            DataError,
            r"my_train.py, line 2 of its output: begins like a report, and is no JSON .*got '\{",
        ),
        (
            "rung['metrics']['loss ' + chr(0xD800)] = 1",
            DataError,
            r"line 2 .*must hold whole characters, not half of a surrogate pair, got '\\ud800'",
        ),
        ("print('{\"' * 700_000)", DataError, "a report must have at most 1,048,576 bytes"),
        (
            "rung['images'] = 5",
            DataError,
            r'line 2 .*"images" must be 4, .*got 5.*It printed: epoch',
        ),
    ],
)
def test_a_program_that_reports_garbage_is_named(starts, broken, error, message):
    with pytest.raises(error, match=message), starts(broken) as training:
        training.train_until(4)


def test_a_script_whose_path_was_split_at_a_blank_is_told_of_quotes(tmp_path, workplace):
    words = [sys.executable, f"{tmp_path}/my", "train/train.py"]
    message = (
        r"exit code 2 before .* every rung. A path with blanks needs quotes in .* can't open fi"
    )
    with (
        pytest.raises(DataError, match=message),
        programs.running(words, tmp_path, workplace) as program,
    ):
        program.report()


def test_a_module_that_was_not_sent_with_its_script_is_explained(starts, tmp_path, monkeypatch):
    broken = "import helper_of_mine"
    printed = "every rung. It printed: .*No module named 'helper_of_mine'"
    with pytest.raises(DataError, match=printed), starts(broken) as training:
        training.train_until(4)
    monkeypatch.setenv("SYNDET_RAY_FILES", str(tmp_path))
    words = "every rung. A module beside a script is not sent with it: name a folder"
    with pytest.raises(DataError, match=words), starts(broken) as training:
        training.train_until(4)


def test_a_program_that_fails_after_a_report_may_be_tried_again(starts):
    with starts("if images == 8: sys.exit(1)") as training:
        training.train_until(4)
        with pytest.raises(MachineError, match="ended with exit code 1 before it had reported"):
            training.train_until(8)


def test_a_program_that_fails_after_a_restore_may_be_tried_again(starts, tmp_path):
    saved = tmp_path / "saved"
    saved.mkdir()
    with starts() as training:
        training.save(training.train_until(4), saved)
    with (
        pytest.raises(MachineError, match="ended with exit code 1 before it had reported"),
        starts("sys.exit(1)", restore=saved) as training,
    ):
        training.train_until(8)


def test_a_full_disk_that_a_program_met_is_told_from_a_mistake(starts):
    full = "raise OSError(28, os.strerror(28), 'checkpoint.pt')"
    with pytest.raises(DataError, match="No space left") as error, starts(full) as training:
        training.train_until(4)
    assert fault(error.value, ()).startswith("a disk could not be written ([Errno 28] No space")


@pytest.mark.parametrize(
    ("word", "error", "message"),
    [
        ("no-such-program", MachineError, r"program no-such-program -x: .*\(there is no such"),
        ("python", MachineError, r"no such program\)\. Activate the virtual env.* write python3\."),
        ("FOLDER", MachineError, r"\(it is a folder\)\. Name a file in it"),
        ("FOLDER/plain", MachineError, r"\(it is not executable\)\. Name its interpreter"),
        ("FOLDER/script", DataError, r"A script needs a first line like #!.*Exec format error"),
    ],
)
def test_a_program_that_cannot_be_started(
    squares, tmp_path, workplace, word, error, message, monkeypatch
):
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "plain").write_text("print(1)")
    (tmp_path / "script").write_text("print(1)")
    (tmp_path / "script").chmod(0o755)
    recipe = recipe_of(f"command:{word.replace('FOLDER', str(tmp_path))} -x")
    with (
        pytest.raises(error, match=message),
        program_training(
            recipe, {"real": squares(4)}, squares(1), workplace, seed=0, rungs=[12]
        ) as training,
    ):
        training.train_until(12)


def test_a_report_may_be_drawn_over_a_progress_bar(starts):
    with starts(r"print('50 %\r100 %\r', end='')") as training:
        assert training.train_until(4).images == 4


def test_what_a_program_prints_after_its_last_report_breaks_no_rule(starts):
    long = "sys.stdout.write('{\"history\": ' + '1' * (2 << 20)); sys.stdout.flush()"
    with starts(f"import atexit; atexit.register(lambda: exec({long!r}))") as training:
        assert training.train_until(4).images == 4


def test_a_program_is_read_in_a_process_with_many_open_files(starts):
    least, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(least, 2048), most))
    try:
        with ExitStack() as files:
            for _ in range(1024):  # the files of select(2) have lower numbers
                files.enter_context(open(os.devnull))
            with starts() as training:
                assert training.train_until(4).images == 4
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (least, most))


def test_the_log_of_a_program_is_kept_small(starts, monkeypatch):
    monkeypatch.setattr(programs, "_MOST_LOG_BYTES", 1 << 16)
    with starts(
        "sys.stdout.write(('x' * 99 + chr(10)) * 10_000); print(images, 'is due')"
    ) as training:
        training.train_until(4)
        assert training._program.log.stat().st_size < 1 << 18
        assert "4 is due" in training._program.log_words()


@pytest.mark.parametrize("own_group", [False, True])  # as torchrun starts its workers
def test_a_program_that_does_not_stop_is_ended_with_all_it_started(
    starts, tmp_path, monkeypatch, own_group
):
    monkeypatch.setattr(programs, "GRACE_S", 0.2)
    sleep = f"subprocess.Popen(['sleep', '1000'], start_new_session={own_group})"
    child = f"import subprocess; child = {sleep}; input = lambda: time.sleep(1000)"
    note = f"pathlib.Path({str(tmp_path / 'child')!r}).write_text(str(child.pid))"
    with starts(f"{child}; {note}") as training:
        training.train_until(4)
        pid = int((tmp_path / "child").read_text())
        os.kill(pid, 0)
    assert is_gone(pid)


def test_what_a_program_has_left_behind_is_ended(starts, tmp_path):
    sleep = "subprocess.Popen(['sleep', '1000'], start_new_session=True)"
    note = f"pathlib.Path({str(tmp_path / 'child')!r}).write_text(str({sleep}.pid))"
    with starts(f"import subprocess; {note}") as training:
        training.train_until(4)
    assert is_gone(int((tmp_path / "child").read_text()))


def test_what_a_program_has_left_behind_is_no_zombie_while_it_trains(starts, tmp_path):
    shell = "sleep 0.1 > /dev/null & echo $!"
    note = f"pathlib.Path({str(tmp_path / 'orphan')!r}).write_text(os.popen({shell!r}).read())"
    with starts(note) as training:
        training.train_until(4)
        orphan = Path("/proc", (tmp_path / "orphan").read_text().strip())
        deadline = time.monotonic() + 10
        while orphan.exists():
            assert time.monotonic() < deadline, (orphan / "stat").read_text()
            time.sleep(0.02)


def test_a_program_that_takes_too_long_is_stopped(starts):
    with (
        pytest.raises(MachineError, match=r"must report within 0\.8 s and was stopped"),
        starts("time.sleep(1000)", limit_s=0.8) as training,
    ):
        training.train_until(4)


def test_a_program_that_hangs_after_a_rung_is_stopped_and_may_be_tried_again(starts, monkeypatch):
    monkeypatch.setattr(trainings, "_LEAST_PATIENCE_S", 0.3)
    monkeypatch.setattr(trainings, "_PATIENCE", 0.0)
    with starts("if images == 8: time.sleep(1000)") as training:
        training.train_until(4)
        with pytest.raises(
            MachineError, match=r"must report within 0\.3 s and was stopped.*epoch 8"
        ):
            training.train_until(8)


def test_predictions_that_hang_are_stopped(starts, squares, tmp_path, workplace, monkeypatch):
    saved = tmp_path / "saved"
    saved.mkdir()
    with starts() as training:
        training.save(training.train_until(4), saved)
    monkeypatch.setattr(trainings, "_LEAST_PATIENCE_S", 0.3)
    monkeypatch.setattr(trainings, "_PATIENCE", 0.0)
    hanging = f"command:{sys.executable} -c input()"
    with pytest.raises(MachineError, match=r"must report within 0\.3 s and was stopped"):
        predict_by_program(saved, squares(2), hanging, workplace)


def test_a_program_ends_when_only_the_process_around_it_is_killed(starts, tmp_path):
    note = f"pathlib.Path({str(tmp_path / 'program')!r}).write_text(str(os.getpid()))"
    with starts(f"{note}; input = lambda: time.sleep(1000)") as training:
        training.train_until(4)
        training._program._process.kill()  # as Ray does with the children of a worker that ends
        assert is_gone(int((tmp_path / "program").read_text()))


def test_a_program_ends_with_the_process_that_started_it(tmp_path):
    program = "import os, sys, time; print(os.getpid(), flush=True); time.sleep(1000)"
    starter = (
        "import sys, time; from pathlib import Path\n"
        "from syndet_ray.detection.program import Workplace, running\n"
        "workplace = Workplace(cache=Path(sys.argv[1]), device='cpu', threads=1)\n"
        f"words = [sys.executable, '-c', {program!r}]\n"
        "with running(words, Path(sys.argv[1]), workplace) as program:\n"
        "    print(program._line().decode(), flush=True); time.sleep(1000)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", starter, str(tmp_path)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[1],
    )
    with parent:
        pid = int(parent.stdout.readline())
        os.kill(pid, 0)
        parent.send_signal(signal.SIGKILL)
    assert is_gone(pid)


def is_gone(pid):
    """Waits for the end of a process that is not our child."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        stat = Path(f"/proc/{pid}/stat")
        try:
            if stat.read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.02)
    return False


def box(**changes):
    return {"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5} | changes


@pytest.fixture
def rung(tmp_path):
    """A report that follows the rules, and the files that it names."""
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "a").write_text("1")
    (tmp_path / "found.json").write_text(json.dumps([box()]))
    return {
        "images": 4,
        "predictions": "found.json",
        "checkpoint": "weights",
        "effective": {"drawn": {"real": 4}},
    }


@pytest.fixture
def reads(squares, tmp_path):
    def read_it(rung):
        return read_rung(rung, "line 1", tmp_path, rung=4, val=squares(2), sources=["real", "b"])

    return read_it


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image": 4}, "'image' is no part of a report|image is no part.*'images'"),
        ({"images": True}, '"images" must be 4'),
        ({"predictions": "no.json"}, "must be a file with COCO's results"),
        ({"predictions": "../found.json"}, '"predictions" must lie in the folder'),
        ({"predictions": 7}, '"predictions" must be a path in the folder, got 7'),
        ({"predictions": "a\0"}, '"predictions" must be a path in the folder'),
        ({"predictions": "a" * 300}, '"predictions" must be a path in the folder, got .{1,2}aaa'),
        ({"predictions": "linked/loop"}, '"predictions" must be a path in the folder'),
        ({"checkpoint": "b" * 300}, '"checkpoint" must be a path in the folder, got .{1,2}bbb'),
        ({"checkpoint": "/etc"}, '"checkpoint" must lie in the folder'),
        ({"checkpoint": "."}, '"checkpoint" must be a folder of its own'),
        ({"checkpoint": "empty"}, "must not be empty"),
        ({"checkpoint": "linked"}, "must hold files only, no links"),
        ({"metrics": {"loss": "low"}}, '"metrics" must be an object of numbers'),
        ({"effective": None}, '"effective" must be an object'),
        ({"effective": {}}, 'must have "drawn".*Count the first 4 rows of order.parquet'),
        ({"effective": {"drawn": {"real": 3}}}, '"drawn" must have 4 images in all'),
        ({"effective": {"drawn": {"rael": 4}}}, "rael' is no source|rael is no source"),
        ({"effective": {"drawn": {"real": 5, "b": -1}}}, "as numbers"),
        (
            {"effective": {"training.rate": 1, "drawn": {"real": 4}}},
            "training.rate is no setting of detector or training",
        ),
    ],
)
def test_what_a_report_gets_wrong_is_named(rung, reads, tmp_path, changes, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "a").symlink_to("/etc/passwd")
    (tmp_path / "linked" / "loop").symlink_to("loop")
    with pytest.raises(DataError, match=message):
        reads(rung | changes)


def test_a_loss_that_is_no_number_is_a_training_that_diverged(rung, reads):
    with pytest.raises(NonFiniteLoss, match="training after 4 images: the metric loss must be fin"):
        reads(rung | {"metrics": {"loss": float("nan")}})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "found.json must be JSON"),
        ("[" * 100_000, "found.json must be JSON"),
        ("{}", "must hold a list of COCO's results, got 'dict'"),
        ("[7]", "found.json, entry 0: must be an object"),
        ([{"image_id": 1}], "entry 0: has no category_id"),
        ([box(), box(image_id=3)], "entry 1: image_id must be from 1 to 2, .*got 3"),
        ([box(image_id="1")], "image_id must be from 1 to 2"),
        (
            [box(category_id=0)],
            "category_id must be from 1 to 2, in the order of the classes, got 0",
        ),
        ([box(bbox=[1, 2, 3])], "bbox must be four finite numbers"),
        ([box(bbox=[1, float("nan"), 3, 4])], "bbox must be four finite numbers"),
        ([box(bbox=[1, 10**400, 3, 4])], "bbox must be four finite numbers"),
        ([box(bbox=[9, 9, -1, 4])], "bbox must have a width and a height of 0 or more"),
        ([box(score=1.5)], "score must be from 0 to 1, got 1.5"),
        ([box(score=True)], "score must be from 0 to 1"),
    ],
)
def test_what_predictions_get_wrong_is_named(squares, tmp_path, text, message):
    content = text if isinstance(text, str) else json.dumps(text)
    (tmp_path / "found.json").write_text(content)
    with pytest.raises(DataError, match=message):
        read_predictions({"predictions": "found.json"}, "line 1", tmp_path, squares(2))


def test_boxes_are_clipped_and_the_best_300_are_kept(squares, tmp_path):
    entries = [box(score=number / 400, bbox=[90, -5, 50, 20]) for number in range(400)]
    (tmp_path / "found.json").write_text(json.dumps(entries))
    (found, _) = read_predictions({"predictions": "found.json"}, "line 1", tmp_path, squares(2))
    assert len(found.scores) == 300
    assert (found.scores[0], found.xyxy[0].tolist()) == (399 / 400, [90, 0, 96, 15])
