# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""A word-level tokenizer learned from the rows themselves, for text towers trained from scratch."""

from collections import Counter
from collections.abc import Iterable

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def build_word_tokenizer(
    texts: Iterable[str | None],
    *,
    max_vocab: int = 30_000,
    min_frequency: int = 1,
    lowercase: bool = True,
    max_length: int = 64,
) -> PreTrainedTokenizerFast:
    """Builds a tokenizer whose vocabulary is the words of some texts, the most frequent first.

    Words are split at whitespace and punctuation, as BERT does before its word pieces; a text becomes
    `[CLS] … [SEP]`. The same texts in any order give the same vocabulary: words of equal frequency are ordered by name.

    Args:
        texts: The texts; None among them is passed over.
        max_vocab: Largest vocabulary, the special tokens included.
        min_frequency: How often a word must occur to get in.
        lowercase: Whether to drop case and accents.
        max_length: Longest text in tokens, the special tokens included.

    Raises:
        ValueError: if `max_vocab` leaves no room for a word, or the texts hold none.
    """
    if max_vocab <= len(SPECIAL_TOKENS):
        raise ValueError(f"max_vocab={max_vocab} leaves no room for words beside {len(SPECIAL_TOKENS)} special tokens.")
    normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    splitter = pre_tokenizers.BertPreTokenizer()
    counts: Counter[str] = Counter()
    for text in texts:
        if text is not None:
            counts.update(word for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text)))
    words = sorted((word for word, count in counts.items() if count >= min_frequency), key=lambda w: (-counts[w], w))
    if not words:
        raise ValueError(f"The texts hold no word that occurs {min_frequency} times or more: nothing to build from.")
    kept = [word for word in words if word not in SPECIAL_TOKENS][: max_vocab - len(SPECIAL_TOKENS)]
    vocabulary = {word: index for index, word in enumerate((*SPECIAL_TOKENS, *kept))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = splitter
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=max_length,
        model_input_names=["input_ids", "attention_mask"],
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )
