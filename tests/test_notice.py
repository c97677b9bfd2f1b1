"""A spot machine that is about to go is noticed, and its trial saves a checkpoint at once."""

import json
import shutil
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest
import ray
import torch
from made_detections import TINY
from ray._private.state import state

from syndet_ray import Mix, Recipe, Training
from syndet_ray.metrics import CLOCKS
from syndet_ray.runs.results import Trial
from syndet_ray.search.task import RunSettings, Task
from syndet_ray.workers.nodes import notice
from syndet_ray.workers.nodes.notice import EarlySaves, Notices
from syndet_ray.workers.trial import checkpoint, run_trial

PATIENCE_S = 30.0
GONE_AT = "2026-11-27T12:00:00Z"


class Metadata:
    """The metadata service of a machine on AWS or Google Cloud, on a port of 127.0.0.1."""

    def __init__(self, provider):
        self.is_leaving = False
        self.asked = []
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self):
                is_token = self.path == "/latest/api/token" and provider == "AWS"
                self._reply(200, "a-token") if is_token else self._reply(405)

            def do_GET(self):
                service.asked.append(self.path)
                self._reply(*service.reply(self.path, self.headers))

            def _reply(self, status, text=""):
                self.send_response(status)
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_): ...

        self.reply = {"AWS": self._aws, "Google": self._google, "portal": self._portal}[provider]
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"

    def _aws(self, path, headers):
        if headers["X-aws-ec2-metadata-token"] != "a-token":
            return (401,)
        if path.endswith("/spot/instance-action") and self.is_leaving:
            return 200, json.dumps({"action": "terminate", "time": GONE_AT})
        return (404,)

    def _google(self, path, headers):
        if headers["Metadata-Flavor"] != "Google" or not path.endswith("/instance/preempted"):
            return (404,)
        return 200, "TRUE" if self.is_leaving else "FALSE"

    def _portal(self, path, headers):
        return 200, "<html>Welcome to our hotel</html>"

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()


def wait_until(condition):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def notices_to_the_end(address, others=()):
    """Notices that look for nothing any more."""
    earlier = set(threading.enumerate())
    notices = Notices(address, ask_every_s=0.005, others=others)
    for thread in set(threading.enumerate()) - earlier:
        if thread.name == "notice":
            thread.join(PATIENCE_S)
            assert not thread.is_alive()
    return notices


@pytest.mark.parametrize(
    ("provider", "announced"),
    [("AWS", f"AWS will terminate it at {GONE_AT}"), ("Google", "Google Cloud preempts it")],
)
def test_the_notice_of_a_provider_is_seen(provider, announced):
    with Metadata(provider) as service:
        notices = Notices(service.address, ask_every_s=0.005)
        wait_until(lambda: len(service.asked) > 3)
        assert notices.announced is None
        service.is_leaving = True
        wait_until(lambda: notices.announced)
        assert notices.announced == announced


def test_a_machine_without_a_metadata_service_is_asked_once():
    with Metadata("portal") as service:
        notices = notices_to_the_end(service.address)
        assert notices.announced is None and len(service.asked) == 1
    assert notices_to_the_end(service.address).announced is None, "nothing listens there"


def test_users_may_forbid_to_ask(monkeypatch):
    monkeypatch.delenv("SYNDET_METADATA_URL", raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    assert notice._address() is None
    assert notices_to_the_end(None).announced is None
    assert EarlySaves(None).due is None


def test_others_are_asked_too_and_again_after_a_failure():
    answers = [OSError("away"), None, "soon"]

    def ask():
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert notices_to_the_end(None, others=[ask]).announced == "soon"


def test_a_checkpoint_is_due_at_a_notice_and_again_after_a_while(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    with Metadata("portal") as service:
        notices = Notices(service.address)
        early = EarlySaves(notices, every_s=30)
        assert early.due is None
        notices.announced = "soon"
        assert early.due == "soon"
        early.note_saved()
        clock[0] = 29.9
        assert early.due is None
        clock[0] = 30.0
        assert early.due == "soon"


class Killed(Exception):
    """The machine is gone."""


RECIPE = Recipe(
    mix=Mix(synthetic=0.0),
    detector=TINY,
    training=Training(images=20, batch_size=2, crop_px=64),
)


def test_a_trial_with_a_notice_continues_from_there_with_equal_metrics(squares, tmp_path):
    trial = Trial(
        number=0, role="search", params={}, recipe=RECIPE, state="RUNNING", checkpoint=None
    )
    run = RunSettings(rungs=2, seed=1, cache=str(tmp_path / "cache"))
    task = Task(trial=trial, run=run, threads=1)

    def train(restore, after_step):
        reports = {}

        def report(images, metrics, effective, folder):
            reports[images] = {name: value for name, value in metrics.items() if name not in CLOCKS}

        run_trial(
            task,
            squares(8),
            squares(3, seed=7),
            device=torch.device("cpu"),
            restore=restore,
            report=report,
            after_step=after_step,
        )
        return reports

    expected = train(None, lambda trainer: None)
    saved = []
    with Metadata("AWS") as service:
        notices = Notices(service.address, ask_every_s=0.005)
        early = EarlySaves(notices)

        def step_on_a_spot_machine(trainer):
            if trainer.images_seen == 16:
                service.is_leaving = True
                wait_until(lambda: notices.announced)
            if early.due:
                with checkpoint(trainer) as folder:
                    shutil.copytree(folder, tmp_path / "saved")
                saved.append(trainer.images_seen)
                early.note_saved()
            if trainer.images_seen == 18:
                raise Killed

        with pytest.raises(Killed):
            train(None, step_on_a_spot_machine)
    assert saved == [16], "the last rung is at 10: 2 images are lost instead of 8"
    steps = []
    after = train(tmp_path / "saved", lambda trainer: steps.append(trainer.images_seen))
    assert steps == [18, 20]
    assert after == {20: expected[20]}


def test_a_node_that_is_drained_without_a_date_is_noticed(monkeypatch):
    context = SimpleNamespace(get_node_id=lambda: "here")
    monkeypatch.setattr(ray, "get_runtime_context", lambda: context)
    for deadline_ms in (0, 2**63 - 1):
        monkeypatch.setattr(state, "get_draining_nodes", lambda ms=deadline_ms: {"here": ms})
        assert notice.drain_notice() == "Ray drains it"
    monkeypatch.setattr(state, "get_draining_nodes", lambda: {"elsewhere": 1})
    assert notice.drain_notice() is None
