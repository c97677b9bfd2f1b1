"""What only this machine has of a sweep goes along to a cluster, and the sweep names it there."""

from pathlib import Path, PurePosixPath

import pytest

from syndet_ray.clusters import bundle as bundles
from syndet_ray.clusters.bundle import bundle, paths_of
from syndet_ray.clusters.definition_files import write_definitions
from syndet_ray.definitions.given import with_given
from syndet_ray.definitions.loader import load
from syndet_ray.definitions.located import OF_FILES, with_absolute_paths
from syndet_ray.definitions.program import files_of
from syndet_ray.errors import DataError, DefinitionError

FOLDER = PurePosixPath("/home/ubuntu/syndet_projects/x/submitted/y")
SWEEP = """
from syndet_ray import Choice, Mix, Photos, Recipe, SceneParameters, Scenes, SearchSpace, Sweep

SWEEP = Sweep(
    question="Does Größe matter, with meshes or shapes?",
    recipe=Recipe(
        mix=Mix(
            sources={
                "meshes": Scenes(changes={"scene.assets": "meshes"}),
                "webshop": Photos(folder="OUTSIDE/webshop"),
            }
        ),
        scene=SceneParameters(assets="meshes", generator="command:python3 make.py --fast"),
    ),
    space=(SearchSpace({"scene.backgrounds": Choice(values=("", "OUTSIDE/floors"))}), "own"),
    trials=2,
)
"""
OWN = """
from syndet_ray import Float, SearchSpace

SPACE = SearchSpace({"mix.synthetic": Float(low=0, high=1)})
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with a sweep that names files in it and outside of it."""
    outside, here = tmp_path / "outside", tmp_path / "project"
    for folder in (outside / "webshop", outside / "floors", here / "meshes" / "mug"):
        folder.mkdir(parents=True)
        (folder / "file.bin").write_bytes(b"x" * 1000)
    (here / "make.py").write_text("print()")
    for kind, name, text in (("sweeps", "mugs", SWEEP), ("search_spaces", "own", OWN)):
        (here / kind).mkdir()
        (here / kind / f"{name}.py").write_text(text.replace("OUTSIDE", str(outside)))
    monkeypatch.chdir(here)
    return here


def test_all_files_that_a_sweep_names_go_along_and_nothing_of_the_system(project):
    names = {path.name: for_nodes for path, for_nodes in paths_of(load("mugs")).items()}
    assert names == {"meshes": True, "webshop": False, "floors": True, "make.py": True}
    generator = "command:/usr/bin/env python3 make.py"
    given = with_given(load("mugs"), {"settings": {"scene.generator": generator}})
    assert not any(path.is_relative_to("/usr") for path in paths_of(given))


def test_the_sweep_there_names_the_places_there(project, tmp_path):
    sent = bundle(load("mugs"), [project / "make.py"], FOLDER)
    outside = tmp_path / "outside"
    meshes, webshop = sent.place(project / "meshes"), sent.place(outside / "webshop")
    staged = tmp_path / "staged"
    assert write_definitions("mugs", {}, sent, staged) == "mugs"
    text = (staged / "sweeps" / "mugs.py").read_text(encoding="utf-8")
    assert f'"meshes": Scenes(changes={{"scene.assets": \'{meshes}\'}})' in text
    assert f"Photos(folder='{webshop}')" in text
    program = f"{FOLDER}/files/{sent.place(project / 'make.py')}"
    assert f"'command:python3 {program} --fast'" in text
    assert f"values=(\"\", '{sent.place(outside / 'floors')}')" in text
    assert meshes.startswith("given/") and webshop.startswith(f"{FOLDER}/data/")
    assert 'question="Does Größe matter, with meshes or shapes?"' in text
    assert (staged / "search_spaces" / "own.py").exists()
    assert (staged / "sweeps" / "obstruction.py").exists(), "those of the package go along"
    there = load(str(staged / "sweeps" / "mugs.py"), staged)
    assert there.recipe.scene.assets == str(staged / meshes)
    assert there.recipe.mix.sources["webshop"].folder == webshop


