"""What the site does to the pages, so that they read well on GitHub and on the site alike.

- A link to a file outside of docs/, such as ``../colab/01_quickstart.ipynb``, takes the file into the site.
- A formula becomes MathML, which browsers show without a script.
- The folder ``kernels/`` is read as the package ``genret_kernels``, which it is once it is installed.
"""

import html
import re
from pathlib import Path

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

_OUTSIDE = re.compile(r"(\]\()\.\./([^)#\s]+)")
_KIND = re.compile(r"^```python \w+$", re.MULTILINE)
_FORMULA = re.compile(r'<(span|div) class="arithmatex">(.*?)</\1>', re.DOTALL)


def on_pre_build(config: MkDocsConfig) -> None:
    """Give the folder of the kernels its package's name, where mkdocstrings looks for it."""
    root = Path(config.docs_dir).parent
    link = root / "build" / "packages" / "genret_kernels"
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(root / "kernels", target_is_directory=True)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the files outside of docs/ that a page links to."""
    root = Path(config.docs_dir).parent
    for page in list(files.documentation_pages()):
        for _, name in _OUTSIDE.findall(page.content_string):
            known = files.get_file_from_path(name)
            if known is None and "/" not in page.src_uri and (root / name).is_file():
                files.append(File.generated(config, name, abs_src_path=str(root / name)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Let links to such files point to their copies; drop what only the tests read of a block."""
    markdown = _KIND.sub("```python", markdown)
    return _OUTSIDE.sub(r"\1\2", markdown) if "/" not in page.file.src_uri else markdown


def on_page_content(content: str, **_: object) -> str:
    """Replace formulas by MathML."""
    return _FORMULA.sub(_mathml, content)


def _mathml(found: re.Match[str]) -> str:
    tex = html.unescape(found[2]).strip()
    display = "block" if tex.startswith("\\[") else "inline"
    return convert(tex[2:-2].strip(), display=display)
