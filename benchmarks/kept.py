"""What a graph keeps in memory for its backward pass, counted rather than measured."""

from __future__ import annotations

from torch import Tensor


def kept_bytes(value: Tensor) -> int:
    """Bytes of all distinct tensors that the graph of ``value`` keeps for its backward pass."""
    storages: dict[int, int] = {}
    nodes, seen = [value.grad_fn], set()
    while nodes:
        node = nodes.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        nodes += [below for below, _ in node.next_functions]
        kept = [getattr(node, name) for name in dir(node) if name.startswith("_saved_")]
        kept += list(getattr(node, "saved_tensors", ()))
        for tensor in kept:
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                storages[storage.data_ptr()] = storage.nbytes()
    return sum(storages.values())