def test_settings_that_were_given_name_the_places_there(project):
    sent = bundle(load("mugs"), [], FOLDER)
    settings = {
        "scene.assets": str(project / "meshes"),
        "mix.sources": {"synthetic": {"kind": "synthetic", "folder": str(project / "meshes")}},
        "scene.objects": 4,
        "training.crop": [1, 2],
    }
    meshes = sent.place(project / "meshes")
    assert sent.translate(settings) == {
        "scene.assets": meshes,
        "mix.sources": {"synthetic": {"kind": "synthetic", "folder": meshes}},
        "scene.objects": 4,
        "training.crop": [1, 2],
    }


def test_two_folders_of_the_same_name_stay_two(project, tmp_path):
    other = tmp_path / "meshes"
    other.mkdir()
    sent = bundle(load("mugs"), [other], FOLDER)
    assert sent.place(project / "meshes") != sent.place(other)
    assert sent.place(other).endswith("/meshes"), "reports show the name"
    assert "floors (1 file, 1 kB)" in sent.words


def test_what_goes_along_is_shown_by_its_name_here(project, tmp_path):
    (tmp_path / "my photos").mkdir()
    sent = bundle(load("mugs"), [tmp_path / "my photos"], FOLDER)
    assert sent.place(tmp_path / "my photos").endswith("/my_photos")
    assert "'my photos' (0 files, 1 kB)" in sent.words


def test_every_setting_that_names_files_is_known():
    assert {path.rpartition(".")[2] for path in OF_FILES} <= {
        *bundles.FILE_SETTINGS,
        *("generator", "program"),  # recognized by their values
    }


@pytest.mark.parametrize(
    ("path", "name"),
    [("..", "elsewhere"), (".", "here"), ("/", "root"), ("my photos", "my_photos")],
)
def test_a_name_never_leads_out_of_the_folder_there(path, name):
    item = bundles.Item(source=Path("/elsewhere/here", path), for_nodes=False, size=0, files=0)
    digest, rest = item.place.split("/")
    assert len(digest) == 8 and rest == name


def test_what_a_command_names_goes_along(project):
    (project / "conf.yaml").write_text("a: 1")
    command = f"command:python3 {project}/meshes --config={project}/conf.yaml --in=/tmp --x=/none"
    changed = with_given(load("mugs"), {"settings": {"scene.generator": command}})
    names = {path.name for path in paths_of(changed)}
    assert names >= {"conf.yaml", "meshes"} and names.isdisjoint({"tmp", "none"})
    sent = bundle(changed, [], FOLDER)
    assert sent.translate_written(command, project) == (
        f"command:python3 {FOLDER}/files/{sent.place(project / 'meshes')} "
        f"--config={FOLDER}/files/{sent.place(project / 'conf.yaml')} --in=/tmp --x=/none"
    )


def test_paths_of_a_command_may_have_equals_signs_and_its_other_words_may_be_anything(project):
    weights, conf = project / "lr=0.1" / "w.pt", project / "conf=2.yaml"
    weights.parent.mkdir()
    for file in (weights, conf):
        file.touch()
    text = "x=1;" * 100  # too long for a path
    command = (
        f"command:python3 make.py --weights=lr=0.1/w.pt --set=a={conf} --x= ~x --b=~x -c '{text}'"
    )
    located = with_absolute_paths("detector.program", command, project)
    assert f"--weights={weights} --set=a={conf} --x= '~x' '--b=~x'" in located
    assert {str(weights), str(conf)} < set(files_of(located, "detector.program"))
    changed = with_given(load("mugs"), {"settings": {"detector.program": located}})
    assert {weights, conf} < paths_of(changed).keys()
    sent = bundle(changed, [], FOLDER)
    there = sent.translate_written(command, project)
    assert f"--weights={FOLDER}/files/{sent.place(weights)} " in there
    assert f"--set=a={FOLDER}/files/{sent.place(conf)} --x= '~x' '--b=~x' -c '{text}'" in there
    assert with_absolute_paths("scene.assets", "~x/meshes", project) == f"{project}/~x/meshes"


