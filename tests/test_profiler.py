"""The profiler: what it counts, when it ends, and that it costs nothing while nobody watches."""

import pytest

import rustorch as rt
from rustorch import profiler
from rustorch_core import _dispatch
from rustorch_core.errors import ArgumentError, ShapeError


@pytest.fixture(autouse=True)
def nobody_watches():  # type: ignore[no-untyped-def]
    assert _dispatch.watchers is None
    yield
    assert _dispatch.watchers is None


def counts(profile: profiler.Profile) -> dict[str, int]:
    found: dict[str, int] = {}
    for row in profile.rows:
        found[row.op] = found.get(row.op, 0) + row.calls
    return found


def test_rows() -> None:
    x = rt.ones((10, 10))
    with profiler.profile(show=None) as profile:
        _ = x + x
        _ = x + 1.0
        _ = (x @ x).sum()
        _ = x.astype("float64") * 2
    assert counts(profile) == {"add": 2, "matmul": 1, "sum": 1, "astype": 1, "multiply": 1}
    by_name = {row.op: row for row in profile.rows}
    assert by_name["add"].nbytes == 2 * 400
    assert by_name["astype"].nbytes == 800
    assert all(row.device == str(x.device) and row.seconds > 0 for row in profile.rows)
    assert all(row.served_by in ("namespace", "kernel", "composition") for row in profile.rows)
    assert [row.seconds for row in profile.rows] == sorted((row.seconds for row in profile.rows), reverse=True)


def test_backward_is_seen() -> None:
    x = rt.ones(3).requires_grad_()
    with profiler.profile(show=None) as profile:
        rt.sin(x).sum().backward()
    assert {"sin", "sum", "cos", "multiply", "broadcast_to"} <= set(counts(profile))


def test_ops_that_return_several_and_none_of_the_inputs_dtype() -> None:
    with profiler.profile(show=None) as profile:
        rt.unique_all(rt.asarray([1, 1, 2]))
        rt.clip(rt.ones(3), None, 2.0)
    assert set(counts(profile)) == {"unique_all", "clip"}
    assert {row.op: row.nbytes for row in profile.rows}["clip"] == 12


def test_compositions_tell_of_their_parts_or_of_themselves() -> None:
    x = rt.ones((4, 4))
    with profiler.profile(show=None) as profile:
        rt.logsumexp(x, axis=1)
    found = counts(profile)
    assert "logsumexp" in found
    assert sum(found.values()) >= 1
    served = {row.op: row.served_by for row in profile.rows}
    if served["logsumexp"] == "composition":
        assert {"exp", "sum", "log"} <= set(found)


def test_watches_nest() -> None:
    x = rt.ones(2)
    with profiler.profile(show=None) as outer:
        _ = x + x
        with profiler.profile(show=None) as inner:
            _ = x * x
        _ = x - x
    assert set(counts(outer)) == {"add", "multiply", "subtract"}
    assert set(counts(inner)) == {"multiply"}


def test_an_exception_ends_the_watch_and_prints_nothing() -> None:
    shown: list[str] = []

    def fail() -> None:
        with profiler.profile(show=shown.append):
            _ = rt.ones(2) + rt.ones(2)
            raise KeyError("stop")

    with pytest.raises(KeyError):
        fail()
    assert shown == []


def test_an_op_that_raises_is_not_counted_and_breaks_nothing() -> None:
    with profiler.profile(show=None) as profile:
        with pytest.raises(ShapeError):
            _ = rt.ones(2) + rt.ones(3)
        _ = rt.ones(2) * 2
    assert counts(profile) == {"multiply": 1}


def test_table() -> None:
    shown: list[str] = []
    with profiler.profile(show=shown.append) as profile:
        _ = rt.ones(3) + rt.ones(3)
    (text,) = shown
    assert text == profile.table() == repr(profile)
    assert "add" in text
    assert "served by" in text
    assert "1 calls" in text or "1 call" in text
    assert all(line == line.rstrip() for line in text.splitlines())


def test_an_empty_profile_has_a_table() -> None:
    with profiler.profile(show=None) as profile:
        pass
    assert profile.rows == []
    assert "0 calls" in profile.table()


def test_the_profiler_prints_by_default(capsys) -> None:  # type: ignore[no-untyped-def]
    with profiler.profile():
        _ = rt.ones(3) + 1.0
    assert "add" in capsys.readouterr().out


def test_watch_and_its_undo() -> None:
    seen: list[tuple[str, str]] = []

    def before(op, inputs, attributes):  # type: ignore[no-untyped-def]
        seen.append(("before", op.name))
        return len(seen)

    def after(op, inputs, attributes, output, token):  # type: ignore[no-untyped-def]
        seen.append(("after", op.name))
        assert token == len(seen) - 1
        assert isinstance(output, rt.Tensor)
        assert all(isinstance(each, rt.Tensor) for each in inputs)

    undo = profiler.watch(before, after)
    other = profiler.watch(before, lambda *arguments: None)
    other()
    rt.sum(rt.ones(2), axis=0)
    undo()
    undo()
    rt.sum(rt.ones(2), axis=0)
    assert seen == [("before", "sum"), ("after", "sum")]


def test_a_profile_is_used_again() -> None:
    watched = profiler.profile(show=None)
    for _ in range(2):
        with watched as profile:
            _ = rt.ones(1) + 1
        assert counts(profile) == {"add": 1}


def test_results_are_the_same_under_the_watch() -> None:
    x = rt.asarray([0.5, -1.0])
    plain = rt.gelu(x).tolist()
    with profiler.profile(show=None):
        assert rt.gelu(x).tolist() == plain


def test_an_unknown_sink_leaves_no_watch() -> None:
    with pytest.raises(ArgumentError, match="no plugin brings a sink 'nowhere'"), profiler.profile(sink="nowhere"):
        pass


def test_a_watch_that_begins_inside_an_op_hears_only_of_later_ones() -> None:
    ended: list[str] = []
    begun: list[object] = []

    def begin_another(op: object, inputs: object, attributes: object) -> None:
        if not begun:
            begun.append(profiler.watch(lambda *started: "token", lambda op, i, a, o, token: ended.append(token)))

    undo = profiler.watch(begin_another, lambda *finished: None)
    try:
        rt.ones(2) + rt.ones(2)
        assert ended == []
        rt.ones(2) + rt.ones(2)
        assert ended == ["token"]
    finally:
        undo()
        begun[0]()  # type: ignore[operator]
