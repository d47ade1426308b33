"""Encodings of torch's tensors; loaded only when torch is."""

from __future__ import annotations

import types
from typing import Protocol, cast

from fanflow.memo.containers import Builder
from fanflow.memo.encoding import Node, fixed_labels, text, type_name


class _Tensor(Protocol):
    """What is used of `torch.Tensor`."""

    dtype: object
    device: object
    layout: object
    shape: tuple[int, ...]
    requires_grad: bool
    is_quantized: bool

    def detach(self) -> _Tensor: ...
    def resolve_conj(self) -> _Tensor: ...
    def resolve_neg(self) -> _Tensor: ...
    def cpu(self) -> _Tensor: ...
    def contiguous(self) -> _Tensor: ...
    def reshape(self, size: int, /) -> _Tensor: ...
    def view(self, dtype: object, /) -> _Tensor: ...
    def numpy(self) -> object: ...


def find_builder(kind: type, torch: types.ModuleType) -> Builder | None:
    """How values of this class are encoded, or None."""
    if kind in (getattr(torch, name, None) for name in ("dtype", "device", "layout", "Size")):
        return lambda value, _: b"@torch;" + type_name(kind) + text(str(value))
    parameter = getattr(getattr(torch, "nn", None), "Parameter", None)
    if kind not in (getattr(torch, "Tensor", None), parameter):
        return None
    header = b"@tensor;" + type_name(kind)
    return lambda value, _: _tensor(header, cast(_Tensor, value), torch)


def _tensor(header: bytes, tensor: _Tensor, torch: types.ModuleType) -> Node:
    """A dense tensor by dtype, shape, device and elements; its place in memory does not count."""
    if tensor.layout is not torch.strided or tensor.is_quantized:
        raise TypeError(f"a tensor of layout {tensor.layout} is not known; pass a dense one")
    facts = f"{tensor.dtype} {tuple(tensor.shape)} {tensor.device} {tensor.requires_grad}"
    plain = tensor.detach().resolve_conj().resolve_neg().cpu().contiguous()
    elements = plain.reshape(-1).view(torch.uint8).numpy()
    return Node(header + text(facts), [elements], fixed_labels(""))
