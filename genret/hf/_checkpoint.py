"""Language models from and to Hugging Face folders: ``config.json`` and safetensors."""

import dataclasses
import json
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec, Sharding

from genret.artifacts import MANIFEST, read_manifest, verify_files, write_folder
from genret.config import DecoderOnlyConfig, EncoderDecoderConfig
from genret.errors import GenretError
from genret.hf._config import CONFIG, fields_of, model_config, read_object, short
from genret.hf._names import hf_name
from genret.hf._t5 import t5_config, t5_fields
from genret.hf._tensors import TensorFolder, write_tensors
from genret.json_files import read_json
from genret.models import T5, LanguageModel, PromptedDecoder, PromptedEncoderDecoder
from genret.typing import Array, PathLike

TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "vocab.json", "merges.txt", "tokenizer.model", "generation_config.json", "chat_template.jinja",
)  # fmt: skip
"""Files beside the weights that a written checkpoint takes over."""

Placement = Mesh | Callable[[str, tuple[int, ...]], Sharding]
"""Where parameters go: a mesh whose last axis splits the matrices, or a function of a parameter's
name and shape."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A language model of the Llama/Qwen family or a T5, and what its folder says of it.

    Attributes:
      language_model: token embedding, blocks (or encoder and decoder), output embedding.
      config: the architecture, without codes.
      fields: the fields of ``config.json``.
      files: name -> contents of the tokenizer's files.
    """

    language_model: LanguageModel | T5
    config: DecoderOnlyConfig | EncoderDecoderConfig
    fields: Mapping[str, Any]
    files: Mapping[str, bytes] = dataclasses.field(default_factory=dict, repr=False)

    @property
    def vocabulary(self) -> int:
        """Rows of the token embedding."""
        return self.language_model.embedding.table.shape[0]

    def retriever(
        self, code_tokens: Sequence[Any], *, normalize: str = "vocabulary"
    ) -> PromptedDecoder | PromptedEncoderDecoder:
        """Return the model that a beam search asks: it reads prompts and spells codes.

        Args:
          code_tokens: for each level, the token of each code; see :class:`SemanticTokens`.
          normalize: as in :class:`~genret.models.PromptedDecoder`.
        """
        model = self.language_model
        if isinstance(self.config, DecoderOnlyConfig):
            assert isinstance(model, LanguageModel)
            return PromptedDecoder(model, self.config, code_tokens, normalize=normalize)
        fields = self.fields
        start = fields.get("decoder_start_token_id", fields.get("pad_token_id", 0)) or 0
        if type(start) is not int or not 0 <= start < self.vocabulary:
            raise GenretError(
                f"{CONFIG}: decoder_start_token_id: found {short(start)}, expected a token below "
                f"{self.vocabulary}"
            )
        assert isinstance(model, T5)
        return PromptedEncoderDecoder(
            model, self.config, code_tokens, normalize=normalize, start_token=start
        )


