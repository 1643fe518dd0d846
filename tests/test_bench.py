"""The benchmark: what it would measure, one small run of it, and what it makes of runs that were kept."""

import json
import statistics
from pathlib import Path

import numpy
import pyperf
import pytest
from click.testing import CliRunner, Result

import rustorch as rt
import rustorch.special
from rustorch.cli.bench import measure, peers, results, suites, worker
from rustorch.cli.bench.command import bench
from rustorch_core._op import REGISTRY
from rustorch_core.errors import ArgumentError, FileFormatError, FileReadError, FileWriteError, MissingFileError

pytestmark = pytest.mark.needs("cpu")

Values = list[list[float]]
STEADY = [[1.0, 1.01], [1.02, 1.0], [0.99, 1.0], [1.01, 0.99]]
NOISY = [[1.0, 1.3], [0.8, 0.9], [1.1, 1.4], [0.9, 1.0]]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(bench, [str(each) for each in arguments])


def scaled(values: Values, factor: float) -> Values:
    return [[factor * value for value in process] for process in values]


def benchmark(row: str, contestant: str, values: Values, rank: int = 0, **facts: object) -> pyperf.Benchmark:
    suite, _, name = row.partition("/")
    metadata = {
        "name": f"{row} [{contestant}]", "suite": suite, "row": name, "contestant": contestant, "rank": rank,
        "library": contestant.partition(" ")[0], "unit": "second", "read": 0, "written": 0, "flops": 0, **facts,
    }  # fmt: skip
    return pyperf.Benchmark([
        pyperf.Run(each, metadata={**metadata, "process": number}, collect_metadata=False)
        for number, each in enumerate(values, 1)
    ])  # fmt: skip


def kept(file: Path, *benchmarks: pyperf.Benchmark) -> Path:
    pyperf.BenchmarkSuite(benchmarks).dump(str(file))
    return file


# What it would measure


def test_the_suites_are_listed() -> None:
    shown = run("--list").output
    assert all(name in shown for name in suites.names())


def test_rows_are_listed_and_nothing_is_measured() -> None:
    shown = run("tensor_ops", "--list", "--filter", "softmax", "--sizes", "2k,1e6", "--peer", "numpy").output
    assert "tensor_ops/log_softmax 1M" in shown and "rustorch, numpy" in shown
    assert shown.count("log_softmax(x, axis=-1)") == 2 and "exp" not in shown


SETTINGS = suites.Settings(("torch", "numpy"), (), 2, is_compiled=True)


@pytest.mark.parametrize("suite", suites.SUITES)
def test_rows_have_names_of_their_own_and_statements(suite: str) -> None:
    rows = list(suites.SUITES[suite].rows(SETTINGS))
    assert rows and len({row.id for row in rows}) == len(rows)
    for row in rows:
        assert row.suite == suite
        compile(row.statement, row.id, "exec")


def test_every_elementwise_op_that_is_public_has_rows() -> None:
    ids = {
        row.id.rpartition(" ")[0] for name in ("tensor_ops", "special") for row in suites.SUITES[name].rows(SETTINGS)
    }
    spaces = {"": [rt, rt.nn.functional], "special": [rt.special]}
    for op in REGISTRY.values():
        space, _, name = op.name.rpartition(".")
        is_public = any(hasattr(each, name) for each in spaces[space]) if space in spaces else False
        if op.kind in ("unary", "binary") and is_public and name not in ("conj", "imag", "positive", "real"):
            assert {f"tensor_ops/{op.name}", f"special/{op.name}"} & ids, op.name


def test_quick_takes_its_rows_from_the_others() -> None:
    plan, _ = suites.plan(["quick"], SETTINGS)
    everything, _ = suites.plan(["all"], SETTINGS)
    ids = {row.id for row, _ in everything}
    assert 20 < len(plan) < 60 and {row.id for row, _ in plan} <= ids
    assert {row.suite for row, _ in plan} == {
        "tensor_ops", "autograd_ops", "neural_networks", "matrix_decomposition", "optimizers", "machine",
    }  # fmt: skip


# What a library does


@pytest.mark.parametrize("suite", ["tensor_ops", "autograd_ops", "special"])
def test_every_row_runs_and_numpy_agrees(suite: str, tmp_path: Path) -> None:
    """Each statement once, at a small size."""
    libraries = {name: peers.library(name, 1) for name in ("rustorch", "numpy")}
    compared = 0
    for place, row in enumerate(suites.SUITES[suite].rows(suites.Settings((), (12,)))):
        for name, each in libraries.items():
            if row.name == "import" or (row.libraries and name not in row.libraries):
                continue
            try:
                space = row.space(each)
            except peers.NotThereError:
                assert name != "rustorch"
                continue
            if row.is_checked:
                worker._check(each, row, space, worker._waiting(each, row, space), tmp_path / f"{place}.npy")
                compared += name == "numpy"
            else:
                exec(each.spelled(row.statement), space)
    assert compared > {"tensor_ops": 80, "autograd_ops": 2, "special": 30}[suite]


