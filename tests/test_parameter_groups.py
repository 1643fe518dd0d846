"""Groups of a model's parameters: by module type, tags and regular expressions, and what is told of them."""

import copy
import json
import pickle
import warnings

import pytest

import rustorch as rt
from rustorch import nn
from rustorch_core.errors import ArgumentError, OperandError, RusTorchError


class Table(nn.Module):
    role = "embedding"

    def __init__(self) -> None:
        self.weight = nn.Parameter(rt.ones((5, 4)))


class StrangersRMSNorm(nn.Module):
    """Says nothing of its role; its name does."""

    def __init__(self) -> None:
        self.scale = nn.Parameter(rt.ones(4))


class Block(nn.Module):
    def __init__(self) -> None:
        self.norm = StrangersRMSNorm()
        self.inner = nn.Linear(4, 4)
        self.gate = nn.Parameter(rt.ones(()))


class Model(nn.Module):
    def __init__(self, is_tied: bool = False) -> None:
        self.tokens = Table()
        self.position = nn.Parameter(rt.ones((3, 4)))
        self.blocks = nn.Sequential(Block(), Block())
        self.last_norm = nn.LayerNorm(4)
        self.head = nn.Linear(4, 5)
        if is_tied:
            self.head.weight = self.tokens.weight


def by_name(optimizer) -> dict[str, dict]:  # type: ignore[no-untyped-def, type-arg]
    groups = optimizer.explain().groups
    return {name: {**group["options"], "why": group["reason"]} for group in groups for name in group["parameters"]}


MATRICES = ["blocks.0.inner.weight", "blocks.1.inner.weight", "head.weight"]


def test_norms_embeddings_biases_and_gates_do_not_decay() -> None:
    found = by_name(rt.optim.create("adamw", Model(), weight_decay=0.1))
    assert [name for name, options in found.items() if options["weight_decay"]] == MATRICES
    assert {options["weight_decay"] for options in found.values()} == {0.0, 0.1}
    why = found["tokens.weight"]["why"]
    for reason in ("embedding (Table)", "norm (StrangersRMSNorm) (2)", "norm (LayerNorm) (2)", "bias (3)", "no matrix"):
        assert f"no decay: {reason}" in why
    assert "no decay: a table, position" in why


def decays_of(name: str) -> list[str]:
    defaults = rt.optim.info(name).defaults
    return [key for key in defaults if key.endswith("weight_decay") and not isinstance(defaults[key], bool)]


@pytest.mark.parametrize("name", [name for name in rt.optim.list() if decays_of(name)])
def test_no_decay_is_no_decay(name: str) -> None:
    options = dict.fromkeys(decays_of(name), 0.5)
    model = nn.Linear(3, 2)
    optimizer, plain = (rt.optim.create(name, model, **each) for each in (options, dict.fromkeys(options, 0.0)))
    for key in options:
        groups = {name: group[key] for group in optimizer.param_groups for name in map(id, group["params"])}
        assert groups == {id(model.weight): 0.5, id(model.bias): 0.0}
        assert {group[key] for group in plain.param_groups} == {0.0}


def test_where_nothing_decays_there_is_one_group() -> None:
    for name, options in (("sgd", {}), ("adamw", {"weight_decay": 0.0}), ("lbfgs", {})):
        assert len(rt.optim.create(name, Model(), **options).param_groups) == 1
    assert len(rt.optim.create("adamw", Model().named_parameters()).param_groups) == 1


def test_a_tied_matrix_is_one_and_an_embedding() -> None:
    optimizer = rt.optim.create("adamw", Model(is_tied=True))
    found = by_name(optimizer)
    assert "head.weight" not in found
    assert found["tokens.weight"]["weight_decay"] == 0
    backwards = nn.Sequential(nn.Linear(4, 5), Table())
    backwards[1].weight = backwards[0].weight
    assert by_name(rt.optim.create("adamw", backwards))["0.weight"]["weight_decay"] == 0


def test_tags_overrule_types() -> None:
    model = Model()
    model.head.weight.tags.add("no_decay")
    model.last_norm.weight.tags.add("decay")
    found = by_name(rt.optim.create("adamw", model))
    assert found["head.weight"]["weight_decay"] == 0
    assert found["last_norm.weight"]["weight_decay"] == 0.01
    assert "tag no_decay" in found["head.weight"]["why"]


