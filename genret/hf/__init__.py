"""Hugging Face in and out: checkpoints, tokens, prompts, fine-tuning, a logits processor.

Checkpoints are read as ``config.json`` and safetensors, without torch or transformers and never by
pickle. ``genret.hf.logits_processor`` is for people who stay in PyTorch and is imported by itself.
"""

# Checkpoints
from genret.hf._checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from genret.hf._export import checkpoint_of, decoder_of

# Codes as tokens
from genret.hf._masks import TokenMask
from genret.hf._tokens import SemanticTokens, add_semantic_tokens

# Prompts
from genret.hf._prompter import Prompter, Template  # isort: skip

# Fine-tuning
from genret.hf._finetune import FineTuned, fine_tune, item_loss  # isort: skip
from genret.hf._lora import add_lora, merge_lora  # isort: skip

__all__ = [
    "Checkpoint",
    "FineTuned",
    "Prompter",
    "SemanticTokens",
    "Template",
    "TokenMask",
    "add_lora",
    "add_semantic_tokens",
    "checkpoint_of",
    "decoder_of",
    "fine_tune",
    "item_loss",
    "load_checkpoint",
    "merge_lora",
    "save_checkpoint",
]
