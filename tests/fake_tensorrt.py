"""A `tensorrt` for machines without one: modules with exactly the names of a real release, and nothing else.

The names are from tests/tensorrt_names.json, which was read from NVIDIA's wheels. What a release lacks raises
AttributeError, on modules, classes, enums and instances, for reading and for setting, as pybind11's objects do:

    fake = Fake("10.3.0")
    trt = fake.module                       # give it to the code under test
    trt.BuilderFlag.FP16                    # there in 10.3, AttributeError in 11.4
    fake.calls                              # [("Builder.create_network", (1,)), ("IBuilderConfig.set_flag", ...)]

It compiles nothing. A plan is `plan_header(version)` and the hash of the graph; `Fake.tensors` says what an engine
takes and gives, and `Fake.execute` computes it, when a context runs. It fails as the real one does: without a driver
(a builder raises TypeError, a runtime ends the process), by parser errors, by a build that returns None after a line in
the log: for precision flags on a strongly typed network, for open sizes without a profile, for a calibrator without its
flag, when it was stopped, and when it is told to. The plan of another release deserialises to None. Names that no test
needs are there and raise `NotFaked`.
"""

from __future__ import annotations

import hashlib
import json
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from make_tensorrt_names import releases

VERSIONS = ("8.6.1", "10.3.0", "10.7.0", "10.16.1.11", "11.0.0.114", "11.4.0.106")
"""What `-m trt_api` runs over."""


class NotFaked(AssertionError):  # noqa: N818 (it is what happened, not an error of TensorRT's)
    """The real release has this name, but the fake does nothing with it yet."""


class Segfault(BaseException):
    """Where the real one would end the process: nothing may catch it, and no test may pass with it."""


@dataclass(frozen=True)
class Tensor:
    """An engine's input or output; -1 in `shape` is a size that the profile gives."""

    name: str
    dtype: str
    """Name in `DataType`: UINT8, FLOAT."""
    shape: tuple[int, ...]
    is_input: bool


FRAME_AND_LABELS = (Tensor("frame", "UINT8", (1, 24, 32, 3), True), Tensor("labels", "UINT8", (1, 24, 32), False))


def _always(context: Any, stream: int) -> bool:
    return True


def _nothing() -> None:
    pass


def plan_header(version: str) -> bytes:
    """What every plan of the fake release begins with."""
    return f"fake plan of TensorRT {version};".encode()


class Fake:
    """One fake release: its module, what was called on it, and how it shall behave. Set attributes before use."""

    def __init__(self, version: str, *, without: Iterable[str] = ()) -> None:
        """`without`: names ("BuilderFlag.TF32", "IProgressMonitor") to plant as removed."""
        self.version = version
        self.names = _planted(releases()[version], without)
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        """(`Class.member`, arguments) in order; setting an attribute is a call with the value."""

        self.driver = True
        """Whether there is one. Without, `Builder()` raises TypeError and what `Runtime()` gives is not to be used."""
        self.tensors: Sequence[Tensor] = FRAME_AND_LABELS
        self.profile: tuple[tuple[int, ...], ...] = ((1, 8, 8, 3), (1, 24, 32, 3), (1, 48, 64, 3))
        """Smallest, best and largest shape of an input with sizes of -1."""
        self.execute: Callable[[Any, int], bool] = _always
        """Called by `execute_async_v3(stream)` with the context, whose `_addresses` are by name, and the stream."""
        self.parser_errors: Sequence[Mapping[str, Any]] = ()
        """Fields of ParserError: desc, node, node_name, node_operator, code. With any, `parse` returns False."""
        self.layers: Sequence[str] = ("cast_frame", "conv1", "argmax")
        """Names of the parsed network's layers."""
        self.dla_cores = 0
        self.dla_layers: Sequence[str] = ()
        """Those of the layers that could run on DLA."""
        self.phases: Sequence[tuple[str, str | None, int]] = (("Building", None, 2), ("Tactics", "Building", 3))
        """(name, parent, steps) of what a progress monitor is told of."""
        self.during_build: Callable[[], None] = _nothing
        """Called once, while TensorRT builds."""
        self.build_warning: str | None = None
        """With a text, the build logs it as a warning."""
        self.build_error: str | None = None
        """With a text, the build logs it as an error and returns None."""
        self.reads_timing_cache = True
        """Without, what was kept of a timing cache is another device's."""
        self.inspected: Any = {"Layers": [{"Name": "conv1", "LayerType": "Convolution", "Precision": "Half"}]}
        """What an engine's inspector says, as JSON."""
        self.calibration = b""
        """What the last build was given as INT8 scales."""
        self.deserialized = 0
        """How often a plan was given to `deserialize_cuda_engine`."""

        self.module = _Module(self)

    def called(self, name: str) -> list[tuple[Any, ...]]:
        """The arguments of each call of `Class.member`."""
        return [arguments for called, arguments in self.calls if called == name]

    def plan(self, graph: bytes = b"") -> bytes:
        """The plan that a build of this graph gives."""
        return plan_header(self.version) + hashlib.sha256(graph).hexdigest().encode()


