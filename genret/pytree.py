"""Frozen dataclasses as JAX pytrees, with shape annotations that hold for arrays only."""

import dataclasses
from typing import Any, TypeVar

import jax

C = TypeVar("C")


def static_field(default: Any = dataclasses.MISSING) -> Any:
    """Return a dataclass field that is part of the tree's structure, not a leaf."""
    return dataclasses.field(default=default, metadata={"kind": "static"})


def host_field(default: Any = None) -> Any:
    """Return a dataclass field that JAX never sees: a rebuilt tree has the default there."""
    return dataclasses.field(default=default, metadata={"kind": "host"})


def register_pytree(cls: type[C]) -> type[C]:
    """Register a dataclass as a pytree.

    Unlike ``jax.tree_util.register_dataclass``, rebuilding a tree does not run ``__init__``: JAX
    rebuilds trees with shapes, axes or sentinels in the place of arrays, which would break the
    shape checks of the constructor.

    >>> @register_pytree
    ... @dataclasses.dataclass(frozen=True, kw_only=True)
    ... class Point:
    ...     x: jax.Array
    ...     name: str = static_field()
    ...     note: str | None = host_field()
    >>> jax.tree.map(lambda x: x + 1, Point(x=jax.numpy.zeros(2), name="a", note="mine"))
    Point(x=Array([1., 1.], dtype=float32), name='a', note=None)
    """
    fields = dataclasses.fields(cls)  # type: ignore[arg-type]
    leaves = [f.name for f in fields if "kind" not in f.metadata]
    static = [f.name for f in fields if f.metadata.get("kind") == "static"]
    host = [(f.name, f.default) for f in fields if f.metadata.get("kind") == "host"]

    def flatten(tree: Any) -> tuple[list[tuple[Any, Any]], tuple[Any, ...]]:
        keyed = [(jax.tree_util.GetAttrKey(name), getattr(tree, name)) for name in leaves]
        return keyed, tuple(getattr(tree, name) for name in static)

    def flatten_quickly(tree: Any) -> tuple[list[Any], tuple[Any, ...]]:
        return [getattr(tree, x) for x in leaves], tuple(getattr(tree, x) for x in static)

    def unflatten(aux: tuple[Any, ...], children: Any) -> Any:
        tree: Any = object.__new__(cls)
        values = tree.__dict__  # frozen: attributes cannot be set
        values.update(zip(leaves, children, strict=True))
        values.update(zip(static, aux, strict=True))
        values.update(host)
        return tree

    jax.tree_util.register_pytree_with_keys(cls, flatten, unflatten, flatten_quickly)
    return cls
