"""What papers say of which optimizer to take, and with which numbers: one rule a fact, each with its source."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple


@dataclass(frozen=True)
class Facts:
    """What the rules ask of a model and its training.

    Arguments:
        task: "scratch", "pretrain" or "finetune".
        kind: "transformer", "convolutional", "recurrent" or "dense".
        elements: of all parameters.
        trained: the share of them that is not frozen.
        matrices: the share of those trained that are in hidden matrices.
        layers: how many there are from input to output.
        half: the dtype of half precision among the parameters, or "".
        is_low_rank: whether there are low-rank adapters.
        batch_size: samples in a step.
        steps: of the whole training.
        dataset_size: how many samples there are, or None.
    """

    task: str
    kind: str
    elements: int
    trained: float
    matrices: float
    layers: int
    half: str
    is_low_rank: bool
    batch_size: int
    steps: int
    dataset_size: int | None

    @property
    def epochs(self) -> float | None:
        return self.steps * self.batch_size / self.dataset_size if self.dataset_size else None

    @property
    def is_finetune(self) -> bool:
        return self.task == "finetune"

    @property
    def is_transformer(self) -> bool:
        return self.kind == "transformer"

    @property
    def is_whole(self) -> bool:
        """Whether a batch is all data there is."""
        return self.dataset_size is not None and self.batch_size >= self.dataset_size


class Rule(NamedTuple):
    """One fact.

    Arguments:
        optimizers: names of those that it is for, or "*" for all.
        applies: whether it is for a model and its training.
        sets: values by name, or what makes them of the facts: "lr", or "lr_times", a factor of what it was so far;
            "confidence", which adds up; "warmup" in steps; "schedule", a kind of decay and where it ends, as a factor;
            "clip_norm", "layer_decay" and "rules" as in `create`; any other name is an option of the optimizer.
        why: a sentence, with facts in braces.
        source: who says so.
    """

    optimizers: str
    applies: Callable[[Facts], bool]
    sets: Mapping[str, Any] | Callable[[Facts], Mapping[str, Any]]
    why: str
    source: str


_ADAM = "adamw muon lion schedule_free_adamw"  # whose rate is said as a multiple of AdamW's
_SCHEDULED = "adamw muon lion lamb sgd"

_BROWN = "Brown et al. 2020, arXiv:2005.14165"
_DEVLIN = "Devlin et al. 2019, arXiv:1810.04805"
_GOYAL = "Goyal et al. 2017, arXiv:1706.02677"
_YOU = "You et al. 2020, arXiv:1904.00962"
_CHEN = "Chen et al. 2023, arXiv:2302.06675"
_LIU = "Liu et al. 2025, arXiv:2502.16982"
_DEFAZIO = "Defazio et al. 2024, arXiv:2405.15682"
_RAFFEL = "Raffel et al. 2020, arXiv:1910.10683"
_MICIKEVICIUS = "Micikevicius et al. 2018, arXiv:1710.03740"
_NOCEDAL = "Nocedal and Wright 2006, Numerical Optimization, section 7.2"

#: An optimizer is proposed where a rule of these applies; its first says how sure we are of it.
CANDIDATES = (
    Rule(
        "adamw",
        lambda f: f.is_transformer and not f.is_finetune,
        {"confidence": 0.85},
        "AdamW is what transformers of all sizes are trained with",
        _BROWN,
    ),
    Rule("adamw", lambda f: f.is_finetune, {"confidence": 0.8}, "AdamW is the common choice to fine-tune", _DEVLIN),
    Rule(
        "adamw",
        lambda f: not f.is_finetune and not f.is_transformer,
        lambda f: {"confidence": 0.6 if f.kind == "convolutional" else 0.75},
        "Adam's family does well over many problems with little tuning",
        "Schmidt et al. 2021, arXiv:2007.01547",
    ),
    Rule(
        "sgd",
        lambda f: not f.is_transformer and f.kind != "recurrent",
        lambda f: {"confidence": 0.75 if f.kind == "convolutional" else 0.45},
        "momentum alone often generalises better than adaptive steps, given a tuned rate",
        "Wilson et al. 2017, arXiv:1705.08292",
    ),
    Rule(
        "muon",
        lambda f: not f.is_finetune and f.matrices >= 0.5,
        lambda f: {"confidence": 0.7 if f.is_transformer else 0.55},
        "{matrices:.0%} of the trained elements are in hidden matrices, which Muon needs fewer steps for",
        "Jordan et al. 2024, kellerjordan.github.io/posts/muon",
    ),
    Rule(
        "lion",
        lambda f: f.is_transformer and f.batch_size >= 64,
        {"confidence": 0.5},
        "Lion keeps half of AdamW's state, and gains on it with batches of 64 and more",
        _CHEN,
    ),
    Rule(
        "adafactor",
        lambda f: f.is_transformer and f.task != "scratch",
        {"confidence": 0.4},
        "of matrices Adafactor keeps no more than a row and a column, where memory is short",
        "Shazeer and Stern 2018, arXiv:1804.04235",
    ),
    Rule(
        "schedule_free_adamw",
        lambda f: not f.is_finetune,
        {"confidence": 0.4},
        "without a schedule, training may stop or go on at any step; call eval() before evaluation",
        _DEFAZIO,
    ),
    Rule(
        "lamb",
        lambda f: f.batch_size >= 8192 and not f.half,
        {"confidence": 0.9},
        "LAMB keeps to one recipe up to batches of tens of thousands, of which yours has {batch_size}",
        _YOU,
    ),
    Rule(
        "lbfgs",
        lambda f: f.is_whole and f.elements <= 100_000 and not f.half,
        {"confidence": 0.8},
        "a batch is all data there is, and the model is small: steps are exact, and curvature can be learnt",
        "Le et al. 2011, On Optimization Methods for Deep Learning",
    ),
)


def _sgd_rate(f: Facts) -> float:
    return 0.1 * min(f.batch_size, 8192) / 256


def _kaplan_rate(f: Facts) -> float:
    return min(max(0.003239 - 0.0001395 * math.log(f.elements), 6e-5), 2e-3)


def _warm_up(optimizers: str, applies: Callable[[Facts], bool], beta2: float) -> Rule:
    return Rule(
        optimizers,
        applies,
        lambda f: {"warmup": min(f.steps // 10, round(2 / (1 - beta2)))},
        f"warm up while the average of squares is young: 2 / (1 - {beta2}) steps, and at most a tenth of all",
        "Ma and Yarats 2021, arXiv:1910.04209",
    )


#: Later rules have the last word, and what they overrule is not told.
SETTINGS = (
    # Learning rates
    Rule(
        _ADAM,
        lambda f: not f.is_transformer,
        {"lr": 1e-3},
        "1e-3 is Adam's own good default",
        "Kingma and Ba 2015, arXiv:1412.6980",
    ),
    Rule(
        _ADAM,
        lambda f: not f.is_transformer,
        lambda f: {"lr_times": min(max(math.sqrt(f.batch_size / 128), 0.5), 4.0)},
        "adaptive rates follow the root of the batch size, here {batch_size} to Adam's 128, within 1/2 and 4",
        "Malladi et al. 2022, arXiv:2205.10782",
    ),
    Rule(
        _ADAM,
        lambda f: f.is_transformer and not f.is_finetune,
        lambda f: {"lr": _kaplan_rate(f)},
        "larger transformers need lower rates: 0.003239 - 0.0001395 ln({elements:,}), within 6e-5 and 2e-3",
        "Kaplan et al. 2020, arXiv:2001.08361, appendix D.6",
    ),
    Rule(
        _ADAM,
        lambda f: f.is_transformer and f.is_finetune,
        {"lr": 2e-5},
        "what was learnt is kept at rates of 2e-5 to 5e-5",
        _DEVLIN,
    ),
    Rule(
        "sgd",
        lambda f: True,
        lambda f: {"lr": _sgd_rate(f)},
        "the rate is 0.1 for a batch of 256, and proportional to it up to 8192",
        _GOYAL,
    ),
    Rule(
        "lamb",
        lambda f: True,
        lambda f: {"lr": 5e-3 * math.sqrt(f.batch_size / 32768)},
        "the rate is 5e-3 for a batch of 32768, and follows the root of its size",
        _YOU,
    ),
    Rule(
        f"{_ADAM} lamb sgd",
        lambda f: f.is_finetune and not f.is_transformer and f.trained >= 0.2,
        {"lr_times": 0.1},
        "fine-tuning takes a tenth of the rate from scratch, so that what was learnt stays",
        "Girshick et al. 2014, arXiv:1311.2524",
    ),
    Rule(
        _ADAM,
        lambda f: f.is_finetune and f.is_transformer and f.trained < 0.2,
        {"lr_times": 10.0},
        "with {trained:.1%} of the elements trained, as with low-rank adapters, rates are ten times as high",
        "Hu et al. 2021, arXiv:2106.09685",
    ),
    Rule(
        "lion",
        lambda f: True,
        {"lr_times": 0.2},
        "signs make longer steps than Adam's: a rate 3 to 10 times lower",
        _CHEN,
    ),
    Rule(
        "schedule_free_adamw",
        lambda f: True,
        {"lr_times": 2.5},
        "without a schedule the best rates are 1 to 10 times as high",
        _DEFAZIO,
    ),
    Rule(
        "adafactor",
        lambda f: True,
        lambda f: {"lr": 1e-3 if f.is_finetune else 1e-2},
        "a rate relative to the size of the weights: 1e-2, falling with the root of the step; to fine-tune 1e-3",
        _RAFFEL,
    ),
    Rule(
        "lbfgs",
        lambda f: True,
        {"lr": 1.0, "line_search_fn": "strong_wolfe", "history_size": 10},
        "a line search that begins at 1, and a history of 3 to 20 steps",
        _NOCEDAL,
    ),
    # Weight decay, averages
    Rule(
        "adamw muon schedule_free_adamw lamb",
        lambda f: True,
        {"weight_decay": 0.01},
        "decay is decoupled from the gradient, and modest",
        "Loshchilov and Hutter 2019, arXiv:1711.05101",
    ),
    Rule(
        "adamw lamb schedule_free_adamw",
        lambda f: f.is_transformer and not f.is_finetune,
        {"weight_decay": 0.1},
        "large transformers are trained with a decay of 0.1",
        _BROWN,
    ),
    Rule(
        "adamw",
        lambda f: f.kind == "convolutional" and not f.is_finetune,
        {"weight_decay": 0.05},
        "convolutional networks take 0.05 with AdamW",
        "Liu et al. 2022, arXiv:2201.03545",
    ),
    Rule(
        "lion",
        lambda f: True,
        lambda f: {"weight_decay": 0.05 if f.is_finetune else 0.5, "betas": (0.9, 0.99)},
        "decay rises by what the rate is lowered by, so that their product stays",
        _CHEN,
    ),
    Rule(
        "sgd",
        lambda f: True,
        {"momentum": 0.9, "nesterov": True, "weight_decay": 1e-4},
        "momentum of 0.9 and a decay of 1e-4, with Nesterov's look ahead",
        "He et al. 2016, arXiv:1512.03385; Sutskever et al. 2013",
    ),
    Rule(
        "adamw muon",
        lambda f: f.is_transformer and not f.is_finetune,
        {"betas": (0.9, 0.95)},
        "the average of squares forgets sooner than by default, for gradients of transformers spike",
        _BROWN,
    ),
    Rule(
        "muon",
        lambda f: True,
        {"adjust_lr_fn": "match_rms_adamw", "weight_decay": 0.1, "adamw_weight_decay": 0.1},
        "steps scaled to the size of AdamW's, so that both share one rate, with a decay of 0.1",
        _LIU,
    ),
    # Half precision
    Rule(
        "adamw muon schedule_free_adamw lamb",
        lambda f: f.half == "float16",
        {"eps": 1e-4},
        "an eps of 1e-8 is 0 in float16, whose least number is 6e-8, and squares of small gradients are too: 1e-4",
        "IEEE 754-2019, binary16",
    ),
    Rule(
        "adamw muon schedule_free_adamw lamb",
        lambda f: f.half == "bfloat16",
        {"eps": 1e-6},
        "a larger eps, 1e-6, for low precision",
        "documentation of optimi, optimi.benjaminwarner.dev",
    ),
    Rule(
        "*",
        lambda f: bool(f.half),
        {"confidence": -0.2},
        "weights of {half} lose small updates; keep them in float32 if you can",
        _MICIKEVICIUS,
    ),
    # Schedules; each sets the last of what it says
    Rule(
        _SCHEDULED,
        lambda f: f.task == "scratch",
        {"schedule": ("cosine", 0.0)},
        "the rate falls to 0 along half a cosine over all {steps} steps",
        "Loshchilov and Hutter 2017, arXiv:1608.03983",
    ),
    Rule(
        _SCHEDULED,
        lambda f: f.task == "pretrain",
        {"schedule": ("cosine", 0.1)},
        "the rate falls to a tenth along half a cosine that is as long as the training",
        "Hoffmann et al. 2022, arXiv:2203.15556",
    ),
    Rule(
        _SCHEDULED,
        lambda f: f.is_finetune,
        {"schedule": ("linear", 0.0)},
        "the rate falls to 0 on a line",
        "Mosbach et al. 2021, arXiv:2006.04884",
    ),
    _warm_up(f"{_ADAM} lamb", lambda f: True, 0.999),
    _warm_up("adamw muon", lambda f: f.is_transformer and not f.is_finetune, 0.95),
    _warm_up("lion", lambda f: True, 0.99),
    Rule(
        f"{_ADAM} lamb sgd",
        lambda f: f.is_finetune,
        lambda f: {"warmup": f.steps // 10},
        "a tenth of the steps warm up, without which fine-tuning is unstable",
        "Mosbach et al. 2021, arXiv:2006.04884",
    ),
    Rule(
        "sgd",
        lambda f: f.batch_size > 256 and not f.is_finetune,
        lambda f: {"warmup": min(f.steps // 10, math.ceil(5 * f.steps / f.epochs) if f.epochs else f.steps)},
        "large batches warm up for 5 epochs, and at most a tenth of the steps",
        _GOYAL,
    ),
    # Clipping
    Rule(
        "adamw muon lion lamb schedule_free_adamw",
        lambda f: f.is_transformer,
        {"clip_norm": 1.0},
        "gradients are clipped to a norm of 1",
        _BROWN,
    ),
    Rule(
        f"{_ADAM} lamb",
        lambda f: f.kind == "recurrent",
        {"clip_norm": 1.0},
        "gradients of recurrent networks explode now and then, and are clipped",
        "Pascanu et al. 2013, arXiv:1211.5063",
    ),
    # Groups
    Rule(
        "adamw lion",
        lambda f: f.is_finetune and f.is_transformer and f.layers > 1 and f.trained >= 0.5,
        {"layer_decay": 0.8},
        "each of the {layers} layers learns 0.8 times as fast as the one behind it, for the first are the most general",
        "Clark et al. 2020, arXiv:2003.10555",
    ),
    Rule(
        "adamw",
        lambda f: f.is_low_rank,
        {"rules": ({"name": "lora_B", "lr_mult": 16.0},)},
        "of low-rank adapters the second matrix learns 16 times as fast as the first",
        "Hayou et al. 2024, arXiv:2402.12354",
    ),
    # What lowers confidence
    Rule(
        "sgd",
        lambda f: f.batch_size > 8192,
        {"confidence": -0.3},
        "beyond batches of 8192 a proportional rate fails",
        _GOYAL,
    ),
    Rule(
        "*",
        lambda f: f.task == "pretrain" and f.epochs is not None and f.epochs > 4,
        {"confidence": -0.1},
        "the data are seen {epochs:.0f} times; past 4, a repetition is worth ever less",
        "Muennighoff et al. 2023, arXiv:2305.16264",
    ),
)