class _Module(types.ModuleType):
    """`tensorrt`, whose names are made when they are first asked for."""

    def __init__(self, fake: Fake) -> None:
        super().__init__("tensorrt")
        self.__dict__.update(__version__=fake.version, _fake=fake)

    def __getattr__(self, name: str) -> Any:
        fake: Fake = self.__dict__["_fake"]
        if name not in fake.names:
            raise AttributeError(f"module 'tensorrt' has no attribute '{name}'")
        return self.__dict__.setdefault(name, _entry(fake, name, fake.names[name]))


def _planted(names: Mapping[str, Any], without: Iterable[str]) -> dict[str, Any]:
    left = dict(names)
    for dotted in without:
        owner, _, member = dotted.partition(".")
        if not member:
            del left[owner]
        elif isinstance(left[owner], dict):
            left[owner] = {name: value for name, value in left[owner].items() if name != member}
        else:
            left[owner] = [name for name in left[owner] if name != member]
    return left


def _entry(fake: Fake, name: str, members: Any) -> Any:
    if isinstance(members, dict):
        return _enum(name, members)
    if isinstance(members, list):
        return _class(fake, name, members)
    return _not_faked(name)


# --- enums, as pybind11 makes them: members are objects, not integers; int() gives the value ---


def _enum(name: str, values: Mapping[str, int]) -> type:
    def init(self: Any, value: int) -> None:
        member = next((member for member, known in values.items() if known == int(value)), None)
        if member is None:
            raise ValueError(f"{value} is no {name}")
        self.name, self.value = member, int(value)

    body: dict[str, Any] = {
        "__init__": init,
        "__int__": lambda self: self.value,
        "__index__": lambda self: self.value,
        "__eq__": lambda self, other: type(self) is type(other) and self.value == other.value,
        "__hash__": lambda self: hash(self.value),
        "__repr__": lambda self: f"<{name}.{self.name}: {self.value}>",
    }
    kind = type(name, (), body)
    members: dict[str, Any] = {}
    for member, value in values.items():
        members[member] = object.__new__(kind)
        members[member].name, members[member].value = member, value
        setattr(kind, member, members[member])
    kind.__members__ = members  # type: ignore[attr-defined]
    return kind


# --- classes: the behaviour below, cut down to the names that the release has ---


class _Meta(type):
    """pybind11's: a Python subclass must call the `__init__` of what it derives from."""

    def __call__(cls, *arguments: Any, **named: Any) -> Any:
        made = super().__call__(*arguments, **named)
        if not made.__dict__.get("_begun"):
            raise TypeError(f"{cls.__name__}.__init__() must be called when overriding __init__")
        return made


