"""YAML is read as PyYAML's safe loader does, with lines, and without what may fill the memory."""

import pytest
import yaml

from syndet_ray.errors import DefinitionError
from syndet_ray.importing.settings import Settings, number
from syndet_ray.importing.yaml_text import read


@pytest.fixture
def settings(tmp_path):
    def read_text(text):
        file = tmp_path / "a.yaml"
        file.write_text(text, encoding="utf-8")
        return read(file)

    return read_text


def test_values_are_those_of_the_safe_loader(settings):
    text = "a: 1\nb: {c: 2.0e-4, d: yes, e: null, f: 'x'}\ng:\n  - 1\n  - two\nh: {}\ni: 2e-4\n"
    plain = yaml.safe_load(text)
    values = {}
    for setting in settings(text):
        values.setdefault(setting.path, []).append(setting.value)
    assert values["a"] == [plain["a"]]
    assert [values[f"b.{key}"] for key in "cdef"] == [[value] for value in plain["b"].values()]
    assert values["g"] == plain["g"]
    assert values["h"] == [None]
    assert [setting.line for setting in settings(text)] == [1, 2, 2, 2, 2, 4, 5, 6, 7]
    # YAML 1.1 takes it for text; people mean a number
    assert plain["i"] == "2e-4"
    assert number(Settings(settings(text)).one("i")) == 2e-4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &x [1]\nb: [*x, *x]\n", "a.yaml:2: aliases (*name) are not read. Write the value out."),
        ("a: &x {b: *x}\n", "a.yaml:1: aliases (*name) are not read"),
        ("a: " + "[" * 100_000, "a.yaml:1: settings must not be nested in more than 50 others"),
        ("- " * 100_000, "a.yaml:1: settings must not be nested in more than 50 others"),
        ("a: !!python/object/apply:os.system ['x']\n", "a.yaml:1: tags (!name) are not read"),
        ("b: 1\na: !!python/name:os.system ''\n", "a.yaml:2: cannot be read (could not determine"),
        ("a: 'x\n", "a.yaml:2:1: is not valid YAML (found unexpected end of stream)"),
        ("a: 1\n b: 2\n", "a.yaml:2:3: is not valid YAML"),
        ("a: 1\na: 2\n", "a.yaml:2: a key must be given once, got 'a'"),
        ("[a]: 1\n", "a.yaml:1: a key must be a word"),
        ("- 1\n", "a.yaml: must be a mapping of settings"),
        ("{}", "a.yaml: has no settings"),
        ("a: 2020-99-99\n", "a.yaml:1: cannot be read (month must be in 1..12)"),
        ("a: " + "9" * 5000, "a.yaml:1: cannot be read (Exceeds the limit"),
        ("a: 1\n---\nb: 2\n", "a.yaml:2:1: is not valid YAML"),
    ],
    ids=lambda text: text[:20],
)  # fmt: skip
def test_mistakes_are_named_by_line(settings, text, message):
    with pytest.raises(DefinitionError) as caught:
        settings(text)
    assert message in str(caught.value)