def test_a_library_that_computes_something_else_is_found_out(tmp_path: Path) -> None:
    (row,) = (row for row in suites.SUITES["tensor_ops"].rows(suites.Settings((), (12,))) if row.name == "exp 12")
    chosen = peers.library("numpy", 1)
    space = {**row.space(chosen), "exp": numpy.exp2}
    numpy.save(tmp_path / "reference.npy", numpy.ones(12))
    with pytest.raises(ValueError, match="numpy computes something else"):
        worker._check(chosen, row, space, row.statement, tmp_path / "reference.npy")


# One run


def test_a_run_is_kept_shown_again_and_equal_to_itself(tmp_path: Path) -> None:
    file, picture = tmp_path / "run.json", tmp_path / "run.png"
    chosen = ("tensor_ops", "--filter", "/add 100", "--sizes", "100", "--peer", "numpy", "--threads", 1)
    done = run(*chosen, "--fast", "--json", file)
    assert done.exit_code == 0, done.output
    found = results.results(results.read(file))
    first, second = found["tensor_ops"]["add 100"]
    assert (first.contestant, second.contestant) == ("rustorch", "numpy")
    assert len(first.medians) == len(second.medians) == measure.FAST.processes
    assert {"reading", "copying", "adding", "matmul"} == set(found["machine"])
    # The same table, and no change from itself.
    again = run("--from", file, "--baseline", file, "--fail-slower", "--plot", picture)
    assert again.exit_code == 0, again.output
    table = done.output[done.output.index(" tensor_ops") :]
    assert table in again.output
    assert "0 slower and 0 faster beyond the noise, of 1 rows" in again.output
    assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert json.loads(file.read_text())["version"]  # pyperf's own format


def test_a_contestant_whose_process_ends_is_named_and_the_others_go_on() -> None:
    ((row, _), *_), _ = suites.plan(["tensor_ops"], suites.Settings((), (10,)), ["/add"])
    broken = suites.Contestant("broken", "rustorch", variables=(("RUSTORCH_DEVICE", "nonsense"),))
    plan = [(row, [suites.Contestant("rustorch", "rustorch"), broken])]
    effort = measure.Effort(processes=1, values=1, min_time=1e-4)
    suite, failed = measure.measure(plan, suites.Settings((), (10,)), effort, "now", lambda *progress: None)
    assert suite.get_benchmark_names() == ["tensor_ops/add 10 [rustorch]"]
    assert list(failed) == ["tensor_ops/add 10 [broken]"] and "nonsense" in failed["tensor_ops/add 10 [broken]"]


# What is made of the numbers


def test_ratios_are_of_what_was_measured_in_one_process(tmp_path: Path) -> None:
    drifting = [[1.0, 1.0], [10.0, 10.0], [100.0, 100.0]]
    file = kept(
        tmp_path / "run.json",
        benchmark("a/row", "rustorch", drifting),
        benchmark("a/row", "torch loop", scaled(drifting, 3.0), 1),
        benchmark("a/row", "torch fused", scaled(drifting, 2.0), 2),
        benchmark("a/other", "rustorch", STEADY),
        benchmark("a/other", "torch", scaled(STEADY, 0.5), 1),
    )
    of_row, other = results.results(results.read(file))["a"].values()
    assert results.others(of_row) == {"torch": (2.0, 0.0)}
    assert results.others(other)["torch"].median == 0.5
    shown = run("--from", file).output
    assert "torch: 1.00 times in the geometric mean of 2 rows; below 1 in 1: other (0.50)" in shown


def test_parts_of_the_limit(tmp_path: Path) -> None:
    seconds, size = [[0.01]] * 3, 10**8
    file = kept(
        tmp_path / "run.json",
        benchmark("a/large", "rustorch", scaled(seconds, 2.0), read=size, written=size),
        benchmark("a/sum", "rustorch", seconds, read=size),
        benchmark("a/small", "rustorch", seconds, read=100, written=100),
        benchmark("a/matmul", "rustorch", scaled(seconds, 4.0), flops=10**9),
        benchmark("machine/reading", "machine", scaled(seconds, 0.5), read=size),
        benchmark("machine/copying", "machine", seconds, read=size, written=size),
        benchmark("machine/matmul", "machine", seconds, flops=10**9),
    )
    found = results.results(results.read(file))
    parts = {row: results.part_of_limit(each[0], results.limits(found)) for row, each in found["a"].items()}
    assert parts == {"large": 0.5, "sum": 0.5, "small": None, "matmul": 0.25}