def _class(fake: Fake, name: str, members: Sequence[str]) -> type:
    behaviour = _BEHAVIOURS.get(name, _Object)
    body: dict[str, Any] = {"_fake": fake, "_kind": name, "_offered": frozenset(members)}
    enums = {"Severity": ("INTERNAL_ERROR", "ERROR", "WARNING", "INFO", "VERBOSE")}
    for member in members:
        if member == "__init__":
            continue
        if member in enums["Severity"] and name in ("Logger", "ILogger"):
            body[member] = _SEVERITY.__members__[member]  # type: ignore[attr-defined]
        elif member == "Severity":
            body[member] = _SEVERITY
        else:
            body[member] = getattr(behaviour, f"do_{member}", None) or _Missing(f"{name}.{member}")
    return _Meta(name, (behaviour,), body)


class _Missing:
    """Something that the release has and the fake does not do: a class has it, an instance refuses to."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is None:
            return self
        raise NotFaked(f"tests/fake_tensorrt.py has no {self._name}")

    def __set__(self, instance: Any, value: Any) -> None:
        raise NotFaked(f"tests/fake_tensorrt.py has no {self._name}")


def _not_faked(name: str) -> Callable[..., Any]:
    def missing(*arguments: Any) -> Any:
        raise NotFaked(f"tests/fake_tensorrt.py has no {name}")

    return missing


def _call(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method that is recorded; what a release lacks is never reached."""

    def recorded(self: Any, *arguments: Any, **named: Any) -> Any:
        name = method.__name__.removeprefix("do_")
        self._fake.calls.append((f"{self._kind}.{name}", (*arguments, *named.values())))
        return method(self, *arguments, **named)

    return recorded


def _setting(name: str, default: Any = None) -> Any:
    """An attribute that is only kept; setting it is recorded."""

    def put(self: Any, value: Any) -> None:
        self._fake.calls.append((f"{self._kind}.{name}", (value,)))
        self._values[name] = value

    return property(lambda self: self._values.get(name, default), put)


class _Object:
    """Base of all: no attribute but those that the release has. A Python subclass may add its own, as in pybind11."""

    _fake: ClassVar[Fake]
    _kind: ClassVar[str]
    _offered: ClassVar[frozenset[str]]

    def __init__(self, *arguments: Any) -> None:
        self._begun = True
        self._values: dict[str, Any] = {}
        self.begin(*arguments)

    def begin(self, *arguments: Any) -> None:
        """What the constructor does."""

    def make(self, name: str, *arguments: Any) -> Any:
        """An object of another of the module's classes."""
        return getattr(self._fake.module, name)(*arguments)

    def __setattr__(self, name: str, value: Any) -> None:
        own = type(self).__dict__.get("_kind") == type(self).__name__
        if own and not name.startswith("_") and name not in self._offered:
            raise AttributeError(f"'{self._kind}' object has no attribute '{name}'")
        object.__setattr__(self, name, value)


class _ILogger(_Object):
    pass


class _Logger(_Object):
    def begin(self, min_severity: Any = None) -> None:
        self._values["min_severity"] = min_severity

    do_min_severity = _setting("min_severity")

    @_call
    def do_log(self, severity: Any, message: str) -> None:
        print(f"[TRT] {severity.name} {message}")


