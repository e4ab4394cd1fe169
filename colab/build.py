"""Build the notebooks: run each ``colab/NN_*.py`` and write the ``.ipynb`` with what it printed.

``python colab/build.py [NAME …] [--smoke] [--to FOLDER]``. The kernel is the interpreter that runs this
program. ``GENRET_SYNTHETIC=1`` runs on invented data, which is for checks and not for what is committed.

``python colab/build.py --set-up`` runs nothing. It writes the first cell of every source, which installs
genret, and with it the badge that opens the notebook in Colab; both follow from ``Repository`` in
``[project.urls]`` of pyproject.toml, which whoever publishes the project fills in.
"""

import argparse
import os
import re
import sys
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path

import jupytext
import nbformat
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

HERE = Path(__file__).resolve().parent
SYNTHETIC = os.environ.get("GENRET_SYNTHETIC") == "1"
INVENTED = (
    "The terms of MovieLens forbid passing its data on. This is what the cell prints for an invented "
    "catalog (GENRET_SYNTHETIC=1):\n"
)
"""What stands before the outputs of cells that are tagged ``shows-data``."""
ACCELERATORS = {"03_microbenchmarks": "TPU"}
"""What Colab is asked for; other notebooks: a GPU."""
BADGE = re.compile(r"^# \[!\[Open in Colab\].*\n#\n", re.MULTILINE)
INSTALL = re.compile(r"^import glob, importlib.*?check=True\)\n", re.MULTILINE | re.DOTALL)
INSTALL_CELL = """import glob, importlib.util, os, shutil, subprocess, sys  # noqa: E401
from pathlib import Path

REPOSITORY = "{repository}"  # `python colab/build.py --set-up` writes it
if importlib.util.find_spec("genret") is None:
    folders = (Path.cwd(), Path.cwd().parent)  # where this notebook may lie in a clone
    clones = [f for f in folders if (f / "genret/__init__.py").is_file()]
    if not clones and not REPOSITORY:
        raise SystemExit(
            "genret is not installed and its address is not known: install it, or set Repository "
            "in [project.urls] of pyproject.toml and run `python colab/build.py --set-up`"
        )
    tpu = glob.glob("/dev/accel[0-9]*") + glob.glob("/dev/vfio/[0-9]*")
    extra = "[tpu]" if tpu else "[cuda]" if shutil.which("nvidia-smi") else ""
    package = f"{{clones[0]}}{{extra}}" if clones else f"genret{{extra}} @ git+{{REPOSITORY}}"
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", package], check=True)
"""
"""The first cell of every notebook."""


class ThisInterpreter(AsyncKernelManager):
    """Starts the kernel with this interpreter, whatever kernels the machine has."""

    @property
    def kernel_spec(self) -> KernelSpec:
        """Return a kernel specification of ``sys.executable``."""
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(argv=argv, display_name="Python 3", language="python")


def repository() -> str:
    """Return the address of the repository, "" where the project has not been published."""
    project = tomllib.loads((HERE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project.get("urls", {}).get("Repository", "")).removesuffix("/")


def set_up(text: str, name: str, address: str) -> str:
    """Return the text of a source with the first cell and the badge of an address.

    Args:
      text: the source.
      name: of the notebook, such as 01_quickstart.
      address: of the repository; "": no badge, and a cell that says what to set.
    """
    cell = INSTALL_CELL.format(repository=address)
    text = INSTALL.sub(lambda _: cell, BADGE.sub("", text), count=1)
    if not address.startswith("https://github.com/"):
        return text
    page = f"{address.removeprefix('https://github.com/')}/blob/main/colab/{name}.ipynb"
    picture = "https://colab.research.google.com/assets/colab-badge.svg"
    badge = f"# [![Open in Colab]({picture})](https://colab.research.google.com/github/{page})\n#\n"
    title = "# %% [markdown]\n"
    return text.replace(title, title + badge, 1)


def build(source: Path) -> nbformat.NotebookNode:
    """Run a notebook in an empty folder; return it with its outputs and nothing of this machine.

    Raises:
      nbclient.exceptions.CellExecutionError: a cell failed.
    """
    notebook = _run(source)
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"
    shown = {cell.id for cell in notebook.cells if "shows-data" in cell.metadata.get("tags", [])}
    if shown and not SYNTHETIC:
        invented = _run(source, GENRET_SYNTHETIC="1")
        for cell, stand_in in zip(notebook.cells, invented.cells, strict=True):
            if cell.id in shown:
                note = nbformat.v4.new_output("stream", text=INVENTED)
                cell.outputs = [note, *stand_in.outputs]
    # Versions of Python are left out, and cells get numbers for names: equal runs, equal files.
    notebook.metadata = {
        "accelerator": ACCELERATORS.get(source.stem, "GPU"),
        "colab": {"provenance": [], "toc_visible": True},
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    }
    return notebook


def _run(source: Path, **environment: str) -> nbformat.NotebookNode:
    """Run a notebook with some variables of the environment set."""
    notebook = jupytext.read(source)
    os.environ.update(environment)
    with tempfile.TemporaryDirectory() as folder:
        NotebookClient(
            notebook,
            timeout=900,
            kernel_manager_class=ThisInterpreter,
            resources={"metadata": {"path": folder}},
            store_widget_state=False,
            record_timing=False,
            coalesce_streams=True,
        ).execute()
        names = {
            str(Path(folder).resolve()): ".",
            str(HERE.parent): "genret",
            str(Path.home()): "~",
        }
    for name in environment:
        del os.environ[name]
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr"]
            for output in cell.outputs:
                if "text" in output:
                    output.text = _without_paths(output.text, names)
    return notebook


def _without_paths(text: str, names: Mapping[str, str]) -> str:
    """Replace the folders of this machine by what they are called everywhere."""
    for folder, name in names.items():
        text = text.replace(folder, name)
    return text


def main() -> None:
    """Build the notebooks that are named, or all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="such as 01_quickstart; none: all")
    parser.add_argument(
        "--smoke",
        action="store_true",
        help="a few steps; small or synthetic runs are written only --to a folder",
    )
    parser.add_argument(
        "--set-up", action="store_true", help="only write the first cells and badges of the sources"
    )
    parser.add_argument("--to", type=Path, help="folder of the .ipynb; else beside the source")
    arguments = parser.parse_args()
    if arguments.set_up:
        for source in sorted(HERE.glob("[0-9]*.py")):
            text = source.read_text(encoding="utf-8")
            source.write_text(set_up(text, source.stem, repository()), encoding="utf-8")
        return
    os.environ.setdefault("MPLBACKEND", "agg")
    if arguments.smoke:
        os.environ["GENRET_SMOKE"] = "1"
    small = SYNTHETIC or os.environ.get("GENRET_SMOKE") == "1"
    folder = arguments.to or (None if small else HERE)
    for name in arguments.names or sorted(file.stem for file in HERE.glob("[0-9]*.py")):
        notebook = build(HERE / f"{name}.py")
        if folder is None:
            print(f"{name} runs")
            continue
        target = folder / f"{name}.ipynb"
        scratch = target.with_name(f".{target.name}.partial")
        nbformat.write(notebook, scratch)
        scratch.replace(target)
        print(target)


if __name__ == "__main__":
    main()
