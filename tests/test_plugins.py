"""Plugins as they come: real distributions, installed by pip, met by a fresh process.

All of them, good and broken, lie in one folder and are found together; each must have its own clear line in
`rustorch devices` and hurt nobody else.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.needs("cpu")

HEAD = """
from rustorch_core.plugin import (
    Backend, BackendUnavailableError, DeviceSpec, Kernel, OptimizerSpec, ProfilerSink, hookimpl
)
RUSTORCH_API = (1, 0)
"""

GOOD_HOOK = """
@hookimpl
def rustorch_kernels(ctx):
    return []
"""


def device(type_, **facts):
    """Source of a plugin with one device."""
    stated = "".join(f", {name}={value!r}" for name, value in facts.items())
    return f"{HEAD}\n@hookimpl\ndef rustorch_devices(ctx):\n    return [DeviceSpec(type={type_!r}{stated})]\n"


def kernel(op, target):
    """Source of a plugin with one kernel for the cpu device."""
    fact = f"Kernel(op={op!r}, device='cpu', load={target!r})"
    return f"{HEAD}\n@hookimpl\ndef rustorch_kernels(ctx):\n    return [{fact}]\n"


# Plugins that cannot be loaded: source of the module, and the line of `rustorch devices` after the state.
FAILING = {
    "import_error": ("import no_such_library", r"ModuleNotFoundError: No module named 'no_such_library'"),
    "syntax_error": ("def (:", r"SyntaxError: invalid syntax \(_plugin.py, line 1\)"),
    "exits": ("raise SystemExit('stop here')", r"SystemExit: stop here"),
    "cancels": ("import asyncio; raise asyncio.CancelledError", r"CancelledError"),
    "unprintable": (
        "class Unprintable(Exception):\n    def __str__(self): raise ValueError\nraise Unprintable",
        r"Unprintable",
    ),
    "many_lines": ("raise ValueError('\\n  first \\x1b[31m line\\nsecond line')", r"ValueError: first  \[31m line"),
    "newer_core": (
        "from rustorch_core.plugin import Holography",
        r"ImportError: cannot import name 'Holography'.*: it is written for another version of rustorch",
    ),
    "misspelt": (
        f"{HEAD}\n@hookimpl\ndef rustorch_device(ctx): return []",
        r"has a hook 'rustorch_device' that rustorch does not know; did you mean rustorch_devices\?",
    ),
    "misspelt_much": (
        f"{HEAD}\n@hookimpl\ndef offer_hardware(ctx): return []",
        r"has a hook 'offer_hardware' that rustorch does not know; there are: rustorch_\w+, .*",
    ),
    "unmarked": (
        f"{HEAD}\ndef rustorch_devices(ctx): return []",
        r"defines rustorch_devices without @rustorch_core.plugin.hookimpl above",
    ),
    "wrong_argument": (
        f"{HEAD}\n@hookimpl\ndef rustorch_devices(registry): return []",
        r"its hook rustorch_devices takes arguments of other names; a hook takes one, `ctx`",
    ),
    "no_hooks": (HEAD, r"defines none of the hooks rustorch_devices, .*"),
    "newer_minor": (
        f"{HEAD}RUSTORCH_API = (1, 7)\n{GOOD_HOOK}",
        r"is written for plugin API 1.7, this rustorch has 1.0: upgrade rustorch",
    ),
    "newer_major": (
        f"{HEAD}RUSTORCH_API = (2, 0)\n{GOOD_HOOK}",
        r"is written for plugin API 2.0, this rustorch has 1.0: upgrade rustorch",
    ),
    "older_major": (
        f"{HEAD}RUSTORCH_API = (0, 9)\n{GOOD_HOOK}",
        r"is written for plugin API 0.9, this rustorch has 1.0: upgrade the plugin",
    ),
    "no_version": (
        f"{HEAD}del RUSTORCH_API\n{GOOD_HOOK}",
        r"states no plugin API version; its module needs `RUSTORCH_API = \(1, 0\)`",
    ),
    "nonsense_version": (
        f"{HEAD}RUSTORCH_API = '1.0'\n{GOOD_HOOK}",
        r"states RUSTORCH_API = '1.0'; expected two integers such as \(1, 0\)",
    ),
    "hook_raises": (f"{HEAD}\n@hookimpl\ndef rustorch_kernels(ctx): 1 / 0", r"ZeroDivisionError: division by zero"),
    "hook_exits": (f"{HEAD}\n@hookimpl\ndef rustorch_kernels(ctx): raise SystemExit", r"SystemExit"),
    "hook_yields_then_raises": (
        kernel("exp", "a:b").replace("return [", "yield from [") + "    1 / 0\n",
        r"ZeroDivisionError: division by zero",
    ),
    "returns_number": (
        f"{HEAD}\n@hookimpl\ndef rustorch_devices(ctx): return 42",
        r"rustorch_devices returned 42; expected a list of DeviceSpec",
    ),
    "returns_text": (
        f"{HEAD}\n@hookimpl\ndef rustorch_devices(ctx): return 'cuda'",
        r"rustorch_devices returned 'cuda'; expected a list of DeviceSpec",
    ),
    "returns_bare_fact": (
        f"{HEAD}\n@hookimpl\ndef rustorch_devices(ctx): return DeviceSpec(type='bare', load='a:b')",
        r"rustorch_devices returned DeviceSpec\(type='bare',.*; expected a list of DeviceSpec",
    ),
    "returns_strange_facts": (
        f"{HEAD}\n@hookimpl\ndef rustorch_kernels(ctx): return [('exp', 'cpu')]",
        r"rustorch_kernels returned a list with \('exp', 'cpu'\) in it; expected Kernel objects",
    ),
    "wrong_field": (device("x", load="a:b", speed=9), r"TypeError: .*unexpected keyword argument 'speed'"),
    "wrong_rank": (device("x", load="a:b", rank="high"), r"DeviceSpec\(rank='high'\): expected an integer"),
    "wrong_type": (device("x:1", load="a:b"), r"DeviceSpec\(type='x:1'\): expected a name such as 'cuda', .*"),
    "wrong_load": (
        device("x", load="no colon"),
        r"DeviceSpec\(load='no colon'\): expected 'package.module:function'.*",
    ),
}

# Plugins that load, whose device cannot be used: source, and the device's line after the state.
UNUSABLE = {
    "absent_driver": (
        device("absent", load="test_absent_driver._plugin:load", probe="test_absent_driver._plugin:probe", rank=90)
        + "\ndef probe(): raise BackendUnavailableError('no', reason='there is no driver', fix='install one')",
        r"there is no driver; fix: install one",
    ),
    "probe_raises": (
        device("explosive", load="a:b", probe="test_probe_raises._plugin:probe", rank=91)
        + "\ndef probe(): raise OSError('libexplosive.so: cannot open')",
        r"its probe failed with OSError: libexplosive.so: cannot open; fix: see `rustorch doctor explosive`",
    ),
    "probe_exits": (
        device("quitter", load="a:b", probe="test_probe_exits._plugin:probe") + "\ndef probe(): raise SystemExit(3)",
        r"its probe failed with SystemExit: 3; .*",
    ),
    "load_missing": (
        device("missing", load="no_such_module:load"),
        r"its probe failed with ModuleNotFoundError: No module named 'no_such_module'; .*",
    ),
    "load_raises": (
        device("fragile", load="test_load_raises._plugin:load") + "\ndef load(): raise MemoryError",
        r"its probe failed with MemoryError; .*",
    ),
    "load_garbage": (
        device("garbage", load="test_load_garbage._plugin:load") + "\ndef load(): return 'backend'",
        r"its probe failed with TypeError: .* returned str, expected rustorch_core.plugin.Backend; .*",
    ),
    "wrong_count": (
        device("countless", load="test_wrong_count._plugin:load")
        + "\ndef load(): return Backend(namespace=None, count=0)",
        r"its probe failed with Backend\(count=0\): expected a number of devices of at least 1; .*",
    ),
    "wrong_answer": (
        device("liar", load="test_wrong_answer._plugin:load", rank=99)
        + textwrap.dedent("""
            def load():
                import types, numpy
                namespace = types.SimpleNamespace(add=lambda x, y: x + y + 1)
                return Backend(namespace=namespace, from_host=lambda x, i: x.copy(), to_host=lambda x: x)
            """),
        r"its probe failed with ArithmeticError: 1 \+ 1 in float32, three times, gave \[3.0, 3.0, 3.0\] .*",
    ),
}

LOOPBACK = """
class Namespace:
    def __getattr__(self, name):
        import array_api_strict
        if name == "sinh":
            raise AttributeError(name)
        return getattr(array_api_strict, name)

