"""README tells the truth about what can be checked: its files, verbs and commands."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_every_file_has_its_line_in_the_tree():
    tree = README[README.index("## Files") :]
    folder, told = "", set()
    for line in tree.splitlines():
        if re.match(r"^[a-z_/]+/$", line):
            folder = line
        elif match := re.match(r"^    (\w+\.py) +\S", line):
            told.add(folder + match[1])
    found = {
        str(path.relative_to(ROOT))
        for top in ("sweeps", "search_spaces", "syndet_ray", "benchmarks")
        for path in (ROOT / top).rglob("*.py")
        if path.name != "__init__.py"
    }
    assert told == found


def test_the_verbs_are_those_of_the_command_line():
    done = subprocess.run(
        [sys.executable, "-m", "syndet_ray", "--help"], capture_output=True, text=True, check=True, cwd=ROOT
    )
    verbs = re.findall(r"^  (\w+)  ", done.stdout[done.stdout.index("Commands:") :], re.MULTILINE)
    assert verbs == [
        *("sweep", "resume", "check", "replay", "report", "evaluate", "predict", "compare", "render", "ui", "data"),
    ]
    told = [match for match in re.findall(r"^\| `(\w+)", README, re.MULTILINE) if match in verbs]
    assert list(dict.fromkeys(told)) == verbs


def test_what_it_links_to_is_there():
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert (ROOT / target).exists(), target


def test_the_sweep_it_shows_is_valid():
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    values = {}
    exec(code, values)
    assert values["SWEEP"].trials == 20
