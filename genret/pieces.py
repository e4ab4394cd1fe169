"""A vocabulary of word pieces, learned from the catalog's own texts by sentencepiece."""

import io
from collections.abc import Sequence

import numpy as np
import sentencepiece

from genret.errors import GenretError

_TRAINING_TEXTS = 200_000
_TRAINING_CHARACTERS = 1000  # sentencepiece skips lines of more than 4,192 bytes
_BYTE_FALLBACK_FROM = 512  # a smaller vocabulary has no room for 256 bytes


def one_line(text: str, row: int) -> str:
    """Return a text with single spaces between its words.

    Raises:
      GenretError: it is not valid Unicode.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as e:
        raise GenretError(f"texts: row {row} is not valid Unicode ({e.reason})") from e
    return " ".join(text.replace("\0", " ").split())


def train_pieces(lines: Sequence[str], pieces: int, seed: int) -> bytes:
    """Train a unigram model on (a sample of) the texts.

    Args:
      lines: the texts; empty ones are left out.
      pieces: size of the vocabulary at most.
      seed: of the choice of training texts beyond 200,000.

    Returns:
      The model's bytes. Piece 0 is padding, 1 unknown, 2 and 3 begin and end.

    Raises:
      GenretError: ``pieces`` too small for the letters of the texts.

    Source: Kudo, "Subword regularization", 2018.
    """
    chosen = [line[:_TRAINING_CHARACTERS] for line in lines if line]
    if len(chosen) > _TRAINING_TEXTS:
        rng = np.random.default_rng(seed)
        rows = np.sort(rng.choice(len(chosen), _TRAINING_TEXTS, replace=False))
        chosen = [chosen[row] for row in rows]
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(chosen),
            model_writer=model,
            model_type="unigram",
            vocab_size=pieces,
            hard_vocab_limit=False,  # a small catalog has fewer pieces
            byte_fallback=pieces >= _BYTE_FALLBACK_FROM,
            normalization_rule_name="nmt_nfkc_cf",  # compatibility forms and case folded
            num_threads=2,  # fixed: sums are grouped by thread
            minloglevel=2,
            pad_id=0,
            unk_id=1,
            bos_id=2,
            eos_id=3,
        )
    except RuntimeError as e:
        reason = " ".join(str(e).split())
        raise GenretError(f"pieces: found {pieces}, sentencepiece cannot train: {reason}") from e
    return model.getvalue()
