"""The mesh of devices of a training, as a configuration spells it: ``data=4,model=2``."""

from genret.config._base import require

MESH_AXES = ("data", "model")
"""Axes of a mesh: the one that splits the rows of a batch, and the one that splits layers."""

NO_MESH = "none"
"""The mesh of a training on one device, or on ``--devices``."""


def mesh_axes(text: str) -> dict[str, int]:
    """Return the size of each axis of a mesh; an axis that is not named has size 1.

    Args:
      text: ``AXIS=SIZE``, separated by commas.

    Raises:
      GenretError: an unknown axis, one that is named twice, or a size below 1.

    >>> mesh_axes("model=2"), mesh_axes("data=4,model=2")
    ({'data': 1, 'model': 2}, {'data': 4, 'model': 2})
    >>> mesh_axes("date=4")
    Traceback (most recent call last):
    ...
    genret.errors.GenretError: mesh: found axis 'date' in 'date=4', expected data or model
    """
    sizes: dict[str, int] = {}
    for part in text.split(","):
        name, _, size = (word.strip() for word in part.partition("="))
        require(
            name in MESH_AXES,
            f"mesh: found axis {name!r} in {text!r}, expected {' or '.join(MESH_AXES)}",
        )
        require(name not in sizes, f"mesh: found axis {name!r} twice in {text!r}, expected it once")
        require(
            size.isdecimal() and size.isascii() and int(size[:9]) >= 1 and len(size) < 10,
            f"mesh: found size {size!r} of axis {name!r} in {text!r}, expected a number of devices, "
            "1 or more",
        )
        sizes[name] = int(size)
    return {name: sizes.get(name, 1) for name in MESH_AXES}