class _Builder(_Object):
    def begin(self, logger: Any) -> None:
        if not self._fake.driver:
            raise TypeError("pybind11::init(): factory function returned nullptr")
        self._logger = logger

    do_num_DLA_cores = property(lambda self: self._fake.dla_cores)  # noqa: N815 (TensorRT's name)

    @_call
    def do_create_network(self, flags: int = 0) -> Any:
        if type(flags) is not int:
            raise TypeError("create_network(): incompatible function arguments")
        return self.make("INetworkDefinition", flags)

    @_call
    def do_create_builder_config(self) -> Any:
        return self.make("IBuilderConfig")

    @_call
    def do_create_optimization_profile(self) -> Any:
        return self.make("IOptimizationProfile")

    @_call
    def do_build_serialized_network(self, network: Any, config: Any) -> Any:
        if self._fake.build_warning is not None:
            self._say("WARNING", self._fake.build_warning)
        monitor = config._values.get("progress_monitor")
        self._fake.during_build()
        if monitor is not None and not _report(monitor, self._fake.phases):
            return None
        calibrator = config._values.get("int8_calibrator")
        error = self._fake.build_error or _refusal(self._fake, network, config)
        if error is not None:
            self._say("ERROR", error)
            return None
        if calibrator is not None:
            self._fake.calibration = bytes(calibrator.read_calibration_cache())
        cache = config._values.get("timing_cache")
        if cache is not None:
            cache._content += b"timed;"
        return self.make("IHostMemory", self._fake.plan(network._graph))

    def _say(self, severity: str, text: str) -> None:
        self._logger.log(getattr(self._fake.module.ILogger, severity), text)


def _refusal(fake: Fake, network: Any, config: Any) -> str | None:
    """Why TensorRT would not build this, in about its words."""
    strong = fake.names["NetworkDefinitionCreationFlag"].get("STRONGLY_TYPED")
    always = "FP16" not in fake.names["BuilderFlag"]
    typed = always or (strong is not None and bool(network._flags >> strong & 1))
    if typed and config._set & {"FP16", "INT8"}:
        return "Error Code 3: API Usage Error (precision flags cannot be set for a strongly typed network)"
    if "int8_calibrator" in config._values and "INT8" not in config._set:
        return "Error Code 4: a calibrator is set but BuilderFlag.INT8 is not"
    if any(-1 in tensor.shape for tensor in fake.tensors if tensor.is_input) and not config._profiles:
        return "Error Code 4: Network has dynamic or shape inputs, but no optimization profile has been defined."
    return None


def _report(monitor: Any, phases: Sequence[tuple[str, str | None, int]], parent: str | None = None) -> bool:
    """Tell of the phases of `parent`, each one's own before its steps; False once a step is answered so.

    A phase that began ends, also when the build is stopped.
    """
    going = True
    for name, above, steps in phases:
        if above == parent and going:
            monitor.phase_start(name, parent, steps)
            going = _report(monitor, phases, name)
            for step in range(steps):
                going = going and bool(monitor.step_complete(name, step))
            monitor.phase_finish(name)
    return going


class _IHostMemory(_Object):
    def begin(self, data: bytes) -> None:
        self._data = data

    do_nbytes = property(lambda self: len(self._data))

    def __bytes__(self) -> bytes:
        return bytes(self._data)


class _Network(_Object):
    def begin(self, flags: int) -> None:
        self._flags = flags
        self._graph = b""
        self._parsed = False

    @property
    def do_num_layers(self) -> int:
        return len(self._fake.layers) if self._parsed else 0

    @_call
    def do_get_layer(self, index: int) -> Any:
        return self.make("ILayer", self._fake.layers[index])


class _ILayer(_Object):
    def begin(self, name: str) -> None:
        self._values["name"] = name

    do_name = _setting("name")


class _Parser(_Object):
    def begin(self, network: Any, logger: Any) -> None:
        self._network, self._logger = network, logger
        self._errors: Sequence[Mapping[str, Any]] = ()

    @_call
    def do_parse(self, model: bytes) -> bool:
        batch = self._fake.names["NetworkDefinitionCreationFlag"].get("EXPLICIT_BATCH")
        implicit = self._fake.version.startswith("8.") and not self._network._flags >> batch & 1
        wrong = {"desc": "This version of the ONNX parser only supports networks with an explicit batch dimension"}
        self._errors = [wrong] if implicit else self._fake.parser_errors
        if self._errors:
            return False
        self._network._graph = bytes(model)
        self._network._parsed = True
        return True

    @_call
    def do_set_flag(self, flag: Any) -> None:
        assert isinstance(flag, self._fake.module.OnnxParserFlag)

    do_num_errors = property(lambda self: len(self._errors))

    @_call
    def do_get_error(self, index: int) -> Any:
        return self.make("ParserError", self._errors[index])


