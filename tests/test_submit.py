"""A sweep is sent to a cluster with all that only this machine has."""

import ast
import json
from contextlib import nullcontext
from dataclasses import fields, replace
from pathlib import Path, PurePosixPath
from types import SimpleNamespace

import pytest
from conftest import write_tiny_sweep

from syndet_ray.cli import head_facts, on_cluster, sending, sent_options, sent_runs, submit
from syndet_ray.cli.on_head import DETACHED, all_origins
from syndet_ray.cli.options import INTERRUPTED
from syndet_ray.cli.remote_submission import RemoteSubmission, project_name, start
from syndet_ray.cli.sent_runs import newest_submission
from syndet_ray.cli.sweep_options import SweepOptions
from syndet_ray.cli.sweep_request import make_request
from syndet_ray.cli.terminal import console
from syndet_ray.clusters.bundle import DATA, FILES, GIVEN, Bundle, Item
from syndet_ray.clusters.description import read_cluster_file
from syndet_ray.clusters.head import ANSWER
from syndet_ray.clusters.submission import Submission
from syndet_ray.definitions.loader import load
from syndet_ray.errors import DataError, DefinitionError, MachineError
from syndet_ray.runs.origins import replace_paths

# options that are settings of the recipe, or that say where to run and what is brought back
ELSEWHERE = {"assets", "backgrounds", "generator", "synthetic", "settings", "project", "taken"}
HERE = {"runs", "address", "local"}
OF_FILES = {"real", "classes", "skip_bad"}
PHOTOS = Item(source=Path("/laptop/photos"), for_nodes=False, size=5 * 10**9, files=9)
MESHES = Item(source=Path("/laptop/meshes"), for_nodes=True, size=10**6, files=2)
DISPLAY = SimpleNamespace(step=lambda text: nullcontext(), progress=lambda *_: None)
CLUSTER = """
cluster_name: c
provider: {type: local, head_ip: 127.0.0.1, worker_ips: [127.0.0.2]}
auth: {ssh_user: me}
file_mounts: {"/data/floors": "/data/floors"}
"""


@pytest.fixture
def cluster(tmp_path):
    file = tmp_path / "cluster.yaml"
    file.write_text(CLUSTER)
    return read_cluster_file(file)


def head_with(**answers):
    """A head that answers as it is told."""
    return SimpleNamespace(file=Path("c.yaml"), place="the head of c.yaml", **answers)


def submission_below(root):
    folder = PurePosixPath(root, "project", "submitted", "tiny-2")
    return RemoteSubmission(head=head_with(), folder=folder)


def bundle_on(submission):
    return Bundle(items=(PHOTOS, MESHES), folder=submission.folder)


def test_every_option_of_a_sweep_has_a_way_to_the_cluster():
    sent_as_words = {*sent_options.SENT_VALUES, *sent_options.SENT_SWITCHES}
    assert {field.name for field in fields(SweepOptions)} == (
        sent_as_words | OF_FILES | ELSEWHERE | HERE
    )


def test_half_a_gpu_too_much_is_refused_before_anything_is_sent():
    options = SweepOptions(runs=None, gpus_per_trial=1.5)
    with pytest.raises(DefinitionError, match=r"^`gpus_per_trial`: must be a share of a GPU"):
        submit._check_here(SimpleNamespace(definition=None), options, DISPLAY, force=False)


@pytest.mark.parametrize("storage", ["s3//b/x", ""])
def test_a_storage_that_is_no_address_is_refused_before_anything_is_sent(storage):
    options = SweepOptions(runs=None, storage=storage)
    rule = rf"^`storage`: must be s3://bucket or s3://bucket/prefix, got '{storage}'"
    with pytest.raises(DefinitionError, match=rule):
        submit._check_here(SimpleNamespace(definition=None), options, DISPLAY, force=False)


