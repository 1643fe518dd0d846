"""The RUSTORCH_* variables are read strictly."""

import pytest

from rustorch_core import _environment
from rustorch_core.errors import EnvironmentVariableError

pytestmark = pytest.mark.needs("cpu")


def test_nothing_set_is_the_default():
    assert _environment.read({}) == _environment.Environment()
    assert _environment.read({"PATH": "/bin", "RUST_LOG": "1"}) == _environment.Environment()


def test_every_variable_is_read():
    read = _environment.read(
        {
            "RUSTORCH_DEVICE": " cuda:1 ",
            "RUSTORCH_PLUGINS": "simd, cuda,",
            "RUSTORCH_BLOCK": "opencl",
            "RUSTORCH_AUTOLOAD": "off",
            "RUSTORCH_FALLBACK": "Warn",
            "RUSTORCH_STRICT": "TRUE",
            "RUSTORCH_SIMD": "avx2",
        }
    )
    assert read == _environment.Environment(
        device="cuda:1",
        plugins=("simd", "cuda"),
        block=("opencl",),
        autoload=False,
        fallback="warn",
        strict=True,
        simd="avx2",
    )


@pytest.mark.parametrize("field", _environment.Environment._fields)
def test_an_empty_variable_counts_as_unset(field):
    assert _environment.read({f"RUSTORCH_{field.upper()}": " "}) == _environment.Environment()


@pytest.mark.parametrize("text", ["1", "true", "True", "YES", " on "])
def test_true(text):
    assert _environment.read({"RUSTORCH_STRICT": text}).strict is True


@pytest.mark.parametrize("text", ["0", "false", "No", " OFF"])
def test_false(text):
    assert _environment.read({"RUSTORCH_AUTOLOAD": text}).autoload is False


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"RUSTORCH_DEVIC": ""}, "RUSTORCH_DEVIC is not a variable of rustorch; did you mean RUSTORCH_DEVICE?"),
        (
            {"RUSTORCH_fallback": "warn"},
            "RUSTORCH_fallback is not a variable of rustorch; did you mean RUSTORCH_FALLBACK?",
        ),
        ({"RUSTORCH_": "1"}, "RUSTORCH_ is not a variable of rustorch"),
        ({"RUSTORCH_XYZZY": "1"}, "RUSTORCH_XYZZY is not a variable of rustorch; there are: RUSTORCH_AUTOLOAD, "),
        ({"RUSTORCH_STRICT": "2"}, "RUSTORCH_STRICT='2': expected one of 1, true, yes, on, 0, false, no, off"),
        ({"RUSTORCH_AUTOLOAD": "none"}, "RUSTORCH_AUTOLOAD='none': expected one of"),
        ({"RUSTORCH_FALLBACK": "warm"}, "RUSTORCH_FALLBACK='warm': expected one of error, warn, allow"),
    ],
)
def test_what_is_not_understood_is_named(variables, message):
    with pytest.raises(EnvironmentVariableError) as caught:
        _environment.read(variables)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, ValueError)
