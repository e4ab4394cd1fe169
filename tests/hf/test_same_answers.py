"""Against the real transformers: the answers of generate, item for item and score for score."""

import warnings

import jax.numpy as jnp
import numpy as np
import pytest

from genret.decoding import beam_search
from genret.hf import load_checkpoint
from genret.index import TrieIndex
from genret.models import Prompts

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

COMMON = {
    "vocab_size": 90,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": 0,
}
T5 = {
    "vocab_size": 90,
    "d_model": 32,
    "d_ff": 48,
    "d_kv": 8,
    "num_layers": 2,
    "num_heads": 4,
    "decoder_start_token_id": 0,
    "eos_token_id": None,
}
REQUESTS = 25
END = 1
CASES = [  # family, codes of the levels, items, beams, whether the end is said as well
    ("Llama", (9, 8, 7), 60, 6, False),
    ("Qwen2", (12, 10), 100, 10, False),  # items share semantic IDs
    ("Qwen3", (6, 6, 6, 6), 300, 4, True),
    ("Qwen3", (20, 20), 15, 8, False),  # hardly more items than beams
    ("T5", (8, 8, 8), 80, 7, False),
]


def setup(case, tmp_path):
    family, sizes, count, beams, end = case
    rng = np.random.default_rng(CASES.index(case))
    changes = {"head_dim": 16, "tie_word_embeddings": True} if family == "Qwen3" else {}
    torch.manual_seed(1)
    if family == "T5":
        config = transformers.T5Config(**T5)
        model = transformers.T5ForConditionalGeneration(config).eval()
    else:
        config = getattr(transformers, f"{family}Config")(**COMMON, **changes)
        model = getattr(transformers, f"{family}ForCausalLM")(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.2 if family == "T5" else 5) if parameter.ndim > 1 else parameter.add_(
                0.2 * torch.randn_like(parameter)
            )
    model.save_pretrained(tmp_path)
    # The codes' tokens lie anywhere in the vocabulary, in any order.
    places = 10 + rng.permutation(80)[: sum(sizes)]
    tokens = np.split(places, np.cumsum(sizes)[:-1])
    codes = np.stack([rng.integers(0, v, count) for v in sizes], axis=1)
    if end:
        tokens, codes = [*tokens, np.array([END])], np.pad(codes, ((0, 0), (0, 1)))
        sizes = (*sizes, 1)
    index = TrieIndex.from_codes(codes, codes_per_level=sizes)
    prompts = [rng.integers(2, 90, rng.integers(3, 13)).tolist() for _ in range(REQUESTS)]
    return model, tokens, codes, index, prompts, beams


def padded(prompts, right=False):
    length = max(map(len, prompts))
    if right:  # an encoder's
        ids = torch.tensor([p + [0] * (length - len(p)) for p in prompts])
        return ids, torch.tensor([[1] * len(p) + [0] * (length - len(p)) for p in prompts])
    ids = torch.tensor([[0] * (length - len(p)) + p for p in prompts])
    mask = torch.tensor([[0] * (length - len(p)) + [1] * len(p) for p in prompts])
    return ids, mask


def generate(model, prompts, depth, beams, **constraint):
    ids, mask = padded(prompts, right=model.config.is_encoder_decoder)
    with torch.no_grad():
        found = model.generate(
            ids, attention_mask=mask, num_beams=beams, num_return_sequences=beams,
            max_new_tokens=depth, do_sample=False, return_dict_in_generate=True,
            output_scores=True, **constraint,
        )  # fmt: skip
    sequences = found.sequences[:, -depth:].reshape(len(prompts), beams, depth)
    # The length penalty is 1 by default: the sum of log-probabilities over the tokens generated.
    return sequences.numpy(), depth * found.sequences_scores.reshape(len(prompts), beams).numpy()


