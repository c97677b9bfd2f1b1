"""Team: two processes that train one detector together take the steps of one process alone."""

import multiprocessing
import traceback
from functools import partial

import pytest
import torch
from made_models import two_source_trainer

from syndet_ray.detection.predict import predict, predict_together
from syndet_ray.detection.team import Team, connection
from syndet_ray.errors import NeedsParts

pytestmark = pytest.mark.usefixtures("one_thread", "float32")

CPU = torch.device("cpu")
# Of batches of 3 the shares of two processes differ; of 7 images the last batch is a single one.
trainer = partial(two_source_trainer, images=7, batch_size=3)


def in_team(meeting, work, size=2):
    """Results by rank of work(team) in so many forked processes."""
    context = multiprocessing.get_context("fork")
    pipes, processes = [], []
    for rank in range(size):
        ours, theirs = context.Pipe()
        team = Team(rank=rank, size=size)
        processes.append(context.Process(target=_member, args=(meeting, team, work, theirs)))
        pipes.append(ours)
    for process in processes:
        process.start()
    results = [pipe.recv() for pipe in pipes]
    for process in processes:
        process.join()
    for result in results:
        assert "Traceback" not in str(result)[:20], result
    return results


def _member(meeting, team, work, pipe):
    try:
        with connection(meeting, team, CPU):
            result = work(team)
    except Exception:
        result = traceback.format_exc()
    pipe.send(result)


def outcome(training, until):
    metrics = [training.train_until(images).metrics for images in until]
    for each in metrics:
        del each["images_per_second"]
    state = {name: value.numpy() for name, value in training.model.state_dict().items()}
    return metrics, training.effective, state


def same(one, other, rtol=1e-4):
    """The losses of two trainings are equal, and what they have learned."""
    for ours, theirs in zip(one[0], other[0], strict=True):
        assert ours == pytest.approx(theirs, rel=rtol)
    differ = {key for key, value in one[1].items() if other[1][key] != value}
    assert differ <= {"processes"}
    for name, values in one[2].items():
        expected = torch.as_tensor(other[2][name])
        # of a batch that all compute whole, a norm counts each value once for each of them
        loosely = {"rtol": 0.05 if name.endswith("running_var") else 1e-3, "atol": 2e-6}
        torch.testing.assert_close(torch.as_tensor(values), expected, **loosely, msg=name)


@pytest.mark.parametrize("architecture", ["faster_rcnn", "fcos"])
def test_two_processes_take_the_steps_of_one(architecture, squares, tmp_path):
    alone = outcome(trainer(squares, architecture=architecture), (3, 6, 7))

    def work(team):
        return outcome(trainer(squares, team=team, architecture=architecture), (3, 6, 7))

    first, second = in_team(tmp_path / "meeting", work)
    assert first[0] == second[0]
    for name, values in first[2].items():
        assert (values == second[2][name]).all(), name
    same(first, alone)


def test_a_checkpoint_of_two_processes_is_continued_by_one_and_the_reverse(squares, tmp_path):
    def work(team):
        first = trainer(squares, team=team)
        first.train_until(3)
        if team.rank == 0:
            first.save(tmp_path / "two")
        again = trainer(squares, team=team, restore=tmp_path / "one")
        return outcome(again, (7,))

    whole = trainer(squares)
    whole.train_until(3)
    whole.save(tmp_path / "one")
    ended = outcome(whole, (7,))
    by_two = in_team(tmp_path / "meeting", work)[0]
    same(by_two, ended)
    same(outcome(trainer(squares, restore=tmp_path / "two"), (7,)), ended)


def test_each_photo_is_scored_once_and_in_its_place(squares, tmp_path):
    training, pool = trainer(squares), squares(5)
    training.train_until(3)
    expected = predict(training.model, pool, device=CPU)

    def work(team):
        return predict_together(training.model, pool, device=CPU, team=team)

    found, none = in_team(tmp_path / "meeting", work)
    assert none is None
    assert sum(len(each.scores) for each in expected) > 0
    for one, other in zip(found, expected, strict=True):
        for name in ("xyxy", "labels", "scores"):
            assert (getattr(one, name) == getattr(other, name)).all()


def test_an_image_without_samples_does_not_hold_up_the_others(squares, tmp_path):
    def work(team):
        training = trainer(squares, team=team, batch_size=2, images=2)
        feed = training._feed._target

        def ignored(numbered):
            wanted = feed(numbered)
            if team.rank == 1:
                wanted |= {"boxes": wanted["boxes"][:0], "labels": wanted["labels"][:0]}
                wanted["ignored"] = torch.tensor([[-99.0, -99, 199, 199]])
            return wanted

        training._feed._target = ignored
        return training.train_until(2).metrics["train/loss"]

    first, second = in_team(tmp_path / "meeting", work)
    assert first == second > 0


def test_too_little_memory_asks_for_parts_of_all_processes(squares, tmp_path):
    def work(team):
        training = trainer(squares, team=team, batch_size=4)
        if team.rank == 0:
            training._model.forward = _fail
        try:
            training.train_until(4)
        except NeedsParts as error:
            return error.parts
        except RuntimeError:  # the other one has left
            return "left"

    def again(team):
        training = trainer(squares, team=team, batch_size=4, parts=2)
        return outcome(training, (7,))[1]["batch_parts"]

    assert in_team(tmp_path / "first", work) == [2, "left"]
    assert in_team(tmp_path / "again", again) == [2, 2]


def _fail(images, targets=None):
    raise torch.OutOfMemoryError("CUDA out of memory.")
