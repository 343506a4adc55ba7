# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""The word tokenizer: its vocabulary, what a text becomes, and a round trip through a folder."""

import pytest
from transformers import AutoTokenizer

from hf_multimodal.data.word_tokenizer import build_word_tokenizer

TEXTS = ["The cat, the dog.", None, "the Cat!"]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def vocabulary(tokenizer):
    return tokenizer.convert_ids_to_tokens(range(len(tokenizer)))


def test_vocabulary_is_by_frequency_then_by_name():
    assert vocabulary(build_word_tokenizer(TEXTS)) == [*SPECIAL, "the", "cat", "!", ",", ".", "dog"]
    assert vocabulary(build_word_tokenizer(TEXTS[::-1])) == vocabulary(build_word_tokenizer(TEXTS))


def test_limits():
    assert vocabulary(build_word_tokenizer(TEXTS, max_vocab=7)) == [*SPECIAL, "the", "cat"]
    assert vocabulary(build_word_tokenizer(TEXTS, min_frequency=2)) == [*SPECIAL, "the", "cat"]


def test_case_can_be_kept():
    assert {"The", "the", "Cat", "cat"} < set(vocabulary(build_word_tokenizer(TEXTS, lowercase=False)))


def test_encoding():
    tokenizer = build_word_tokenizer(TEXTS, max_length=6)
    batch = tokenizer(["THE bird", "the dog the dog the"], padding=True, truncation=True)
    tokens = [tokenizer.convert_ids_to_tokens(ids) for ids in batch["input_ids"]]
    assert tokens == [
        ["[CLS]", "the", "[UNK]", "[SEP]", "[PAD]", "[PAD]"],
        ["[CLS]", "the", "dog", "the", "dog", "[SEP]"],
    ]
    assert batch["attention_mask"][0] == [1, 1, 1, 1, 0, 0]
    assert set(batch) == {"input_ids", "attention_mask"}
    assert tokenizer("")["input_ids"] == [2, 3]


def test_pair():
    tokenizer = build_word_tokenizer(TEXTS)
    tokens = tokenizer.convert_ids_to_tokens(tokenizer("the", "cat")["input_ids"])
    assert tokens == ["[CLS]", "the", "[SEP]", "cat", "[SEP]"]


def test_round_trip(tmp_path):
    tokenizer = build_word_tokenizer(TEXTS, max_length=9)
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert loaded("The cat, a dog")["input_ids"] == tokenizer("The cat, a dog")["input_ids"]
    assert loaded.model_max_length == 9
    assert loaded.pad_token_id == 0
    assert loaded.mask_token == "[MASK]"
    assert set(loaded("the")) == {"input_ids", "attention_mask"}


def test_special_words_in_texts_are_not_repeated():
    assert len(set(vocabulary(build_word_tokenizer(["[MASK] the [PAD]"])))) == len(
        build_word_tokenizer(["[MASK] the [PAD]"])
    )


def test_no_room():
    with pytest.raises(ValueError, match="max_vocab=5 leaves no room for words beside 5 special tokens"):
        build_word_tokenizer(TEXTS, max_vocab=5)


@pytest.mark.parametrize("texts", [[], [None, " "]])
def test_no_words(texts):
    with pytest.raises(ValueError, match="no word that occurs 1 times or more"):
        build_word_tokenizer(texts)
