"""Models on disk: equal after loading, refused by name when anything is wrong."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from genret.artifacts import write_folder
from genret.config import ItemDecoderConfig
from genret.errors import GenretError
from genret.models import History, build_model, load_model, save_model

CONFIG = ItemDecoderConfig(
    codes_per_level=(5, 4), width=16, heads=2, kv_heads=1, head_dim=8, mlp_dim=16, qkv_bias=True
)
HISTORY = History(codes=jnp.ones((1, 3, 2), jnp.int32), lengths=jnp.asarray([3]))


@pytest.mark.parametrize("kind", ["item_decoder", "decoder_only"])
@pytest.mark.parametrize("tied", [True, False])
def test_a_loaded_model_is_the_saved_one(tmp_path, kind, tied) -> None:
    config = CONFIG.as_kind(kind, tie_embeddings=tied, dtype="bfloat16")
    model = build_model(config, 5)
    with write_folder(tmp_path / "model", "model") as folder:
        save_model(folder, model)
    loaded = load_model(tmp_path / "model")
    assert type(loaded) is type(model)
    assert loaded.config == config
    assert jax.tree.structure(loaded) == jax.tree.structure(model)
    for x, y in zip(jax.tree.leaves(loaded), jax.tree.leaves(model), strict=True):
        np.testing.assert_array_equal(x, y)
    first = jax.jit(lambda model: model.prefill(HISTORY)[0])
    np.testing.assert_array_equal(first(loaded), first(model))


def test_equal_models_are_equal_bytes(tmp_path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        save_model(tmp_path / name, build_model(CONFIG, 5))
    for file in ("model.safetensors", "config.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


@pytest.fixture(scope="module")
def model():
    return build_model(CONFIG, 5)


@pytest.fixture
def folder(tmp_path, model):
    save_model(tmp_path, model)
    return tmp_path


def edit(folder, change) -> None:
    """Rewrite the tensors after ``change`` has edited the dictionary of them."""
    file = folder / "model.safetensors"
    tensors = safetensors.numpy.load(file.read_bytes())
    change(tensors)
    file.write_bytes(safetensors.numpy.save(tensors))


NAME = "item_norm.scale"


def _nan(tensors):
    values = tensors[NAME].copy()
    values[3] = np.nan
    tensors[NAME] = values


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop(NAME), f"parameter '{NAME}' is missing"),
        (lambda t: t.update(extra=np.ones(2, np.float32)), "unknown parameter 'extra'"),
        (lambda t: t.update({NAME: np.ones(15, np.float32)}), f"'{NAME}' has shape .15,"),
        (lambda t: t.update({NAME: np.ones(16, np.float16)}), f"'{NAME}' has .* type float16"),
        (_nan, f"parameter '{NAME}' holds 1 values that are NaN"),
    ],
)
def test_wrong_tensors_are_named(folder, change, message) -> None:
    edit(folder, change)
    with pytest.raises(GenretError, match=message) as caught:
        load_model(folder)
    assert "model.safetensors" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("keep", [0, 4, 100, 0.5, 0.999])
def test_a_truncated_file_is_named(folder, keep) -> None:
    file = folder / "model.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[: keep if isinstance(keep, int) else int(keep * len(whole))])
    with pytest.raises(GenretError, match=r"model\.safetensors: damaged"):
        load_model(folder)


def test_junk_is_named(folder) -> None:
    (folder / "model.safetensors").write_bytes(np.random.default_rng(0).bytes(1000))
    with pytest.raises(GenretError, match=r"model\.safetensors: damaged"):
        load_model(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("[]", "found list, expected an object"),
        ('{"width": 3}', "kind: found '', expected one of 'decoder_only'"),
        (
            '{"kind": "item_decoder", "wdth": 3}',
            "unknown key 'wdth' of ItemDecoderConfig; did you mean 'width'",
        ),
        ('{"kind": "one_pass", "width": "3"}', "width: found '3', expected int"),
        ('{"kind": "decoder_only", "width": 16}', "codes_per_level: found none"),
    ],
)
def test_a_wrong_configuration_is_named(folder, text, message) -> None:
    (folder / "config.json").write_text(text)
    with pytest.raises(GenretError, match=message):
        load_model(folder)


def test_a_configuration_of_another_model_is_refused(folder) -> None:
    values = json.loads((folder / "config.json").read_text()) | {"kind": "decoder_only"}
    (folder / "config.json").write_text(json.dumps(values))
    with pytest.raises(GenretError, match=r"unknown key .code_layers. of DecoderOnlyConfig"):
        load_model(folder)


@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
def test_a_missing_file_is_named(folder, file) -> None:
    (folder / file).unlink()
    with pytest.raises(GenretError, match=f"{file}: cannot be read: No such file"):
        load_model(folder)


def test_foreign_folders_are_refused(tmp_path) -> None:
    with pytest.raises(GenretError, match="nowhere: no such folder"):
        load_model(tmp_path / "nowhere")
    with write_folder(tmp_path / "codes", "codes"):
        pass
    with pytest.raises(GenretError, match="kind 'codes', expected 'model'"):
        load_model(tmp_path / "codes")


def test_an_edited_artifact_is_refused(tmp_path, model) -> None:
    with write_folder(tmp_path / "model", "model") as folder:
        save_model(folder, model)
    file = tmp_path / "model" / "config.json"
    file.write_text(file.read_text().replace("10000.0", "10001.0"))
    with pytest.raises(GenretError, match="SHA-256 differs"):
        load_model(tmp_path / "model")


def test_a_broken_model_is_not_saved(tmp_path, model) -> None:
    broken = jax.tree.map(lambda x: x.at[..., 0].set(jnp.inf), model)
    with pytest.raises(GenretError, match="NaN or infinite"):
        save_model(tmp_path, broken)
    assert not list(tmp_path.iterdir())
    with pytest.raises(GenretError, match="cannot be written"):
        save_model(tmp_path / "nowhere", model)


@pytest.mark.parametrize("kind", ["item_decoder", "decoder_only", "encoder_decoder"])
def test_a_served_model_holds_its_matrices_as_it_computes_them(tmp_path, kind) -> None:
    """Half the bytes, and operation by operation the very same logits."""
    model = build_model(CONFIG.as_kind(kind, dtype="bfloat16"), 5)
    save_model(tmp_path, model)
    served = load_model(tmp_path, serving=True)
    whole, half = (sum(x.nbytes for x in jax.tree.leaves(m)) for m in (model, served))
    assert half < 0.55 * whole
    with jax.disable_jit():
        expected, cache = model.prefill(HISTORY)
        found, served_cache = served.prefill(HISTORY)
        np.testing.assert_array_equal(found, expected)
        codes, parents = jnp.asarray([[3, 0]]), jnp.asarray([[0, 0]])
        expected, _ = model.step(codes, parents, cache)
        found, _ = served.step(codes, parents, served_cache)
        np.testing.assert_array_equal(found, expected)


def test_a_float32_model_is_served_as_it_is(folder, model) -> None:
    served = load_model(folder, serving=True)
    assert jax.tree.all(jax.tree.map(np.array_equal, served, model))
    short = load_model(folder, dtype="bfloat16", serving=True)
    assert short.embedding.table[...].dtype == jnp.bfloat16
    assert short.item_norm.scale[...].dtype == jnp.float32
