"""A pretended GPU: what fails on a real one fails on a processor, too.

Inside ``with pretended_gpu() as gpu:`` PyTorch says that there is one GPU. Tensors and modules that are moved to it, or
made there, say that they lie on ``cuda:0``. They lie in the processor's memory and are computed there, gradients too,
so that values are the processor's. They refuse what a real GPU's refuse:

- ``tensor.numpy()``, and everything by which NumPy helps itself: ``np.asarray(tensor)``, ``np.float32(tensor)``;
- operations over tensors of both devices, unless the processor's is a single number, an index, or what is copied from;
- a generator of the processor's for draws on the GPU.

Draws on it come from a generator of its own, so that they differ from the processor's for a seed, as a real GPU's do.
``Gpu.tf32`` counts products that a real GPU would have made in TF32 where TF32 is allowed.

How: a subclass of Tensor whose ``device`` is made up. Autograd does not know of it and stays PyTorch's own. A mode sees
what no tensor's class can: what is made on the GPU, and what is moved there.

Limits:

- Values round as the processor's do; speed, memory, TF32's and cuDNN's rounding and asynchronous errors are not shown.
- Backward hooks and custom functions are given plain tensors by autograd, so nothing is checked inside them.
- Functions of PyTorch that are written in Python count as one operation; devices inside them are not looked at.
- In a thread that was started before it, nothing can be moved to the GPU; what is there works.
- Autocast is the processor's. ``torch.Generator(device="cuda")``, streams, events and memory statistics are missing.
- Operations that a GPU lacks, or that are not deterministic there, pass.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

GPU = torch.device("cuda", 0)
NO_ARRAY = "can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host memory first."
TWO_DEVICES = "Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu!"
OTHER_GENERATOR = "Expected a 'cuda' device type for generator but found 'cpu'"

DRAWS = frozenset(
    {"rand", "rand_like", "randn", "randn_like", "randint", "randint_like", "randperm", "normal", "bernoulli"}
    | {"multinomial", "poisson", "normal_", "uniform_", "bernoulli_", "random_", "exponential_", "cauchy_"}
    | {"geometric_", "log_normal_", "dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout"}
    | {"feature_dropout", "feature_alpha_dropout", "rrelu", "gumbel_softmax", "fractional_max_pool2d"}
    | {"kaiming_normal_", "kaiming_uniform_", "xavier_normal_", "xavier_uniform_", "trunc_normal_"}
)
CONVOLUTIONS = frozenset({"conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"})
MATMULS = frozenset(
    {"matmul", "__matmul__", "__rmatmul__", "mm", "bmm", "addmm", "addbmm", "baddbmm", "linear", "einsum", "mv", "dot"}
    | {"bilinear", "tensordot", "chain_matmul", "scaled_dot_product_attention"}
)
# The processor's tensors may take part in these whatever their shape.
COPIES = frozenset({"copy_", "__set__", "_has_compatible_shallow_copy_type", "is_same_size"})
# Not even single numbers of the processor's may take part in these.
JOINS = frozenset({"cat", "concat", "concatenate", "stack", "hstack", "vstack", "dstack", "equal"})


@dataclass
class Gpu:
    """The pretended GPU.

    Parameters
    ----------
    device
        What code under test is given.
    moved
        How many tensors went there, which tells whether code used it at all.
    tf32
        Names of products in float32 that were made while TF32 was allowed for them.
    """

    device: torch.device = GPU
    moved: int = 0
    tf32: list[str] = field(default_factory=list)
    draws: Tensor = field(default_factory=lambda: torch.Generator().manual_seed(97).get_state())

    def seed(self, number: int) -> None:
        """Seed the generator; no processor draws what a GPU draws of the same seed."""
        self.draws = torch.Generator().manual_seed((int(number) * 31 + 97) % 2**63).get_state()


_gpu = Gpu()


class OnGpu(Tensor):
    """A tensor that says it lies on the GPU."""

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return _answer(func, args, kwargs or {})


class _Everywhere(TorchFunctionMode):
    """Sees all calls, so that those are found that make or move something."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return _answer(func, args, kwargs or {})


