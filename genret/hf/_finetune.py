"""Fine-tuning a loaded checkpoint to spell items: all parameters, or adapters and new tokens."""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from genret.errors import GenretError
from genret.hf._lora import add_lora, merge_lora
from genret.models import Prompted, Prompts
from genret.typing import Array, Float, Int


def item_loss(model: Prompted, prompts: Prompts, codes: Int[Array, "B L"]) -> Float[Array, ""]:
    """Return the mean of ``-log p(code | prompt, codes before)`` over requests and levels.

    The prompt is read once and the codes in one teacher-forced pass: what a search does.
    """
    _, cache = model.prefill(prompts)
    parents = jnp.zeros((codes.shape[0], 1), jnp.int32)
    return -model.score_tail(codes[:, None], parents, cache).mean()


@dataclasses.dataclass(frozen=True)
class FineTuned:
    """A fine-tuned model and its losses.

    Attributes:
      model: adapters merged into its projections.
      losses: the loss of each step.
    """

    model: Prompted
    losses: list[float]


def fine_tune(
    model: Prompted,
    batches: Iterable[tuple[Prompts, Any]],
    *,
    learning_rate: float = 1e-4,
    lora_rank: int = 0,
    lora_targets: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj"),
    clip: float = 1.0,
    seed: int = 0,
    log: Callable[[int, float], object] | None = None,
) -> FineTuned:
    """Train a model on prompts and the items that follow them, by AdamW without decay.

    With adapters, what is trained are they and the rows of the code tokens in the embeddings: frozen
    rows would leave new tokens as they were drawn. Everything else stays bit for bit.

    Args:
      model: the model; it is not changed.
      batches: prompts, and the codes of the item that follows each, integers [B, L]. Batches of one
        shape share a compiled step.
      learning_rate: of all steps.
      lora_rank: rank of the adapters; 0 trains all parameters.
      lora_targets: the projections that get adapters.
      clip: largest norm of a gradient.
      seed: seed of the adapters.
      log: called with the number and the loss of each step.

    Returns:
      The trained model and the losses.

    Raises:
      GenretError: no batches, or codes of another shape than the prompts ask for.
    """
    trained = add_lora(model, lora_rank, targets=lora_targets, seed=seed) if lora_rank else model
    which = nnx.Any(nnx.LoRAParam, _is_token_table) if lora_rank else nnx.Param
    graphdef, params, frozen = nnx.split(trained, which, ...)
    optimizer = optax.chain(optax.clip_by_global_norm(clip), optax.adam(learning_rate))
    rows = _code_rows(model) if lora_rank else None

    @jax.jit(donate_argnums=(0, 1))
    def step(params: Any, opt_state: Any, frozen: Any, prompts: Prompts, codes: Any) -> Any:
        def loss_of(params: Any) -> Float[Array, ""]:
            return item_loss(nnx.merge(graphdef, params, frozen), prompts, codes)

        loss, gradients = jax.value_and_grad(loss_of)(params)
        if rows is not None:
            gradients = jax.tree.map_with_path(
                lambda path, g: g if "lora" in str(path) else g * rows[:, None].astype(g.dtype),
                gradients,
            )
        updates, opt_state = optimizer.update(gradients, opt_state, params)
        return optax.apply_updates(params, updates), opt_state, loss

    params = jax.tree.map(jnp.copy, params)  # the steps consume them
    opt_state = optimizer.init(params)
    losses: list[float] = []
    for number, (prompts, codes) in enumerate(batches, 1):
        codes = jnp.asarray(codes, jnp.int32)
        if codes.shape != (prompts.tokens.shape[0], len(model.codes_per_level)):
            raise GenretError(
                f"batches: batch {number}: found codes {codes.shape}, expected "
                f"{(prompts.tokens.shape[0], len(model.codes_per_level))}"
            )
        params, opt_state, loss = step(params, opt_state, frozen, prompts, codes)
        losses.append(float(loss))
        if log is not None:
            log(number, losses[-1])
    if not losses:
        raise GenretError("batches: found none")
    result = nnx.merge(graphdef, params, frozen)
    return FineTuned(model=merge_lora(result) if lora_rank else result, losses=losses)


def _is_token_table(path: Any, _: Any) -> bool:
    """Say whether a parameter is an embedding of the vocabulary, input or output."""
    return path[-1] == "table" and path[-2] in ("embedding", "output")


def _code_rows(model: Prompted) -> Float[Array, " T"]:
    """Return 1 for the tokens of codes, 0 for all others."""
    vocabulary = model.language_model.embedding.table.shape[0]
    rows = jnp.zeros((vocabulary,), jnp.float32)
    for own in model.code_tokens.tokens:
        rows = rows.at[jnp.where(own[...] < 0, vocabulary, own[...])].set(1, mode="drop")
    return rows
