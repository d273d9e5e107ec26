"""Tensors that say ``cuda:0`` (or ``mps:0``), compute on the CPU, and refuse what a device refuses.

Imported after ``stub.load``. Refused: tensors of two devices in one operation (numbers of no dimension
excepted, where CUDA takes them), a generator of another device, float64 on MPS, numpy arrays and
pickles of a device tensor. ``counts`` hears of every operation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._mode_utils import no_dispatch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only, tree_unflatten

from tests.device import counts
from tests.device.counts import line
from tests.device.generators import CPU, HostGenerator, default_generator, device_of_generator

_ELEMENTWISE = (
    "add add_ sub sub_ rsub mul mul_ div div_ true_divide floor_divide pow pow_ atan2 fmod remainder "
    "maximum minimum fmax fmin clamp clamp_min clamp_max where eq ne lt le gt ge eq_ logaddexp xlogy "
    "copysign hypot heaviside bitwise_and bitwise_or bitwise_xor logical_and logical_or fill fill_ "
    "copy_ masked_fill masked_fill_ lerp lerp_ addcmul addcmul_ addcdiv addcdiv_"
)
TAKES_HOST_SCALARS = frozenset(_ELEMENTWISE.split())
"""Element-wise operations, to which a 0-d CPU tensor is a number that the kernel is given."""

MOVES = frozenset(("_to_copy", "copy_", "_foreach_copy_", "_pin_memory"))
NO_DOUBLE = (torch.float64, torch.complex128)


class DeviceTensor(Tensor):
    """A tensor on the pretended device; ``host`` holds its numbers."""

    host: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, host: Tensor, device: torch.device) -> DeviceTensor:
        made: DeviceTensor = Tensor._make_wrapper_subclass(
            cls,
            host.size(),
            strides=host.stride(),
            storage_offset=host.storage_offset(),
            dtype=host.dtype,
            device=device,
        )
        made.host = host
        return made

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return dispatch(func, args, kwargs or {})

    def tolist(self):
        return self.cpu().tolist()

    def numpy(self, *, force=False):
        if not force:
            raise TypeError(
                f"can't convert {self.device} device type tensor to numpy. Use Tensor.cpu() to copy "
                "the tensor to host memory first."
            )
        return self.detach().cpu().numpy()

    def __array__(self, dtype=None, copy=None):
        return self.numpy()

    def __repr__(self, **kwargs):
        return f"DeviceTensor({self.host.detach()!r}, device={self.device})"

    def __format__(self, spec):
        return format(self.item(), spec) if self.ndim == 0 else repr(self)

    def __deepcopy__(self, memo):
        if id(self) not in memo:
            copy = DeviceTensor(self.host.detach().clone(), self.device)
            copy.requires_grad_(self.requires_grad)
            if isinstance(self, torch.nn.Parameter):
                copy._is_param = True
            memo[id(self)] = copy
        return memo[id(self)]

    def __reduce_ex__(self, protocol):
        raise TypeError("a tensor of the pretended device was pickled")


class Pretended(TorchDispatchMode):
    """New tensors are put where they are asked for."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return dispatch(func, args, kwargs or {})