def test_photos_at_an_address_are_not_read_here_but_all_else_is_checked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_tiny_sweep(tmp_path)
    options = SweepOptions(runs=None, real="s3://nobody/photos")
    request = make_request("tiny", options)
    submit._check_here(request, options, DISPLAY, force=False)
    submit._check_photos(request, options, DISPLAY)
    few = SweepOptions(runs=None, real="s3://nobody/photos", images=1)
    with pytest.raises(DefinitionError, match="`images`"):
        submit._check_here(request, few, DISPLAY, force=False)
    submit._check_here(request, few, DISPLAY, force=True)


def test_a_head_that_is_missing_is_told_before_anything_is_loaded_or_read(
    cluster, tmp_path, monkeypatch
):
    def find_no_head(name, cluster, display):
        raise MachineError("c.yaml", "has no head", do="Start it.")

    monkeypatch.chdir(tmp_path)
    write_tiny_sweep(tmp_path)
    options = SweepOptions(runs=None, real="photos-that-are-not-there")
    request = make_request("tiny", options)
    monkeypatch.setattr(submit, "open_display", lambda console: nullcontext(DISPLAY))

    def send(options):
        submit.submit("tiny", options, request, file=cluster.path, points=None, force=False)

    few = replace(options, images=1)
    monkeypatch.setattr(submit, "_new_submission", find_no_head)
    for refused in (options, few):
        with pytest.raises(MachineError, match="has no head"):
            send(refused)
    with pytest.raises(DefinitionError, match=r"^`cluster`: .* cannot be combined with `address`"):
        send(replace(options, address="auto"))
    with pytest.raises(MachineError, match=r"^/dev/null/runs: cannot be written"):
        send(replace(options, runs=Path("/dev/null/runs")))
    monkeypatch.setattr(submit, "_new_submission", lambda *_: (submission_below("/h"), {}))
    with pytest.raises(DefinitionError, match="`images`"):
        send(few)
    with pytest.raises(DataError, match="photos-that-are-not-there"):
        send(options)


def test_streamed_photos_of_this_machine_are_refused_where_nodes_join(cluster):
    options = SweepOptions(runs=None, real="photos", stream=True)
    with pytest.raises(MachineError, match=r"nodes that join have no photos of this machine\. Put"):
        submit._check_nodes(cluster, options)
    submit._check_nodes(cluster, SweepOptions(runs=None, real="s3://b/photos", stream=True))


