"""The folder ``kernels`` is the package ``genret_kernels``, and needs jax and numpy only."""

import ast
import doctest
import importlib
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "kernels").rglob("*.py"))
OPS = [
    "dense_level", "lines_level", "load_lines", "load_rows", "rows_level", "shared_prefix_attention", "top_m",
]  # fmt: skip


def module_of(file: Path) -> str:
    parts = file.relative_to(ROOT / "kernels").with_suffix("").parts
    return ".".join(["genret_kernels", *(p for p in parts if p != "__init__")])


def test_every_package_is_listed() -> None:
    """What is not in the list is missing from the wheel."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    found = []
    for package, folder in (("genret", "genret"), ("genret_kernels", "kernels")):
        for init in (ROOT / folder).rglob("__init__.py"):
            found.append(".".join([package, *init.parent.relative_to(ROOT / folder).parts]))
    assert sorted(settings["tool"]["setuptools"]["packages"]) == sorted(found)


def test_ops_have_the_same_files() -> None:
    assert sorted(init.parent.name for init in (ROOT / "kernels").glob("*/__init__.py")) == OPS
    for op in OPS:
        names = {file.name for file in (ROOT / "kernels" / op).glob("*.py")}
        assert names >= {"__init__.py", "api.py", "reference.py", "arg_specs.py"}
        has = {name for name in ("pallas_tpu", "pallas_gpu") if f"{name}.py" in names}
        dispatch = (ROOT / "kernels" / op / "api.py").read_text(encoding="utf-8")
        assert has == {name for name in ("pallas_tpu", "pallas_gpu") if f'== "{name}"' in dispatch}


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.relative_to(ROOT).as_posix())
def test_imports(file: Path) -> None:
    """Imports inside are relative; those from outside are jax, numpy and the standard library."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module or ""]
        for name in names:
            top = name.split(".")[0]
            assert top in {"jax", "numpy"} or top in sys.stdlib_module_names, name


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.relative_to(ROOT).as_posix())
def test_examples(file: Path) -> None:
    if file.name == "pallas_gpu.py" or file.name == "_triton.py":
        pytest.importorskip("jax.experimental.pallas.triton")
    module = importlib.import_module(module_of(file))
    failed, tried = doctest.testmod(module)
    assert not failed
    if file.name == "api.py":
        assert tried


def test_import_is_light() -> None:
    """The ops load no kernel, and nothing of genret, before one is asked for."""
    program = "import sys\n" + "".join(f"import genret_kernels.{op}\n" for op in OPS)
    program += (
        "print([m for m in sys.modules if m.split('.')[0] in ('genret', 'flax', 'jaxtyping')"
        " or m.startswith('jax.experimental.pallas')])"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "[]"
