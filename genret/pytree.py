"""Frozen dataclasses as JAX pytrees, with shape annotations that hold for arrays only."""

import dataclasses
from typing import Any, TypeVar

import jax

C = TypeVar("C")


def static_field() -> Any:
    """Return a dataclass field that is part of the tree's structure, not a leaf."""
    return dataclasses.field(metadata={"static": True})


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
    >>> jax.tree.map(lambda x: x + 1, Point(x=jax.numpy.zeros(2), name="a"))
    Point(x=Array([1., 1.], dtype=float32), name='a')
    """
    fields = dataclasses.fields(cls)  # type: ignore[arg-type]
    leaves = [f.name for f in fields if not f.metadata.get("static")]
    static = [f.name for f in fields if f.metadata.get("static")]

    def flatten(tree: Any) -> tuple[list[tuple[Any, Any]], tuple[Any, ...]]:
        keyed = [(jax.tree_util.GetAttrKey(name), getattr(tree, name)) for name in leaves]
        return keyed, tuple(getattr(tree, name) for name in static)

    def unflatten(aux: tuple[Any, ...], children: Any) -> Any:
        tree: Any = object.__new__(cls)
        for name, value in zip([*leaves, *static], [*children, *aux], strict=True):
            object.__setattr__(tree, name, value)
        return tree

    jax.tree_util.register_pytree_with_keys(cls, flatten, unflatten)
    return cls
