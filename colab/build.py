"""Build the notebooks: run each ``colab/NN_*.py`` and write the ``.ipynb`` with what it printed.

``python colab/build.py [NAME …] [--to FOLDER]``. The kernel is the interpreter that runs this program.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

import jupytext
import nbformat
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

HERE = Path(__file__).resolve().parent
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
    """Run a notebook in an empty folder; return it with its outputs.

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
        ).execute()
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}
    }
    for number, cell in enumerate(notebook.cells):
        # Equal runs give equal files.
        cell.id = f"cell-{number}"
        if cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr"]
            if "shows-data" in cell.metadata.get("tags", []):
                cell.outputs = [nbformat.v4.new_output("stream", text=LEFT_OUT)]
    return notebook


def main() -> None:
    """Build the notebooks that are named, or all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="such as 01_quickstart; none: all")
    parser.add_argument("--to", type=Path, default=HERE, help="folder of the .ipynb")
    arguments = parser.parse_args()
    os.environ.setdefault("MPLBACKEND", "agg")
    names = arguments.names or sorted(file.stem for file in HERE.glob("[0-9]*.py"))
    for name in names:
        target = arguments.to / f"{name}.ipynb"
        scratch = target.with_name(f".{target.name}.partial")
        nbformat.write(build(HERE / f"{name}.py"), scratch)
        scratch.replace(target)
        print(target)


if __name__ == "__main__":
    main()