def trie_function(tokens, codes, length):
    allowed = {}
    for row in np.unique(codes, axis=0):
        spelled = tuple(int(own[code]) for own, code in zip(tokens, row, strict=True))
        for level in range(len(spelled)):
            allowed.setdefault(spelled[:level], set()).add(spelled[level])
    return lambda _, sent: sorted(allowed.get(tuple(sent[length:].tolist()), {0}))


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c[0]}-{c[3]}")
def test_items_order_and_scores_are_those_of_generate(case, tmp_path) -> None:
    from genret.hf.logits_processor import TrieLogitsProcessor

    model, tokens, codes, index, prompts, beams = setup(case, tmp_path)
    length, depth = max(map(len, prompts)), codes.shape[1]
    if model.config.is_encoder_decoder:
        length = 1  # the start token
    function = trie_function(tokens, codes, length)
    sequences, scores = generate(model, prompts, depth, beams, prefix_allowed_tokens_fn=function)

    ours = load_checkpoint(tmp_path).retriever(tokens)
    found = beam_search(ours, Prompts.from_lists(prompts), index, beams=beams)
    of_tokens = [{int(t): c for c, t in enumerate(own)} for own in tokens]
    for request in range(REQUESTS):
        expected_items, expected_scores = [], []
        for row, score in zip(sequences[request], scores[request], strict=True):
            if score < -1e8:  # generate fills up with copies of one another
                continue
            spelled = [lookup[int(t)] for lookup, t in zip(of_tokens, row, strict=True)]
            items = index.items_below(tuple(spelled)).tolist()
            expected_items += items
            expected_scores += [score] * len(items)
        valid = np.asarray(found.valid[request])
        assert valid.sum() == min(beams, len(expected_items))
        assert found.items[request][valid].tolist() == expected_items[:beams]
        np.testing.assert_allclose(found.scores[request][valid], expected_scores[:beams], atol=2e-4)

    processor = TrieLogitsProcessor(index, tokens, prompt_length=length)
    again, again_scores = generate(model, prompts, depth, beams, logits_processor=[processor])
    real = scores > -1e8
    np.testing.assert_array_equal(again[real], sequences[real])
    np.testing.assert_allclose(again_scores[real], scores[real], atol=1e-5)


def test_ids_of_many_lengths_without_pruning(tmp_path) -> None:
    """Where generate ends sequences by themselves, both are exact once beams hold all items.

    With fewer beams they may differ: generate keeps ended sequences outside of its M beams, our
    beams are M sequences, ended or not.
    """
    family, _, _, _, _ = CASES[2]
    model, _, _, _, prompts, _ = setup(CASES[2], tmp_path)
    rng = np.random.default_rng(5)
    lengths = rng.integers(1, 4, 12)
    rows = np.zeros((12, 4), int)  # code 0 ends
    for row, n in zip(rows, lengths, strict=True):
        row[:n] = rng.integers(1, 5, n)
    tokens = [np.array([END, *(20 + 4 * level + np.arange(4))]) for level in range(4)]
    index = TrieIndex.from_codes(rows, codes_per_level=(5,) * 4, end_code=0)
    spelled = {tuple(row[: n + 1]) for row, n in zip(rows, lengths, strict=True)}
    allowed = {}
    for row in spelled:
        ids = [int(own[c]) for own, c in zip(tokens, row, strict=False)]
        for level in range(len(ids)):
            allowed.setdefault(tuple(ids[:level]), set()).add(ids[level])
    ids, mask = padded(prompts)
    with torch.no_grad():
        found = model.generate(
            ids, attention_mask=mask, num_beams=12, num_return_sequences=12, max_new_tokens=4,
            do_sample=False, return_dict_in_generate=True, output_scores=True,
            length_penalty=0.0, early_stopping="never", eos_token_id=END,
            prefix_allowed_tokens_fn=lambda _, sent: sorted(
                allowed.get(tuple(sent[ids.shape[1] :].tolist()), {0})
            ),
        )  # fmt: skip
    sequences = found.sequences[:, ids.shape[1] :].reshape(REQUESTS, 12, -1).numpy()
    scores = found.sequences_scores.reshape(REQUESTS, 12).numpy()
    ours = load_checkpoint(tmp_path).retriever(tokens)
    result = beam_search(ours, Prompts.from_lists(prompts), index, beams=12)
    for request in range(REQUESTS):
        expected = []
        for row, score in zip(sequences[request], scores[request], strict=True):
            if score > -1e8:
                until = row.tolist().index(END)
                code = (*(tokens[i].tolist().index(t) for i, t in enumerate(row[:until])), 0)
                expected += [(score, i) for i in index.items_below(code).tolist()]
        valid = np.asarray(result.valid[request])
        assert valid.all()
        assert result.items[request].tolist() == [item for _, item in expected]
        np.testing.assert_allclose(
            result.scores[request], [score for score, _ in expected], atol=2e-4
        )
    assert family == "Qwen3"
    assert jnp.isfinite(result.scores).all()
