"""Imports go one way, heavy libraries are imported in one place, and the front door is light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import genret

ROOT = Path(__file__).parents[1]
BASE = {
    "errors",
    "typing",
    "config",
    "artifacts",
    "tensors",
    "checks",
    "describe",
    "generations",
    "pieces",
    "private_folders",
    "pytree",
    "semantic_ids",
    "histories",
    "item_ids",
    "json_files",
    "kept_programs",
    "locks",
    "manifest",
    "parquet",
}
SIDE_BY_SIDE = {"data", "embed", "tokenizers", "index"}
MAY_IMPORT = {
    **dict.fromkeys(BASE, BASE),
    **dict.fromkeys(SIDE_BY_SIDE, BASE),
    "models": BASE | {"data"},
    "decoding": BASE | {"index"},
    "recommend": BASE | SIDE_BY_SIDE | {"models", "decoding"},
    "training": BASE | SIDE_BY_SIDE | {"models"},
    "evaluation": BASE | SIDE_BY_SIDE | {"models", "decoding", "recommend"},
    "scoring": BASE | SIDE_BY_SIDE | {"models", "decoding", "recommend"},
    "serving": BASE | SIDE_BY_SIDE | {"models", "decoding", "recommend"},
    "hf": BASE | SIDE_BY_SIDE | {"models", "decoding"},
    "testing": BASE | SIDE_BY_SIDE | {"models", "decoding"},
    "pipeline": BASE
    | SIDE_BY_SIDE
    | {"models", "recommend", "training", "evaluation", "scoring", "hf"},
    "cli": BASE
    | SIDE_BY_SIDE
    | {"models", "decoding", "recommend", "training", "evaluation", "scoring", "hf", "pipeline"},
}
ONE_FILE = [
    "transformers",
    "torch",
    "sentence_transformers",
    "tokenizers",
    "matplotlib",
    "orbax",
    "tensorstore",
    "tyro",
    "grain",
    "tensorboardX",
    "wandb",
]


def imports(file: Path) -> list[str]:
    """Return every module that a file imports, at the top or inside a function."""
    found = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.append(node.module)
            found += [
                f"{node.module}.{alias.name}" for alias in node.names if node.module == "genret"
            ]
    return found


FILES = sorted((ROOT / "genret").rglob("*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.relative_to(ROOT).as_posix())
def test_imports_go_one_way(file: Path) -> None:
    package = file.relative_to(ROOT / "genret").parts[0].removesuffix(".py")
    if package in {"__init__", "__main__"}:
        return
    allowed = MAY_IMPORT[package] | {package, "__version__"}
    if package not in {"decoding", "models"}:
        # The index builds the lines that a kernel reads, so it knows how these are laid out.
        known = "genret_kernels.lines_level" if package == "index" else "nothing"
        kernels = [name for name in imports(file) if name.startswith("genret_kernels")]
        assert not [name for name in kernels if not name.startswith(known)]
    for name in imports(file):
        parts = name.split(".")
        if parts[0] == "genret" and len(parts) > 1:
            assert parts[1] in allowed, f"{package} must not import genret.{parts[1]}"
            private = any(part.startswith("_") for part in parts[2:3])
            assert parts[1] == package or not private, f"{name} is private to {parts[1]}"


def modules_of(file: Path) -> set[str]:
    """Return the modules of genret that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                longer = f"{node.module}.{alias.name}"
                found.add(longer if longer in MODULES else node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found & MODULES.keys()


MODULES = {
    ".".join(file.relative_to(ROOT).with_suffix("").parts): file
    for file in FILES
    if file.name != "__init__.py"
}


def test_modules_do_not_import_each_other_in_circles() -> None:
    """Imports inside functions and for type checkers count as well."""
    left = {name: modules_of(file) for name, file in MODULES.items()}
    # What imports nothing that is left is in no circle; neither is what nothing left imports.
    while True:
        imported = set().union(*left.values())
        free = {name for name, own in left.items() if not own & left.keys() or name not in imported}
        if not free:
            break
        left = {name: own - free for name, own in left.items() if name not in free}
    assert not left


def test_ray_is_imported_in_one_file_a_package() -> None:
    """Its engines serve packages that know nothing of each other: Data, Train, Serve."""
    users = [f for f in FILES if any(n.split(".")[0] == "ray" for n in imports(f))]
    hidden = [f for f in users if f.name != "__init__.py"]  # there for type checkers alone
    assert len({f.parent for f in hidden}) == len(hidden), hidden


@pytest.mark.parametrize("library", ONE_FILE)
def test_library_is_imported_in_one_file(library: str) -> None:
    users = [f for f in FILES if any(n.split(".")[0] == library for n in imports(f))]
    assert len(users) <= 1, f"{library} is imported in {[str(u.relative_to(ROOT)) for u in users]}"


def test_public_names_load_on_first_use() -> None:
    """The table of names, the list of names and the modules say the same."""
    assert {*genret._PUBLIC, "__version__"} == set(genret.__all__)
    for name in genret.__all__:
        assert getattr(genret, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'Recomender'"):
        _ = genret.Recomender


def test_import_is_light() -> None:
    """`import genret` and the command line's help load neither jax nor an optional library."""
    heavy = [
        "jax",
        "flax",
        "ray",
        "torch",
        "transformers",
        "matplotlib",
        "orbax",
        "tensorstore",
        "pyarrow",
    ]
    script = (
        "import sys, genret, genret.cli.main\n"
        "try: genret.cli.main.main(['--help'])\n"
        "except SystemExit: pass\n"
        f"print([m for m in {heavy} if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.relative_to(ROOT).as_posix())
def test_files_are_short(file: Path) -> None:
    lines = len(file.read_text(encoding="utf-8").splitlines())
    assert lines <= 500, f"{lines} lines: one job per file"