@pytest.mark.parametrize(
    ("then", "now", "expected"),
    [
        (STEADY, scaled(STEADY, 1.3), "slower"),
        (STEADY, scaled(STEADY, 0.7), "faster"),
        (STEADY, STEADY, ""),
        (STEADY, scaled(STEADY, 1.04), ""),  # apart, and too little
        (NOISY, scaled(NOISY, 1.3), ""),  # much, and within the noise
    ],
)
def test_against_the_baseline(tmp_path: Path, then: Values, now: Values, expected: str) -> None:
    old = kept(tmp_path / "old.json", benchmark("a/row", "rustorch", then), benchmark("a/gone", "rustorch", then))
    new = kept(tmp_path / "new.json", benchmark("a/row", "rustorch", now), benchmark("a/come", "rustorch", now))
    done = run("--from", new, "--baseline", old, "--fail-slower")
    assert done.exit_code == (1 if expected == "slower" else 0), done.output
    assert f"{int(expected == 'slower')} slower and {int(expected == 'faster')} faster beyond the noise" in done.output
    assert "of 1 rows that both runs have" in done.output
    assert ("the clock alone" in done.output) == bool(expected)
    assert ("Rough: values spread by" in done.output) == (now[0][1] / now[0][0] > 1.1)
    assert run("--from", new, "--baseline", old).exit_code == 0


@pytest.mark.parametrize(("ours", "machine", "is_slower"), [(3.0, 3.0, False), (1.5, 1.0, True), (1.0, 0.5, True)])
def test_a_machine_that_has_become_slower_is_no_change(
    tmp_path: Path, ours: float, machine: float, is_slower: bool
) -> None:
    def at(name: str, ours: float, machine: float) -> results.Results:
        both = (
            benchmark("a/row", "rustorch", scaled(STEADY, ours)),
            benchmark("a/row", "torch", scaled(STEADY, machine), 1),
        )
        return results.results(results.read(kept(tmp_path / name, *both)))

    (change,) = results.changes(at("new.json", ours, machine), at("old.json", 1.0, 1.0))
    assert change.is_slower == is_slower and change.beside == "torch"
    assert change.times == pytest.approx(ours / machine)


def test_the_spread_is_that_of_a_normal_distribution() -> None:
    values = numpy.random.default_rng(0).normal(5.0, 2.0, 20_000).tolist()
    found = results.spread(values)
    assert found.median == statistics.median(values) and found.deviation == pytest.approx(2.0, rel=0.05)


# What goes wrong


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (["quik"], ArgumentError, "there is no suite 'quik'; there are: quick, tensor_ops"),
        (["quick", "--filter", "nothing"], ArgumentError, "no row fits nothing"),
        (["--fail-slower"], ArgumentError, "--baseline FILE"),
        (["memory", "--from", "{folder}/alone.json"], ArgumentError, "leave out SUITE"),
        (["--baseline", "{folder}/none.json"], MissingFileError, "there is no file"),
        (["--from", "{folder}"], FileReadError, "cannot be read"),
        (["--from", "{folder}/text"], FileFormatError, "no file that `rustorch bench --json` wrote"),
        (["--from", "{folder}/strange.json"], FileFormatError, "no file that `rustorch bench --json` wrote"),
        (["--json", "{folder}/none/run.json"], FileWriteError, "its folder does not exist"),
        (["--plot", "{folder}"], FileWriteError, "it is a folder"),
        (["--from", "{folder}/alone.json", "--plot", "{folder}/x.png"], ArgumentError, "no ratios to draw"),
    ],
)
def test_what_cannot_be_done_says_so_at_once(
    tmp_path: Path, arguments: list[str], error: type[Exception], words: str
) -> None:
    (tmp_path / "text").write_text("not JSON")
    kept(tmp_path / "alone.json", benchmark("a/row", "rustorch", STEADY))
    stranger = pyperf.Run([1.0], metadata={"name": "another program's"}, collect_metadata=False)
    kept(tmp_path / "strange.json", pyperf.Benchmark([stranger]))
    done = run(*(each.replace("{folder}", str(tmp_path)) for each in arguments))
    assert isinstance(done.exception, error) and words in str(done.exception), done.exception
    assert not (tmp_path / "x.png").exists()


@pytest.mark.parametrize("text", ["", "many", "1,,2", "0", "-1", "1.5", "nan", "inf", "1e99"])
def test_sizes_that_are_none(text: str) -> None:
    done = run("--list", "quick", "--sizes", text)
    assert done.exit_code == 2 and "is no list of sizes such as 1,1k,1e5,10M" in done.output


@pytest.mark.parametrize(
    ("options", "missing", "fix"),
    [
        (["--peer", "torch"], "torch", "pip install torch"),
        (["--peer", "jax"], "jax", "pip install jax"),
        ([], "pyperf", 'pip install "rustorch[bench]"'),
        (["--plot", "x.png"], "matplotlib", 'pip install "rustorch[bench]"'),
    ],
)
def test_what_is_not_installed_is_named(
    monkeypatch: pytest.MonkeyPatch, options: list[str], missing: str, fix: str
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == missing else name)
    done = run(*options)
    assert isinstance(done.exception, ArgumentError)
    assert str(done.exception) == f"bench: {missing} cannot be found; run: {fix}"
