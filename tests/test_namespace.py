"""The namespace: the standard's names and signatures, docstrings that help, and nothing astray."""

import importlib
import inspect
import pydoc
import re
import subprocess
import sys
import types

import array_api_strict as strict
import ml_dtypes
import numpy as np
import pytest

import rustorch as rt
from rustorch import _other_names
from rustorch_core._op import REGISTRY

#: Signatures that take more than the standard's, and why.
WIDER = {
    "all": "out=None, as xarray passes it on",
    "any": "out=None, as xarray passes it on",
    "diff": "n by position, as scikit-learn passes it",
    "expand_dims": "an axis by default, and several",
    "round": "decimals, as in NumPy and xarray",
    "squeeze": "no axis squeezes all, as in NumPy",
    "std": "ddof, as xarray passes it",
    "where": "a condition alone, as in NumPy and scikit-learn",
    "var": "ddof, as xarray passes it",
}


def standard(module) -> list[str]:  # type: ignore[no-untyped-def]
    """The standard's names, those that only steer the strict implementation left out."""
    own = re.compile(r"_|ArrayAPIStrict|ModuleType$|.*array_api_strict")
    return [name for name in getattr(module, "__all__", dir(module)) if not own.match(name)]


MAIN = [name for name in dir(strict) if name in standard(strict) or name in ("linalg", "fft")]
FUNCTIONS = [name for name in MAIN if inspect.isfunction(getattr(strict, name)) and hasattr(rt, name)]


def parameters(function) -> list[tuple[str, str, object]]:  # type: ignore[no-untyped-def]
    """Names, kinds and defaults; what stands for "not given" counts as None."""
    return [
        (p.name, p.kind.name, None if "Undef" in type(p.default).__name__ else p.default)
        for p in inspect.signature(function).parameters.values()
    ]


def test_nothing_of_the_standard_is_missing() -> None:
    assert {name for name in MAIN if not hasattr(rt, name)} == set()
    assert {name for name in strict.linalg.__all__ if not hasattr(rt.linalg, name)} == set()
    assert {name for name in strict.fft.__all__ if not hasattr(rt.fft, name)} == set()


def test_the_list_of_functions_is_long() -> None:
    assert len(FUNCTIONS) > 130


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name not in WIDER])
def test_signatures_are_the_standards(name: str) -> None:
    assert parameters(getattr(rt, name)) == parameters(getattr(strict, name))


@pytest.mark.parametrize("name", [name for name in strict.linalg.__all__ if hasattr(rt.linalg, name)])
def test_signatures_in_linalg_are_the_standards(name: str) -> None:
    assert parameters(getattr(rt.linalg, name)) == parameters(getattr(strict.linalg, name))


@pytest.mark.parametrize("name", list(strict.fft.__all__))
def test_signatures_in_fft_are_the_standards(name: str) -> None:
    assert parameters(getattr(rt.fft, name)) == parameters(getattr(strict.fft, name))


@pytest.mark.parametrize("name", list(WIDER))
def test_wider_signatures_take_what_the_standards_take(name: str) -> None:
    ours, theirs = (inspect.signature(getattr(module, name)).parameters for module in (rt, strict))
    assert set(ours) >= set(theirs)
    assert parameters(getattr(rt, name)) != parameters(getattr(strict, name))
    for parameter in theirs.values():
        if parameter.kind is parameter.KEYWORD_ONLY:
            assert ours[parameter.name].kind in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD)


def is_ours(name: str) -> bool:
    """Whether a name is the standard's, a dtype, or defined in this project, as what a chapter imports is not."""
    value = getattr(rt, name)
    home = value.__name__ if isinstance(value, types.ModuleType) else getattr(value, "__module__", None)
    is_dtype = isinstance(value, type) and issubclass(value, (np.generic, ml_dtypes.bfloat16))
    return name in MAIN or is_dtype or str(home).split(".")[0] in ("rustorch", "rustorch_core")


def test_nothing_is_astray() -> None:
    assert [name for name in dir(rt) if not name.startswith("_") and not is_ours(name)] == []
    assert all(name.startswith("__") for name in dir(rt) if name.startswith("_"))
    assert not {"Any", "Callable", "annotations", "math", "numpy", "np", "op", "unary", "attach"} & set(dir(rt))


def test_every_name_in_dir_is_there() -> None:
    for name in dir(rt):
        assert hasattr(rt, name), name
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = rt.nothing


SUBMODULES = [getattr(rt, name) for name in dir(rt) if isinstance(getattr(rt, name), types.ModuleType)]


@pytest.mark.parametrize("module", [*SUBMODULES, rt.nn.functional], ids=lambda module: module.__name__)
def test_dir_of_a_submodule_names_what_is_ours(module) -> None:  # type: ignore[no-untyped-def]
    public = [name for name in dir(module) if not name.startswith("_")]
    assert public
    for name in public:
        value = getattr(module, name)
        home = value.__name__ if isinstance(value, types.ModuleType) else getattr(value, "__module__", "rustorch")
        assert home.split(".")[0] in ("rustorch", "rustorch_core"), name
    assert not {"annotations", "Any", "Callable"} & set(public)


@pytest.mark.parametrize("module", [rt, rt.linalg, rt.fft, rt.special, rt.random], ids=lambda module: module.__name__)
def test_public_functions_live_where_users_find_them(module) -> None:  # type: ignore[no-untyped-def]
    functions = {name: value for name, value in vars(module).items() if inspect.isfunction(value) and name[0] != "_"}
    assert len(functions) > 10
    for name, value in functions.items():
        assert getattr(importlib.import_module(value.__module__), value.__name__) is value, name
        assert f"in module {value.__module__}" in pydoc.render_doc(value)
        assert value.__module__ in ("rustorch", module.__name__, "rustorch.special")


