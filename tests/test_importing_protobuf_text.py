"""Protobuf text is read as Google's own parser reads it, and mistakes are named by line and column."""

import pytest

from syndet_ray.errors import DefinitionError
from syndet_ray.importing.protobuf_text import read


@pytest.fixture
def values(tmp_path):
    """Reads a text; returns pairs of dotted key and value."""

    def read_text(text):
        file = tmp_path / "spec.txt"
        file.write_text(text, encoding="utf-8")
        return [(setting.path, setting.value) for setting in read(file)]

    return read_text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 1", 1),
        ("a: -1", -1),
        ("a: - 2", -2),
        ("a: 0x1F", 31),
        ("a: 017", 15),
        ("a: 1.5f", 1.5),
        ("a: .5", 0.5),
        ("a: 1e-4", 1e-4),
        ("a: True", True),
        ("a: false", False),
        ("a: L2", "L2"),
        ("a: -inf", "-inf"),
        ("a: 'it\"s'", 'it"s'),
        (r"""a: "say \"x\" \\ \'" """, 'say "x" \\ \''),
        (r'a: "\101\x42\t\n\?"', "AB\t\n?"),
        (r'a: "gr\303\274n"', "grün"),
        (r'a: "\u00fc\U0001F600"', "ü😀"),
        (r'a: "\377"', "\ufffd"),
        ("a: 'one' \"two\"\n  'three'", "onetwothree"),
        ("# first\na: 1 # then\n# last", 1),
        ("a: '#1'", "#1"),
        ("a: 1;", 1),
    ],
)
def test_values(values, text, value):
    assert values(text) == [("a", value)]


def test_messages_nest_and_keys_repeat(values):
    text = "a { b: 1 b: 2 c < d: 3 > } a: { b: [4, 5] } e: [{ f: 6 }, { f: 7 }], g:True"
    assert values(text) == [
        *(("a.b", 1), ("a.b", 2), ("a.c.d", 3), ("a.b", 4), ("a.b", 5)),
        *(("e.f", 6), ("e.f", 7), ("g", True)),
    ]


def test_entries_of_a_map_stay_together(tmp_path):
    file = tmp_path / "spec.txt"
    file.write_text("m { key: 'a' value: 'b' }\nm {\nvalue: 'd'\nkey: 'c' }", encoding="utf-8")
    settings = read(file)
    assert [setting.line for setting in settings] == [1, 1, 3, 4]
    groups = [setting.group for setting in settings]
    assert groups[0] == groups[1] != groups[2] == groups[3]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a {\n b: 1", "spec.txt:2:6: must end with '}': the message of line 1, column 3 is not closed"),
        ("a: 1\n}", "spec.txt:2:1: must be the name of a setting, got '}'"),
        ("a: 'x\ny'", "spec.txt:1:4: a string must end on its line, got \"'x\""),
        ("a: ", "spec.txt:1:4: must be a value, got the end of the file"),
        ("a = 1", "spec.txt:1:3: cannot be read, got '= 1'"),
        ("a 1", "spec.txt:1:3: must be ':' or '{', got '1'"),
        ("a: [1 2]", "spec.txt:1:7: must be ',' or ']', got '2'"),
        ("a: -'x'", "spec.txt:1:5: must be a value, got \"'x'\""),
        ("a { b: 1 >", "spec.txt:1:10: must be the name of a setting, got '>'"),
        ("a: " + "9" * 5000, "spec.txt:1:4: must be a number of fewer than 5000 digits"),
        ("a {\n" * 100_000, "spec.txt:52:1: messages must not be nested in more than 50 others"),
        ("a: " + "[" * 100_000, "spec.txt:1:5: must be a value, got '['"),
        ("\ta: $x", "spec.txt:1:5: cannot be read, got '$x'"),
    ],
    ids=lambda text: text[:20],
)  # fmt: skip
def test_mistakes_are_named_by_line_and_column(values, text, message):
    with pytest.raises(DefinitionError) as caught:
        values(text)
    assert message in str(caught.value).replace(
        "got 'the end of the file'", "got the end of the file"
    )