class _ParserError(_Object):
    def begin(self, fields: Mapping[str, Any]) -> None:
        self._fields = fields

    def do_code(self) -> Any:
        return self._fields.get("code", 0)

    def do_desc(self) -> str:
        return str(self._fields.get("desc", ""))

    def do_node(self) -> int:
        return int(self._fields.get("node", -1))

    def do_node_name(self) -> str:
        return str(self._fields.get("node_name", ""))

    def do_node_operator(self) -> str:
        return str(self._fields.get("node_operator", ""))


class _Config(_Object):
    def begin(self) -> None:
        self._set = {"TF32"}
        self._profiles: list[Any] = []

    @_call
    def do_set_flag(self, flag: Any) -> None:
        assert isinstance(flag, self._fake.module.BuilderFlag)
        self._set.add(flag.name)

    @_call
    def do_clear_flag(self, flag: Any) -> None:
        assert isinstance(flag, self._fake.module.BuilderFlag)
        self._set.discard(flag.name)

    @_call
    def do_set_memory_pool_limit(self, pool: Any, size: int) -> None:
        assert isinstance(pool, self._fake.module.MemoryPoolType)
        assert type(size) is int

    @_call
    def do_add_optimization_profile(self, profile: Any) -> int:
        if not profile._ranges:
            return -1
        self._profiles.append(profile)
        return len(self._profiles) - 1

    @_call
    def do_can_run_on_DLA(self, layer: Any) -> bool:  # noqa: N802 (TensorRT's name)
        return layer._values["name"] in self._fake.dla_layers

    @_call
    def do_create_timing_cache(self, data: bytes) -> Any:
        return self.make("ITimingCache", data)

    @_call
    def do_set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> bool:
        if cache._content and not self._fake.reads_timing_cache and not ignore_mismatch:
            return False
        self._values["timing_cache"] = cache
        return True

    @_call
    def do_get_timing_cache(self) -> Any:
        return self._values.get("timing_cache")

    do_builder_optimization_level = _setting("builder_optimization_level", 3)
    do_profiling_verbosity = _setting("profiling_verbosity")
    do_hardware_compatibility_level = _setting("hardware_compatibility_level")
    do_default_device_type = _setting("default_device_type")
    do_DLA_core = _setting("DLA_core", -1)  # noqa: N815
    do_int8_calibrator = _setting("int8_calibrator")
    do_progress_monitor = _setting("progress_monitor")


class _TimingCache(_Object):
    def begin(self, data: bytes) -> None:
        self._content = bytes(data)

    @_call
    def do_serialize(self) -> Any:
        return self.make("IHostMemory", self._content)


class _Profile(_Object):
    def begin(self) -> None:
        self._ranges: dict[str, Any] = {}

    @_call
    def do_set_shape(self, input: str, min: Any, opt: Any, max: Any) -> None:
        if not all(a <= b <= c for a, b, c in zip(min, opt, max, strict=True)):
            raise ValueError("Shape provided for min, opt, or max is invalid")
        self._ranges[input] = (min, opt, max)


class _Runtime(_Object):
    def begin(self, logger: Any) -> None:
        self._logger = logger

    do_DLA_core = _setting("DLA_core", -1)  # noqa: N815

    do_engine_host_code_allowed = _setting("engine_host_code_allowed", False)

    @_call
    def do_deserialize_cuda_engine(self, plan: bytes) -> Any:
        if not self._fake.driver:
            raise Segfault("a Runtime without a driver was used")
        self._fake.deserialized += 1
        if not bytes(plan).startswith(plan_header(self._fake.version)):
            self._logger.log(self._fake.module.ILogger.ERROR, "Serialization assertion: Version tag does not match")
            return None
        return self.make("ICudaEngine")


