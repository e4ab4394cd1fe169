"""``genret coldstart``: what a model knows about items that came after it."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from genret.artifacts import Run, read_manifest, write_folder
from genret.cli.base import Reporter, RunFolder, Verb
from genret.cli.embed import Embed
from genret.cli.index import Index
from genret.cli.train import Train
from genret.config import EmbedConfig, EvaluateConfig, ModelConfig, TokenizeConfig, TrainConfig
from genret.errors import GenretError

if TYPE_CHECKING:
    import numpy as np

    from genret.data import Catalog, SplitHistories
    from genret.typing import Int, Vectors

RESULT = "coldstart.json"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Coldstart(Verb):
    """Train a run's model again without its newest items, and ask it for them.

    For each share of the items: they and all that their users did after them are taken out of the
    training events, the tokenizer is fitted to the other items and gives codes to these, and each
    history that led to one of them asks for it: among all items, at random among the new ones, and
    by constrained search among the new ones. The newest are those with the latest first event;
    without times, those that appear last in the file. Tokenizer, model and training are those of
    the run; new items have no events, so their vectors come from their text.

    Each share has a run folder of its own in RUN/coldstart; what lies there and is up to date is
    not made again. The figures are in its reports/coldstart.json.

    Example: genret coldstart runs/shop --fractions 0.02 0.05
    """

    writes_run: ClassVar[bool] = True

    run_folder: RunFolder
    """Folder of the run, with its model."""
    fractions: tuple[float, ...] = (0.02, 0.05)
    """Shares of the items, the newest, to leave out."""
    k: tuple[int, ...] = (1, 10)
    """Cut-offs of the recall."""
    beams: int = 50
    """Beams of the search."""
    users: int = 0
    """Histories to ask with (the first ones in a seeded order); 0 takes all."""
    include_seen: bool = False
    """Let the items of the history compete where all items do."""
    steps: int = 0
    """Training steps; 0 takes those of the run's model."""

    def run(self, reporter: Reporter) -> dict[str, Any]:
        """Measure each share; return the figures of all."""
        from genret.data import load_run_data

        run = Run.open(self.run_folder)
        fingerprint = run.require("catalog").fingerprint
        plan = _Plan.of_run(run, self.steps)
        catalog, histories = load_run_data(run.folder("catalog"))
        found = []
        for fraction in self.fractions:
            folder = run.path / "coldstart" / f"newest-{100 * fraction:g}pct"
            reporter.say(f"the newest {fraction:.1%} of the items: {folder}")
            made_from = {"catalog": fingerprint, "fraction": fraction}
            found.append(self._measure(folder, catalog, histories, plan, made_from, reporter))
        rows = [
            (f"{f['fraction']:.1%} ({f['items']:,})", f["users"], name, *(_shown(f[name], k) for k in self.k))
            for f in found
            for name in ("unconstrained", "random", "constrained", "ratio")
        ]  # fmt: skip
        columns = ("newest items", "users", "search", *(f"recall@{k}" for k in self.k))
        reporter.table(f"New items, chosen {found[0]['rule']}", columns, rows)
        return {"shares": found}

    def _measure(
        self,
        folder: Path,
        catalog: "Catalog",
        histories: "SplitHistories",
        plan: "_Plan",
        made_from: Mapping[str, Any],
        reporter: Reporter,
    ) -> dict[str, Any]:
        """Make the run without the newest items, as far as it is not there, and measure it."""
        import numpy as np

        from genret.data import hold_out_items, newest_items
        from genret.evaluation import evaluate_cold_start
        from genret.index import TrieIndex
        from genret.models import load_model
        from genret.tokenizers import load_codes

        cold, rule = newest_items(histories, made_from["fraction"])
        without = hold_out_items(histories, cold)
        run = Run.open(folder, create=True)
        if not _is_made(run, "catalog", made_from, None):
            with write_folder(
                run.folder("catalog"),
                "catalog",
                config=made_from,
                summary={"cold_items": len(cold), "rule": rule},
            ) as scratch:
                catalog.save(scratch)
                without.save(scratch)
                np.save(scratch / "cold_items.npy", cold, allow_pickle=False)
        common = {"run_folder": folder, "seed": self.seed, "log_level": self.log_level}
        plan.tokenize_without(run, cold, self.seed, reporter)
        if not _is_made(run, "index", None, None):
            Index(**common).run(reporter)  # type: ignore[arg-type]
        semantic_ids = load_codes(run.folder("codes"))
        architecture = dataclasses.replace(plan.model, codes_per_level=semantic_ids.codes_per_level)
        wanted = {"model": architecture.to_dict(), "train": plan.train.to_dict()}
        if not _is_made(run, "model", wanted, self.seed):
            Train(**common, model=plan.model, train=plan.train).run(reporter)  # type: ignore[arg-type]
        config = EvaluateConfig(
            k=self.k,
            beams=max(self.beams, *self.k),
            users=self.users,
            exclude_seen=not self.include_seen,
        )
        if _is_made(run, "reports", config.to_dict(), self.seed):
            return dict(json.loads((run.folder("reports") / RESULT).read_text(encoding="utf-8")))
        held_out = without.held_out("test")
        model = load_model(run.folder("model"))
        with (
            reporter.stage("evaluate new items"),
            reporter.progress("users", 2 * len(held_out)) as advance,
        ):
            result = {"fraction": made_from["fraction"], "rule": rule} | evaluate_cold_start(
                model,
                semantic_ids.codes,
                TrieIndex.load(run.folder("index")),
                held_out,
                cold,
                config,
                max_items=model.config.max_items,
                seed=self.seed,
                progress=advance,
            )
            with write_folder(
                run.folder("reports"),
                "reports",
                config=config.to_dict(),
                seed=self.seed,
                inputs={kind: run.require(kind).fingerprint for kind in ("index", "model")},
                summary={f"{name}/{k}": value["mean"] for name in ("unconstrained", "constrained")
                         for k, value in result[name].items()},
            ) as scratch:  # fmt: skip
                text = json.dumps(result, indent=1, ensure_ascii=False)
                (scratch / RESULT).write_text(text + "\n", encoding="utf-8")
        return result


