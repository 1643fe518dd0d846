"""Names of devices, the default one, and what a device is beside."""

import copy
import pickle

import numpy
import pytest

import rustorch as rt
from rustorch_core import _devices, _plugins
from rustorch_core.errors import ArgumentError, BackendUnavailableError, PluginError
from rustorch_core.plugin import Backend, CallPath, DeviceSpec, HostRuntime, Kernel, OptimizerSpec, ProfilerSink

pytestmark = pytest.mark.needs("cpu")


@pytest.fixture
def offer(monkeypatch):
    """Put a device of a plugin beside the reference: `offer(distribution, type, ...facts)`."""
    monkeypatch.setattr(_plugins, "records", [each for each in _plugins.records if each.name == "cpu"])
    for kept in ("_availability", "_opened", "_devices"):
        monkeypatch.setattr(_devices, kept, dict(getattr(_devices, kept)))
    monkeypatch.setattr(_devices._Default, "device", None)
    monkeypatch.setattr(_devices._Default, "decided_by", "")

    def add(distribution, type_, load=None, **facts):
        record = _plugins.PluginRecord(type_, distribution, "1.0")
        spec = DeviceSpec(type=type_, load=load or (lambda: Backend(namespace=Namespace, count=2, **BACKEND)), **facts)
        record.facts["rustorch_devices"] = [spec]
        _plugins.records.append(record)
        return record

    return add


class Array:
    """A native array of its own kind."""

    def __init__(self, values):
        self.values = values
        self.dtype = values.dtype


class Namespace:
    float32 = numpy.dtype("float32")

    @staticmethod
    def add(x, y):
        return Array(x.values + y.values)


BACKEND = {"from_host": lambda values, index: Array(values.copy()), "to_host": lambda native: native.values}


def test_the_reference_is_always_there():
    cpu = rt.device("cpu")
    assert (cpu.type, cpu.index, str(cpu), repr(cpu)) == ("cpu", 0, "cpu", "device('cpu')")
    assert rt.device("cpu:0") is cpu
    assert rt.device(cpu) is cpu
    assert cpu in rt.devices()
    assert cpu.shares_host_memory


def test_a_device_equals_its_names():
    cpu = rt.device("cpu")
    assert cpu == "cpu"
    assert cpu == "cpu:0"
    assert cpu != "cpu:1"
    assert cpu != "cuda"
    assert cpu != 0
    assert {"cpu": 1}[cpu] == 1


def test_copies_are_the_device_itself():
    cpu = rt.device("cpu")
    assert pickle.loads(pickle.dumps(cpu)) is cpu
    assert copy.copy(cpu) is cpu
    assert copy.deepcopy({"device": cpu})["device"] is cpu


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cpu:7", "device: there is no 'cpu:7'; this machine has 1 cpu"),
        ("cpu:", "device: 'cpu:' is no name of a device; expected 'cpu' or 'cpu:0'"),
        ("cpu:-1", "device: 'cpu:-1' is no name of a device; expected 'cpu' or 'cpu:0'"),
        ("cpu:x", "device: 'cpu:x' is no name of a device; expected 'cpu' or 'cpu:0'"),
        ("cpu:\N{ARABIC-INDIC DIGIT ZERO}", "is no name of a device"),
        ("gpu", "device: no plugin offers 'gpu'; there are: cpu"),
        ("CPU", "device: no plugin offers 'CPU'; there are: cpu"),
        ("", "device: no plugin offers ''"),
        (7, "device: expected a name such as 'cpu', met 7"),
        (numpy.float32, "device: expected a name such as 'cpu', met <class"),
    ],
)
def test_a_wrong_name_says_what_there_is(name, message):
    for ask in (rt.device, lambda name: rt.ones(1, device=name)):
        with pytest.raises(ArgumentError) as caught:
            ask(name)
        assert message in str(caught.value)


def test_a_device_of_ours_that_is_not_installed_names_its_extra(monkeypatch):
    monkeypatch.setattr(_plugins, "records", [record for record in _plugins.records if record.name == "cpu"])
    with pytest.raises(ArgumentError, match=r"no plugin offers 'cuda'; pip install 'rustorch\[cuda\]'"):
        rt.device("cuda")


def test_a_plugin_that_failed_is_told_where_its_device_is_named(offer):
    record = offer("stranger", "warp")
    record.fail("it needs a warp core")
    with pytest.raises(ArgumentError, match="the plugin of that name is failed, it needs a warp core"):
        rt.device("warp")
    offer("stranger", "kernels").facts["rustorch_devices"] = []
    with pytest.raises(ArgumentError, match="'kernels' is a plugin that brings no device"):
        rt.device("kernels")


def test_several_devices_of_one_type(offer):
    offer("stranger", "warp")
    second = rt.device("warp:1")
    assert (str(second), second.index) == ("warp:1", 1)
    assert rt.device("warp:1") is second
    assert rt.device("warp") is rt.device("warp:0")
    assert rt.device("warp") == "warp"
    assert second != rt.device("warp")
    with pytest.raises(ArgumentError, match="there is no 'warp:2'; this machine has 2 warp, the last is 'warp:1'"):
        rt.device("warp:2")
    assert [str(each) for each in rt.devices()] == ["cpu", "warp:0", "warp:1"]


