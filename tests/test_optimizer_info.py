"""What `optim.info` and `optim.list` say of optimizers."""

from pathlib import Path

import pytest

import rustorch as rt
from rustorch_core.errors import ArgumentError


@pytest.mark.parametrize("name", [*rt.optim.list(), "lookahead(adamw)"])
def test_the_state_is_what_an_optimizer_keeps(name: str) -> None:
    found = rt.optim.info(name)
    w = rt.ones((64, 64)).requires_grad_()

    def kept(**options: object) -> tuple[set[str], float]:
        optimizer = rt.optim.create(name, [w], **options)

        def closure() -> rt.Tensor:
            optimizer.zero_grad()
            loss = rt.sum(w**4)
            loss.backward()
            return loss

        optimizer.step(closure)
        state = optimizer.state_dict()["state"].get("0", {})
        return set(state), sum(part.nbytes for part in state.values()) / w.size

    if name == "lbfgs":
        assert found.state == {"memory": 2 * (found.defaults["history_size"] + 1) * 4.0}
    else:
        assert kept() == (set(found.state), sum(found.state.values()))
    for option, more in found.more_state.items():
        on = 0.5 if isinstance(found.defaults[option], float) else True
        assert kept(**{option: on}) == ({*found.state, *more}, sum(found.state.values()) + sum(more.values()))
    assert found.name == name and found.source
    for words in (name, found.source.split()[0], "lr=", *found.state, *found.more_state, *found.decays):
        assert words in str(found)


def test_what_is_told_of_some() -> None:
    assert rt.optim.info("adamw").more_state == {"amsgrad": {"largest_size": 4.0}}
    assert set(rt.optim.info("rmsprop").more_state) == {"momentum", "centered"}
    assert rt.optim.info("lbfgs").needs_closure and not rt.optim.info("lbfgs").is_grouped
    assert rt.optim.info("schedule_free_adamw").turns and "eval()" in str(rt.optim.info("schedule_free_adamw"))
    assert rt.optim.info("muon").decays == ("weight_decay", "adamw_weight_decay")
    assert 0 < sum(rt.optim.info("adafactor").state.values()) < 1
    with pytest.raises(ArgumentError, match="did you mean 'adamw'"):
        rt.optim.info("adamww")


def test_names_by_a_pattern() -> None:
    assert rt.optim.list("adam*") == ["adam", "adamax", "adamw"]
    assert rt.optim.list("nothing*") == []
    assert rt.optim.list() == rt.optim.list("*")
    assert {"sgd", "lbfgs", "muon"} <= set(rt.optim.list())


def test_the_guide_has_them_all() -> None:
    guide = (Path(__file__).parent.parent / "docs" / "optimizers.md").read_text()
    for name in rt.optim.list():
        found = rt.optim.info(name)
        size = sum(map(round, found.state.values()))
        assert f"| `{name}` | {found.source} | {size if size or not found.state else 'less than 1'}" in guide
