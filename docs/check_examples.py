"""Run every example that the papers show: doctests of the code, and the Python blocks of README and docs.

A block marked `python` is run; where a block marked `text` follows it, its output must be that text, to the letter.
"""

from __future__ import annotations

import contextlib
import doctest
import importlib
import io
import os
import pkgutil
import re
import runpy
import sys
from pathlib import Path

import rustorch
import rustorch_core

# docs/consumers.md says why; SciPy reads it when anything here first imports it.
os.environ["SCIPY_ARRAY_API"] = "1"

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:\n*^```text\n(.*?)^```)?", re.MULTILINE | re.DOTALL)


def check_docstrings() -> tuple[int, int]:
    """Run the doctests of both packages; how many were tried and how many failed."""
    tried = failed = 0
    for package in (rustorch_core, rustorch):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if found.name.endswith("__main__"):
                continue
            module = importlib.import_module(found.name)
            for name, value in vars(module).items():
                own = getattr(value, "__module__", None) in (rustorch.__name__, module.__name__)
                if own and getattr(value, "__name__", None) == name:
                    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
                    for test in doctest.DocTestFinder(recurse=True).find(value, name, module=False, globs={}):
                        runner.run(test)
                    tried, failed = tried + runner.tries, failed + runner.failures
    return tried, failed


def check_page(path: Path) -> tuple[int, int]:
    """Run the Python blocks of a page, one after the other in one namespace."""
    tried = failed = 0
    namespace: dict[str, object] = {"__name__": "__main__"}
    for code, expected in BLOCK.findall(path.read_text()):
        tried += 1
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            exec(compile(code, str(path), "exec"), namespace)
        if expected and output.getvalue() != expected:
            failed += 1
            print(f"{path.name}: expected\n{expected}\nmet\n{output.getvalue()}", file=sys.stderr)
    return tried, failed


def check_program(path: Path) -> tuple[int, int]:
    """Run an example program."""
    with contextlib.redirect_stdout(io.StringIO()):
        runpy.run_path(str(path), run_name="__main__")
    return 1, 0


def main() -> None:
    """Run everything; the exit status says whether all of it was right."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "plugins").glob("*/README.md"))]
    results = {"docstrings": check_docstrings()}
    results |= {str(path.relative_to(ROOT)): check_page(path) for path in pages}
    results |= {path.name: check_program(path) for path in sorted((ROOT / "examples").glob("*.py"))}
    for name, (tried, failed) in results.items():
        print(f"{name}: {tried} run, {failed} failed")
    sys.exit(any(failed for _, failed in results.values()) or not results["docstrings"][0])


if __name__ == "__main__":
    main()
