"""The RUSTORCH_* variables: read once, strictly, so that a misspelt one is heard."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from rustorch_core.errors import EnvironmentVariableError

FALLBACKS = ("error", "warn", "allow")
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


class Environment(NamedTuple):
    """What the user set; each field is the variable RUSTORCH_<FIELD>."""

    device: str | None = None
    plugins: tuple[str, ...] | None = None
    block: tuple[str, ...] = ()
    autoload: bool = True
    fallback: str = "error"
    strict: bool = False
    simd: str | None = None
    pool: bool = True


def read(variables: Mapping[str, str] = os.environ) -> Environment:
    """Read the variables; an empty one counts as unset.

    Raises:
        EnvironmentVariableError: for an unknown RUSTORCH_* name, with the nearest known one, or a value not understood.
    """
    known = [f"RUSTORCH_{field.upper()}" for field in Environment._fields]
    given = {name: text.strip() for name, text in variables.items() if name.startswith("RUSTORCH_")}
    for name in given:
        if name not in known:
            raise EnvironmentVariableError(f"{name} is not a variable of rustorch; {nearest(name, known)}")
    plugins = _names(given.get("RUSTORCH_PLUGINS", ""))
    return Environment(
        device=given.get("RUSTORCH_DEVICE") or None,
        plugins=plugins or None,
        block=_names(given.get("RUSTORCH_BLOCK", "")),
        autoload=_boolean(given, "RUSTORCH_AUTOLOAD", default=True),
        fallback=_choice(given, "RUSTORCH_FALLBACK", FALLBACKS),
        strict=_boolean(given, "RUSTORCH_STRICT", default=False),
        simd=given.get("RUSTORCH_SIMD") or None,
        pool=_boolean(given, "RUSTORCH_POOL", default=True),
    )


def nearest(name: str, known: Iterable[str]) -> str:
    """What to say after a name that is not known: the nearest one that is, or all of them."""
    import difflib  # only for an error, and it costs 2 ms

    choices = {choice.lower(): choice for choice in sorted(known)}
    near = difflib.get_close_matches(name.lower(), choices, n=1, cutoff=0.75)
    return f"did you mean {choices[near[0]]}?" if near else f"there are: {', '.join(choices.values()) or 'none'}"


def _boolean(given: Mapping[str, str], name: str, *, default: bool) -> bool:
    text = given.get(name, "").lower()
    if text in _TRUE + _FALSE:
        return text in _TRUE
    if not text:
        return default
    raise EnvironmentVariableError(f"{name}={given[name]!r}: expected one of {', '.join(_TRUE + _FALSE)}")


def _choice(given: Mapping[str, str], name: str, choices: tuple[str, ...]) -> str:
    text = given.get(name, "").lower() or choices[0]
    if text not in choices:
        raise EnvironmentVariableError(f"{name}={given[name]!r}: expected one of {', '.join(choices)}")
    return text


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())
