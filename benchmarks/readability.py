"""How dense is the code? AST nodes a line, comprehensions, conditional expressions, long lines,
vague names, positional fields.

    python benchmarks/readability.py [FOLDER ...]

Prints a table with a column for each folder; without folders, that of the package. A code line has
a token of code: it is no blank line, comment or docstring. Nodes are all that `ast.walk` visits.
"""

import argparse
import ast
import io
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import syndet_ray

ROOT = Path(syndet_ray.__file__).parents[1]
LONG_COLUMNS = 100  # what ruff formats to
# Participles and pronouns that do not say what the value is.
VAGUE = {"found", "told", "held", "known", "own", "said", "seen", "each", "some"}
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_NO_CODE = (
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
)


def counts(path: Path) -> Counter[str]:
    """The counts of one file, by name."""
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    docstrings = set(_docstring_lines(tree))
    nodes = list(ast.walk(tree))
    totals = Counter(lines=0, files=1)
    totals["lines"] = len(_code_lines(text) - docstrings)
    totals["all lines"] = text.count("\n")
    totals["long lines"] = sum(len(line) > LONG_COLUMNS for line in text.splitlines())
    totals["nodes"] = len(nodes)
    totals["comprehensions"] = sum(isinstance(node, _COMPREHENSIONS) for node in nodes)
    totals["conditionals"] = sum(isinstance(node, ast.IfExp) for node in nodes)
    names: list[str] = []
    for node in nodes:
        names += _assigned(node)
    totals["names"] = len(names)
    totals["vague names"] = sum(name.strip("_") in VAGUE for name in names)
    dataclasses = [
        node for node in nodes if isinstance(node, ast.ClassDef) and _dataclass(node) is not None
    ]
    large = [node for node in dataclasses if _fields(node) >= 3]
    totals["large dataclasses"] = len(large)
    totals["keyword-only"] = sum(_is_keyword_only(node) for node in large)
    totals["positional calls"] = sum(
        _positional(node) >= 6 for node in nodes if isinstance(node, ast.Call)
    )
    return totals


def table(folder: Path) -> dict[str, str]:
    """The measures of a folder of code, in words."""
    total: Counter[str] = Counter()
    for path in sorted(folder.rglob("*.py")):
        total.update(counts(path))
    hundreds = total["lines"] / 100
    keyword_only = f"{total['keyword-only']} of {total['large dataclasses']}"
    return {
        "files": str(total["files"]),
        "code lines": str(total["lines"]),
        "AST nodes a code line": f"{total['nodes'] / total['lines']:.1f}",
        "comprehensions per 100 lines": f"{total['comprehensions'] / hundreds:.1f}",
        "conditional expressions per 100 lines": f"{total['conditionals'] / hundreds:.1f}",
        f"lines over {LONG_COLUMNS} columns": f"{total['long lines'] / total['all lines']:.1%}",
        "vague assigned names": f"{total['vague names'] / max(1, total['names']):.1%}",
        "dataclasses of 3 fields and more, keyword-only": keyword_only,
        "calls with 6 positional arguments and more": str(total["positional calls"]),
    }


def _docstring_lines(tree: ast.Module) -> Iterator[int]:
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            yield from range(node.lineno, (node.end_lineno or node.lineno) + 1)


def _code_lines(text: str) -> set[int]:
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in _NO_CODE:
            lines.update(range(token.start[0], token.end[0] + 1))
    return lines


def _assigned(node: ast.AST) -> Iterator[str]:
    """Names that a node gives a value: of a variable or of an argument."""
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id
    if isinstance(node, ast.arg):
        yield node.arg


def _dataclass(node: ast.ClassDef) -> ast.expr | None:
    for decorator in node.decorator_list:
        called = decorator.func if isinstance(decorator, ast.Call) else decorator
        if isinstance(called, ast.Name) and called.id == "dataclass":
            return decorator
    return None


def _fields(node: ast.ClassDef) -> int:
    return sum(isinstance(statement, ast.AnnAssign) for statement in node.body)


def _is_keyword_only(node: ast.ClassDef) -> bool:
    decorator = _dataclass(node)
    return isinstance(decorator, ast.Call) and any(
        word.arg == "kw_only" for word in decorator.keywords
    )


def _positional(call: ast.Call) -> int:
    return sum(not isinstance(argument, ast.Starred) for argument in call.args)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folders", nargs="*", type=Path, default=[ROOT / "syndet_ray"])
    folders = parser.parse_args().folders
    tables = [table(folder) for folder in folders]
    for name in tables[0]:
        print(f"{name:50}", *(f"{one[name]:>12}" for one in tables))


if __name__ == "__main__":
    main()
