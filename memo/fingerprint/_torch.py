"""torch: tensors by dtype, shape, values and whether they want gradients; not by device, view or memory order.

Modules need nothing of their own: their state, as any object's, is their attributes, with parameters, buffers and
sub-modules among them.
"""

from __future__ import annotations

import sys

from ._digest import digest
from ._node import FIELDS, Refusal, leaf, node

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._node import Described, Handler


def handler(cls: type, name: str) -> Handler | None:
    torch = sys.modules["torch"]
    if cls is torch.Tensor or cls is torch.nn.Parameter:
        return _tensor
    if cls is torch.Generator:
        return lambda value: node("torch.Generator", (value.get_state(),), content=value.device.type)
    if cls is torch.dtype:
        return lambda value: leaf("torch.dtype", str(value))
    return None


def _tensor(value: Any) -> Described:
    torch = sys.modules["torch"]
    kind = (type(value).__qualname__, str(value.dtype), tuple(value.shape), bool(value.requires_grad))
    value = value.detach()
    if value.is_quantized:
        raise Refusal("quantized tensors are not known to memo")
    if value.layout is torch.sparse_coo:
        value = value.coalesce()
        return node("torch.sparse", (value.indices(), value.values()), FIELDS, ("indices", "values"), kind)
    if value.layout is not torch.strided:
        raise Refusal(f"tensors of layout {value.layout} are not known to memo")
    flat = value.cpu().resolve_conj().resolve_neg().contiguous().reshape(-1).view(torch.uint8)
    return leaf("torch.Tensor", *kind, digest(flat.numpy()) if len(flat) else b"")
