"""The RUSTORCH_* variables: read once, strictly, so that a misspelt one is heard."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass

from rustorch_core.errors import EnvironmentVariableError

FALLBACKS = ("error", "warn", "allow")
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off", "")


@dataclass(frozen=True)
class Environment:
    """What the user set; each field is the variable RUSTORCH_<FIELD>."""

    device: str | None = None
    plugins: tuple[str, ...] | None = None
    block: tuple[str, ...] = ()
    autoload: bool = True
    fallback: str = "error"
    strict: bool = False
    simd: str | None = None


def _boolean(name: str, text: str) -> bool:
    if text.strip().lower() in _TRUE + _FALSE:
        return text.strip().lower() in _TRUE
    raise EnvironmentVariableError(f"{name}={text!r}: expected one of {', '.join((*_TRUE, *_FALSE[:-1]))}")


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def read(variables: Mapping[str, str] = os.environ) -> Environment:
    """Read the variables.

    Raises:
        EnvironmentVariableError: for an unknown RUSTORCH_* name, with the nearest known one, or a value not understood.
    """
    known = {f"RUSTORCH_{field.upper()}" for field in Environment.__dataclass_fields__}
    for name in variables:
        if name.startswith("RUSTORCH_") and name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(sorted(known))}"
            raise EnvironmentVariableError(f"{name} is not a variable of rustorch; {hint}")
    fallback = variables.get("RUSTORCH_FALLBACK", "error").strip().lower()
    if fallback not in FALLBACKS:
        raise EnvironmentVariableError(f"RUSTORCH_FALLBACK={fallback!r}: expected one of {', '.join(FALLBACKS)}")
    plugins = variables.get("RUSTORCH_PLUGINS")
    return Environment(
        device=variables.get("RUSTORCH_DEVICE") or None,
        plugins=None if plugins is None else _names(plugins),
        block=_names(variables.get("RUSTORCH_BLOCK", "")),
        autoload=_boolean("RUSTORCH_AUTOLOAD", variables.get("RUSTORCH_AUTOLOAD", "1")),
        fallback=fallback,
        strict=_boolean("RUSTORCH_STRICT", variables.get("RUSTORCH_STRICT", "0")),
        simd=variables.get("RUSTORCH_SIMD") or None,
    )