def test_tags_stay_with_their_parameter() -> None:
    linear = nn.Linear(2, 2)
    linear.weight = nn.Parameter(linear.weight.detach(), tags=["slow"])
    moved = copy.deepcopy(linear).to("float64")
    for made in (moved.weight, copy.copy(linear.weight), pickle.loads(pickle.dumps(linear.weight))):
        assert made.tags == {"slow"}
        made.tags.add("other")
    assert linear.weight.tags == {"slow"}
    assert linear.bias.tags == set()


def test_types_come_first_and_names_have_the_last_word() -> None:
    model = Model()
    model.head.bias.tags.add("slow")
    rules = [
        {"name": r"^head\.weight", "lr_mult": 10, "wd_mult": 2},
        {"tag": "slow", "lr_mult": 0.1},
        {"type": nn.Linear, "lr_mult": 3, "wd_mult": 1, "betas": (0.8, 0.9)},
    ]
    optimizer = rt.optim.create("adamw", model, lr=0.01, weight_decay=0.1, rules=rules)
    found = by_name(optimizer)
    assert [found[name]["lr"] for name in MATRICES] == pytest.approx([0.03, 0.03, 0.1])
    assert found["head.weight"]["weight_decay"] == pytest.approx(0.2)
    assert (found["head.bias"]["lr"], found["head.bias"]["weight_decay"]) == pytest.approx((0.001, 0.1))
    assert found["head.bias"]["betas"] == (0.8, 0.9)
    assert found["position"]["lr"] == 0.01
    assert all(options.get("initial_lr", options["lr"]) == options["lr"] for options in found.values())
    assert "initial_lr" in found["head.bias"]
    assert found["head.bias"]["why"].startswith("no decay: bias; type Linear: lr_mult=3, wd_mult=1, betas=(0.8, 0.9)")


def test_factors_outlast_schedules() -> None:
    optimizer = rt.optim.create("sgd", Model(), lr=1.0, rules=[{"name": "head", "lr_mult": 0.25}])
    schedule = rt.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5**step)
    schedule.step()
    assert sorted(schedule.get_last_lr()) == [0.125, 0.5]


def test_factors_in_groups_by_hand() -> None:
    a, b = rt.ones(1).requires_grad_(), rt.ones(1).requires_grad_()
    optimizer = rt.optim.create("adamw", [{"params": [a], "lr_mult": 0.1, "lr": 0.5}, {"params": [b], "wd_mult": 0.0}])
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.05, 0.001])
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.01, 0.0]


def test_layers_learn_slower_towards_the_input() -> None:
    found = by_name(rt.optim.create("adamw", Model(), lr=1.0, layer_decay=0.5, rules=[{"name": "head", "lr_mult": 2}]))
    places = {"tokens": 3, "position": 3, "blocks.0": 2, "blocks.1": 1, "last_norm": 1}
    for name, options in found.items():
        expected = 2.0 if name.startswith("head") else 0.5 ** next(n for at, n in places.items() if name.startswith(at))
        assert options["lr"] == expected, name
    assert "layer 2 of 4" in found["blocks.0.gate"]["why"]


def test_a_model_tells_its_layers() -> None:
    class Told(Model):
        def layers(self) -> list[nn.Module]:
            return [self.tokens, self.head]

    found = by_name(rt.optim.create("sgd", Told(), lr=1.0, layer_decay=0.5))
    assert {name: options["lr"] for name, options in found.items() if options["lr"] == 1} == {
        "head.weight": 1.0,
        "head.bias": 1.0,
    }


