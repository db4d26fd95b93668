"""The part of `tensorrt` that building touches, as types; which of it a release has, its `Capabilities` say.

The library has no types of its own, and its names come and go. What is not written here is not used. Names with a
number after them in NVIDIA's documentation are looked up by name, in `__members__`: the numbers differ by release.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, cast

from edgeseg.errors import UnavailableError


class HostMemory(Protocol):
    """Bytes of TensorRT's: `bytes(memory)` copies them."""

    nbytes: int

    def __bytes__(self) -> bytes: ...


class Layer(Protocol):
    """One layer of a network."""

    name: str


class Network(Protocol):
    """A network definition."""

    num_layers: int

    def get_layer(self, index: int) -> Layer:
        """The layer at `index`."""
        ...


class ParserError(Protocol):
    """Why a node was not read. `node_name()` and `node_operator()` are there from 10.0 on."""

    def desc(self) -> str:
        """What is the matter."""
        ...

    def node(self) -> int:
        """Position of the node in the graph."""
        ...


class Parser(Protocol):
    """Reads ONNX into a network."""

    num_errors: int

    def parse(self, model: bytes) -> bool:
        """False where it did not succeed; the errors then say why."""
        ...

    def get_error(self, index: int) -> ParserError:
        """One of the errors."""
        ...

    def set_flag(self, flag: Any) -> None:
        """Switch an `OnnxParserFlag` on."""
        ...


class Profile(Protocol):
    """The range of an input's shapes."""

    def set_shape(self, input: str, min: Sequence[int], opt: Sequence[int], max: Sequence[int]) -> None:
        """Smallest, best and largest shape; raises ValueError where they are no range."""
        ...


class TimingCache(Protocol):
    """What was measured of kernels."""

    def serialize(self) -> HostMemory:
        """As it can be kept."""
        ...


class Config(Protocol):
    """Settings of a build."""

    builder_optimization_level: int
    profiling_verbosity: Any
    hardware_compatibility_level: Any
    default_device_type: Any
    DLA_core: int
    int8_calibrator: Any
    """Up to 10.x."""
    progress_monitor: Any
    """From 10.0 on."""

    def set_flag(self, flag: Any) -> None:
        """Switch a `BuilderFlag` on."""
        ...

    def clear_flag(self, flag: Any) -> None:
        """Switch a `BuilderFlag` off."""
        ...

    def set_memory_pool_limit(self, pool: Any, pool_size: int) -> None:
        """Bytes that a `MemoryPoolType` may take."""
        ...

    def add_optimization_profile(self, profile: Profile) -> int:
        """Its index; -1 where it is no valid one."""
        ...

    def can_run_on_DLA(self, layer: Layer) -> bool:  # noqa: N802 (TensorRT's name)
        """Whether DLA can run this layer."""
        ...

    def create_timing_cache(self, serialized_timing_cache: bytes) -> TimingCache | None:
        """From what was kept, or empty from no bytes; `None` where TensorRT cannot read it."""
        ...

    def set_timing_cache(self, cache: TimingCache, ignore_mismatch: bool) -> bool:
        """False where the cache is another device's."""
        ...

    def get_timing_cache(self) -> TimingCache | None:
        """The one that was set, with what the build has added."""
        ...


class Builder(Protocol):
    """Builds engines."""

    num_DLA_cores: int  # noqa: N815

    def create_network(self, flags: int = 0) -> Network:
        """Empty; `flags`: bits of `NetworkDefinitionCreationFlag`."""
        ...

    def create_builder_config(self) -> Config:
        """With TensorRT's own settings."""
        ...

    def create_optimization_profile(self) -> Profile:
        """Empty."""
        ...

    def build_serialized_network(self, network: Network, config: Config) -> HostMemory | None:
        """The plan; `None` where it cannot be built or was stopped, and the log says why."""
        ...


class Engine(Protocol):
    """A plan, ready to run."""

    def create_engine_inspector(self) -> Any:
        """Tells of its layers."""
        ...


class Runtime(Protocol):
    """Makes engines of plans."""

    engine_host_code_allowed: bool

    def deserialize_cuda_engine(self, plan: bytes) -> Engine | None:
        """`None` where the plan is not for this library or this GPU."""
        ...


class TensorRT(Protocol):
    """The module, or a fake of it. Its enums and the classes to derive from are reached by name: `member`, `base`."""

    __version__: str

    def Builder(self, logger: Any) -> Builder:  # noqa: N802 (TensorRT's name)
        """Raises TypeError without a driver."""
        ...

    def OnnxParser(self, network: Network, logger: Any) -> Parser:  # noqa: N802
        """For this network."""
        ...

    def Runtime(self, logger: Any) -> Runtime:  # noqa: N802
        """Only with a driver: the first use of one without ends the process."""
        ...


class EnumMember(Protocol):
    """One member of an enum."""

    value: int
    """Its number in this release."""


def member(trt: TensorRT, dotted: str) -> EnumMember:
    """The enum member `BuilderFlag.TF32`; raises `UnavailableError` where this release has none of that name."""
    enum, _, name = dotted.partition(".")
    members: Mapping[str, EnumMember] = getattr(getattr(trt, enum, None), "__members__", {})
    if name not in members:
        raise UnavailableError(f"TensorRT {trt.__version__} has no {dotted}. Make the plan for this very release.")
    return members[name]


def base(trt: TensorRT, name: str) -> type[Any]:
    """The class `name` to derive from; raises `UnavailableError` where this release has none of that name."""
    found = getattr(trt, name, None)
    if found is None:
        raise UnavailableError(f"TensorRT {trt.__version__} has no {name}. Make the plan for this very release.")
    return cast("type[Any]", found)