def test_constants_and_dtypes() -> None:
    assert (rt.newaxis, rt.inf, rt.e > 2.718, rt.pi > 3.1415) == (None, float("inf"), True, True)
    assert rt.nan != rt.nan
    assert rt.__array_api_version__ == "2025.12"
    for name in ("bool", "int8", "uint64", "float32", "complex128"):
        dtype = rt.empty(1, dtype=getattr(rt, name)).dtype
        assert isinstance(dtype, np.dtype)
        assert dtype == getattr(rt, name)
        assert dtype == name
    assert rt.result_type(rt.bool, rt.int8, np.ones(1, np.int16), "int32", np.int64(1), rt.ones(1)) == "float32"
    assert None not in (rt.float64, rt.float32)  # which a numpy.dtype would be: NumPy reads None as float64


def test_inspection() -> None:
    info = rt.__array_namespace_info__()
    assert info.capabilities() == {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 64}
    assert isinstance(info.devices(), tuple)  # since version 2025.12
    assert info.default_device() in info.devices()
    assert info.default_dtypes() == {
        "real floating": rt.float32,
        "complex floating": rt.complex64,
        "integral": rt.int64,
        "indexing": rt.int64,
    }
    assert set(info.dtypes(kind="real floating")) == {"float32", "float64"}
    assert set(info.dtypes(kind=("bool", "complex floating"))) == {"bool", "complex64", "complex128"}
    assert len(info.dtypes()) == 13


def test_finfo_and_iinfo_hold_python_numbers() -> None:
    for name in ("float16", "bfloat16", "float32", "float64", "complex64"):
        info = rt.finfo(name)
        assert {type(value) for value in (info.eps, info.max, info.min, info.smallest_normal)} == {float}
        assert 1 + info.eps != 1 or name == "float64"
    assert (rt.finfo("complex128").dtype, rt.finfo("float32").bits) == (rt.float64, 32)
    assert rt.iinfo("int8")[:3] == (8, 127, -128)
    assert type(rt.iinfo(rt.uint64).max) is int


def resolved(path: str) -> object:
    value: object = rt
    for part in path.split("."):
        value = getattr(value, part)
    return value


@pytest.mark.parametrize(("name", "ours"), list(_other_names._OURS.items()))
def test_a_name_of_others_leads_to_ours(name: str, ours: str) -> None:
    assert callable(resolved(ours))
    with pytest.raises(AttributeError, match=rf"'{name}'; use rustorch\.{re.escape(ours)}$"):
        getattr(rt, name)


def test_a_misspelt_name_leads_to_the_nearest() -> None:
    run = subprocess.run([sys.executable, "-c", "import rustorch; rustorch.consat"], capture_output=True, text=True)
    assert run.stderr.rstrip().endswith("module 'rustorch' has no attribute 'consat'. Did you mean: 'concat'?")


# Docstrings


PUBLIC = sorted(name for name in dir(rt) if inspect.isfunction(getattr(rt, name)) and not name.startswith("_"))


@pytest.mark.parametrize("name", PUBLIC)
def test_help(name: str) -> None:
    text = pydoc.getdoc(getattr(rt, name))
    first = text.splitlines()[0]
    assert first.rstrip(".") != first or text.split("\n\n")[0].endswith((".", ":"))
    assert name in pydoc.render_doc(getattr(rt, name))


#: In the standard since 2025.12, which the strict implementation does not have yet.
NEW = ["linalg.eig", "linalg.eigvals"]
STANDARD = {*MAIN, *NEW, *(f"{part}.{name}" for part in ("linalg", "fft") for name in getattr(strict, part).__all__)}
#: Not functions of the namespace there, but of what it tells about itself.
INSPECTION = {"default_device", "devices"}


def test_the_standard_is_named_as_the_source_of_what_it_has_and_of_nothing_else() -> None:
    parts = {"": rt, "linalg.": rt.linalg, "fft.": rt.fft, "special.": rt.special, "nn.": rt.nn.functional}
    functions = {prefix + name: getattr(part, name) for prefix, part in parts.items() for name in dir(part)}
    named = {
        name for name, value in functions.items() if inspect.isfunction(value) and "(Array API" in pydoc.getdoc(value)
    }
    expected = {name for name, value in functions.items() if inspect.isfunction(value)} & STANDARD
    assert {name for name in named if not name.startswith("_")} - INSPECTION == expected - INSPECTION


@pytest.mark.parametrize("name", PUBLIC)
def test_every_parameter_is_explained(name: str) -> None:
    function = getattr(rt, name)
    names = list(inspect.signature(function).parameters)[1:]
    texts = [pydoc.getdoc(function)]
    while found := re.search(r"[Aa]rguments as for `(\w+)`", texts[-1]):
        texts.append(pydoc.getdoc(getattr(rt, found[1])))
    if name.endswith("_like"):
        texts.append("dtype device")
    for parameter in names:
        words = [parameter, "axes" if parameter == "axis" else parameter]
        assert any(re.search(rf"\b{word}\b", text) for word in words for text in texts), parameter


@pytest.mark.parametrize("name", [name for name, op in REGISTRY.items() if op.kind in ("unary", "binary")])
def test_elementwise_docstrings_have_arguments_and_errors(name: str) -> None:
    text = pydoc.getdoc(REGISTRY[name].function)
    for heading in ("Arguments:", "Returns:", "Raises:"):
        assert heading in text


def test_methods_have_docstrings() -> None:
    for name, value in vars(rt.Tensor).items():
        if not name.startswith("_") and callable(value):
            assert value.__doc__, name