def test_what_would_be_sent_is_said_before_there_is_a_head(cluster, tmp_path, monkeypatch, dice):
    monkeypatch.chdir(tmp_path)
    write_tiny_sweep(tmp_path)
    (tmp_path / "names.yaml").write_text("1: one")
    for name in ("SYNDET_CACHE_GB", "MLFLOW_TRACKING_TOKEN"):
        monkeypatch.setenv(name, "5")
    options = SweepOptions(
        runs=None, real=str(dice), classes=Path("names.yaml"), tracking="http://127.0.0.1:5000"
    )
    lines = submit.rehearse("tiny", make_request("tiny", options), options, cluster, DISPLAY)
    assert lines[0].startswith("sends    this code, sweeps, ")
    assert "names.yaml (1 file" in lines[0] and f"{dice.name} (" in lines[0]
    assert lines[1] == (
        "note     not sent: MLFLOW_TRACKING_TOKEN, SYNDET_CACHE_GB; "
        "set in ~/.bashrc of the nodes what they need of it"
    )


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ("train/train.py", "helper.py, nets/"),
        ("train/train.py --folder=train/", ""),
        ("train", ""),
        ("train/helper.py", ""),
    ],
)
def test_modules_beside_a_script_that_stay_here_are_noted(
    words, names, cluster, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    write_tiny_sweep(tmp_path)
    texts = {
        "train.py": "import helper, os, torch.nn\nfrom nets.small import Net\nfrom . import other",
        "helper.py": "import train_of_theirs",
        "other.py": "",
        "__main__.py": "import helper",
        "nets/small.py": "Net = 1",
    }
    for name, text in texts.items():
        file = tmp_path / "train" / name
        file.parent.mkdir(exist_ok=True, parents=True)
        file.write_text(text)
    options = SweepOptions(runs=None, settings=[f"detector=command:python3 {words}"])
    request = make_request("tiny", options)
    notes = submit.rehearse("tiny", request, options, cluster, DISPLAY)[1:]
    rest = "from its folder, which is not sent: name a folder that has both, as in python3 ./train"
    assert [f"train.py imports {names} {rest}" in note for note in notes] == [True] * bool(names)


def test_a_folder_that_every_node_has_may_be_written_with_a_slash(tmp_path):
    file = tmp_path / "slash.yaml"
    file.write_text(CLUSTER.replace("/data/floors", "/data/floors/"))
    request = SimpleNamespace(definition=load("smoke"))
    options = SweepOptions(runs=None)
    bundle = submit._bundle(request, options, read_cluster_file(file), PurePosixPath("/x"))
    assert bundle.mounted == (Path("/data/floors"),)


def test_the_recipes_of_an_earlier_run_name_the_places_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    item = replace(MESHES, source=tmp_path / "meshes")
    bundle = Bundle(items=(PHOTOS, item), folder=submission_below("/head").folder)
    for name in submit._POINT_FILES:
        values = {
            "scene.assets": str(item.source),
            "scene.generator": f"command:python3 make.py --in={item.source}",
            "other": f"{item.source}-2",
            "name": "meshes",
        }
        (tmp_path / name).write_text(json.dumps(values))
    with (tmp_path / "ledger.jsonl").open("a") as ledger:
        ledger.write(f'\n["{PHOTOS.source}"]\n{{"ev')
    submit._move_paths(tmp_path, bundle)
    moved, photos, rest = (tmp_path / "ledger.jsonl").read_text().split("\n")
    meshes = f"/head/project/submitted/tiny-2/files/given/{item.place}"
    assert json.loads(moved) == {
        "scene.assets": meshes,
        "scene.generator": f"command:python3 make.py --in={meshes}",
        "other": f"{item.source}-2",
        "name": "meshes",
    }
    assert photos == f'["/head/project/submitted/tiny-2/data/{PHOTOS.place}"]'
    assert rest == '{"ev', "as it was cut off"


def test_the_script_for_heads_which_imports_nothing_of_ours_begins_its_answer_as_is_expected():
    text = Path(head_facts.__file__).read_text(encoding="utf-8")
    assert f'print("\\n{ANSWER}"' in text


def test_the_script_for_heads_runs_with_an_old_python_which_it_must_be_able_to_name():
    tree = ast.parse(Path(head_facts.__file__).read_text(), feature_version=(3, 6))
    for node in ast.walk(tree):
        assert not isinstance(node, ast.ImportFrom) or node.module != "__future__"
        assert not isinstance(node, ast.AnnAssign | ast.NamedExpr)
        if isinstance(node, ast.Subscript):
            assert ast.unparse(node.value) not in ("list", "dict", "tuple", "set", "type")
    top = {alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
    assert "importlib.metadata" not in top, "of Python 3.8"
    for function in (node for node in tree.body if isinstance(node, ast.FunctionDef)):
        notes = [function.returns, *(argument.annotation for argument in function.args.args)]
        assert all(isinstance(note, ast.Name | ast.Constant) for note in notes)


def test_what_was_sent_before_is_found_and_photos_need_no_room_again(tmp_path):
    submission = submission_below(tmp_path)
    bundle = bundle_on(submission)
    earlier = tmp_path / "project" / "submitted" / "tiny-1"
    of_others = tmp_path / "other" / "submitted" / "x"
    (earlier / DATA / PHOTOS.place).mkdir(parents=True)
    (of_others / FILES / GIVEN / MESHES.place).mkdir(parents=True)
    (earlier / FILES / "syndet_ray").mkdir(parents=True)
    facts = {"sent": head_facts.sent_paths(tmp_path), "free": 2 * 10**6}
    assert head_facts.submissions(tmp_path) == [], "it was never started"
    (earlier / "process.json").write_text("")
    assert head_facts.submissions(tmp_path) == [], "a damaged one hides no others"
    found = sending._earlier(bundle.path_on_head(PHOTOS), submission, facts)
    assert found == PurePosixPath(earlier, "data", PHOTOS.place)
    code = sending._earlier(submission.files / "syndet_ray", submission, facts)
    assert code == PurePosixPath(earlier, "files", "syndet_ray")
    assert sending._earlier(bundle.path_on_head(MESHES), submission, facts) is None, (
        "another project's"
    )
    sending.check_room(facts, bundle, submission)
    with pytest.raises(MachineError, match=r"has 2 MB free, and 5\.0 GB are needed"):
        sending.check_room({**facts, "sent": []}, bundle, submission)
    (earlier / FILES / GIVEN / MESHES.place).mkdir(parents=True)
    facts = {"sent": head_facts.sent_paths(tmp_path), "free": 0}
    assert sending._earlier(bundle.path_on_head(MESHES), submission, facts) is not None
    with pytest.raises(MachineError, match=r"free, and 1 MB are needed"):
        sending.check_room(facts, bundle, submission)


def test_messages_of_a_run_there_name_the_files_here(tmp_path):
    root = PurePosixPath(tmp_path, "submission")
    bundle = Bundle(items=(PHOTOS, MESHES), folder=root)
    submission = Submission(Path(root))
    meshes = bundle.place(MESHES.source)
    problem = f"{root}/files/{meshes}/assets.json, {meshes}/a, {bundle.place(PHOTOS.source)}: wrong"
    assert all_origins(submission) == {}, "an earlier version sent no origins"
    submission.files.mkdir(parents=True)
    sending.write_origins(bundle, submission.files)
    text = "/laptop/meshes/assets.json, /laptop/meshes/a, /laptop/photos: wrong"
    assert replace_paths(all_origins(submission), problem) == text


def test_progress_is_shown_of_what_takes_a_while():
    shown = []
    display = SimpleNamespace(progress=lambda *words: shown.append(words))
    sending._show_sent(display, PHOTOS, 3_500_000)
    sending._show_sent(display, MESHES, 500_000)
    assert shown == [("MB of photos on the head", 3, 5000)]


def test_a_folder_has_a_project_of_its_own(tmp_path, monkeypatch):
    names = []
    for name in ("a/my photos", "b/my photos"):
        (tmp_path / name).mkdir(parents=True)
        monkeypatch.chdir(tmp_path / name)
        names.append(project_name())
    assert len(set(names)) == 2
    assert all(name.startswith("my_photos-") for name in names)


def test_two_sweeps_of_one_second_have_folders_of_their_own():
    names = {submit._new_id("sweeps/tiny.py") for _ in range(3)}
    assert len(names) == 3
    assert all(name.startswith("tiny-2") for name in names)


def test_the_newest_submission_of_this_folder_comes_before_those_of_others(cluster, monkeypatch):
    sent_by = ["other-1", project_name(), "other-2"]
    items = [{"folder": f"/h/{name}/submitted/tiny-1", "run": ""} for name in sent_by]
    answer = (head_with(), {"submissions": items})
    monkeypatch.setattr(sent_runs, "head_and_facts", lambda cluster: answer)
    for run in (None, "tiny-1"):
        submission, record = newest_submission(run, cluster.path)
        assert submission.runs.parent.name == project_name()
        assert record == items[1]
    monkeypatch.setattr(sent_runs, "project_name", lambda: "a-folder-that-sent-nothing")
    assert newest_submission(None, cluster.path)[1] == items[2]


def test_a_run_that_nobody_named_is_named_before_it_is_shown(cluster, monkeypatch, capsys):
    item = {"folder": "/h/p/submitted/tiny-1", "run": "/h/p/runs/tiny-2"}
    head = head_with(answer=lambda command: {"goes_on": True})
    monkeypatch.setattr(on_cluster, "open_display", lambda console: nullcontext(DISPLAY))
    monkeypatch.setattr(sent_runs, "head_and_facts", lambda _: (head, {"submissions": [item]}))
    monkeypatch.setattr(on_cluster, "follow", lambda *_, **__: print("shown"))
    on_cluster.attach_there(None, cluster.path, Path("runs"))
    assert capsys.readouterr().out == "run      tiny-2, the newest, which goes on\nshown\n"
    on_cluster.attach_there("tiny-2", cluster.path, Path("runs"))
    assert capsys.readouterr().out == "shown\n"


def test_a_copy_of_a_run_in_a_bucket_is_not_looked_for_on_a_head(tmp_path):
    address = "s3://photos/runs/tiny-2/?scheme=http"
    file = tmp_path / "c.yaml"
    with pytest.raises(DefinitionError, match=r"only `resume` takes .* such as tiny-2"):
        on_cluster.attach_there(address, file, tmp_path)


@pytest.mark.parametrize(
    ("run", "name"), [("", "tiny-1"), ("/h/p/runs/tiny-20261128", "tiny-20261128")]
)
def test_who_leaves_is_told_the_name_of_the_run_once_there_is_one(run, name, tmp_path, capsys):
    head = head_with(
        show=lambda command, take, on_terminal: DETACHED, answer=lambda _: {"run": run}
    )
    submission = RemoteSubmission(head=head, folder=PurePosixPath("/h/p/submitted/tiny-1"))
    with pytest.raises(SystemExit):
        on_cluster.follow(submission, tmp_path, console())
    words = capsys.readouterr().out.replace("\n", " ")
    assert f"follow it again with: python -m syndet_ray attach {name} --cluster c.yaml" in words
    assert f"for a later resume, with: python -m syndet_ray stop {name} --cluster c.yaml" in words


def test_what_ended_the_display_alone_does_not_end_the_run(tmp_path):
    head = head_with(
        show=lambda command, take, on_terminal: 137, answer=lambda command: {"goes_on": True}
    )
    submission = RemoteSubmission(head=head, folder=PurePosixPath("/h/p/submitted/tiny-1"))
    console = SimpleNamespace(is_terminal=False)
    with pytest.raises(
        MachineError, match=r"exit status 137\), and the run goes on there. .* tiny-1"
    ):
        on_cluster.follow(submission, tmp_path, console)
    head.answer = lambda command: {"pid": None}
    with pytest.raises(MachineError, match=r"^/h/p/runs/tiny: still goes on. Follow it: .* attach"):
        start(submission, ["resume"], "/h/p/runs/tiny")


def test_a_start_without_an_answer_may_have_begun_a_run():
    def answer(command):
        raise MachineError("the head of c.yaml", "does not answer within 120 s", do="ray up")

    head = head_with(answer=answer)
    submission = RemoteSubmission(head=head, folder=PurePosixPath("/h/p/submitted/tiny-1"))
    with pytest.raises(
        MachineError, match=r"120 s\. The run may have begun .* attach tiny-1 --clus"
    ):
        start(submission, ["sweep", "tiny"])


def test_ctrl_c_before_the_answer_of_a_start_says_that_a_run_may_have_begun(capsys):
    def answer(command):
        raise KeyboardInterrupt

    head = head_with(answer=answer)
    submission = RemoteSubmission(head=head, folder=PurePosixPath("/h/p/submitted/tiny-1"))
    with pytest.raises(SystemExit) as done:
        start(submission, ["sweep", "tiny"])
    assert done.value.code == INTERRUPTED
    assert "the run may have begun all the same; look for it first: " in capsys.readouterr().out


def test_a_refused_resume_shows_its_error_and_attach_brings_the_run_back_all_the_same(
    tmp_path, monkeypatch, capsys
):
    class Fetched(Exception): ...

    def fetch(*_):
        raise Fetched

    end = {"goes_on": False, "has_begun": False, "run": "/h/p/runs/tiny", "error": "no such trial"}
    head = head_with(show=lambda command, take, on_terminal: 0, answer=lambda command: end)
    submission = RemoteSubmission(head=head, folder=PurePosixPath("/h/p/submitted/tiny-1"))
    monkeypatch.setattr(on_cluster, "_fetch", fetch)
    monkeypatch.setattr(on_cluster, "open_display", lambda console: nullcontext(DISPLAY))
    console = SimpleNamespace(is_terminal=False)
    with pytest.raises(SystemExit):
        on_cluster.follow(submission, tmp_path, console)
    assert capsys.readouterr().err == "syndet_ray: no such trial\n"
    with pytest.raises(Fetched):
        on_cluster.follow(submission, tmp_path, console, is_new=False)
