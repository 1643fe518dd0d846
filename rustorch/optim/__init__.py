"""The optimizer factory: `create(name, model, ...)`, `list`, `info`, `suggest`, `lr_find`; and `lr_scheduler`."""

from rustorch.optim import lr_scheduler
from rustorch.optim._info import Info, info
from rustorch.optim._lr_find import RangeTest, lr_find
from rustorch.optim._suggest import Suggestion, Suggestions, suggest
from rustorch_core._lbfgs import LBFGS
from rustorch_core._optimizers import Optimizer, UpdateRule, create
from rustorch_core._optimizers import list_optimizers as list

__all__ = [
    "LBFGS",
    "Info",
    "Optimizer",
    "RangeTest",
    "Suggestion",
    "Suggestions",
    "UpdateRule",
    "create",
    "info",
    "list",
    "lr_find",
    "lr_scheduler",
    "suggest",
]
