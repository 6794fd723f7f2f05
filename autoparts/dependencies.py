"""What a notebook's result depends on: the package's modules it imports, and the results it reads."""

import ast
import re
from pathlib import Path

PACKAGE = Path(__file__).parent


def sources_of(code: str) -> tuple[list[Path], list[str]]:
    """Find the modules of the package that code imports, directly or through each other, and the results it reads.

    Args:
        code: Python source, or a notebook's cells joined.

    Returns:
        Files of the modules, and names of results as in `study.result("cnn", ...)`, both sorted.
    """
    found: set[Path] = set()
    waiting = [name for line in code.splitlines() for name in _imported(line)]
    while waiting:
        path = PACKAGE / f"{waiting.pop()}.py"
        if path.exists() and path not in found:
            found.add(path)
            waiting += _imported(path.read_text())
    return sorted(found), sorted(set(re.findall(r"\.result\(\s*\"(\w+)\"", code)))


def _imported(code: str) -> list[str]:
    """Return the package's modules named in the import statements of code; text that is no code has none."""
    try:
        nodes = list(ast.walk(ast.parse(code)))
    except SyntaxError:
        return []
    names = []
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module == "autoparts":
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("autoparts."):
            names.append(node.module.split(".")[1])
    return names
