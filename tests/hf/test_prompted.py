"""From text and histories to items: tokens, prompts, the search, masks and fine-tuning."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genret.decoding import beam_search
from genret.errors import GenretError
from genret.hf import (
    Prompter,
    SemanticTokens,
    Template,
    TokenMask,
    add_lora,
    add_semantic_tokens,
    fine_tune,
    item_loss,
    merge_lora,
)
from genret.index import TrieIndex
from genret.models import PromptedDecoder, Prompts
from genret.models._attention import causal_mask
from tests.hf.conftest import WORDS

SIZES = (5, 4, 3)
CODES = np.array([[0, 1, 2], [4, 3, 0], [0, 1, 0], [2, 2, 2], [4, 0, 1]])


@pytest.fixture(scope="module")
def added(qwen3):
    return add_semantic_tokens(qwen3, SIZES, seed=1)


@pytest.fixture(scope="module")
def index():
    return TrieIndex.from_codes(CODES, codes_per_level=SIZES)


def test_new_tokens_are_in_the_table_and_in_the_tokenizer(qwen3, added) -> None:
    checkpoint, tokens = added
    first = len(WORDS)  # rows past the tokenizer's last token were padding
    assert [own.tolist() for own in tokens.tokens] == [
        list(range(first, first + 5)), list(range(first + 5, first + 9)),
        list(range(first + 9, first + 12)),
    ]  # fmt: skip
    assert tokens.text([4, 0, 2]) == "<a_4><b_0><c_2>"
    table = np.asarray(checkpoint.language_model.embedding.table[...])
    old = np.asarray(qwen3.language_model.embedding.table[...])
    assert checkpoint.vocabulary == 40  # the padding had room
    np.testing.assert_array_equal(table[:first], old[:first])
    new = table[first : first + 12]
    assert np.abs(new - old[:first].mean(0)).max() < 0.5 * old[:first].std(0).max()
    assert len(np.unique(new, axis=0)) == 12
    found = SemanticTokens.of(checkpoint)
    assert found.names == ("a", "b", "c")
    for x, y in zip(found.tokens, tokens.tokens, strict=True):
        np.testing.assert_array_equal(x, y)
    with pytest.raises(GenretError, match="has semantic-ID tokens already \\('<a_0>'\\)"):
        add_semantic_tokens(checkpoint, SIZES)
    with pytest.raises(GenretError, match="has no tokens like '<a_12>'"):
        SemanticTokens.of(qwen3)
    with pytest.raises(GenretError, match="no tokens like '<z_12>', only of"):
        SemanticTokens.of(checkpoint, ["z"])
    many, _ = add_semantic_tokens(qwen3, (30, 4))
    assert (many.vocabulary, many.fields["vocab_size"]) == (len(WORDS) + 34,) * 2


@pytest.mark.slow
def test_tokens_of_others_have_gaps_and_any_order(qwen3) -> None:
    """LC-Rec adds the sorted set of the tokens that occur: "<a_10>" comes before "<a_2>"."""
    names = sorted({"<a_0>", "<a_2>", "<a_10>", "<b_1>", "<b_0>"})
    numbers = {name: 20 + i for i, name in enumerate(names)}
    for files in (
        {"added_tokens.json": json.dumps(numbers).encode()},
        {"tokenizer.json": json.dumps(
            {"model": {"type": "Unigram", "vocab": [["x", 0.0]]},
             "added_tokens": [{"id": v, "content": k} for k, v in numbers.items()]}
        ).encode()},
    ):  # fmt: skip
        tokens = SemanticTokens.of(dataclasses.replace(qwen3, files=files))
        assert tokens.codes_per_level == (11, 2)
        assert {c: int(t) for c, t in enumerate(tokens.tokens[0]) if t >= 0} == {
            0: 20, 10: 21, 2: 22,
        }  # fmt: skip
    model = qwen3.retriever(tokens.tokens)
    prompts = Prompts.from_lists([[3, 4, 5], [9]], length=4)
    readout, cache = model.prefill(prompts)
    assert np.flatnonzero(np.isfinite(readout[0, 0])).tolist() == [0, 2, 10, 11]
    # A softmax over the readout is that over the vocabulary.
    level = qwen3.retriever(tokens.tokens, normalize="level").prefill(prompts)[0]
    np.testing.assert_allclose(level[..., [0, 2, 10]], readout[..., [0, 2, 10]], atol=1e-5)
    logits = cache.hidden @ model.language_model.output_table.T
    np.testing.assert_allclose(
        jax.nn.log_softmax(readout)[..., [0, 10, 2]],
        jax.nn.log_softmax(logits)[..., [20, 21, 22]],
        atol=1e-5,
    )


@pytest.mark.parametrize("normalize", ["vocabulary", "level"])
def test_a_search_finds_what_brute_force_finds(added, index, normalize) -> None:
    """Prompts of different lengths; scores are sums of log-probabilities over all tokens or a level."""
    checkpoint, tokens = added
    model = checkpoint.retriever(tokens.tokens, normalize=normalize)
    prompter = Prompter(checkpoint, tokens, Template(prompt="chose : {history} then the next"))
    histories = [[CODES[0], CODES[3]], [], [CODES[1]]]
    prompts = prompter(histories, length=12)
    assert prompts.lengths.tolist() == [12, 5, 8]
    result = beam_search(model, prompts, index, beams=5)
    stepped = np.asarray(result.scores)
    for request in range(3):
        text = np.asarray(prompts.tokens[request, : int(prompts.lengths[request])]).tolist()
        expected = {}
        for item, codes in enumerate(CODES):
            spelled = [int(own[c]) for own, c in zip(tokens.tokens, codes, strict=True)]
            expected[item] = slow_score(checkpoint, tokens, text, spelled, normalize)
        order = sorted(expected, key=expected.get, reverse=True)
        assert result.items[request].tolist() == order
        np.testing.assert_allclose(stepped[request], [expected[i] for i in order], atol=1e-4)
    if normalize == "level":
        return  # the tail is the same program but for the readout
    whole = beam_search(model, prompts, index, beams=5, tail=5)
    np.testing.assert_array_equal(whole.items, result.items)
    np.testing.assert_allclose(whole.scores, stepped, atol=1e-4)


@jax.jit
def all_logits(model, read):
    positions = jnp.broadcast_to(jnp.arange(read.shape[1]), read.shape)
    hidden, _, _ = model(model.embed(read), positions, causal_mask(jnp.ones_like(read)))
    return hidden[0] @ model.output_table.T


def slow_score(checkpoint, tokens, text, spelled, normalize):
    """Score one item by reading prompt and codes again for every code."""
    total = 0.0
    for level, token in enumerate(spelled):
        read = jnp.asarray([text + spelled[:level] + [0] * (14 - len(text) - level)])
        logits = all_logits(checkpoint.language_model, read)[len(text) + level - 1]
        if normalize == "level":
            own = tokens.tokens[level]
            total += float(jax.nn.log_softmax(logits[own])[token - own[0]])
        else:
            total += float(jax.nn.log_softmax(logits)[token])
    return total


def test_prompts_hold_what_the_tokenizer_reads(added) -> None:
    checkpoint, tokens = added
    prompter = Prompter(checkpoint, tokens, "search", max_tokens=40)
    with pytest.raises(GenretError, match="query: expected one"):
        prompter([[CODES[0]]])
    with pytest.raises(GenretError, match="queries: found 1, expected 2"):
        prompter([[CODES[0]], []], ["red shoes"])
    template = Template(prompt="chose : {history} asks for {query}", empty="a")
    prompter = Prompter(checkpoint, tokens, template, max_tokens=12)
    prompts = prompter(
        [[CODES[1], CODES[0]], [], [CODES[i] for i in (0, 1, 2, 3)]], ["red hat"] * 3
    )
    assert prompts.tokens.shape == (3, 32)
    read = [
        " ".join(spelled(tokens, t) for t in prompts.tokens[i, : prompts.lengths[i]].tolist())
        for i in range(3)
    ]
    assert read == [
        "chose : <a_0> <b_1> <c_2> asks for red hat",  # the oldest item did not fit
        "chose : a asks for red hat",
        "chose : <a_2> <b_2> <c_2> asks for red hat",
    ]
    with pytest.raises(GenretError, match="request 0: found codes"):
        prompter([[[9, 0, 0]]], ["red"])
    with pytest.raises(
        GenretError, match="request 0 has 14 tokens without any item, expected 1 to"
    ):
        prompter([[]], ["red " * 9])


def spelled(tokens, token):
    words = dict(enumerate(WORDS))
    for name, own in zip(tokens.names, tokens.tokens, strict=True):
        words |= {int(t): f"<{name}_{c}>" for c, t in enumerate(own)}
    return words[token]


@pytest.mark.parametrize("name", ["plain", "sequential", "search"])
def test_our_templates(name) -> None:
    template = Template.load(name)
    assert template.about
    query = "a red hat" if template.asks_for_query else None
    assert template.text(["<a_1>", "<a_2>"], query).count("<a_") == 2
    template.text([], query)


def test_bad_templates_are_named(tmp_path) -> None:
    with pytest.raises(GenretError, match="found 'nothing', expected a file or one of"):
        Template.load("nothing")
    for text, message in {
        "[]": "found list",
        '{"separator": ", "}': "prompt: missing",
        '{"prompt": "{history}", "color": "red"}': "color",
        '{"prompt": "{history} {price}"}': "expected {history} or {query}",
        '{"prompt": "{history"}': "expected '}'",
    }.items():
        (tmp_path / "t.json").write_text(text)
        with pytest.raises(GenretError, match=message):
            Template.load(tmp_path / "t.json")


def test_masks_allow_what_the_index_holds(added, index) -> None:
    checkpoint, tokens = added
    mask = TokenMask.of(index, tokens.tokens, vocabulary=checkpoint.vocabulary, end_token=1)
    ask = jax.jit(lambda mask, generated: mask(generated))
    a, b, c = tokens.tokens
    none = jnp.zeros((2, 0), jnp.int32)
    assert np.flatnonzero(ask(mask, none)[1]).tolist() == a[[0, 2, 4]].tolist()
    assert np.flatnonzero(ask(mask, jnp.asarray([[a[4]]]))[0]).tolist() == b[[0, 3]].tolist()
    two = ask(mask, jnp.asarray([[a[0], b[1]], [a[1], b[1]], [3, b[1]]]))
    assert np.flatnonzero(two[0]).tolist() == c[[0, 2]].tolist()
    assert not two[1:].any()
    three = ask(mask, jnp.asarray([[a[0], b[1], c[0]]]))
    assert np.flatnonzero(three[0]).tolist() == [1]
    with pytest.raises(GenretError, match="found 2 levels, the index has 3"):
        TokenMask.of(index, tokens.tokens[:2], vocabulary=40)
    with pytest.raises(GenretError, match=r"level 1: found .* expected -1 to 21"):
        TokenMask.of(index, tokens.tokens, vocabulary=22)


def batches(checkpoint, tokens, steps):
    """Two prompts and the items that follow them."""
    prompter = Prompter(checkpoint, tokens, Template(prompt="chose : {history} next"))
    prompts = prompter([[CODES[0]], [CODES[1], CODES[2]]], length=12)
    return [(prompts, CODES[[3, 4]])] * steps


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 2])
def test_fine_tuning_learns_and_leaves_the_rest(added, index, rank) -> None:
    checkpoint, tokens = added
    model = checkpoint.retriever(tokens.tokens)
    before = [np.asarray(x) for x in jax.tree.leaves(model)]
    data = batches(checkpoint, tokens, 25)
    tuned = fine_tune(model, data, learning_rate=2e-2, lora_rank=rank)
    assert tuned.losses[-1] < 0.3 * tuned.losses[0]
    for x, y in zip(jax.tree.leaves(model), before, strict=True):
        np.testing.assert_array_equal(x, y)
    loss = float(item_loss(tuned.model, data[0][0], jnp.asarray(CODES[[3, 4]])))
    assert loss <= tuned.losses[-1] + 1e-3
    assert jax.tree.structure(tuned.model) == jax.tree.structure(model)
    if rank:
        found = beam_search(tuned.model, data[0][0], index, beams=3)
        assert found.items[:, 0].tolist() == [3, 4]
        moved = {}
        for (path, x), y in zip(jax.tree.leaves_with_path(tuned.model), before, strict=True):
            moved[jax.tree_util.keystr(path)] = np.asarray(x) != y
        rows = np.concatenate(tokens.tokens)
        table = next(v for k, v in moved.items() if "table" in k)
        assert table[rows].any(axis=1).all()
        assert not np.delete(table, rows, axis=0).any()
        assert all(v.any() for k, v in moved.items() if "q_proj" in k)
        assert not any(v.any() for k, v in moved.items() if "mlp" in k or "norm" in k)


@pytest.mark.slow
def test_adapters_change_nothing_at_first(added) -> None:
    checkpoint, tokens = added
    model = checkpoint.retriever(tokens.tokens)
    prompts = Prompts.from_lists([[3, 4, 5]], length=4)
    expected = model.prefill(prompts)[0]
    adapted = add_lora(model, 3, targets=("q_proj", "down_proj"))
    np.testing.assert_array_equal(adapted.prefill(prompts)[0], expected)
    with pytest.raises(GenretError, match="has adapters already"):
        add_lora(adapted, 3)
    merged = merge_lora(adapted)
    assert isinstance(merged, PromptedDecoder)
    np.testing.assert_array_equal(merged.prefill(prompts)[0], expected)
    with pytest.raises(GenretError, match="rank: found 0"):
        add_lora(model, 0)
    with pytest.raises(GenretError, match="targets: found"):
        add_lora(model, 1, targets=("lm_head",))
    with pytest.raises(GenretError, match="batches: found none"):
        fine_tune(model, [])
    with pytest.raises(GenretError, match=r"batch 1: found codes \(1, 2\), expected \(1, 3\)"):
        fine_tune(model, [(prompts, [[0, 1]])])


@pytest.mark.parametrize(
    ("prompts", "length", "message"),
    [
        ([], None, "prompts: found none"),
        ([[1], []], None, "prompt 1 has 0 tokens"),
        ([[1, 2, 3]], 2, "prompt 0 has 3 tokens, expected 1 to 2"),
        ([[1.5]], None, "prompt 0: expected integers"),
        ([[-1]], None, "prompt 0: expected integers of 0 or more"),
    ],
)
def test_bad_prompts_are_named(prompts, length, message) -> None:
    with pytest.raises(GenretError, match=message):
        Prompts.from_lists(prompts, length)


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        ([], "found no level"),
        ([[1, 1]], "level 0: a token stands for two codes"),
        ([[1], [40]], "level 1: found 40 to 40"),
        ([[0.5]], "level 0: found float64"),
        ([[-1]], "level 0: found -1 to -1"),
    ],
)
def test_bad_code_tokens_are_named(qwen3, tokens, message) -> None:
    with pytest.raises(GenretError, match=message):
        qwen3.retriever(tokens)
    with pytest.raises(GenretError, match="normalize: found 'all'"):
        qwen3.retriever([[1]], normalize="all")
