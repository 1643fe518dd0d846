"""The optimizer factory: `create(name, model, ...)`, `list()` and `info(name)`; schedules are in `lr_scheduler`."""

from rustorch.optim import lr_scheduler
from rustorch_core._lbfgs import LBFGS
from rustorch_core._optimizers import Optimizer, UpdateRule, create
from rustorch_core._optimizers import list_optimizers as list
from rustorch_core._optimizers import rule_of as info

__all__ = ["LBFGS", "Optimizer", "UpdateRule", "create", "info", "list", "lr_scheduler"]