# ---- what calls answer --------------------------------------------------------------------------------------------


def _answer(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    tensors = list(_tensors((args, kwargs)))
    ours = [each for each in tensors if isinstance(each, OnGpu)]
    wanted = kwargs.get("device")
    if not ours and not _is_gpu(wanted) and getattr(func, "__name__", "") not in MOVES:
        return func(*args, **kwargs)
    with torch._C.DisableTorchFunctionSubclass():
        special = _special(func)
        if special is not None and (ours or func.__name__ in MOVES):
            return special(func, args, kwargs)
        _check_devices(func, args, tensors, ours)
        _check_generator(kwargs.get("generator"))
        _note_tf32(func, ours)
        if wanted is not None:
            kwargs = kwargs | {"device": torch.device("cpu")}
        if kwargs.get("pin_memory"):
            kwargs = kwargs | {"pin_memory": False}
        with _drawing() if func.__name__ in DRAWS else nullcontext():
            found = func(*args, **kwargs)
        # What is asked for on the processor must not share memory with what lies on the GPU.
        return _there(found) if wanted is None or _is_gpu(wanted) else _here(found)


def _tensors(values: Any) -> Iterator[Tensor]:
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, (list, tuple)):
        for each in values:
            yield from _tensors(each)
    elif isinstance(values, dict):
        yield from _tensors(list(values.values()))


def _is_gpu(device: Any) -> bool:
    return device is not None and torch.device(device).type == "cuda"


def _there(found: Any) -> Any:
    """Return results, their tensors on the GPU."""
    if isinstance(found, Tensor):
        return found if isinstance(found, OnGpu) else found.as_subclass(OnGpu)
    if isinstance(found, list):
        return [_there(each) for each in found]
    if isinstance(found, tuple) and not isinstance(found, torch.Size):
        each = tuple(_there(one) for one in found)
        return each if type(found) is tuple else type(found)(each)
    return found


def _here(found: Tensor) -> Tensor:
    return found.clone().as_subclass(Tensor) if isinstance(found, OnGpu) else found


def _check_devices(func: Callable[..., Any], args: tuple[Any, ...], tensors: list[Tensor], ours: list[Tensor]) -> None:
    name = func.__name__
    if not ours or name in COPIES or torch._C._current_graph_task_id() != -1:  # within a backward pass
        return
    if name == "__getitem__":
        strangers = [] if isinstance(args[0], OnGpu) else [each for each in ours if each.dim() > 0]
    elif name == "__setitem__":
        whole = not any(isinstance(each, (Tensor, list)) for each in _parts(args[1]))
        strangers = [each for each in _tensors(args[2]) if _stranger(each) and not whole]
        strangers += [] if isinstance(args[0], OnGpu) else [each for each in _tensors(args[1]) if each.dim() > 0]
    elif name in ("index_put", "index_put_"):
        strangers = [each for each in (args[0], args[2]) if _stranger(each)]
    elif name in JOINS:
        strangers = [each for each in tensors if not isinstance(each, OnGpu)]
    else:
        strangers = [each for each in tensors if _stranger(each)]
    if strangers:
        raise RuntimeError(f"{TWO_DEVICES} (in {name})")


def _stranger(each: Tensor) -> bool:
    return not isinstance(each, OnGpu) and each.dim() > 0


def _parts(index: Any) -> tuple[Any, ...]:
    return index if isinstance(index, tuple) else (index,)


def _check_generator(generator: torch.Generator | None) -> None:
    if generator is not None and generator.device.type != "cuda":
        raise RuntimeError(OTHER_GENERATOR)