def test_layers_within_one_are_found_and_a_single_one_is_warned_of() -> None:
    wrapped = nn.Sequential(nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.LayerNorm(2), nn.Linear(2, 2)))
    found = by_name(rt.optim.create("sgd", wrapped, lr=1.0, layer_decay=0.5))
    assert [found[f"0.{place}.weight"]["lr"] for place in (0, 2, 3)] == [0.5, 0.5, 1.0]
    with pytest.warns(UserWarning, match="changes nothing, for Linear has one layer"):
        rt.optim.create("sgd", nn.Linear(2, 2), layer_decay=0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rt.optim.create("sgd", wrapped, layer_decay=1.0)


def test_muon_leaves_embeddings_and_the_output_to_adamw() -> None:
    found = by_name(rt.optim.create("muon", Model()))
    assert [name for name in MATRICES if found[name]["use_muon"]] == MATRICES[:2]
    assert not found["tokens.weight"]["use_muon"]
    assert "AdamW: the last matrix" in found["head.weight"]["why"]
    own = by_name(rt.optim.create("muon", Model(), rules=[{"name": "head", "use_muon": True}]))
    assert own["head.weight"]["use_muon"]
    assert by_name(rt.optim.create("muon", nn.Linear(2, 2)))["weight"]["use_muon"]


def test_a_model_of_another_library_needs_only_names() -> None:
    class Strangers:
        def named_parameters(self):  # type: ignore[no-untyped-def]
            return [(name, rt.ones((2, 2)).requires_grad_()) for name in ("layer.weight", "layer.bias", "pos_embed")]

    found = by_name(rt.optim.create("adamw", Strangers()))
    assert [options["weight_decay"] for options in found.values()] == [0.01, 0.0, 0.0]


def test_an_explanation_is_a_table_and_json() -> None:
    optimizer = rt.optim.create("adamw", Model(), lr=0.25, weight_decay=0.5)
    explanation = optimizer.explain()
    header, decayed = [
        line.split() for line in str(explanation).splitlines()[1:] if "inner.weight" in line or "why" in line
    ]
    assert header == ["group", "lr", "decay", "tensors", "elements", "why", "such", "as"]
    assert decayed[1:5] == ["0.25", "0.5", "3", str(16 + 16 + 20)]
    told = json.loads(json.dumps(explanation.to_dict()))
    assert told["optimizer"] == "adamw"
    assert sum(group["elements"] for group in told["groups"]) == sum(p.size for p in Model().parameters())
    assert [sorted(group) for group in told["groups"]] == [["elements", "group", "options", "parameters", "reason"]] * 2
    optimizer.add_param_group({"params": [("late", rt.ones(1).requires_grad_())], "reason": "found later"})
    assert optimizer.explain().groups[-1]["reason"] == "found later"


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"rules": [{"lr_mult": 2}]}, ArgumentError, "a rule has one of 'type', 'tag', 'name', met"),
        ({"rules": [{"tag": "a", "name": "b"}]}, ArgumentError, "a rule has one of"),
        ({"rules": ["head"]}, ArgumentError, "a rule has one of"),
        ({"rules": [{"name": "haed", "lr_mult": 2}]}, ArgumentError, "no parameter has the name 'haed'"),
        ({"rules": [{"tag": "none", "lr_mult": 2}]}, ArgumentError, "no parameter has the tag 'none'"),
        ({"rules": [{"type": "Linear", "lr_mult": 2}]}, OperandError, "is a class of modules, met 'Linear'"),
        ({"rules": [{"name": "(", "lr_mult": 2}]}, ArgumentError, "no regular expression"),
        ({"rules": [{"name": "head", "lr_mul": 2}]}, ArgumentError, "did you mean 'lr_mult'"),
        ({"rules": [{"name": "head", "lr_mult": -1}]}, ArgumentError, "lr_mult=-1"),
        ({"rules": [{"name": "head", "lr_mult": "much"}]}, OperandError, "lr_mult='much'"),
        ({"layer_decay": 0.0}, ArgumentError, "layer_decay is above 0 and at most 1"),
        ({"layer_decay": "a"}, OperandError, "layer_decay is a number"),
        ({"layer_deca": 0.5}, ArgumentError, "did you mean 'layer_decay'"),
        ({"clip_norm": float("nan")}, ArgumentError, "clip_norm=nan"),
        ({"clip_value": -1.0}, ArgumentError, "clip_value=-1.0"),
    ],
)
def test_what_does_not_fit_is_refused(options, error, words) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(error, match=words) as raised:
        rt.optim.create("adamw", Model(), **options)
    assert isinstance(raised.value, RusTorchError)


def test_rules_need_a_model_and_names_are_single() -> None:
    w, v = rt.ones(1).requires_grad_(), rt.ones(1).requires_grad_()
    with pytest.raises(OperandError, match="are for a model; pass the module itself"):
        rt.optim.create("sgd", [w], rules=[{"name": "w"}])
    with pytest.raises(ArgumentError, match="two parameters are called 'w'"):
        rt.optim.create("sgd", [("w", w), ("w", v)])
    with pytest.raises(ArgumentError, match="lbfgs takes no clip_norm"):
        rt.optim.create("lbfgs", [w], clip_norm=1.0)
