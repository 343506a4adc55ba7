# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""What is hidden of a row: which tokens and patches, how many, and that they are the same by seed and by row."""

import pytest
import torch
from transformers import BertTokenizer

from hf_multimodal import MultimodalCollator
from hf_multimodal.data.masking import MaskingSchema, _goes_on
from tests.tiny import TEXTS, tiny_pictures, tiny_processor, tiny_tokenizer

ALL = ("masked_language", "contrastive", "matching", "reconstruction")
ROWS = [
    {"text": t, "image": p, "row_id": f"row {i}"} for i, (t, p) in enumerate(zip(TEXTS, tiny_pictures(), strict=True))
]


def collate(seed=0, rows=ROWS, **options):
    torch.manual_seed(seed)
    return MultimodalCollator(tiny_processor(), MaskingSchema(ALL, **options))(rows)


def test_labels_are_the_hidden_tokens():
    batch = collate(ratios={"text": 0.5})
    ids = tiny_processor()(text=TEXTS, return_tensors="pt")["input_ids"]
    hidden = batch["labels"]["masked_language"] != -100
    assert torch.equal(batch["labels"]["masked_language"][hidden], ids[hidden])
    assert torch.equal(batch["input_ids"][~hidden], ids[~hidden])
    lengths = torch.tensor([3, 8, 3])
    assert hidden.sum(1).tolist() == (lengths / 2).round().long().tolist()
    assert not hidden[torch.isin(ids, torch.tensor(tiny_tokenizer().all_special_ids))].any()


def test_eighty_percent_masks_ten_random_ten_as_they_are():
    rows = [{"text": " ".join(["square"] * 14), "row_id": i} for i in range(400)]
    torch.manual_seed(0)
    schema = MaskingSchema(("masked_language",), ratios={"text": 0.5})
    batch = MultimodalCollator(tiny_processor(image=False), schema)(rows)
    hidden = batch["labels"]["masked_language"] != -100
    seen = batch["input_ids"][hidden]
    own = tiny_tokenizer().convert_tokens_to_ids("square")
    masked, kept = ((seen == x).float().mean().item() for x in (tiny_tokenizer().mask_token_id, own))
    assert masked == pytest.approx(0.8 + 0.1 / len(tiny_tokenizer()), abs=0.03)
    assert kept == pytest.approx(0.1 + 0.1 / len(tiny_tokenizer()), abs=0.03)


def test_patches_are_so_many_in_every_row_and_not_the_same():
    hidden = collate(ratios={"image": 0.75})["labels"]["image"]
    assert hidden.shape == (3, 16)
    assert hidden.sum(1).tolist() == [12] * 3
    assert not torch.equal(hidden[0], hidden[1])
    assert not collate(ratios={"image": 0.0})["labels"]["image"].any()


def test_pictures_are_left_to_the_model():
    plain = tiny_processor()(images=tiny_pictures(), return_tensors="pt")["pixel_values"]
    assert torch.equal(collate()["pixel_values"], plain)


@pytest.mark.parametrize("key", ["masked_language", "image"])
def test_the_same_by_seed_another_by_rank(key):
    first, again, other, elsewhere = (
        collate(**options)["labels"][key] for options in ({}, {}, {"seed": 1}, {"rank": 1})
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first, elsewhere)


def test_by_epoch_and_row_whatever_else_was_drawn():
    epoch = torch.zeros((), dtype=torch.long)
    collator = MultimodalCollator(tiny_processor(), MaskingSchema(ALL, seed=3, epoch=epoch))
    first = collator(ROWS)["labels"]["image"]
    assert torch.equal(first[1:2], collator(ROWS[1:2])["labels"]["image"])
    epoch.fill_(1)
    assert not torch.equal(first, collator(ROWS)["labels"]["image"])
    epoch.fill_(0)
    assert torch.equal(first, collator(ROWS)["labels"]["image"])
    other = MultimodalCollator(tiny_processor(), MaskingSchema(ALL, seed=4, epoch=epoch))
    assert not torch.equal(first, other(ROWS)["labels"]["image"])
    alike = collator.for_evaluation()(ROWS)["labels"]["image"]
    epoch.fill_(5)
    assert torch.equal(alike, collator.for_evaluation()(ROWS)["labels"]["image"])


def test_in_evaluation_by_the_row():
    torch.manual_seed(0)
    collator = MultimodalCollator(tiny_processor(), MaskingSchema(ALL)).for_evaluation()
    together, alone = collator(ROWS), collator(ROWS[1:2])
    assert torch.equal(together["labels"]["image"][1:2], alone["labels"]["image"])
    length = alone["input_ids"].shape[1]
    assert torch.equal(together["labels"]["masked_language"][1:2, :length], alone["labels"]["masked_language"])


def test_items_of_pairs():
    rows = [{**row, "item": item} for row, item in zip(ROWS, ("a", "b", "a"), strict=True)]
    items = collate(rows=rows)["labels"]["items"]
    assert items[0] == items[2] != items[1]


def test_a_row_without_text_hides_none():
    labels = collate(rows=[*ROWS[:2], {"image": ROWS[2]["image"], "row_id": 2}])["labels"]
    assert (labels["masked_language"][2] == -100).all()


def test_only_what_the_objectives_need():
    torch.manual_seed(0)
    collator = MultimodalCollator(tiny_processor(), MaskingSchema(("reconstruction",), drawn=("image",)))
    assert set(collator(ROWS)["labels"]) == {"image"}


def test_whole_words():
    tokenizer = BertTokenizer(
        vocab={t: i for i, t in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "un", "##do", "##ing", "it"])}
    )
    assert _goes_on(tokenizer).tolist() == [False] * 6 + [True] * 2 + [False]
    processor = tiny_processor(image=False)
    processor.tokenizer = tokenizer
    rows = [{"text": "undoing it undoing", "row_id": i} for i in range(60)]
    torch.manual_seed(0)
    schema = MaskingSchema(("masked_language",), ratios={"text": 0.3}, whole_words=True)
    hidden = MultimodalCollator(processor, schema)(rows)["labels"]["masked_language"] != -100
    found = {tuple(row) for row in hidden[:, 1:8].int().tolist()}
    assert found == {(1, 1, 1, 0, 0, 0, 0), (0, 0, 0, 1, 0, 0, 0), (0, 0, 0, 0, 1, 1, 1)}
    parts = MultimodalCollator(processor, MaskingSchema(("masked_language",), ratios={"text": 0.3}))(rows)["labels"]
    assert {row.sum().item() for row in parts["masked_language"] != -100} == {2}


@pytest.mark.parametrize(
    ("ratios", "message"),
    [
        ({"image": None}, "it is a number"),
        ({"video": 0.1}, "Nothing of 'video' can be hidden"),
        ({"text": 1.0}, "at least 0 and below 1"),
        ({"image": -1}, "it is"),
    ],
)
def test_ratios_that_are_none(ratios, message):
    with pytest.raises(ValueError, match=message):
        MaskingSchema(ALL, ratios=ratios)


def test_patches_hang_over():
    assert collate(patch_size=7)["labels"]["image"].shape == (3, 25)


def test_a_tokenizer_without_a_mask():
    tokenizer = tiny_tokenizer()
    tokenizer.mask_token = None
    with pytest.raises(ValueError, match="hides tokens behind the tokenizer's mask token"):
        MaskingSchema(ALL).check_tokenizer(tokenizer)
    MaskingSchema(("reconstruction",)).check_tokenizer(tokenizer)