def load():
    import array_api_strict
    return Backend(namespace=Namespace(), from_host=lambda x, i: array_api_strict.asarray(x, copy=True), count=2)
"""

UPDATE_RULE = """
@hookimpl
def rustorch_optimizers(ctx):
    return [OptimizerSpec(name="signs", load="test_signs._plugin:rule")]

def rule():
    import rustorch as rt
    update = lambda p, g, state, step, options: (p - options["lr"] * rt.sign(g), state)
    return rt.optim.UpdateRule("signs", {"lr": 0.5, "maximize": False}, lambda p, options: {}, update, "")
"""

SINK = """
@hookimpl
def rustorch_profiler_sinks(ctx):
    return [ProfilerSink(name="names", load="test_names._plugin:sink")]

seen = []

def sink():
    return lambda op, inputs, attributes: None, lambda op, *rest: seen.append(op.name)
"""

# Plugins that load, and what their line says after the state.
WORKING = {
    "looping": (
        device("loop", load="test_looping._plugin:load", rank=100, description="arrays of array_api_strict") + LOOPBACK,
        r"device loop",
    ),
    "imports_rustorch": (f"import rustorch\nrustorch.float32\n{HEAD}{GOOD_HOOK}", r""),
    "refreshes": (f"import rustorch.plugins\nrustorch.plugins.refresh()\n{HEAD}{GOOD_HOOK}", r""),
    "returns_none": (f"{HEAD}\n@hookimpl\ndef rustorch_devices(ctx): pass", r""),
    "no_context": (f"{HEAD}\n@hookimpl\ndef rustorch_devices(): return []", r""),
    "signs": (HEAD + UPDATE_RULE, r"optimizer signs"),
    "names": (HEAD + SINK, r"profiler sink names"),
    "kernel_used": (
        kernel("cosh", "test_kernel_used._plugin:cosh") + "\ndef cosh(x): return x * 0 + 7",
        r"1 kernel for cpu: cosh",
    ),
    "kernel_declines": (
        kernel("sinh", "test_kernel_declines._plugin:sinh") + "\ndef sinh(x): return NotImplemented",
        r"1 kernel for cpu: sinh",
    ),
    "kernel_gone": (kernel("tan", "test_kernel_gone._native:tan"), r"1 kernel for cpu: tan"),
    "kernel_exits": (
        kernel("atanh", "test_kernel_exits._plugin:atanh")
        + "\ndef __getattr__(name):\n    if name == 'atanh': raise SystemExit\n    raise AttributeError(name)",
        r"1 kernel for cpu: atanh",
    ),
    "kernel_unknown": (
        kernel("sofmax", "a:b").replace("'cpu'", "'warp'"),
        r"1 kernel for warp: sofmax; has kernels for what is no op: sofmax; "
        r"has kernels for 'warp', a device that no plugin offers",
    ),
    "claims_cpu": (
        device("cpu", load="a:b", rank=1000),
        r"device cpu; its device 'cpu' is not used: that is the name of rustorch's own reference device",
    ),
    "same_first": (device("same", load="a:b", rank=2), r"device same"),
    "same_second": (
        device("same", load="a:b", rank=1),
        r"device same; its device 'same' is not used: test-same-first brings one of that name; "
        r"uninstall one, or set RUSTORCH_BLOCK=same_first to use this one",
    ),
    **{name: (source, r"device \w+") for name, (source, _) in UNUSABLE.items()},
}

# Plugins whose entry point has the name of another one's: distribution, entry point, and the whole line.
NAMESAKES = {
    "twin_one": ("twin", r"twin  test-twin-one 2.5  loaded"),
    "twin_two": (
        "twin",
        r"twin  test-twin-two 2.5  skipped  the name 'twin' is taken by test-twin-one 2.5; "
        r"uninstall one, or set RUSTORCH_BLOCK=test-twin-one to use this one",
    ),
    "named_cpu": (
        "cpu",
        r"cpu  test-named-cpu 2.5  skipped  the name 'cpu' is that of rustorch's own reference device; "
        r"its author must choose another",
    ),
}

SOURCES = {name: (name, source) for name, (source, _) in {**FAILING, **WORKING}.items()}
SOURCES |= {name: (entry, HEAD + GOOD_HOOK) for name, (entry, _) in NAMESAKES.items()}


def build_wheel(folder, name, entry_point, source):
    """A wheel as any build tool makes it: the package, its metadata, its entry point, its record."""
    stem = f"test_{name}-2.5"
    files = {
        f"test_{name}/__init__.py": "",
        f"test_{name}/_plugin.py": source,
        f"{stem}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: Test_{name}\nVersion: 2.5\n\nName: not-this\n",
        f"{stem}.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{stem}.dist-info/entry_points.txt": f"[other]\nx = y\n\n[rustorch]\n{entry_point} = test_{name}._plugin\n",
    }
    record = "".join(f"{path},,\n" for path in (*files, f"{stem}.dist-info/RECORD"))
    path = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for name_, text in {**files, f"{stem}.dist-info/RECORD": record}.items():
            wheel.writestr(name_, text)
    return path


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """A folder into which pip installed every distribution of this file."""
    wheels, target = tmp_path_factory.mktemp("wheels"), tmp_path_factory.mktemp("site")
    paths = [build_wheel(wheels, name, entry, source) for name, (entry, source) in SOURCES.items()]
    options = ["--quiet", "--no-deps", "--no-index", "--no-compile", "--disable-pip-version-check", "--target", target]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, *paths], check=True)
    return target


def some_of(site, target, *names):
    """A folder with some of the installed distributions only."""
    target.mkdir(exist_ok=True)
    for name in names:
        for part in site.glob(f"test_{name}*"):
            shutil.copytree(part, target / part.name, dirs_exist_ok=True)
    return target


def python(*arguments, path, status=0, **variables):
    """Run Python in a fresh process that finds the distributions of a folder; returns what it printed."""
    environment = {name: text for name, text in os.environ.items() if not name.startswith("RUSTORCH_")}
    environment |= {"PYTHONPATH": str(path), "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "40", **variables}
    done = subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True, encoding="utf-8", check=False
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done


def program(source, *, path, **settings):
    return python("-c", textwrap.dedent(source), path=path, **settings)


def rustorch(*arguments, path, **settings):
    """Run the command line."""
    return python("-m", "rustorch", *arguments, path=path, **settings)


def lines(text):
    """The lines of a report, with columns two spaces apart."""
    return [re.sub(r" {2,}", "  ", line.strip()) for line in text.splitlines()]


@pytest.fixture(scope="session")
def report(site):
    return lines(rustorch("devices", path=site).stdout)


@pytest.fixture(scope="session")
def facts(site):
    return json.loads(rustorch("devices", "--ops", "--json", path=site).stdout)


def the_line(report, start):
    (found,) = [line for line in report if line.startswith(start)]
    return found


# One clear line each


@pytest.mark.parametrize("name", FAILING)
def test_a_broken_plugin_has_one_clear_line(report, name):
    distribution = f"test-{name.replace('_', '-')}"
    assert re.fullmatch(f"{name}  {distribution} 2.5  failed  {FAILING[name][1]}", the_line(report, f"{name}  "))


@pytest.mark.parametrize("name", WORKING)
def test_a_plugin_that_loads_says_what_it_brings(report, name):
    expected = f"{name}  test-{name.replace('_', '-')} 2.5  loaded" + f"  {WORKING[name][1]}" * bool(WORKING[name][1])
    assert re.fullmatch(expected, the_line(report, f"{name}  test"))


@pytest.mark.parametrize("name", UNUSABLE)
def test_an_unusable_device_says_why(report, name):
    assert re.fullmatch(rf"\w+  -?\d+  {name}  unusable  {UNUSABLE[name][1]}", the_line_of_device(report, name))


def the_line_of_device(report, plugin):
    (found,) = [line for line in report if re.match(rf"\w+  -?\d+  {plugin}  ", line)]
    return found


@pytest.mark.parametrize("name", NAMESAKES)
def test_of_two_plugins_of_one_name_the_first_wins(report, name):
    assert NAMESAKES[name][1] in report


def test_the_default_is_still_the_reference(report):
    assert "Default device: cpu; decided by: it is the best ranked one that can be used" in report
    assert "cpu  0  cpu  usable  NumPy arrays on the processor, the reference" in report


def test_everything_else_works_beside_all_of_them(site):
    done = program(
        "import rustorch as rt\nprint(rt.default_device(), (rt.ones(2) + 1).tolist(), *rt.devices()[:3])",
        path=site,
    )
    assert done.stdout == "cpu [2.0, 2.0] loop:0 loop:1 cpu\n"
    assert done.stderr == ""


def test_json_tells_the_same(facts, report):
    assert len(facts["plugins"]) >= len(SOURCES) + 1
    for plugin in facts["plugins"]:
        line = the_line(report, f"{plugin['name']}  {plugin['distribution']} {plugin['version']}  ")
        assert (
            plugin["name"] in ("kernel_gone", "kernel_exits")
            or f"  {plugin['state']}  {plugin['reason']}".rstrip() in line
        )
    assert facts["default"] == {
        "device": "cpu",
        "decided_by": "it is the best ranked one that can be used",
        "error": "",
    }
    usable = {device["type"]: device["usable"] for device in facts["devices"]}
    assert usable["cpu"]
    assert usable["loop"]
    assert not usable["liar"]


def test_each_device_type_is_listed_once_best_first(facts):
    ranks = [device["rank"] for device in facts["devices"]]
    assert ranks == sorted(ranks, reverse=True)
    types = [device["type"] for device in facts["devices"]]
    assert len(set(types)) == len(types)


def test_a_line_is_neither_cut_nor_wrapped(site):
    text = rustorch("devices", path=site, COLUMNS="20").stdout
    assert all(line.startswith("  ") for line in text.split("Plugins")[1].split("Devices")[0].strip("\n").splitlines())
    assert max(map(len, text.splitlines())) > 200


# Kernels


def test_ops_shows_what_serves_each(facts):
    served = facts["ops"]["served_by"]
    assert served["cosh"]["cpu"] in ("kernel (kernel_used)", "kernel (kernel_used, simd)")
    assert served["tan"]["cpu"] in ("namespace", "kernel (simd)")  # its kernel's module is not there
    assert served["cosh"]["loop"] == "namespace"
    assert served["sinh"]["loop"] == "missing"
    assert served["relu"]["loop"] == "composition"
    assert served["bitwise_and"]["cpu"] == "not for float32"


def test_ops_takes_a_dtype(site):
    facts = json.loads(
        rustorch("devices", "--ops", "--json", "--dtype", "int64", path=site, RUSTORCH_AUTOLOAD="0").stdout
    )
    assert facts["ops"]["dtype"] == "int64"
    assert facts["ops"]["served_by"]["bitwise_and"] == {"cpu": "namespace"}
    done = rustorch("devices", "--ops", "--dtype", "float23", path=site, RUSTORCH_AUTOLOAD="0", status=1)
    assert done.stderr.startswith("rustorch: 'float23' is not a dtype")


def test_kernels_are_used_or_decline_or_are_gone(site):
    done = program(
        """
        import math, warnings, rustorch as rt
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            x = rt.asarray([0.5, 1.0])
            print(rt.cosh(x).tolist(), rt.cosh(rt.astype(x, rt.float64)).tolist()[1] == math.cosh(1))
            print(abs(rt.sinh(x).tolist()[1] - math.sinh(1)) < 1e-6)
            print(rt.atanh(x * 0).tolist())
            for _ in range(3):
                print(abs(rt.tan(x).tolist()[1] - math.tan(1)) < 1e-6)
        for each in caught:
            print(each.message)
        print([r.reason for r in rt.plugins.records() if r.name == "kernel_gone"])
        """,
        path=site,
    )
    *computed, other, warning, reason = done.stdout.splitlines()
    assert computed == ["[7.0, 7.0] True", "True", "[0.0, 0.0]", "True", "True", "True"]
    assert "test_kernel_exits._plugin:atanh cannot be loaded: SystemExit" in other
    assert "kernel_gone" in warning
    assert "No module named 'test_kernel_gone._native'" in warning
    assert "No module named 'test_kernel_gone._native'" in reason


def test_a_warning_about_a_kernel_is_seen_without_asking(site):
    done = program("import rustorch as rt\nrt.tan(rt.ones(2)); rt.tan(rt.ones(2))", path=site)
    assert done.stderr.count("No module named 'test_kernel_gone._native'") == 1


# A stranger's device


def test_a_strangers_device_is_used_when_named(site):
    done = program(
        """
        import sys, rustorch as rt
        print("array_api_strict" in sys.modules)
        x = rt.asarray([1.0, 2.0], device="loop:1")
        y = (x * x).sum()
        print(y.device, y.item(), type(y._array).__module__.split(".")[0], rt.ones(1).device)
        print(rt.grad(lambda x: (x * x).sum())(x).tolist(), rt.softmax(x).device, x.to("cpu").device)
        """,
        path=site,
    )
    assert done.stdout.splitlines() == [
        "False",
        "loop:1 5.0 array_api_strict cpu",
        "[2.0, 4.0] loop:1 cpu",
    ]


def test_a_strangers_device_is_the_default_when_the_user_says_so(site):
    done = program("import rustorch as rt\nprint(rt.ones(1).device)", path=site, RUSTORCH_DEVICE="loop")
    assert done.stdout == "loop:0\n"
    told = rustorch("devices", path=site, RUSTORCH_DEVICE="loop").stdout
    assert "Default device: loop:0; decided by: RUSTORCH_DEVICE=loop" in told


def test_an_unusable_default_is_told(site):
    told = lines(rustorch("devices", path=site, RUSTORCH_DEVICE="absent").stdout)
    message = "device 'absent' cannot be used: there is no driver. Install one"
    assert f"Default device: none. RUSTORCH_DEVICE=absent: {message}" in told
    told = lines(rustorch("devices", path=site, RUSTORCH_DEVICE="lop").stdout)
    assert "Default device: none. RUSTORCH_DEVICE=lop: device: no plugin offers 'lop'" in " ".join(told)
    done = program("import rustorch as rt\nrt.ones(1)", path=site, RUSTORCH_DEVICE="lop", status=1)
    assert "EnvironmentVariableError: RUSTORCH_DEVICE=lop" in done.stderr


@pytest.mark.parametrize("policy", ["error", "warn", "allow"])
def test_an_op_that_a_device_lacks(site, policy):
    done = program(
        """
        import warnings, rustorch as rt
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                for _ in range(2):
                    y = rt.sinh(rt.zeros(2, device="loop"))
                print(y.device, y.tolist())
            except NotImplementedError as error:
                print(error)
        print(*[each.message for each in caught])
        """,
        path=site,
        RUSTORCH_FALLBACK=policy,
        RUSTORCH_PLUGINS="looping",
    )
    result, warned = done.stdout.splitlines()
    if policy == "error":
        assert "sinh" in result
        assert "RUSTORCH_FALLBACK=warn" in result
    else:
        assert result == "loop:0 [0.0, 0.0]"
    assert warned.count("sinh runs on the host") == (policy == "warn")


def test_fallback_warnings_are_seen_without_asking(site):
    source = "import rustorch as rt\nrt.sinh(rt.zeros(2, device='loop')); rt.sinh(rt.zeros(2, device='loop'))"
    done = program(source, path=site, RUSTORCH_FALLBACK="warn")
    assert done.stderr.count("sinh runs on the host") == 1


def test_ranking_does_not_depend_on_the_order_of_discovery(site, tmp_path):
    names = ("looping", "same_first", "same_second", "wrong_answer", "twin_one", "twin_two")
    folders = [str(some_of(site, tmp_path / name, name)) for name in names]
    forward, backward = (
        rustorch("devices", path=os.pathsep.join(order)).stdout for order in (folders, reversed(folders))
    )
    assert "loop" in forward
    assert forward == backward


# Optimizers and profiler sinks


def test_an_optimizer_from_a_plugin(site):
    done = program(
        """
        import rustorch as rt
        w = rt.asarray([4.0, -4.0]).requires_grad_()
        optimizer = rt.optim.create("signs", [w])
        (w * w).sum().backward()
        optimizer.step()
        print(w.tolist(), "signs" in rt.optim.list())
        """,
        path=site,
    )
    assert done.stdout == "[3.5, -3.5] True\n"


def test_a_profiler_sink_from_a_plugin(site):
    done = program(
        """
        import rustorch as rt, test_names._plugin
        with rt.profiler.profile(show=None, sink="names"):
            rt.ones(2) + rt.ones(2)
        print(test_names._plugin.seen)
        """,
        path=site,
    )
    assert done.stdout == "['add']\n"


# The variables


def states(site, **variables):
    source = "import rustorch as rt\nprint(*[f'{r.distribution}:{r.state}' for r in rt.plugins.records()])"
    told = program(source, path=site, **variables).stdout.split()
    return dict(each.rsplit(":", 1) for each in told if not each.startswith("rustorch-"))


def test_plugins_lists_these_only_in_this_order(site):
    by_name = states(site, RUSTORCH_PLUGINS="signs, test_names")
    loaded = [name for name, state in by_name.items() if state == "loaded"]
    assert loaded == ["test-signs", "test-names", "rustorch"]
    assert by_name["test-exits"] == "skipped"


def test_a_listed_distribution_wins_over_its_namesake(site):
    by_name = states(site, RUSTORCH_PLUGINS="test-twin-two")
    assert (by_name["test-twin-one"], by_name["test-twin-two"]) == ("skipped", "loaded")


def test_block_leaves_out(site):
    by_name = states(site, RUSTORCH_BLOCK="twin_nobody_has,test-twin-one,exits")
    assert by_name["test-twin-one"] == by_name["test-exits"] == "skipped"
    assert by_name["test-twin-two"] == by_name["test-signs"] == "loaded"


def test_blocking_what_is_not_installed_warns(site):
    done = program("import rustorch", path=site, RUSTORCH_BLOCK="lopping")
    assert "RUSTORCH_BLOCK names 'lopping'" in done.stderr
    assert "did you mean looping?" in done.stderr


def test_without_the_reference_the_report_still_works(site):
    told = lines(rustorch("devices", path=site, RUSTORCH_BLOCK="cpu").stdout)
    assert "cpu  rustorch 0.1.0  skipped  blocked by RUSTORCH_BLOCK" in told
    assert any(line.startswith("Default device: none. no device can be used") for line in told)
    assert rustorch("doctor", path=site, RUSTORCH_BLOCK="cpu", status=1).stdout


def test_autoload_off_loads_nothing(site):
    by_name = states(site, RUSTORCH_AUTOLOAD="0")
    assert by_name.pop("rustorch") == "loaded"
    assert set(by_name.values()) == {"skipped"}
    told = lines(rustorch("devices", path=site, RUSTORCH_AUTOLOAD="off").stdout)
    why = "RUSTORCH_AUTOLOAD=0: only what rustorch itself brings is loaded"
    assert f"exits  test-exits 2.5  skipped  {why}" in told


def test_strict_raises(site):
    done = program("import rustorch", path=site, RUSTORCH_STRICT="1", RUSTORCH_PLUGINS="hook_raises", status=1)
    assert "ZeroDivisionError" in done.stderr
    assert "PluginError: plugin hook_raises (test-hook-raises 2.5): ZeroDivisionError: division by zero" in done.stderr
    source = "import rustorch"
    done = program(source, path=site, RUSTORCH_STRICT="1", RUSTORCH_PLUGINS="newer_minor", status=1)
    assert done.stderr.count("PluginError: plugin newer_minor") == 1


@pytest.mark.parametrize(
    ("variable", "text", "message"),
    [
        ("RUSTORCH_DEVCE", "cpu", "RUSTORCH_DEVCE is not a variable of rustorch; did you mean RUSTORCH_DEVICE?"),
        ("RUSTORCH_STRICT", "maybe", "RUSTORCH_STRICT='maybe': expected one of 1, true, yes, on, 0, false, no, off"),
        ("RUSTORCH_PLUGINS", "loping", "RUSTORCH_PLUGINS names 'loping', and no plugin of that name is installed"),
    ],
)
def test_a_wrong_variable_is_one_line_on_the_command_line(site, variable, text, message):
    done = rustorch("devices", path=site, status=1, **{variable: text})
    assert done.stderr.startswith(f"rustorch: {message}")
    assert done.stderr.count("\n") == 1
    done = program("import rustorch", path=site, status=1, **{variable: text})
    assert f"EnvironmentVariableError: {message}" in done.stderr


# Installing, uninstalling, damage


def test_refresh_after_installing_and_uninstalling(site, tmp_path):
    done = program(
        f"""
        import shutil, sys, rustorch as rt
        import rustorch.plugins
        site, target = {str(site)!r}, {str(tmp_path)!r}
        names = lambda: [r.name for r in rt.plugins.records() if r.distribution.startswith("test-")]
        print(names(), rt.cosh(rt.zeros(1)).tolist())
        for part in ("test_kernel_used", "test_kernel_used-2.5.dist-info"):
            shutil.copytree(f"{{site}}/{{part}}", f"{{target}}/{{part}}")
        rt.plugins.refresh()
        print(names(), rt.cosh(rt.zeros(1)).tolist())
        for part in ("test_kernel_used", "test_kernel_used-2.5.dist-info"):
            shutil.rmtree(f"{{target}}/{{part}}")
        rt.plugins.refresh()
        print(names(), rt.cosh(rt.zeros(1)).tolist())
        """,
        path=tmp_path,
    )
    assert done.stdout.splitlines() == ["[] [1.0]", "['kernel_used'] [7.0]", "[] [1.0]"]


def test_what_is_half_uninstalled_or_damaged_breaks_nothing(site, tmp_path):
    some_of(site, tmp_path, "looping", "signs")
    shutil.rmtree(tmp_path / "test_looping")
    damages = {
        "damaged_one-1.0.dist-info": b"[rustorch]\nno equals sign\n = nothing\nnothing =\n[unclosed\nx = y\n",
        "damaged_two-1.0.dist-info": b"\xff\xfe[rustorch]\n\x00 = \x00\n",
        "damaged_three.dist-info": b"no header at all",
        "damaged_four-1.0.egg-info": b"\xef\xbb\xbf[rustorch]\r\nfour = damaged_four:x.y\r\n",
    }
    for folder, content in damages.items():
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "entry_points.txt").write_bytes(content)
    (tmp_path / "a_file-1.0.dist-info").write_text("not a folder")
    (tmp_path / "archive.zip").write_bytes(b"no archive")
    path = os.pathsep.join(map(str, (tmp_path, tmp_path / "nowhere", tmp_path / "archive.zip")))
    told = lines(rustorch("devices", path=path).stdout)
    gone = "No module named 'test_looping': its files are gone; reinstall test-looping, or uninstall it"
    assert f"looping  test-looping 2.5  failed  ModuleNotFoundError: {gone}" in told
    assert "signs  test-signs 2.5  loaded  optimizer signs" in told
    assert the_line(told, "four  ").startswith("four  damaged-four 1.0  failed  ModuleNotFoundError")
    assert the_line(told, "no equals sign  damaged-one 1.0  failed")
    assert the_line(told, "Default device: cpu")


def test_a_distribution_in_an_archive_is_found(site, tmp_path):
    archive = tmp_path / "plugins.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for part in (*site.glob("test_signs/*.py"), *site.glob("test_signs-2.5.dist-info/*")):
            file.write(part, part.relative_to(site))
    assert "signs  test-signs 2.5  loaded  optimizer signs" in lines(rustorch("devices", path=archive).stdout)


def test_the_first_distribution_of_a_name_hides_the_later(site, tmp_path):
    first = some_of(site, tmp_path / "first", "signs")
    metadata = first / "test_signs-2.5.dist-info" / "METADATA"
    metadata.write_text(metadata.read_text().replace("Version: 2.5", "Version: 3.0"))
    told = lines(rustorch("devices", path=os.pathsep.join(map(str, (first, site)))).stdout)
    assert the_line(told, "signs  ") == "signs  test-signs 3.0  loaded  optimizer signs"


# The promise

#: What version 1.0 of the contract has, with the fields that must be given first. A minor version may add to it.
CONTRACT = {
    "Backend": "namespace | from_host to_host synchronize memory count writable",
    "DeviceSpec": "type load | probe rank description",
    "Kernel": "op device load | dtypes rank",
    "OptimizerSpec": "name load |",
    "ProfilerSink": "name load |",
    "PluginContext": "api_version rustorch_version |",
}
HOOKS = {"rustorch_devices", "rustorch_kernels", "rustorch_optimizers", "rustorch_profiler_sinks"}


@pytest.mark.parametrize("name", CONTRACT)
def test_the_contract_only_grows(name):
    import dataclasses

    from rustorch_core import plugin

    required, optional = (set(part.split()) for part in CONTRACT[name].split("|"))
    fields = dataclasses.fields(getattr(plugin, name))
    assert plugin.API_VERSION[0] == 1
    assert {field.name for field in fields if field.default is dataclasses.MISSING} == required
    assert optional <= {field.name for field in fields}
    assert name in plugin.__all__
    assert {hook for hook in vars(plugin.HookSpecifications) if hook.startswith("rustorch_")} >= HOOKS


# The doctor


def test_the_doctor_shows_tracebacks_and_checks_the_default(site):
    told = rustorch("doctor", path=site, status=1, RUSTORCH_BLOCK="signs").stdout
    assert "  NumPy: " in told
    assert re.search(r"scipy \S+: takes tensors with SCIPY_ARRAY_API=1 before SciPy is imported", told)
    assert "variables: RUSTORCH_BLOCK=signs" in told
    assert re.search(r"plugin hook_raises test-hook-raises 2.5 failed: .*\n    Traceback", told)
    assert "    ZeroDivisionError: division by zero" in told
    assert "device absent: unusable, there is no driver; fix: install one" in told
    for check in ("1 + 1", "matmul", "gradient"):
        assert f"check {check} on cpu: right" in told


def test_the_doctor_is_content_with_a_sound_machine(site):
    assert (
        "check gradient on cpu: right" in rustorch("doctor", path=site, RUSTORCH_PLUGINS="looping,absent_driver").stdout
    )


@pytest.mark.parametrize(
    ("name", "status", "said", "unsaid"),
    [
        ("loop", 0, "check gradient on loop: right", "device cpu"),
        ("test-signs", 0, "optimizer signs", "loop"),
        ("hook_raises", 1, "ZeroDivisionError", "signs"),
        ("absent", 1, "there is no driver; fix: install one", "signs"),
        ("explosive", 1, "libexplosive.so: cannot open", "signs"),
    ],
)
def test_the_doctor_of_one(site, name, status, said, unsaid):
    told = rustorch("doctor", name, path=site, status=status).stdout
    assert said in told
    assert unsaid not in told


#: What a plugin may do to the process that it runs in, and how the report names it.
DEADLY = {
    "crashes": ("import ctypes; ctypes.string_at(0)", "a crash by SIG"),
    "aborts": ("import os; os.abort()", "a crash by SIGABRT"),
    "hangs": ("import time; time.sleep(1000)", "no answer within 3 seconds"),
    "leaves": ("import os; os._exit(0)", "an exit of the whole process with status 0"),
}
NOISE = "import os; os.write(1, b'noise'); os.write(2, b'noise'); print('noise')"


@pytest.fixture(scope="session")
def deadly_site(tmp_path_factory):
    """A folder of plugins that end or hold up whoever loads them, or probes their devices, and one that is loud."""
    folder, wheels = tmp_path_factory.mktemp("deadly"), tmp_path_factory.mktemp("wheels")
    for name, (deed, _) in {**DEADLY, "shouts": (NOISE, "")}.items():
        for place in ("module", "probe"):
            probe = deed if place == "probe" else "pass"
            source = device(
                f"{place}_{name}", load="test_looping._plugin:load", probe=f"test_{place}_{name}._plugin:probe"
            )
            source = f"{deed if place == 'module' else ''}\n{source}\ndef probe(): {probe}\n"
            with zipfile.ZipFile(build_wheel(wheels, f"{place}_{name}", f"{place}_{name}", source)) as wheel:
                wheel.extractall(folder)
    with zipfile.ZipFile(build_wheel(wheels, "looping", "looping", WORKING["looping"][0])) as wheel:
        wheel.extractall(folder)
    return folder


def test_the_report_survives_all_that_a_plugin_does(deadly_site):
    found = json.loads(rustorch("devices", "--json", "--time-limit", "3", path=deadly_site).stdout)
    plugins = {each["name"]: each for each in found["plugins"]}
    devices = {each["type"]: each for each in found["devices"]}
    for name, (_, said) in DEADLY.items():
        assert plugins[f"module_{name}"]["state"] == "failed"
        assert plugins[f"module_{name}"]["reason"].startswith(said)
        assert not devices[f"probe_{name}"]["usable"]
        assert devices[f"probe_{name}"]["reason"].startswith(f"its probe failed with {said}")
    assert devices["probe_shouts"]["usable"] and devices["module_shouts"]["usable"] and devices["loop"]["usable"]


def test_the_doctor_says_where_a_plugin_crashed(deadly_site, tmp_path):
    some = some_of(deadly_site, tmp_path / "some", "probe_aborts", "looping")
    told = rustorch("doctor", "probe_aborts", path=some, status=1).stdout
    assert told.startswith("Paste this into an issue:\n\n```text\nrustorch doctor\n")
    assert told.endswith("```\n")
    assert re.search(r"test_probe_aborts/_plugin.py\", line \d+ in probe", told)
    assert "device loop" not in told


def test_the_doctor_knows_no_such_name(site):
    done = rustorch("doctor", "loping", path=site, status=1)
    assert done.stderr == "rustorch: doctor: no plugin or device is called 'loping'; did you mean looping?\n"


def test_a_report_in_a_terminal_without_unicode(site, tmp_path):
    some_of(site, tmp_path, "signs")
    entry_points = Path(tmp_path) / "test_signs-2.5.dist-info" / "entry_points.txt"
    entry_points.write_text("[rustorch]\nzeichen_\N{GREEK SMALL LETTER ALPHA} = test_signs._plugin\n", encoding="utf-8")
    told = rustorch("devices", path=tmp_path, PYTHONIOENCODING="ascii").stdout
    assert r"zeichen_\u03b1" in told


def test_a_terminal_gets_tables(monkeypatch, capsys):
    from rustorch.cli import report

    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "70")
    report.devices.callback(ops=True, dtype="float32", as_json=False)
    told = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    assert max(len(line) for line in told.splitlines() if line.startswith(" ")) <= 70
    for word in ("Plugins", "Devices, best first", "cpu", "loaded", "usable", "namespace", "composition"):
        assert word in told