def test_an_absolute_folder_keeps_its_slash(project):
    command = f"command:rsync {project}/meshes/ --from={project}/meshes/ {project}/meshes / /none/"
    assert with_absolute_paths("detector.program", command, project) == command


def test_a_name_or_a_subcommand_beside_a_folder_that_is_sent_stays(project):
    for name in ("train", "coco"):
        (project / name).mkdir()
    sent = bundle(load("mugs"), [project / "train", project / "coco"], FOLDER)
    assert sent.translate_written("coco", project) == "coco", "weights, not the photos"
    assert sent.translate({"detector.weights": "coco"}) == {"detector.weights": "coco"}
    command = f"command:python3 t.py train --in={project}/train"
    place = sent.place(project / "train")
    assert sent.translate(command) == f"command:python3 t.py train --in={place}"
    assert sent.translate_written("command:python3 t.py train --in=train/", project) == (
        f"command:python3 t.py train --in={place}"
    )


def test_an_interpreter_of_this_machine_is_refused(project):
    program = project / ".venv" / "bin" / "python"
    program.parent.mkdir(parents=True)
    (project / ".venv" / "pyvenv.cfg").touch()
    program.touch()
    settings = {"scene.generator": f"command:{program} make.py"}
    with pytest.raises(DataError, match=r"would not run on a node\. Write python alone"):
        bundle(with_given(load("mugs"), {"settings": settings}), [], FOLDER)


def test_what_every_node_has_already_is_not_sent(project, tmp_path):
    sent = bundle(load("mugs"), [], FOLDER, mounted=[project / "meshes", tmp_path / "outside"])
    assert [item.name for item in sent.items] == ["make.py"]
    write_definitions("mugs", {}, sent, tmp_path / "staged")
    text = (tmp_path / "staged" / "sweeps" / "mugs.py").read_text(encoding="utf-8")
    assert 'assets="meshes"' not in text and f"'{project}/meshes'" in text
    of_all = bundle(load("mugs"), [], FOLDER, mounted=[project])
    assert of_all.translate({"training.optimizer": "sgd"}) == {"training.optimizer": "sgd"}
    command = of_all.translate_written("command:python3 make.py --fast", project)
    assert command == f"command:python3 {project}/make.py --fast"
    assert sent.path_there(project / "meshes") == f"{project}/meshes"


def test_what_lies_beside_a_folder_that_every_node_has_is_sent(project, tmp_path):
    (tmp_path / "beside.py").touch()
    settings = {"scene.generator": f"command:python3 {project}/../beside.py"}
    sweep = with_given(load("mugs"), {"settings": settings})
    sent = bundle(sweep, [], FOLDER, mounted=[project])
    assert Path(f"{project}/../beside.py") in {item.source for item in sent.items}
    assert sent.is_mounted(Path(f"{project}/sweeps/../meshes"))


def test_another_sweep_that_cannot_be_read_goes_along_as_it_is(project, tmp_path):
    contents = {"broken": b"SWEEP = (", "latin": "# Größe\n".encode("latin-1")}
    contents["refused"] = b"PROGRAM = 'command:python -m make'"
    for name, content in contents.items():
        (project / "sweeps" / f"{name}.py").write_bytes(content)
    write_definitions("mugs", {}, bundle(load("mugs"), [], FOLDER), tmp_path / "staged")
    for name, content in contents.items():
        assert (tmp_path / "staged" / "sweeps" / f"{name}.py").read_bytes() == content


@pytest.mark.parametrize("encoding", ["utf-8-sig", "latin-1"])
def test_a_file_stays_in_its_encoding(encoding, project, tmp_path):
    file = project / "sweeps" / "mugs.py"
    text = file.read_text(encoding="utf-8").replace('"meshes"', r'"\u03ba"')
    cookie = f"# -*- coding: {encoding} -*-\n" if encoding == "latin-1" else ""
    file.write_bytes((cookie + text).encode(encoding))
    (project / "meshes").rename(project / "κ")
    sent = bundle(load("mugs"), [], FOLDER)
    staged = tmp_path / "staged"
    write_definitions("mugs", {}, sent, staged)
    there = load(str(staged / "sweeps" / "mugs.py"), staged)
    assert there.recipe.scene.assets == str(staged / sent.place(project / "κ"))
    assert "Größe" in (staged / "sweeps" / "mugs.py").read_text(encoding)


