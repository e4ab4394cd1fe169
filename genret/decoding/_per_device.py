"""Row-wise functions under data parallelism: each device works on the requests it has."""

from collections.abc import Callable
from typing import Any

import jax
from jax.experimental.custom_partitioning import custom_partitioning
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P


def per_device(function: Callable[[Any, Any], Any], requests: Any, shared: Any = None) -> Any:
    """Call a function that treats requests apart, and keep it apart when they are sharded.

    XLA does not split a top-k over a sharded batch, and a loop whose length depends on the data
    would have to ask all devices when to stop. Requests are independent of each other, so each
    device can run the function on its own.

    Args:
      function: of ``(requests, shared)``; returns a pytree of arrays [B, ...].
      requests: a pytree of arrays [B, ...].
      shared: a pytree of arrays that every device has whole.

    Returns:
      What the function returns.
    """
    if jax.sharding.get_abstract_mesh().manual_axes:
        return function(requests, shared)  # inside shard_map: these are this device's already
    num_requests = len(jax.tree.leaves(requests))

    def over_batch(value: Any, mesh: Any, axis: Any) -> NamedSharding:
        return NamedSharding(mesh, P(axis, *[None] * (len(value.shape) - 1)))

    def partition(mesh: Any, arguments: Any, results: Any) -> tuple[Any, Any, Any, Any]:
        leaves, structure = jax.tree.flatten(arguments)
        spec = leaves[0].sharding.spec
        axis = spec[0] if len(spec) else None
        inputs = [
            over_batch(leaf, mesh, axis) if i < num_requests else NamedSharding(mesh, P())
            for i, leaf in enumerate(leaves)
        ]
        outputs = jax.tree.map(lambda value: over_batch(value, mesh, axis), results)
        return mesh, function, outputs, jax.tree.unflatten(structure, inputs)

    def rule(mesh: Any, values: Any, results: Any) -> tuple[str, dict[str, Any]]:
        names: list[str] = []

        def factors(value: Any, batched: bool) -> str:
            own = []
            for axis in range(len(value.shape)):
                if axis == 0 and batched:
                    own.append("b")
                else:
                    names.append(f"i{len(names)}")
                    own.append(names[-1])
            return " ".join(own)

        leaves = jax.tree.leaves(values)
        operands = [factors(value, i < num_requests) for i, value in enumerate(leaves)]
        answers = [factors(value, True) for value in jax.tree.leaves(results)]
        text = ", ".join(operands) + " -> " + ", ".join(answers)
        return text, {"need_replication_factors": tuple(names)}

    partitioned = custom_partitioning(function)
    partitioned.def_partition(partition=partition, sharding_rule=rule)
    return partitioned(requests, shared)