def _note_tf32(func: Callable[..., Any], ours: list[Tensor]) -> None:
    name = func.__name__
    if not ours or ours[0].dtype != torch.float32 or torch.is_autocast_enabled("cpu"):
        return
    if (name in CONVOLUTIONS and tf32_convolves()) or (name in MATMULS and tf32_multiplies()):
        _gpu.tf32.append(name)


def tf32_convolves() -> bool:
    """Tell whether a real GPU may convolve in TF32 now."""
    newer = getattr(torch._C, "_get_fp32_precision_getter", None)
    if newer is not None and newer("cuda", "conv") != "none":
        return bool(newer("cuda", "conv") == "tf32")
    return bool(torch.backends.cudnn.allow_tf32)


def tf32_multiplies() -> bool:
    """Tell whether a real GPU may multiply matrices in TF32 now."""
    newer = getattr(torch._C, "_get_fp32_precision_getter", None)
    if newer is not None and newer("cuda", "matmul") != "none":
        return bool(newer("cuda", "matmul") == "tf32")
    return bool(torch.backends.cuda.matmul.allow_tf32)


@contextmanager
def _drawing() -> Iterator[None]:
    """Draw from the GPU's own generator."""
    before = torch.get_rng_state()
    torch.set_rng_state(_gpu.draws)
    try:
        yield
    finally:
        _gpu.draws = torch.get_rng_state()
        torch.set_rng_state(before)


# ---- calls of their own kind ---------------------------------------------------------------------------------------

