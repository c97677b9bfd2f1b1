"""README and the list of files tell the truth about what can be checked: files, verbs and commands."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
FILES = (ROOT / "docs" / "files.md").read_text()
MOST_WORDS = 6  # a longer description is not read


def lines():
    """The path and the description of every line of the list."""
    folder, pairs = "", []
    for line in FILES.splitlines():
        if re.match(r"^[a-z_/]+/$", line):
            folder = line
        elif match := re.match(r"^    (\w+\.py) +(\S.*)", line):
            pairs.append((folder + match[1], match[2]))
    return pairs


def described():
    """The description of every file in the list, by its path."""
    return dict(lines())


def test_every_file_has_its_line_in_the_list():
    found = {
        str(path.relative_to(ROOT))
        for top in ("sweeps", "search_spaces", "syndet_ray", "benchmarks")
        for path in (ROOT / top).rglob("*.py")
        if path.name != "__init__.py"
    }
    assert set(described()) == found


def test_no_file_is_listed_twice():
    others = re.findall(r"^(\w+/|\S+\.\w+) +\S", FILES, re.MULTILINE)  # that are no Python files
    assert "docs/files.md" in others
    paths = [*(path for path, _ in lines()), *others]
    assert [path for path in paths if paths.count(path) > 1] == []


def test_a_file_is_described_in_a_few_words():
    long = {path: words for path, words in described().items() if len(words.split()) > MOST_WORDS}
    assert long == {}


def test_the_verbs_are_those_of_the_command_line():
    done = subprocess.run(
        [sys.executable, "-m", "syndet_ray", "--help"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    verbs = re.findall(r"^  (\w+)  ", done.stdout[done.stdout.index("Commands:") :], re.MULTILINE)
    assert verbs == [
        *(
            "init",
            "sweep",
            "resume",
            "attach",
            "stop",
            "check",
            "import",
            "replay",
            "report",
            "evaluate",
            "predict",
            "compare",
            "render",
            "ui",
            "data",
        ),
    ]
    told = [match for match in re.findall(r"^\| `(\w+)", README, re.MULTILINE) if match in verbs]
    assert list(dict.fromkeys(told)) == verbs


def test_what_it_links_to_is_there():
    docs = ROOT / "docs"
    for folder, text in ((ROOT, README), (docs, (docs / "guide.md").read_text()), (docs, FILES)):
        headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
        anchors = {f"#{heading.lower().replace(' ', '-')}" for heading in headings}
        for target in re.findall(r"\]\(([^)]+)\)", text):
            file, _, anchor = target.partition("#")
            if file:
                assert (folder / file).exists(), target
            elif anchor:
                assert target in anchors, target


def test_the_places_to_add_something_exist():
    paths = re.findall(r"`((?:\w+/)+[\w.]*)`", FILES[: FILES.index("## Every file")])
    assert "search/pruning.py" in paths
    for path in paths:
        assert (ROOT / path).exists() or (ROOT / "syndet_ray" / path).exists(), path


def test_it_is_read_in_a_few_minutes():
    assert len(README.splitlines()) <= 140
    assert len(README.split()) <= 1500


def test_the_sweep_it_shows_is_valid():
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    values = {}
    exec(code, values)
    assert values["SWEEP"].trials == 20


def test_what_a_cluster_needs_stands_before_the_line_that_starts_it():
    start = README.index("ray up cluster.yaml")
    for needed in ("docs/cluster_aws.md", "YOUR-BUCKET", "check obstruction --cluster", "checkout"):
        assert 0 < README.find(needed, README.index("## The cluster in five lines")) < start
    assert "YOUR-BUCKET" in (ROOT / "cluster.yaml").read_text(encoding="utf-8")
