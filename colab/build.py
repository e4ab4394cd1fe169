"""Build the notebooks: run each ``colab/NN_*.py`` and write the ``.ipynb`` with what it printed.

``python colab/build.py [NAME …] [--smoke] [--to FOLDER]``. The kernel is the interpreter that runs this
program. ``GENRET_SYNTHETIC=1`` runs on invented data, which is for checks and not for what is committed.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import jupytext
import nbformat
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

HERE = Path(__file__).resolve().parent
SYNTHETIC = os.environ.get("GENRET_SYNTHETIC") == "1"
LEFT_OUT = (
    "Run the cell to see what it prints: the terms of MovieLens forbid passing the data on.\n"
)
"""What stands in the place of the outputs of cells that are tagged ``shows-data``."""


class ThisInterpreter(AsyncKernelManager):
    """Starts the kernel with this interpreter, whatever kernels the machine has."""

    @property
    def kernel_spec(self) -> KernelSpec:
        """Return a kernel specification of ``sys.executable``."""
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(argv=argv, display_name="Python 3", language="python")


def build(source: Path) -> nbformat.NotebookNode:
    """Run a notebook in an empty folder; return it with its outputs and nothing of this machine.

    Raises:
      nbclient.exceptions.CellExecutionError: a cell failed.
    """
    notebook = jupytext.read(source)
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
    # Versions of Python are left out, and cells get numbers for names: equal runs, equal files.
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}
    }
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"
        if cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr"]
            if not SYNTHETIC and "shows-data" in cell.metadata.get("tags", []):
                cell.outputs = [nbformat.v4.new_output("stream", text=LEFT_OUT)]
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
    parser.add_argument("--to", type=Path, help="folder of the .ipynb; else beside the source")
    arguments = parser.parse_args()
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
