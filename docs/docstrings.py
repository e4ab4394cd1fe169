"""Docstrings for the site: examples become blocks of code, formulas formulas, and roles links."""

import re
from typing import Any

import griffe

_EXAMPLE = re.compile(r"^( *)>>> .*\n?(?:^(?! *$).*\n?)*", re.MULTILINE)
_FORMULA = re.compile(
    r"^( *)\.\. math::((?: .*)?\n(?:\1 +\S.*(?:\n|$)|\n(?=\1 +\S))*)", re.MULTILINE
)
_ROLE = re.compile(r":(\w+):`(~?)([^`]+)`")


class Docstrings(griffe.Extension):
    """Rewrites the docstring of every object."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Rewrite the docstring of a package that no other holds."""
        if pkg.parent is None:
            self.on_object(obj=pkg)

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite a docstring."""
        if obj.docstring is not None:
            text = _FORMULA.sub(_display, obj.docstring.value)
            text = _ROLE.sub(lambda role: _shown(role, obj), text)
            obj.docstring.value = _EXAMPLE.sub(_fenced, text)


def _display(formula: re.Match[str]) -> str:
    """Return a formula on lines of its own."""
    indent = formula[1]
    return f"{indent}$$\n{indent}{formula[2].strip()}\n{indent}$$\n"


def _fenced(example: re.Match[str]) -> str:
    """Return the lines from a prompt to the next empty one as a block."""
    indent = example[1]
    return f"{indent}```pycon\n{example[0].rstrip()}\n{indent}```\n"


def _shown(role: re.Match[str], obj: griffe.Object) -> str:
    """Return a formula, or a link to an object that has a page (else its name alone)."""
    kind, short, text = role.groups()
    if kind == "math":
        return f"${text}$"
    first, *rest = text.split(".")
    try:
        path = ".".join([obj.resolve(first), *rest])
    except griffe.NameResolutionError:
        path = text
    name = text.rpartition(".")[2] if short else text
    return f'<autoref optional identifier="{path}"><code>{name}</code></autoref>'
