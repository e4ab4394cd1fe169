"""Checkpoints of transformers: read, placed on devices, written, and refused by name."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from genret.errors import GenretError
from genret.hf import (
    SemanticTokens,
    checkpoint_of,
    decoder_of,
    load_checkpoint,
    save_checkpoint,
)
from genret.models import History, build_model
from genret.models._attention import causal_mask
from tests.hf.conftest import FIELDS, T5_FIELDS, golden, write


@jax.jit
def logits_of(model, tokens):
    positions = jnp.broadcast_to(jnp.arange(tokens.shape[1]), tokens.shape)
    hidden, _, _ = model(model.embed(tokens), positions, causal_mask(jnp.ones_like(tokens)))
    return hidden @ model.output_table.T


@pytest.mark.parametrize("family", FIELDS)
def test_logits_are_those_of_transformers_before_and_after_writing(family, tmp_path) -> None:
    theirs = golden(family)
    tokens = jnp.asarray(theirs["tokens"])
    loaded = load_checkpoint(write(tmp_path / "in", family, shards=3))
    logits = logits_of(loaded.language_model, tokens)
    np.testing.assert_allclose(logits, theirs["logits"], atol=1e-4)

    save_checkpoint(tmp_path / "out", loaded, max_shard_bytes=9_000)
    assert len(list((tmp_path / "out").glob("model-*.safetensors"))) > 2
    again = load_checkpoint(tmp_path / "out")
    assert (again.config, again.vocabulary) == (loaded.config, 40)
    for x, y in zip(
        jax.tree.leaves(again.language_model), jax.tree.leaves(loaded.language_model), strict=True
    ):
        np.testing.assert_array_equal(x, y)
    # What transformers reads is there under its names, as it was.
    index = json.loads((tmp_path / "out" / "model.safetensors.index.json").read_text())
    for name, file in index["weight_map"].items():
        written = safetensors.numpy.load_file(tmp_path / "out" / file)[name]
        np.testing.assert_array_equal(written, theirs[name].astype(np.float32))
    fields = json.loads((tmp_path / "out" / "config.json").read_text())
    assert fields["architectures"] == FIELDS[family]["architectures"]
    assert fields["rope_parameters"] == FIELDS[family]["rope_parameters"]


@pytest.mark.parametrize("family", T5_FIELDS)
def test_a_t5_goes_in_and_out(family, tmp_path) -> None:
    theirs = golden(family)
    tokens, lengths, spelled = (jnp.asarray(theirs[n]) for n in ("tokens", "lengths", "spelled"))
    loaded = load_checkpoint(write(tmp_path / "in", family, shards=2))
    save_checkpoint(tmp_path / "out", loaded)
    again = load_checkpoint(tmp_path / "out")
    assert again.config == loaded.config

    @jax.jit
    def logits_of(model):
        cache = model.encode(model.embed(tokens), lengths)
        states, _ = model.decode(model.embed(spelled)[:, None], cache)
        return states[:, 0] @ model.output_table.T

    for checkpoint in (loaded, again):
        np.testing.assert_allclose(
            logits_of(checkpoint.language_model), theirs["logits"], atol=2e-4, rtol=1e-4
        )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"feed_forward_proj": "gated-silu"}, "feed_forward_proj: found 'gated-silu'"),
        ({"mystery": 3}, "mystery: an unsupported field"),
        ({"d_kv": None}, "d_kv: found None, expected a positive integer"),
        ({"d_kv": "left out"}, r"has shape \(\d+, \d+\), expected"),
        ({"tie_word_embeddings": False, "scale_decoder_outputs": False}, "'lm_head.weight' is mis"),
    ],
)
def test_a_t5_that_we_do_not_follow_is_refused(changes, message, tmp_path) -> None:
    with pytest.raises(GenretError, match=message):
        load_checkpoint(write(tmp_path, "t5", **changes))


def test_parameters_are_split_over_devices_while_they_are_read(tmp_path) -> None:
    folder = write(tmp_path, "llama")
    mesh = Mesh(np.array(jax.devices()[:4]).reshape(2, 2), ("data", "model"))
    spread = load_checkpoint(folder, placement=mesh)
    plain = load_checkpoint(folder)
    specs = {}
    for (path, x), y in zip(
        jax.tree.leaves_with_path(spread.language_model), jax.tree.leaves(plain.language_model),
        strict=True,
    ):  # fmt: skip
        np.testing.assert_array_equal(x, y)
        specs[jax.tree_util.keystr(path)] = (x.sharding.spec, x.addressable_shards[0].data.shape)
    of = lambda name: next(v for k, v in specs.items() if name in k)  # noqa: E731
    assert of("q_proj") == (PartitionSpec(None, "model"), (32, 16))
    assert of("o_proj") == (PartitionSpec("model", None), (16, 32))
    assert of("embedding") == (PartitionSpec("model", None), (20, 32))
    assert of("attention_norm") == (PartitionSpec(), (32,))
    tokens = jnp.asarray(golden("llama")["tokens"])
    np.testing.assert_allclose(
        logits_of(spread.language_model, tokens), golden("llama")["logits"], atol=1e-4
    )
    whole = NamedSharding(mesh, PartitionSpec())
    copied = load_checkpoint(folder, placement=lambda name, shape: whole)
    assert all(x.sharding.is_fully_replicated for x in jax.tree.leaves(copied.language_model))


def test_parameters_may_stay_in_half_precision(tmp_path) -> None:
    folder = write(tmp_path / "in", "qwen2")
    half = load_checkpoint(folder, parameters="bfloat16", dtype="bfloat16")
    assert {x.dtype.name for x in jax.tree.leaves(half.language_model)} == {"bfloat16"}
    save_checkpoint(tmp_path / "out", half, parameters="bfloat16")
    again = load_checkpoint(tmp_path / "out", parameters="bfloat16")
    for x, y in zip(
        jax.tree.leaves(again.language_model), jax.tree.leaves(half.language_model), strict=True
    ):
        np.testing.assert_array_equal(x, y)
    assert again.fields["torch_dtype"] == "bfloat16"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "gpt2"}, "model_type: found 'gpt2', expected one of 'llama', 'qwen2'"),
        ({"hidden_act": "gelu"}, "hidden_act: found 'gelu', expected one of 'silu'"),
        ({"mlp_bias": True}, "mlp_bias: found True"),
        (
            {"sliding_window": 8, "use_sliding_window": True},
            "sliding_window: found 8, expected None",
        ),
        ({"layer_types": ["linear_attention"] * 2}, "layer_types: found 'linear_attention'"),
        ({"quantization_config": {"bits": 4}}, "quantization_config: found"),
        ({"logit_scale": 0.5}, "logit_scale: an unsupported field"),
        ({"rope_parameters": {"rope_type": "yarn", "factor": 2.0}}, "rope scaling: found 'yarn'"),
        ({"rope_parameters": {"rope_type": "linear"}}, "rope scaling: factor: found None"),
        (
            {"rope_parameters": "left out", "rope_scaling": {"type": "linear", "factor": "x"}},
            "factor: found 'x'",
        ),
        ({"hidden_size": None}, "hidden_size: found None, expected a positive integer"),
        ({"hidden_size": "left out"}, r"has shape \(.*\), expected \(.*4096.*\)"),
        ({"num_hidden_layers": 3}, r"tensor 'model\.layers\.2\.\S+' is missing"),
        ({"num_hidden_layers": 1}, "is none of this architecture's"),
        ({"intermediate_size": 50}, r"has shape \(.*\), expected \(.*50.*\)"),
        ({"vocab_size": 41}, r"embed_tokens.weight' has shape \(40, 32\), expected \(41, 32\)"),
        ({"tie_word_embeddings": True, "num_attention_heads": 5}, "kv_heads: found 2"),
    ],
)
def test_what_we_do_not_follow_is_refused_by_name(changes, message, tmp_path) -> None:
    with pytest.raises(GenretError, match=message) as caught:
        load_checkpoint(write(tmp_path, "llama", **changes))
    assert "\n" not in str(caught.value)


def damage(folder, kind):
    file = folder / "model.safetensors"
    if kind == "truncated":
        file.write_bytes(file.read_bytes()[:-50])
    elif kind == "junk":
        file.write_bytes(b"junk")
    elif kind == "pickle":
        file.rename(folder / "pytorch_model.bin")
    elif kind == "absent":
        file.unlink()
    else:
        weights = safetensors.numpy.load_file(file)
        norm = weights["model.norm.weight"]
        weights["model.norm.weight"] = {
            "nan": np.where(np.arange(32) == 3, np.nan, norm),
            "integers": norm.astype(np.int8),
        }[kind]
        safetensors.numpy.save_file(weights, file)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("truncated", r"model\.safetensors: damaged"),
        ("junk", r"model\.safetensors: damaged"),
        ("pickle", "pytorch_model.bin is not read"),
        ("absent", "found neither model.safetensors nor"),
        ("nan", "'model.norm.weight' holds 1 values that are NaN"),
        ("integers", "'model.norm.weight' is int8, expected floats"),
    ],
)
def test_damaged_files_are_named(kind, message, tmp_path) -> None:
    folder = write(tmp_path, "qwen2")
    damage(folder, kind)
    with pytest.raises(GenretError, match=message):
        load_checkpoint(folder)


def test_damaged_shards_are_named(tmp_path) -> None:
    folder = write(tmp_path, "qwen2", shards=2)
    shard = folder / "model-00002-of-00002.safetensors"
    whole = shard.read_bytes()
    shard.unlink()
    with pytest.raises(GenretError, match=r"00002-of-00002\.safetensors: no such file"):
        load_checkpoint(folder)
    shard.write_bytes(whole)
    index = folder / "model.safetensors.index.json"
    text = index.read_text()
    index.write_text(text.replace("model-00002", "../model-00002"))
    with pytest.raises(GenretError, match="expected a safetensors file beside it"):
        load_checkpoint(folder)
    index.write_text(text.replace('"model.norm.weight"', '"model.norm.wight"'))
    with pytest.raises(GenretError, match=r"has no tensor 'model\.norm\.wight'"):
        load_checkpoint(folder)
    with pytest.raises(GenretError, match="nowhere: no such folder"):
        load_checkpoint(tmp_path / "nowhere")
    with pytest.raises(GenretError, match="dtype: found 'float16'"):
        load_checkpoint(folder, dtype="float16")


@pytest.fixture(scope="module")
def trained():
    from genret.config import DecoderOnlyConfig

    config = DecoderOnlyConfig(
        codes_per_level=(5, 4, 6), width=16, heads=2, kv_heads=1, head_dim=8,
        mlp_dim=16, max_items=3,
    )  # fmt: skip
    return build_model(config, 3)


def test_a_model_of_ours_goes_out_and_comes_back(trained, tmp_path) -> None:
    checkpoint, tokens = checkpoint_of(trained)
    save_checkpoint(tmp_path / "m", checkpoint)
    loaded = load_checkpoint(tmp_path / "m")
    assert loaded.fields["model_type"] == "qwen3"
    again = decoder_of(loaded, tokens, start_token=0, max_items=3)
    history = History.from_items([[1, 2, 3], [4, 0, 5]], [[0, 1]], max_items=3)
    expected, _ = trained.prefill(history)
    np.testing.assert_array_equal(again.prefill(history)[0], expected)
    with pytest.raises(GenretError, match="expected 0 to 15"):
        decoder_of(loaded, tokens, start_token=99)


def test_other_folders_are_not_replaced(trained, tmp_path) -> None:
    checkpoint, _ = checkpoint_of(trained)
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(GenretError, match="refusing to replace"):
        save_checkpoint(tmp_path, checkpoint)
    broken = jax.tree.map(lambda x: x.at[..., 0].set(jnp.inf), trained)
    with pytest.raises(GenretError, match="NaN or infinite"):
        save_checkpoint(tmp_path / "m", checkpoint_of(broken)[0])
    assert [f.name for f in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_head_of_its_own_is_used_although_the_file_says_tied(tmp_path) -> None:
    """So it is where the head alone was tuned; transformers keeps it as well."""
    theirs = golden("llama")
    folder = write(tmp_path / "in", "llama", tie_word_embeddings=True)
    with pytest.warns(UserWarning, match="the head in the file is used"):
        loaded = load_checkpoint(folder)
    tokens = jnp.asarray(theirs["tokens"])
    np.testing.assert_allclose(
        logits_of(loaded.language_model, tokens), theirs["logits"], atol=1e-4
    )
    save_checkpoint(tmp_path / "out", loaded)
    assert not json.loads((tmp_path / "out" / "config.json").read_text())["tie_word_embeddings"]
    again = load_checkpoint(tmp_path / "out")
    np.testing.assert_array_equal(
        again.language_model.output_table, loaded.language_model.output_table
    )


def test_a_head_that_is_the_embedding_stays_tied(tmp_path) -> None:
    folder = write(tmp_path / "in", "llama", tie_word_embeddings=True)
    file = folder / "model.safetensors"
    tensors = safetensors.numpy.load_file(file)
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"]
    safetensors.numpy.save_file(tensors, file)
    assert load_checkpoint(folder).config.tie_embeddings


def test_a_folder_that_we_wrote_is_verified(tmp_path) -> None:
    save_checkpoint(tmp_path / "out", load_checkpoint(write(tmp_path / "in", "qwen3")))
    (tmp_path / "out" / "README.md").write_text("may lie there")
    load_checkpoint(tmp_path / "out")
    file = tmp_path / "out" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"\x00")
    with pytest.raises(GenretError, match=r"model\.safetensors: SHA-256 differs"):
        load_checkpoint(tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("config.json", '{"vocab_size": ' + "9" * 5000 + "}", "thousands of digits"),
        ("config.json", "[" * 50_000, "nested too deeply"),
        ("config.json", "[]", "found list, expected an object"),
        ("config.json", '{"model_type": "llama", "vocab_size": [1]}', "found a list of 1"),
        ("config.json", '{"model_type": "llama", "rope_scaling": [1]}', "expected an object"),
        ("config.json", '{"model_type": {"a": 1}}', "model_type: found an object of 1"),
        ("model.safetensors.index.json", '{"weight_map": [1]}', "expected an object 'weight_map'"),
        ("model.safetensors.index.json", '{"weight_map": {"a": 3}}', "'weight_map' of file names"),
        ("model.safetensors.index.json", '{"weight_map": {"a": "../x.safetensors"}}', "beside it"),
    ],
)
def test_hostile_json_is_one_line(name, text, message, tmp_path) -> None:
    folder = write(tmp_path / "in", "llama")
    (folder / name).write_text(text)
    if name != "config.json":
        (folder / "model.safetensors").unlink()
    with pytest.raises(GenretError, match=message) as refused:
        load_checkpoint(folder)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "tokenizer",
    [
        "[]", "{}", "null", "3", '{"model": []}', '{"model": {"vocab": 3}}', '{"model": {"vocab": {"<a_0>": "x"}}}',
        '{"model": {"vocab": {"<a_0>": -1}}}', '{"model": {"vocab": {"<a_0>": 1e3}}}',
        '{"model": {"vocab": {"<a_999999999>": 3}}}', '{"model": {"vocab": [3]}}',
        '{"model": {"vocab": {}}, "added_tokens": [{"id": 3}]}', '{"model": {"vocab": {"<a_0>": ' + "9" * 5000 + "}}}",
        "[" * 50_000,
    ],
)  # fmt: skip
def test_a_hostile_tokenizer_is_one_line(tokenizer, tmp_path) -> None:
    folder = write(tmp_path / "in", "llama")
    (folder / "tokenizer.json").write_text(tokenizer)
    with pytest.raises(GenretError, match="tokenizer") as refused:
        SemanticTokens.of(load_checkpoint(folder))
    assert "\n" not in str(refused.value)