def test_a_strangers_device_is_never_chosen_unasked(offer):
    offer("stranger", "warp", rank=1000)
    assert rt.default_device() == "cpu"
    assert rt.device("auto") == "cpu"
    assert rt.devices()[0] == "warp"


def test_ours_is_chosen_by_rank_if_it_can_be_used(offer):
    offer("rustorch-cuda", "best", load=lambda: 1 / 0, rank=20)
    offer("rustorch-metal", "second", rank=10)
    offer("rustorch-opencl", "slow", rank=-5)
    assert rt.default_device() == "second"
    assert _devices.decided_by() == "it is the best ranked one that can be used"
    assert [each.type for each in rt.devices()] == ["second", "second", "cpu", "slow", "slow"]


def test_a_higher_rank_does_not_take_the_name_of_ours(offer):
    impostor = offer("stranger", "cpu", rank=1000)
    assert rt.device("cpu").shares_host_memory
    assert {spec.type: record for record, spec in _devices.specs()}["cpu"] is not impostor
    assert impostor.notes == ["its device 'cpu' is not used: that is the name of rustorch's own reference device"]


def test_an_unavailable_device_says_why_and_what_to_do(offer):
    def probe():
        raise BackendUnavailableError("no", reason="there is no driver", fix="install one")

    offer("rustorch-cuda", "warp", probe=probe, rank=50)
    for _ in range(2):
        with pytest.raises(BackendUnavailableError) as caught:
            rt.device("warp")
        assert str(caught.value) == "device 'warp' cannot be used: there is no driver. Install one"
        assert (caught.value.reason, caught.value.fix) == ("there is no driver", "install one")
    assert rt.default_device() == "cpu"


def test_a_device_is_probed_once_and_only_when_needed(offer):
    probes = []
    offer("stranger", "warp", probe=lambda: probes.append(1))
    assert rt.ones(1).device == "cpu"
    assert probes == []
    rt.device("warp")
    rt.device("warp:1")
    assert probes == [1]


def test_set_default_device(offer):
    offer("stranger", "warp")
    rt.set_default_device("warp:1")
    assert rt.default_device() is rt.device("warp:1")
    assert _devices.decided_by() == "set_default_device"
    with pytest.raises(ArgumentError):
        rt.set_default_device("wrap")
    assert rt.default_device() == "warp:1"
    rt.set_default_device(None)
    assert rt.default_device() == "cpu"


def test_no_device_at_all(offer):
    del _plugins.records[:]
    with pytest.raises(BackendUnavailableError, match="no device can be used, not even the reference"):
        rt.default_device()


@pytest.mark.parametrize(
    ("fact", "facts", "message"),
    [
        (DeviceSpec, {"type": 7, "load": "a:b"}, "DeviceSpec(type=7): expected a name"),
        (DeviceSpec, {"type": "auto", "load": "a:b"}, "DeviceSpec(type='auto'): expected a name"),
        (DeviceSpec, {"type": "x", "load": "a"}, "DeviceSpec(load='a'): expected 'package.module:function'"),
        (DeviceSpec, {"type": "x", "load": "a:b", "probe": 1}, "DeviceSpec(probe=1): expected"),
        (DeviceSpec, {"type": "x", "load": "a:b", "rank": 1.5}, "DeviceSpec(rank=1.5): expected an integer"),
        (DeviceSpec, {"type": "x", "load": "a:b", "description": None}, "DeviceSpec(description=None)"),
        (Kernel, {"op": "exp", "device": "cpu", "load": "a:b", "dtypes": "float32"}, "Kernel(dtypes='float32')"),
        (Kernel, {"op": "exp", "device": "cpu", "load": "a:b", "dtypes": [numpy.float32]}, "Kernel(dtypes=[<class"),
        (Kernel, {"op": rt.exp, "device": "cpu", "load": "a:b"}, "Kernel(op=<function"),
        (Kernel, {"op": "exp", "device": "cpu", "load": None}, "Kernel(load=None)"),
        (Backend, {"namespace": numpy, "count": 0}, "Backend(count=0)"),
        (Backend, {"namespace": numpy, "to_host": "a:b"}, "Backend(to_host='a:b'): expected a function or None"),
        (OptimizerSpec, {"name": None, "load": "a:b"}, "OptimizerSpec(name=None)"),
        (ProfilerSink, {"name": "x", "load": "a:"}, "ProfilerSink(load='a:')"),
        (CallPath, {"load": ":a"}, "CallPath(load=':a')"),
        (HostRuntime, {"load": 3}, "HostRuntime(load=3)"),
    ],
)
def test_a_wrong_fact_is_refused_where_it_is_stated(fact, facts, message):
    with pytest.raises(PluginError) as caught:
        fact(**facts)
    assert str(caught.value).startswith(message)


def test_facts_are_frozen():
    with pytest.raises(AttributeError):
        DeviceSpec(type="x", load="a:b").rank = 3
