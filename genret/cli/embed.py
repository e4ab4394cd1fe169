"""``genret embed``: vectors of the items of a run."""

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar

from genret.artifacts import Run, read_manifest
from genret.cli.base import Reporter, RunFolder, Verb, refuse_options
from genret.config import EmbedConfig
from genret.errors import GenretError

if TYPE_CHECKING:
    from genret.data import Catalog, SplitHistories
    from genret.typing import Vectors


@dataclasses.dataclass(frozen=True, kw_only=True)
class Embed(Verb):
    """Make item vectors from texts and training histories, or take yours.

    By default the text of each item (title, brand, categories and so on) and the items that occur near it
    in training histories give a part each, put side by side. Held-out events are not looked at.

    Example: genret embed runs/shop --text-columns title brand --text-dim 128
    """

    writes_run: ClassVar[bool] = True

    run_folder: RunFolder
    """Folder of the run."""
    vectors: str | None = None
    """Take these vectors as they are: .npy or zarr3 (rows as in catalog/items.parquet), or Parquet."""
    vectors_column: str | None = None
    """With --vectors x.parquet: the column of lists of numbers, where there are several."""
    sentence_model: str | None = None
    """Read the texts with this sentence-transformers model (name or folder) instead."""
    embed: EmbedConfig = EmbedConfig()
    """How vectors are made."""

    def run(self, reporter: Reporter) -> dict[str, Any]:
        """Write ``vectors/``; return its shape and what each part holds."""
        import numpy as np

        from genret.data import load_run_data
        from genret.embed import join_vectors, read_vectors, save_vectors, whiten

        if self.vectors is not None and self.sentence_model is not None:
            raise GenretError("embed: --vectors and --sentence-model exclude each other")
        if self.vectors is not None:
            refuse_options("--vectors", self.embed, but=["whiten"])
        if self.vectors_column is not None and self.vectors is None:
            raise GenretError("embed: --vectors-column goes with --vectors")
        if self.sentence_model is not None and self.embed.text_dim == 0:
            raise GenretError("embed: --sentence-model reads texts, but --text-dim is 0")
        run = Run.open(self.run_folder)
        manifest = run.require("catalog")
        with reporter.stage("embed"):
            catalog, histories = load_run_data(run.folder("catalog"))
            text_model = None
            if self.vectors is not None:
                vectors = read_vectors(self.vectors, catalog.item_ids, self.vectors_column)
                parts = {"brought": vectors}
            else:
                parts, text_model = self._parts(catalog, histories, reporter)
                weights = {
                    "text": self.embed.text_weight,
                    "cooccurrence": self.embed.cooccurrence_weight,
                }
                vectors = join_vectors(list(parts.values()), [weights[name] for name in parts])
            if self.embed.whiten:
                vectors = whiten(vectors, self.embed.whiten)
            summary = {
                "parts": {
                    name: {
                        "width": part.shape[1],
                        "items_without": int((~np.any(part, axis=1)).sum()),
                    }
                    for name, part in parts.items()
                }
            }
            save_vectors(
                run.folder("vectors"),
                vectors,
                text_model=text_model,
                config=self.embed.to_dict()
                | {
                    "vectors": self.vectors,
                    "vectors_column": self.vectors_column,
                    "sentence_model": self.sentence_model,
                },
                seed=self.seed,
                inputs={"catalog": manifest.fingerprint},
                summary=summary,
            )
            reporter.table(
                f"Vectors of {len(vectors):,} items, width {vectors.shape[1]}",
                ("part", "width", "items without (zeros)"),
                [(n, p["width"], p["items_without"]) for n, p in summary["parts"].items()],
            )
        written = read_manifest(run.folder("vectors"), "vectors")
        return dict(written.summary) | {"fingerprint": written.fingerprint}

    def _parts(
        self, catalog: "Catalog", histories: "SplitHistories", reporter: Reporter
    ) -> tuple[dict[str, "Vectors"], bytes | None]:
        """Make the parts that the configuration asks for."""
        from genret.embed import cooccurrence_vectors, sentence_vectors, text_vectors

        parts: dict[str, Vectors] = {}
        text_model = None
        if self.embed.text_dim:
            texts = catalog.text(self.embed.text_columns)
            reporter.say(f"text, e.g. {texts[0][:100]!r}")
            if self.sentence_model is not None:
                parts["text"] = sentence_vectors(texts, self.sentence_model)
            else:
                parts["text"], text_model = text_vectors(
                    texts, self.embed.text_dim, self.embed.pieces, self.seed
                )
        if self.embed.cooccurrence_dim:
            events = histories.training()
            reporter.say(f"co-occurrence in {events.num_events:,} training events")
            parts["cooccurrence"] = cooccurrence_vectors(
                events,
                catalog.num_items,
                self.embed.cooccurrence_dim,
                self.embed.cooccurrence_window,
                self.seed,
            )
        return parts, text_model