class _Engine(_Object):
    def _tensor(self, name: str) -> Tensor:
        return next(tensor for tensor in self._fake.tensors if tensor.name == name)

    do_num_io_tensors = property(lambda self: len(self._fake.tensors))

    @_call
    def do_get_tensor_name(self, index: int) -> str:
        return self._fake.tensors[index].name

    @_call
    def do_get_tensor_mode(self, name: str) -> Any:
        mode = "INPUT" if self._tensor(name).is_input else "OUTPUT"
        return self._fake.module.TensorIOMode.__members__[mode]

    @_call
    def do_get_tensor_dtype(self, name: str) -> Any:
        return self._fake.module.DataType.__members__[self._tensor(name).dtype]

    @_call
    def do_get_tensor_shape(self, name: str) -> Any:
        return self._tensor(name).shape

    @_call
    def do_get_tensor_profile_shape(self, name: str, profile_index: int) -> Any:
        assert -1 in self._tensor(name).shape
        assert profile_index == 0
        return [list(shape) for shape in self._fake.profile]

    @_call
    def do_create_execution_context(self) -> Any:
        return self.make("IExecutionContext", self)

    @_call
    def do_create_engine_inspector(self) -> Any:
        return self.make("EngineInspector")


class _Inspector(_Object):
    @_call
    def do_get_engine_information(self, format: Any) -> str:
        assert format.name == "JSON"
        return self._fake.inspected if isinstance(self._fake.inspected, str) else json.dumps(self._fake.inspected)


class _Context(_Object):
    def begin(self, engine: Any) -> None:
        self._engine = engine
        self._addresses: dict[str, int] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}

    @property
    def _taken(self) -> Sequence[Tensor]:
        return [tensor for tensor in self._fake.tensors if tensor.is_input]

    def _shape(self, name: str) -> tuple[int, ...]:
        """The shape of now: what was set for an input; an output's open sizes are those of the first input."""
        tensor: Tensor = self._engine._tensor(name)
        first = self._shapes.get(self._taken[0].name, self._taken[0].shape)
        if tensor.is_input:
            return self._shapes.get(name, tensor.shape)
        return tuple(first[axis] if size == -1 else size for axis, size in enumerate(tensor.shape))

    @_call
    def do_set_input_shape(self, name: str, shape: Any) -> bool:
        declared = self._engine._tensor(name).shape
        if len(shape) != len(declared) or any(d not in (-1, s) for d, s in zip(declared, shape, strict=True)):
            return False
        self._shapes[name] = tuple(int(size) for size in shape)
        return True

    @_call
    def do_get_tensor_shape(self, name: str) -> Any:
        return self._shape(name)

    @_call
    def do_infer_shapes(self) -> list[str]:
        return [tensor.name for tensor in self._taken if -1 in self._shape(tensor.name)]

    @_call
    def do_set_tensor_address(self, name: str, address: int) -> bool:
        self._addresses[name] = address
        return True

    @_call
    def do_execute_async_v3(self, stream_handle: int) -> bool:
        if any(tensor.name not in self._addresses or -1 in self._shape(tensor.name) for tensor in self._fake.tensors):
            return False
        return self._fake.execute(self, stream_handle)


_SEVERITY = _enum("Severity", {"INTERNAL_ERROR": 0, "ERROR": 1, "WARNING": 2, "INFO": 3, "VERBOSE": 4})

_BEHAVIOURS: dict[str, type] = {
    "Logger": _Logger,
    "ILogger": _ILogger,
    "Builder": _Builder,
    "INetworkDefinition": _Network,
    "ILayer": _ILayer,
    "OnnxParser": _Parser,
    "ParserError": _ParserError,
    "IBuilderConfig": _Config,
    "ITimingCache": _TimingCache,
    "IOptimizationProfile": _Profile,
    "IHostMemory": _IHostMemory,
    "Runtime": _Runtime,
    "ICudaEngine": _Engine,
    "EngineInspector": _Inspector,
    "IExecutionContext": _Context,
}
