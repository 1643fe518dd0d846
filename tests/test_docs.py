"""The device of docs/plugins.md, built from the page's own text."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

pytestmark = pytest.mark.needs("cpu")
PAGE = Path(__file__).parent.parent / "docs" / "plugins.md"
PROGRAM = """
import rustorch as rt
x = rt.asarray([1.0, 2.0], device="strict").requires_grad_()
(x * x).sum().backward()
print(x.device, x.grad.tolist(), rt.default_device())
"""


def test_the_device_of_the_page_works(tmp_path: Path) -> None:
    (toml,) = re.findall(r"^```toml\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    project = tomllib.loads(toml)["project"]
    for name, code in re.findall(r"^```py\n# (\S+?):.*?\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(code)
    about = tmp_path / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    ((entry, module),) = project["entry-points"]["rustorch"].items()
    (about / "entry_points.txt").write_text(f"[rustorch]\n{entry} = {module}\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "RUSTORCH_PLUGINS": project["name"]}
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=environment)
    assert done.stdout == "strict [2.0, 4.0] cpu\n", done.stderr