def load_checkpoint(
    path: PathLike,
    *,
    dtype: str = "float32",
    parameters: str = "float32",
    placement: Placement | None = None,
) -> Checkpoint:
    """Read a Llama, Qwen2, Qwen3 or T5 checkpoint; neither torch nor transformers is needed.

    Args:
      path: a folder with ``config.json`` and ``*.safetensors``, in shards or not.
      dtype: type of the activations, "float32" or "bfloat16".
      parameters: type of the parameters, "float32" or "bfloat16".
      placement: spreads the parameters over devices while they are read, so that no device and
        not the host holds them all. None puts all on the default device.

    Returns:
      The checkpoint.

    Raises:
      GenretError: no such folder, another family, a field of ``config.json`` that we do not
        follow, no safetensors, a tensor that is missing, unknown, of another shape, or not finite.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise GenretError(f"{folder}: no such folder, expected a checkpoint")
    if not (folder / CONFIG).is_file():
        raise GenretError(f"{folder}: has no {CONFIG}, expected a checkpoint")
    _verify_own(folder)
    fields = read_object(folder / CONFIG)
    is_t5 = fields.get("model_type") == "t5"
    translate = t5_config if is_t5 else model_config
    config, vocabulary = translate(fields, str(folder / CONFIG))
    for name, value in (("dtype", dtype), ("parameters", parameters)):
        if value not in ("float32", "bfloat16"):
            raise GenretError(f"{name}: found {value!r}, expected 'float32' or 'bfloat16'")
    config = dataclasses.replace(config, dtype=dtype)  # type: ignore[arg-type]
    with TensorFolder(folder) as tensors:
        if not is_t5 and _has_head_of_its_own(tensors, config):
            warnings.warn(
                f"{folder}: {CONFIG} says tie_word_embeddings, but lm_head.weight is not the "
                "embedding: the head in the file is used, as transformers does",
                stacklevel=2,
            )
            config = dataclasses.replace(config, tie_embeddings=False)
        model = nnx.eval_shape(lambda: _build(config, vocabulary))
        graphdef, state = nnx.split(model)
        expected = {_path(path): leaf for path, leaf in jax.tree.leaves_with_path(state)}
        _check_names(tensors, expected, config, folder)
        values = [
            _place(tensors, ours, leaf.shape, jnp.dtype(parameters), placement, config)
            for ours, leaf in expected.items()
        ]
    model = nnx.merge(graphdef, jax.tree.unflatten(jax.tree.structure(state), values))
    files = {n: (folder / n).read_bytes() for n in TOKENIZER_FILES if (folder / n).is_file()}
    return Checkpoint(language_model=model, config=config, fields=fields, files=files)


def save_checkpoint(
    path: PathLike,
    checkpoint: Checkpoint,
    *,
    parameters: str = "float32",
    max_shard_bytes: int = 5 * 10**9,
    positions: int | None = None,
) -> None:
    """Write a checkpoint that ``transformers`` loads: a folder, written beside and then renamed.

    Args:
      path: the folder.
      checkpoint: what to write. Its ``fields`` are kept where they do not describe the tensors.
      parameters: type of the parameters in the file, "float32" or "bfloat16".
      max_shard_bytes: the size of a shard.
      positions: ``max_position_embeddings``; None keeps that of ``fields``.

    Raises:
      GenretError: a parameter is not finite, or the folder is something else's.
    """
    config, model = checkpoint.config, checkpoint.language_model
    if positions is None:
        given = checkpoint.fields.get("max_position_embeddings")
        positions = given if type(given) is int else 2048
    if isinstance(config, EncoderDecoderConfig):
        fields = t5_fields(config, checkpoint.vocabulary)
    else:
        kind = checkpoint.fields.get("model_type")
        fields = fields_of(config, checkpoint.vocabulary, positions, kind)
    kept = {
        name: value
        for name, value in checkpoint.fields.items()
        if name not in fields
        and not name.startswith("rope")
        and name not in ("dtype", "scale_decoder_outputs", "dense_act_fn", "is_gated_act")
    }
    fields = {**kept, **fields, "torch_dtype": parameters}
    state = nnx.state(model, nnx.Param)

    def tensors() -> Iterator[tuple[str, np.ndarray]]:
        for path, leaf in jax.tree.leaves_with_path(state):
            name, transposed = hf_name(_path(path), config)
            values = np.asarray(leaf.astype(parameters))
            yield name, values.T if transposed else values
        if fields.get("attention_bias"):  # theirs has a bias at the end as well
            for block in range(config.layers):
                name = f"model.layers.{block}.self_attn.o_proj.bias"
                yield name, np.zeros(config.width, jnp.dtype(parameters))

    with write_folder(path, "hugging_face", config=config.to_dict()) as folder:
        write_tensors(folder, tensors(), max_shard_bytes)
        (folder / CONFIG).write_text(json.dumps(fields, indent=1) + "\n", encoding="utf-8")
        for name, contents in checkpoint.files.items():
            (folder / name).write_bytes(contents)


def _verify_own(folder: Path) -> None:
    """Check the files of a folder that :func:`save_checkpoint` wrote; others may lie beside them."""
    if not (folder / MANIFEST).is_file():
        return
    found = read_json(folder / MANIFEST)
    if isinstance(found, dict) and "genret_version" in found:
        verify_files(folder, read_manifest(folder, "hugging_face"), others=True)


_HEAD, _EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"
_ROWS = 4096
"""Rows that are compared together."""


def _has_head_of_its_own(
    tensors: TensorFolder, config: DecoderOnlyConfig | EncoderDecoderConfig
) -> bool:
    """Say whether a checkpoint that is said to be tied holds an output embedding that differs.

    So it is where the head alone was tuned or resized.
    """
    if not config.tie_embeddings or not {_HEAD, _EMBEDDING} <= tensors.names:
        return False
    shape = tensors.shape(_HEAD)
    if shape != tensors.shape(_EMBEDDING):
        return True
    for start in range(0, shape[0], _ROWS):
        rows = (slice(start, min(start + _ROWS, shape[0])),)
        if not np.array_equal(tensors.read(_HEAD, rows), tensors.read(_EMBEDDING, rows)):
            return True
    return False


_IGNORED = re.compile(r".*\.rotary_emb\.inv_freq|(en|de)coder\.embed_tokens\.weight")
"""Tensors that follow from the configuration, or that duplicate others."""


def _build(config: DecoderOnlyConfig | EncoderDecoderConfig, vocabulary: int) -> LanguageModel | T5:
    """Return a language model with drawn parameters."""
    if isinstance(config, EncoderDecoderConfig):
        return T5(config, vocabulary, rngs=nnx.Rngs(0))
    return LanguageModel(config, vocabulary, rngs=nnx.Rngs(0))


def _check_names(
    tensors: TensorFolder,
    expected: Mapping[str, Any],
    config: DecoderOnlyConfig | EncoderDecoderConfig,
    folder: Path,
) -> None:
    """Refuse tensors that are missing, unknown or of another shape."""
    known = {}
    for ours, leaf in expected.items():
        theirs, transposed = hf_name(ours, config)
        known[theirs] = leaf.shape[::-1] if transposed else leaf.shape
    unknown = {n for n in tensors.names - known.keys() if not _IGNORED.fullmatch(n)}
    if config.tie_embeddings and _HEAD in unknown:
        unknown.discard(_HEAD)
        if isinstance(config, EncoderDecoderConfig) and not np.array_equal(
            tensors.read(_HEAD), tensors.read("shared.weight")
        ):
            raise GenretError(
                f"{tensors.where(_HEAD)} is not shared.weight, but the scores are scaled"
            )
    has_biases = isinstance(config, DecoderOnlyConfig) and config.qkv_bias
    for name in sorted(n for n in unknown if has_biases and n.endswith(".o_proj.bias")):
        if np.any(tensors.read(name)):
            raise GenretError(f"{tensors.where(name)}: expected zeros: we have no such bias")
        unknown.discard(name)
    for name in sorted(known.keys() - tensors.names):
        raise GenretError(f"{folder}: tensor {name!r} is missing")
    for name in sorted(unknown):
        raise GenretError(f"{tensors.where(name)} is none of this architecture's")
    for name, shape in known.items():
        if tensors.shape(name) != shape:
            raise GenretError(
                f"{tensors.where(name)} has shape {tensors.shape(name)}, expected {shape}"
            )


def _place(
    tensors: TensorFolder,
    ours: str,
    shape: tuple[int, ...],
    dtype: Any,
    placement: Placement | None,
    config: DecoderOnlyConfig | EncoderDecoderConfig,
) -> Array:
    """Read a parameter to where it belongs; each device reads its own part of the file."""
    name, transposed = hf_name(ours, config)
    if placement is None:
        values = tensors.read(name)
        return jnp.asarray((values.T if transposed else values).astype(dtype))
    sharding = (
        split_over(placement, ours, shape)
        if isinstance(placement, Mesh)
        else placement(ours, shape)
    )

    def part(index: tuple[slice, ...] | None) -> np.ndarray:
        values = tensors.read(name, index[::-1] if transposed and index else index)
        return (values.T if transposed else values).astype(dtype)

    return jax.make_array_from_callback(shape, sharding, part)


def split_over(mesh: Mesh, ours: str, shape: tuple[int, ...]) -> NamedSharding:
    """Split a matrix over the last axis of a mesh, as tensor parallelism does; copy the rest.

    Projections into the heads and the MLP are split by output, those out of them by input, tables
    by row; what the devices do not divide is copied.
    """
    axis = mesh.axis_names[-1]
    along = None
    if ours.endswith(".table") or re.search(r"\.(o_proj|down_proj)\.kernel$", ours):
        along = 0
    elif ours.endswith(".kernel"):
        along = 1
    if along is None or shape[along] % mesh.shape[axis]:
        return NamedSharding(mesh, PartitionSpec())
    return NamedSharding(mesh, PartitionSpec(*[axis if i == along else None for i in range(2)]))


def _path(path: Any) -> str:
    """Return the dotted name of a leaf."""
    parts = [str(getattr(k, "key", getattr(k, "idx", getattr(k, "name", k)))) for k in path]
    return ".".join(p for p in parts if p != "value")
