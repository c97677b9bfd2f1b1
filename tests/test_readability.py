"""The package reads as docs/glossary.md and the house style say: nouns for names, one thought a line, plain English."""

import ast
import re
from collections import Counter
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "syndet_ray"
FILES = sorted(PACKAGE.rglob("*.py"))
# Participles and pronouns that do not say what they hold.
VAGUE = {"found", "told", "held", "known", "own", "said", "seen", "each", "some"}
# A function is named by what it does or returns, not by a bare participle such as "rendered". The
# participles that do not end in "ed":
PARTICIPLES = {"bled", "chosen", "drawn", "found", "given", "gone", "hidden", "kept", "known"} | {
    *("left", "lost", "made", "met", "seen", "sent", "shown", "spent", "taken", "told", "written"),
}
# Verbs that end in "ed", and texts of numbers, which read as Python's `sorted` does.
NO_PARTICIPLES = {"bleed", "embed", "feed", "need", "seed", "speed", "counted", "signed"}
# A docstring begins with a verb or a noun: "Returns ...", "The number of ...".
BEGINNINGS = {"What", "Whether", "How", "Of", "Why", "Where", "Which", "Who", "Whoever", "Those"}
# Old or literary words, and their plain ones.
WORDS = {
    "anew": "again",
    "reckoned": "computed",
    "whoever": "the person or thing",
    "nobody": "the person or thing",
    "somebody": "the person or thing",
    "hitherto": "so far",
    "drawn with return": "sampled with replacement",
}
MOST_POSITIONAL = 5
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
# The bytes of this file are part of the keys of rendered sets: words in it change with its shapes.
UNTOUCHED = {"scenes/shapes.py"}


@cache
def nodes(path):
    return list(ast.walk(ast.parse(path.read_text())))


def everything():
    """Every node of the package, with the file and line where it stands."""
    for path in FILES:
        name = name_of(path)
        for node in nodes(path):
            yield f"{name}:{getattr(node, 'lineno', 0)}", node


def name_of(path):
    return str(path.relative_to(PACKAGE))


def assigned(node):
    """The name that a node gives to a value, a function or a class; None where it gives none."""
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        return node.id
    if isinstance(node, ast.arg):
        return node.arg
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return node.name
    return None


def is_nested(node, kinds):
    """True for a node of these kinds that holds another of them."""
    if not isinstance(node, kinds):
        return False
    return any(inner is not node and isinstance(inner, kinds) for inner in ast.walk(node))


def test_names_are_nouns():
    vague = []
    for where, node in everything():
        name = assigned(node)
        if name is not None and name.strip("_") in VAGUE:
            vague.append(f"{where} {name}")
    assert vague == [], "name what it holds, see docs/glossary.md"


def is_participle(name):
    word = name.strip("_")
    if "_" in word or word in NO_PARTICIPLES:
        return False
    return word.endswith("ed") or word in PARTICIPLES


def is_property(node):
    """True for a function that is read as a value: an adjective may name a fact."""
    return any(getattr(decorator, "id", None) == "property" for decorator in node.decorator_list)


def test_functions_are_not_named_by_participles():
    bare = []
    for where, node in everything():
        if isinstance(node, ast.FunctionDef) and is_participle(node.name) and not is_property(node):
            bare.append(f"{where} {node.name}")
    assert bare == [], "name what it does or returns: render, scored_recipes, is_paired"


def test_a_line_says_one_thing():
    for where, node in everything():
        assert not is_nested(node, COMPREHENSIONS), f"{where}: a comprehension in another"
        assert not is_nested(node, (ast.IfExp,)), f"{where}: a conditional in another"
        if isinstance(node, ast.Call):
            positional = [value for value in node.args if not isinstance(value, ast.Starred)]
            assert len(positional) <= MOST_POSITIONAL, f"{where}: give arguments by name"


def test_docstrings_begin_with_a_verb_or_a_noun():
    for where, node in everything():
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            first = re.match(r"\w+", (ast.get_docstring(node) or "").strip())
            assert first is None or first.group() not in BEGINNINGS, where


def test_words_are_plain():
    old = []
    for path in FILES:
        text = "" if name_of(path) in UNTOUCHED else path.read_text().lower()
        for word, plain in WORDS.items():
            if re.search(rf"\b{word}\b", text):
                old.append(f"{name_of(path)}: {word!r} is {plain!r}")
    assert old == []


def test_no_two_classes_have_one_name():
    classes = [node for path in FILES for node in nodes(path) if isinstance(node, ast.ClassDef)]
    counts = Counter(node.name for node in classes if not node.name.startswith("_"))
    assert [name for name, count in counts.items() if count > 1] == []


def test_dataclasses_of_three_fields_take_them_by_name():
    for path in FILES:
        for node in nodes(path):
            if isinstance(node, ast.ClassDef) and is_positional(node):
                fields = [field for field in node.body if isinstance(field, ast.AnnAssign)]
                assert len(fields) < 3, f"{path}:{node.lineno}: {node.name} needs kw_only=True"


def is_positional(node):
    """True for a dataclass whose fields may be given by position."""
    for decorator in node.decorator_list:
        called = decorator.func if isinstance(decorator, ast.Call) else decorator
        if getattr(called, "id", None) == "dataclass":
            options = decorator.keywords if isinstance(decorator, ast.Call) else []
            return "kw_only" not in {option.arg for option in options}
    return False


def test_only_the_command_line_prints_and_reads_arguments():
    for where, node in everything():
        if where.startswith(("cli/", "__main__", "scenes/blender_script")):
            continue
        called = node.func if isinstance(node, ast.Call) else None
        assert getattr(called, "id", None) != "print", where
        assert not (isinstance(node, ast.Attribute) and node.attr == "argv"), where


def test_the_rules_can_fail():
    code = "x = [[a for a in b] for b in c]\ny = 1 if a else 2 if b else 3\nfound = 1\n"
    bad = list(ast.walk(ast.parse(code)))
    assert any(is_nested(node, COMPREHENSIONS) for node in bad)
    assert any(is_nested(node, (ast.IfExp,)) for node in bad)
    assert "found" in [assigned(node) for node in bad]
    assert [is_participle(name) for name in ("_rendered", "kept", "render_set", "_feed")] == [
        *(True, True),
        *(False, False),
    ]
    (positional, by_name) = ast.parse(
        "@dataclass\nclass A: x: int\n@dataclass(kw_only=True)\nclass B: x: int\n"
    ).body
    assert is_positional(positional) and not is_positional(by_name)


def test_one_module_names_the_metrics():
    """A name that is written twice is misspelt once, and the score is missing without a word."""
    names = ("mAP@", "capped@", "AP_visible", "recall_visible", "slope/", "error/", "AP/")
    elsewhere = []
    for where, node in everything():
        is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
        if is_text and " " not in node.value and not where.startswith("metrics.py"):
            text = node.value
            if text in ("mAP_any_class", "AP50_any_class") or text.startswith(names):
                elsewhere.append(f"{where} {text}")
    assert elsewhere == []
