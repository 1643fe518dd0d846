"""What `import rustorch` brings along, and what it costs."""

import os
import subprocess
import sys
import textwrap

import pytest

pytestmark = pytest.mark.needs("cpu")

HEAVY = {
    "scipy",
    "sklearn",
    "matplotlib",
    "pandas",
    "torch",
    "jax",
    "tensorflow",
    "cupy",
    "pyopencl",
    "mlx",
    "rich",
    "click",
    "safetensors",
    "pytest",
    "hypothesis",
    "setuptools",
    "pkg_resources",
    "importlib.metadata",
    "email",
    "difflib",
    "unittest",
    "asyncio",
    "array_api_strict",
    "rustorch_cuda",
    "rustorch_metal",
    "rustorch_opencl",
}


def run(source, **variables):
    environment = {name: text for name, text in os.environ.items() if not name.startswith("RUSTORCH_")}
    command = [sys.executable, "-c", textwrap.dedent(source)]
    return subprocess.run(command, env={**environment, **variables}, capture_output=True, text=True, check=True)


def loaded_by(statement, **variables):
    """The modules that a statement imports into a fresh process."""
    source = f"import sys; before = set(sys.modules); {statement}; print(*(set(sys.modules) - before))"
    return set(run(source, **variables).stdout.split())


def test_import_loads_nothing_heavy():
    loaded = loaded_by("import rustorch")
    assert not loaded & HEAVY
    assert not {name for name in loaded if name.startswith(("rustorch.nn", "rustorch.cli", "rustorch.io"))}


def test_a_first_op_loads_nothing_heavy():
    # array_api_compat asks NumPy for all of its names, and NumPy's lazy modules then load much of Python's library.
    assert not loaded_by("import rustorch; rustorch.ones(2) + 1") & (
        HEAVY - sys.stdlib_module_names - {"importlib.metadata"}
    )


def test_core_imports_no_plugin():
    loaded = loaded_by("import rustorch", RUSTORCH_AUTOLOAD="0")
    ours = {name for name in loaded if name.startswith("rustorch_") and not name.startswith("rustorch_core")}
    assert ours == set()


def test_plugins_import_a_leaf():
    loaded = loaded_by("import rustorch_core.plugin")
    core = {name for name in loaded if name.startswith("rustorch")}
    assert core == {"rustorch_core", "rustorch_core._version", "rustorch_core.errors", "rustorch_core.plugin"}
    assert "numpy" not in loaded


def test_core_alone_discovers_nothing():
    source = "import rustorch_core, rustorch_core._tensor, rustorch_core._plugins as p; print(p.records)"
    assert run(source).stdout == "[]\n"


def test_import_prints_nothing():
    done = run("import rustorch", PYTHONWARNINGS="error")
    assert done.stdout + done.stderr == ""


def test_import_in_either_order_and_twice():
    assert run("import rustorch_core.plugin, rustorch, rustorch.plugins; import rustorch").stderr == ""


@pytest.mark.skipif(not hasattr(os, "wait4"), reason="CPU time of a child needs os.wait4")
def test_import_costs_less_than_that_of_numpy(tmp_path):
    # Compiled once, as an installed package is; wherever the tests run, their own process may write no bytecode.
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(tmp_path)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    statements = ("pass", "import numpy", "import rustorch")
    rounds = [[cpu_seconds(statement, environment) for statement in statements] for _ in range(9)]
    bare, with_numpy, with_rustorch = (min(seconds) for seconds in zip(*rounds[1:], strict=True))
    assert with_rustorch - with_numpy < with_numpy - bare


def cpu_seconds(statement, environment):
    """The processor time of a fresh process, which other processes disturb less than its time on the wall."""
    process = subprocess.Popen([sys.executable, "-c", statement], env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_utime + usage.ru_stime