@dataclasses.dataclass(frozen=True)
class _Plan:
    """What the run was made with, as far as it can be repeated without the newest items."""

    embed: EmbedConfig
    vectors: "Vectors | None"
    tokenize: TokenizeConfig
    model: ModelConfig
    train: TrainConfig

    @classmethod
    def of_run(cls, run: Run, steps: int) -> "_Plan":
        """Read the configurations from the manifests of a run."""
        from genret.embed import load_vectors
        from genret.tokenizers import TOKENIZERS

        made = read_manifest(run.folder("model"), "model") if run.has("model") else None
        if made is None:
            raise GenretError(
                f"{run.path}: has no model/; make it with `genret train {run.path}`: new items are "
                "asked of a model like it"
            )
        model = ModelConfig.from_dict(made.config["model"])
        train = TrainConfig.from_dict(made.config["train"])
        if steps:
            train = dataclasses.replace(train, steps=steps)
        codes = dict(read_manifest(run.folder("codes"), "codes").config)
        ready = codes.pop("ready_codes", None)
        # Ready codes were made of all items: a tokenizer of our own takes their place.
        tokenize = TokenizeConfig() if ready else TokenizeConfig.from_dict(codes)
        # Identifiers that are not made of vectors have none for a new item.
        tokenize = tokenize if tokenize.method in TOKENIZERS else TokenizeConfig()
        # New items under a suffix of their own would be told apart by a code never trained; and
        # those that occur together are not asked for, as new ones occur with none.
        tokenize = dataclasses.replace(
            tokenize,
            collisions="keep",
            autoencoder=dataclasses.replace(tokenize.autoencoder, contrast=0.0),
        )
        embed, vectors = EmbedConfig(), None
        if run.has("vectors"):
            own = dict(read_manifest(run.folder("vectors"), "vectors").config)
            if own.pop("vectors", None) or own.pop("sentence_model", None):
                vectors = load_vectors(run.folder("vectors"))
            own = {name: own[name] for name in own if name in embed.to_dict()}
            embed = EmbedConfig.from_dict(own)
        if vectors is None and embed.text_dim == 0:
            raise GenretError(
                f"{run.path}: its vectors have no text part, and new items have no events to make "
                "others of; run `genret embed` with --text-dim, or bring --vectors"
            )
        embed = dataclasses.replace(embed, cooccurrence_dim=0)
        return cls(embed, vectors, tokenize, model, train)

    def tokenize_without(
        self, run: Run, cold: "Int[np.ndarray, 'C']", seed: int, reporter: Reporter
    ) -> None:
        """Write ``vectors/`` and ``codes/``: fitted to the other items, given to all."""
        import numpy as np

        from genret.embed import load_vectors, save_vectors
        from genret.tokenizers import TOKENIZERS, code_report, save_codes

        config = self.tokenize.to_dict() | {"fitted_without": len(cold)}
        if _is_made(run, "codes", config, seed):
            return
        if self.vectors is None:
            Embed(run_folder=run.path, seed=seed, embed=self.embed).run(reporter)
        else:
            catalog = run.require("catalog").fingerprint
            save_vectors(run.folder("vectors"), self.vectors, inputs={"catalog": catalog})
        vectors = load_vectors(run.folder("vectors"))
        known = np.ones(len(vectors), bool)
        known[cold] = False
        with reporter.stage("tokenize without the newest items"):
            fit = TOKENIZERS[self.tokenize.method].fit
            tokenizer = fit(vectors[known], self.tokenize, seed)
            semantic_ids = tokenizer.encode(vectors)
            save_codes(
                run.folder("codes"),
                semantic_ids,
                tokenizer=tokenizer,
                report=code_report(semantic_ids, vectors, tokenizer),
                config=config,
                seed=seed,
                inputs={kind: run.require(kind).fingerprint for kind in ("catalog", "vectors")},
            )


def _is_made(run: Run, kind: str, config: Mapping[str, Any] | None, seed: int | None) -> bool:
    """Say whether an artifact lies there, up to date and made with a configuration and a seed.

    Other entries of its configuration are not compared, and neither is a configuration or seed None.
    """
    if not run.has(kind):
        return False
    try:
        found = run.require(kind)
    except GenretError:
        return False
    same = all(found.config.get(name) == value for name, value in (config or {}).items())
    return same and (seed is None or found.seed == seed)


def _shown(recalls: Mapping[str, Mapping[str, float]], k: int) -> str:
    found = recalls[f"recall@{k}"]
    if found["low"] == found["high"]:
        return f"{found['mean']:.4f}"
    return f"{found['mean']:.4f} [{found['low']:.4f}, {found['high']:.4f}]"
