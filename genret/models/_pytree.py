"""Frozen dataclasses as JAX pytrees, with shape annotations that hold for arrays only."""

import dataclasses
from typing import Any, TypeVar

import jax

C = TypeVar("C", bound=type)


def static_field() -> Any:
    """Return a dataclass field that is part of the tree's structure, not a leaf."""
    return dataclasses.field(metadata={"static": True})


def pytree_dataclass(cls: C) -> C:
    """Make a class a frozen, keyword-only dataclass and register it as a pytree.

    Unlike ``jax.tree_util.register_dataclass``, rebuilding a tree does not run ``__init__``: JAX
    rebuilds trees with shapes, axes or sentinels in the place of arrays, which would break the
    shape checks of the constructor.

    >>> @pytree_dataclass
    ... class Point:
    ...     x: jax.Array
    ...     name: str = static_field()
    >>> jax.tree.map(lambda x: x + 1, Point(x=jax.numpy.zeros(2), name="a"))
    Point(x=Array([1., 1.], dtype=float32), name='a')
    """
    cls = dataclasses.dataclass(frozen=True, kw_only=True)(cls)
    fields = dataclasses.fields(cls)
    leaves = [f.name for f in fields if not f.metadata.get("static")]
    static = [f.name for f in fields if f.metadata.get("static")]

    def flatten(tree: Any) -> tuple[list[tuple[Any, Any]], tuple[Any, ...]]:
        keyed = [(jax.tree_util.GetAttrKey(name), getattr(tree, name)) for name in leaves]
        return keyed, tuple(getattr(tree, name) for name in static)

    def unflatten(aux: tuple[Any, ...], children: Any) -> Any:
        tree = object.__new__(cls)
        for name, value in zip([*leaves, *static], [*children, *aux], strict=True):
            object.__setattr__(tree, name, value)
        return tree

    jax.tree_util.register_pytree_with_keys(cls, flatten, unflatten)
    return cls
