"""A pass over compiled graphs: products with narrow matrices read them by columns.

The gradient by a point in few dimensions ends in ``h [B, width] @ W [width, d]``. For d of a few, matrix
libraries multiply by a row-major W five times slower than by a column-major one (measured on a CPU at
4096 x 128 x 2: 590 and 103 microseconds), which was a tenth of a Langevin step on a network.

Imported only where something is compiled: ``torch._inductor`` takes a second to load.
"""

from __future__ import annotations

import torch
from torch._inductor.custom_graph_pass import CustomGraphPass, get_hash_for_files
from torch.fx import Graph, Node

NARROW = 8
"""Columns of a matrix that counts as narrow."""
TALL = 16
"""Rows that it needs for the copy to pay."""


class NarrowProducts(CustomGraphPass):
    """Gives each product with a narrow right factor a column-major copy of it, a few kilobytes."""

    def __call__(self, graph: Graph) -> None:
        """Change ``graph`` in place."""
        aten = torch.ops.aten
        copies: dict[Node, Node] = {}
        for node in list(graph.nodes):
            if node.target not in (aten.mm.default, aten.addmm.default):
                continue
            factor = node.args[-1]
            if not is_narrow(factor.meta["val"]):
                continue
            if factor not in copies:
                with graph.inserting_before(node):
                    copies[factor] = by_columns(graph, factor)
            node.args = (*node.args[:-1], copies[factor])

    def uuid(self) -> object:
        """What PyTorch's cache of compiled graphs knows this pass by."""
        return get_hash_for_files((__file__,))


def is_narrow(matrix: torch.Tensor) -> bool:
    """Whether a row-major ``[rows, columns]`` matrix has few columns and many rows."""
    rows, columns = matrix.shape
    return columns <= NARROW and rows >= TALL and matrix.stride(1) == 1


def by_columns(graph: Graph, matrix: Node) -> Node:
    """The node of the same matrix, held by columns."""
    aten = torch.ops.aten
    turned = graph.call_function(aten.permute.default, (matrix, [1, 0]))
    turned.meta["val"] = matrix.meta["val"].t()
    copied = graph.call_function(
        aten.clone.default, (turned,), {"memory_format": torch.contiguous_format}
    )
    copied.meta["val"] = turned.meta["val"].contiguous()
    back = graph.call_function(aten.permute.default, (copied, [1, 0]))
    back.meta["val"] = copied.meta["val"].t()
    return back