def dispatch(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """One operation of torch, on whatever device its arguments say."""
    leaves, spec = tree_flatten((args, kwargs))
    there = [leaf for leaf in leaves if isinstance(leaf, DeviceTensor)]
    asked = next((leaf for leaf in leaves if isinstance(leaf, torch.device)), None)
    if not there and (asked is None or asked.type in ("cpu", "meta")):
        if any(isinstance(leaf, torch.Generator) for leaf in leaves):
            check_generator(func, leaves, CPU)
        return func(*args, **kwargs)
    name = func._schema.name.removeprefix("aten::")
    device = result_device(name, args, there, asked)
    host = [x for x in leaves if isinstance(x, Tensor) and not isinstance(x, DeviceTensor)]
    if name not in MOVES:
        check_devices(name, args, there, host)
    rng = check_generator(func, leaves, device)
    counts.count(func, args, kwargs, device.type == "cpu", there, bool(host))
    result = compute(func, name, leaves, spec, device, rng)
    if device.type in ("cpu", "meta"):
        return result
    if torch.Tag.inplace_view in func.tags:
        with no_dispatch():
            func(*args, **kwargs)  # the wrapper takes the new shape too
    known = {id(tensor.host): tensor for tensor in there}

    def wrapped(tensor: Tensor) -> Tensor:
        if id(tensor) in known:
            return known[id(tensor)]
        if device.type == "mps" and tensor.dtype in NO_DOUBLE:
            raise TypeError(
                "Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support "
                f"float64. Please use float32 instead. ({name}, {line()})"
            )
        return DeviceTensor(tensor, device)

    return tree_map_only(Tensor, wrapped, result)


def result_device(
    name: str, args: tuple[Any, ...], there: list[DeviceTensor], asked: torch.device | None
) -> torch.device:
    """Where the result will be."""
    if name in ("copy_", "_foreach_copy_"):
        target = args[0] if name == "copy_" else args[0][0]
        return target.device
    if asked is None:
        return there[0].device
    if asked.type not in ("cpu", "meta") and asked.index not in (None, 0):
        raise RuntimeError(f"{asked} is not there: invalid device ordinal")
    return asked if asked.type in ("cpu", "meta") else torch.device(asked.type, 0)


def compute(
    func: Any, name: str, leaves: list[Any], spec: Any, device: torch.device, rng: bool
) -> Any:
    """The operation on the numbers themselves."""
    if name in ("set_", "resize_"):
        raise NotImplementedError(f"the pretended device has no {name} ({line()})")
    args, kwargs = tree_unflatten([on_host(leaf) for leaf in leaves], spec)
    kwargs.pop("non_blocking", None)
    if kwargs.get("pin_memory"):
        kwargs["pin_memory"] = False
    if name == "_efficientzerotensor":
        return torch.zeros(args[0], dtype=kwargs.get("dtype"))
    if not rng and device.type != "cpu" and torch.Tag.nondeterministic_seeded in func.tags:
        with drawing_from(device):
            return func(*args, **kwargs)
    return func(*args, **kwargs)


def on_host(leaf: Any) -> Any:
    """An argument as the CPU's kernels take it."""
    if isinstance(leaf, DeviceTensor):
        return leaf.host
    if isinstance(leaf, torch.device) and leaf.type not in ("cpu", "meta"):
        return CPU
    return leaf


def check_devices(
    name: str, args: tuple[Any, ...], there: list[DeviceTensor], host: list[Tensor]
) -> None:
    """RuntimeError where a kernel of the device would be given the host's memory."""
    if not there or not host:
        return
    device = there[0].device
    if name in counts.INDEXING:
        if not isinstance(args[0], DeviceTensor):
            raise RuntimeError(
                "indices should be either on cpu or on the same device as the indexed tensor (cpu) "
                f"({line()})"
            )
        indices = [id(index) for index in args[1] if index is not None]
        host = [tensor for tensor in host if id(tensor) not in indices]
    scalars = name in TAKES_HOST_SCALARS or name.startswith("_foreach_")
    shapes = [list(tensor.shape) for tensor in host if tensor.ndim or not scalars]
    if name.endswith("_") and not name.startswith(("_foreach_", "_fused_")):
        shapes += [list(args[0].shape)] if not isinstance(args[0], DeviceTensor) else []
    if shapes and not (name in counts.INDEXING and shapes == [[]]):
        raise RuntimeError(
            "Expected all tensors to be on the same device, but found at least two devices, "
            f"{device} and cpu! ({name}, shapes on the cpu {shapes}, {line()})"
        )


def check_generator(func: Any, leaves: list[Any], device: torch.device) -> bool:
    """Whether a generator is among the arguments; RuntimeError where it is of another device."""
    generator = next((leaf for leaf in leaves if isinstance(leaf, HostGenerator)), None)
    if generator is None:
        return False
    found = device_of_generator(generator)
    if found.type != device.type:
        raise RuntimeError(
            f"Expected a '{device.type}' device type for generator but found '{found.type}' "
            f"({func}, {line()})"
        )
    return True


@contextmanager
def drawing_from(device: torch.device) -> Iterator[None]:
    """Draws without a generator come from the device's own."""
    kept, own = torch.get_rng_state(), default_generator(device.type)
    torch.set_rng_state(HostGenerator.get_state(own))
    try:
        yield
    finally:
        HostGenerator.set_state(own, torch.get_rng_state())
        torch.set_rng_state(kept)