Special = Callable[[Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]


def _refuse_array(_func: Any, _args: Any, _kwargs: Any) -> Any:
    raise TypeError(NO_ARRAY)


def _to(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    tensor, rest = args[0], list(args[1:])
    device = kwargs.get("device", rest[0] if rest else None)
    other = kwargs.get("other", device)
    if isinstance(other, Tensor):
        goes = isinstance(other, OnGpu)
    elif isinstance(device, (str, torch.device)):
        goes, rest = _is_gpu(device), ["cpu", *rest[1:]] if rest else rest
        kwargs = kwargs | {"device": "cpu"} if "device" in kwargs else kwargs
    else:
        goes = isinstance(tensor, OnGpu)
    return _moved(tensor, func(tensor, *rest, **kwargs), goes)


def _moved(tensor: Tensor, found: Tensor, goes: bool) -> Tensor:
    """Return what a conversion gave, on the device where it goes: another tensor where that is another device."""
    if goes == isinstance(tensor, OnGpu):
        return _there(found) if goes else found
    if found is tensor:
        found = tensor.clone()
    _gpu.moved += goes
    return found.as_subclass(OnGpu if goes else Tensor)


def _cuda(_func: Any, args: tuple[Any, ...], _kwargs: Any) -> Any:
    return _moved(args[0], args[0], True)


def _cpu(_func: Any, args: tuple[Any, ...], _kwargs: Any) -> Any:
    return _moved(args[0], args[0], False)


def _set_data(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Let a parameter follow the data that it is given to another device, as ``nn.Module.to`` does."""
    tensor, data = args
    func(tensor, data, **kwargs)
    if isinstance(data, OnGpu) != isinstance(tensor, OnGpu):
        parameter = isinstance(tensor, torch.nn.Parameter)
        if isinstance(data, OnGpu):
            tensor.__class__ = OnGpu
            tensor._is_param = parameter
        else:
            tensor.__class__ = torch.nn.Parameter if parameter else Tensor


def _deepcopy(_func: Any, args: tuple[Any, ...], _kwargs: Any) -> Any:
    tensor, memo = args
    if id(tensor) not in memo:
        if not tensor.is_leaf:
            raise RuntimeError(
                "Only Tensors created explicitly by the user support the deepcopy protocol at the moment."
            )
        copied = tensor.detach().clone().as_subclass(OnGpu).requires_grad_(tensor.requires_grad)
        copied.__dict__.update(tensor.__dict__)
        memo[id(tensor)] = copied
    return memo[id(tensor)]


def _register_hook(func: Callable[..., Any], args: tuple[Any, ...], _kwargs: Any) -> Any:
    tensor, hook = args
    return func(tensor, lambda gradient: hook(_there(gradient)))


SPECIAL: dict[str, Special] = {
    "numpy": _refuse_array,
    "__array__": _refuse_array,
    "__array_wrap__": _refuse_array,
    "to": _to,
    "cuda": _cuda,
    "cpu": _cpu,
    "__deepcopy__": _deepcopy,
    "register_hook": _register_hook,
    "__iter__": lambda _func, args, _kwargs: iter(_there(args[0].unbind(0))),
    "get_device": lambda _func, _args, _kwargs: 0,
    "tolist": lambda func, args, _kwargs: func(*args),
}
# These go there and back, so that tensors of the processor's have to be looked at as well.
MOVES = frozenset({"to", "cuda", "__set__"})
# Properties are all called __get__ or __set__.
PROPERTIES: list[tuple[Callable[..., Any], Special]] = [
    (Tensor.device.__get__, lambda _func, _args, _kwargs: GPU),
    (Tensor.is_cuda.__get__, lambda _func, _args, _kwargs: True),
    (Tensor.is_cpu.__get__, lambda _func, _args, _kwargs: False),
    (Tensor.data.__set__, _set_data),
]


def _special(func: Callable[..., Any]) -> Special | None:
    if func.__name__ not in ("__get__", "__set__"):
        return SPECIAL.get(func.__name__)
    return next((special for each, special in PROPERTIES if each == func), None)


# ---- a machine with a GPU -----------------------------------------------------------------------------------------


@contextmanager
def pretended_gpu() -> Iterator[Gpu]:
    """Run the body as on a machine with one GPU."""
    global _gpu
    _gpu = Gpu()
    mode = _Everywhere()
    engine = torch.autograd.graph._engine_run_backward
    apply = torch.autograd.Function.apply.__func__
    seeded = torch.manual_seed
    autocast = torch.autocast

    def backward(*args: Any, **kwargs: Any) -> Any:
        # Hooks run inside the call to PyTorch that the mode is answering, where it would not be asked again.
        with mode:
            return engine(*args, **kwargs)

    def applied(cls: type, *args: Any, **kwargs: Any) -> Any:
        found = apply(cls, *args, **kwargs)
        return _there(found) if any(isinstance(each, OnGpu) for each in _tensors(args)) else found

    started = threading.Thread.run

    def run(thread: threading.Thread) -> None:
        # A mode is the thread's that entered it.
        with _Everywhere():
            started(thread)

    def seed(number: int) -> torch.Generator:
        _gpu.seed(number)
        return seeded(number)

    def autocasting(device_type: str, *args: Any, **kwargs: Any) -> Any:
        return autocast("cpu" if device_type == "cuda" else device_type, *args, **kwargs)

    patches = {
        "threading.Thread.run": run,
        "torch.autograd._engine_run_backward": backward,
        "torch.autograd.Function.apply": classmethod(applied),
        "torch.manual_seed": seed,
        "torch.random.manual_seed": seed,
        "torch.autocast": autocasting,
        "torch.cuda.is_available": lambda: True,
        "torch.cuda.device_count": lambda: 1,
        "torch.cuda.current_device": lambda: 0,
        "torch.cuda.synchronize": lambda _device=None: None,
        "torch.cuda.empty_cache": lambda: None,
        "torch.cuda.is_bf16_supported": lambda including_emulation=True: including_emulation,
        "torch.cuda.get_device_name": lambda _device=None: "a pretended GPU",
        "torch.cuda.get_rng_state": lambda _device=None: _gpu.draws.clone(),
        "torch.cuda.set_rng_state": lambda state, _device=None: setattr(_gpu, "draws", state),
    }
    with ExitStack() as stack:
        for name, instead in patches.items():
            stack.enter_context(mock.patch(name, instead))
        stack.enter_context(mode)
        yield _gpu
