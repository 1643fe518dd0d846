"""What fits rustorch to libraries that know array types by name, each in a module that is imported when they are."""

from __future__ import annotations

import importlib
import sys
import warnings
from typing import Any

#: Modules of others, and ours that is to follow each of them.
_FOLLOWERS = {"einops._backends": f"{__name__}.einops", "xarray": f"{__name__}.ufuncs"}


class _Watcher:
    """An import finder that finds nothing itself, and lets a module of ours follow another's, whenever that comes."""

    def __init__(self, waiting: dict[str, str]) -> None:
        self.waiting = waiting

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """The module's own spec, but with ours imported behind it."""
        if name not in self.waiting:
            return None
        others = [finder for finder in sys.meta_path if finder is not self]
        spec = next(filter(None, (finder.find_spec(name, path, target) for finder in others)), None)
        if spec is None or spec.loader is None:
            return spec
        follower, run = self.waiting.pop(name), spec.loader.exec_module
        if not self.waiting:
            sys.meta_path.remove(self)

        def run_both(module: Any) -> None:
            run(module)
            try:
                importlib.import_module(follower)
            except Exception as error:  # a version of the other library that is not known here must still import
                warnings.warn(f"{name} does not know rustorch's tensors: {error}", UserWarning, stacklevel=2)

        spec.loader.exec_module = run_both
        return spec


def watch() -> None:
    """Fit rustorch to what has been imported already, and to the rest when it is."""
    for name in _FOLLOWERS.keys() & sys.modules.keys():
        importlib.import_module(_FOLLOWERS[name])
    if waiting := {name: follower for name, follower in _FOLLOWERS.items() if name not in sys.modules}:
        sys.meta_path.insert(0, _Watcher(waiting))