def test_paths_in_an_expression_name_the_places_there(project, tmp_path):
    file = project / "sweeps" / "mugs.py"
    chosen = f'assets="{project}/meshes" if len("{project}/meshes") > 1 else "shapes"'
    file.write_text(file.read_text(encoding="utf-8").replace('assets="meshes"', chosen))
    sent = bundle(load("mugs"), [], FOLDER)
    write_definitions("mugs", {}, sent, tmp_path / "staged")
    meshes = sent.place(project / "meshes")
    text = (tmp_path / "staged" / "sweeps" / "mugs.py").read_text(encoding="utf-8")
    assert f"assets='{meshes}' if len('{meshes}') > 1 else \"shapes\"" in text


def test_a_link_out_of_a_folder_is_refused_and_one_within_is_followed(project, tmp_path):
    link = project / "meshes" / "link.bin"
    link.symlink_to(project / "meshes" / "mug" / "file.bin")
    bundle(load("mugs"), [], FOLDER)
    link.unlink()
    link.symlink_to(tmp_path / "outside" / "floors" / "file.bin")
    with pytest.raises(DataError, match=r"link.bin: is a link that leads out of .*/meshes, so it"):
        bundle(load("mugs"), [], FOLDER)
    link.unlink()
    other = project / "meshes" / "pot"
    other.mkdir()
    (other / "to-mug").symlink_to(project / "meshes" / "mug")
    sent = bundle(load("mugs"), [], FOLDER)
    assert "meshes (2 files, 2 kB)" in sent.words, "a copy for the link"
    (project / "meshes" / "mug" / "to-pot").symlink_to(other)
    with pytest.raises(DataError, match=r"is a link to .*/meshes/\w+, in which it lies, so that"):
        bundle(load("mugs"), [], FOLDER)


def test_what_is_never_sent_does_not_count(project):
    (project / "meshes" / ".git").mkdir()
    (project / "meshes" / ".git" / "pack").write_bytes(bytes(5000))
    (project / "meshes" / ".gitignore").touch()
    assert "meshes (1 file, 1 kB)" in bundle(load("mugs"), [], FOLDER).words


def test_what_is_not_there_or_too_large_is_named_before_it_is_sent(project, monkeypatch):
    with pytest.raises(DataError, match="photos: does not exist"):
        bundle(load("mugs"), [project / "photos"], FOLDER)
    monkeypatch.setattr(bundles, "MOST_NODE_BYTES", 1500)
    with pytest.raises(DataError, match=r"for Ray to bring to nodes.*2 kB are the most"):
        bundle(load("mugs"), [], FOLDER)
    monkeypatch.setattr(bundles, "MOST_BYTES", 2500)
    with pytest.raises(DataError, match=r"to be sent from here.*Put photos into a bucket.*file_mo"):
        bundle(load("mugs"), [], FOLDER)


def test_a_path_in_parts_is_refused(project, tmp_path):
    file = project / "sweeps" / "mugs.py"
    text = file.read_text().replace('assets="meshes"', 'assets="mesh" + "es"')
    file.write_text(text)
    sent = bundle(load("mugs"), [], FOLDER)
    with pytest.raises(DefinitionError, match=r"names .*meshes in parts.*one text in quotes"):
        write_definitions("mugs", {}, sent, tmp_path / "staged")


SHORT = """
from syndet_ray import Recipe, SceneParameters, Sweep

SWEEP = Sweep(
    question="Any?", recipe=Recipe(scene=SceneParameters(assets="no" + "where")), space=("mix",)
)
"""


def test_a_path_that_something_given_replaces_need_not_be_there(project, tmp_path):
    (project / "sweeps" / "short.py").write_text(SHORT)
    given = {"settings": {"scene.assets": str(project / "meshes")}}
    sent = bundle(with_given(load("short"), given), [], FOLDER)
    assert write_definitions("short", given, sent, tmp_path / "staged") == "short"
