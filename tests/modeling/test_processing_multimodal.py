# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""The processor: absent values, batches it refuses, saving and loading, and the check against a model."""

import numpy as np
import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoProcessor, PreTrainedTokenizerFast, ViTConfig, ViTImageProcessor

from hf_multimodal.modeling.image_processing_multimodal import MultimodalImageProcessor
from hf_multimodal.modeling.processing_multimodal import MultimodalProcessor
from tests.tiny import SIDE, TEXTS, tiny_batch, tiny_model, tiny_pictures, tiny_processor, tiny_tokenizer, tiny_towers

BOTH = [True, True]


def process(processor=None, **given):
    return (processor or tiny_processor())(**given, return_tensors="pt")


def bare_tokenizer():
    """A tokenizer that adds no special tokens: an empty text has no token at all."""
    tokenizer = Tokenizer(models.WordLevel({"[PAD]": 0, "[UNK]": 1, "red": 2}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", model_max_length=8)


def test_a_whole_batch():
    batch = process(text=TEXTS, images=tiny_pictures())
    assert set(batch) == {"input_ids", "attention_mask", "pixel_values", "modality_mask"}
    assert batch["input_ids"].tolist() == tiny_tokenizer()(TEXTS, padding=True)["input_ids"]
    assert batch["pixel_values"].shape == (3, 3, SIDE, SIDE)
    assert batch["pixel_values"].dtype == torch.float32
    assert batch["modality_mask"].dtype == torch.bool
    assert batch["modality_mask"].tolist() == [BOTH] * 3


def test_none_is_absent():
    pictures = tiny_pictures()
    batch = process(text=["a red square", None, ""], images=[None, pictures[1], pictures[2]])
    assert batch["modality_mask"].tolist() == [[True, False], [False, True], BOTH]  # an empty text is a text
    whole = process(text=["a red square", "", ""], images=pictures)
    assert torch.equal(batch["input_ids"], whole["input_ids"])
    assert torch.equal(batch["pixel_values"][1:], whole["pixel_values"][1:])
    assert (batch["pixel_values"][0] == 0).all()


@pytest.mark.parametrize("given", [{"text": TEXTS}, {"text": TEXTS, "images": [None] * 3}])
def test_no_picture_in_the_whole_batch(given):
    batch = process(**given)
    assert batch["modality_mask"].tolist() == [[True, False]] * 3
    assert (batch.get("pixel_values", torch.zeros(3, 3, SIDE, SIDE)) == torch.zeros(3, 3, SIDE, SIDE)).all()
    model = tiny_model()
    expected = model(**process(text=TEXTS, images=[None] * 3)).logits
    torch.testing.assert_close(model(**batch).logits, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("given", [{"images": tiny_pictures()}, {"images": tiny_pictures(), "text": [None] * 3}])
def test_no_text_in_the_whole_batch(given):
    batch = process(**given)
    assert batch["modality_mask"].tolist() == [[False, True]] * 3
    model = tiny_model()
    expected = model(pixel_values=batch["pixel_values"]).logits
    torch.testing.assert_close(model(**batch).logits, expected, atol=1e-5, rtol=0)


def test_pictures_of_unknown_size_may_all_be_absent():
    """An image processor that only fixes the shorter side cannot say how large a blank picture is."""
    images = ViTImageProcessor(size={"shortest_edge": SIDE}, do_center_crop=False)
    batch = process(
        MultimodalProcessor(image_processor=images, tokenizer=tiny_tokenizer()), text=TEXTS, images=[None] * 3
    )
    assert "pixel_values" not in batch
    assert tiny_model()(**batch).logits.shape == (3, 2)


@pytest.mark.parametrize(
    "given",
    [
        {"text": "a red square", "images": tiny_pictures(1)[0]},
        {"text": ["a red square"], "images": [tiny_pictures(1)]},
        {"text": ["a red square"], "images": np.array(tiny_pictures(1)[0])},
        {"text": ["a red square"], "images": np.stack([np.asarray(x) for x in tiny_pictures(1)])},
    ],
)
def test_spellings_of_one_row(given):
    expected = process(text=["a red square"], images=tiny_pictures(1))
    batch = process(**given)
    assert set(batch) == set(expected)
    assert all(torch.equal(batch[key], tensor) for key, tensor in expected.items())


def test_pictures_of_other_modes():
    grey = Image.new("L", (SIDE, SIDE), 128)
    batch = process(images=[grey, grey.convert("RGB"), grey.convert("RGBA"), grey.convert("P")])
    for other in batch["pixel_values"][1:]:
        torch.testing.assert_close(other, batch["pixel_values"][0])


def test_without_return_tensors_it_returns_lists():
    batch = tiny_processor()(text=TEXTS)
    assert isinstance(batch["input_ids"][0], list)
    assert batch["modality_mask"] == [[True, False]] * 3


def test_long_texts_are_cut():
    assert process(text=["red " * 100])["input_ids"].shape == (1, 16)


def test_arguments_of_the_tokenizer():
    batch = process(text=TEXTS, padding="max_length", max_length=12)
    assert batch["input_ids"].shape == (3, 12)
    assert process(text=TEXTS, text_kwargs={"padding": "max_length", "max_length": 13})["input_ids"].shape == (3, 13)


@pytest.mark.parametrize("texts", [["", ""], [None, None], ["", "red"]])
def test_empty_text_and_a_tokenizer_without_special_tokens(texts):
    processor = MultimodalProcessor(image_processor=tiny_processor().image_processor, tokenizer=bare_tokenizer())
    batch = process(processor, text=texts, images=tiny_pictures(2))
    assert batch["input_ids"].shape == (2, 1)
    assert batch["attention_mask"][0].tolist() == [0]
    logits = tiny_model()(**batch).logits
    assert logits.isfinite().all()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"text": ["a", None], "images": [None, None]}, "Row 1 of the batch has none of text, image"),
        ({"text": ["a", None]}, "Row 1 of the batch has none of"),
        ({"text": ["a", "b"], "images": tiny_pictures(1)}, r"lengths \{'text': 2, 'image': 1\}"),
        ({}, "Nothing to process: give at least one of text, image"),
    ],
)
def test_batches_it_refuses(given, message):
    with pytest.raises(ValueError, match=message):
        process(**given)


@pytest.mark.parametrize(
    ("kept", "given", "modality"), [("text", {"images": tiny_pictures(1)}, "image"), ("image", {"text": ["a"]}, "text")]
)
def test_a_modality_without_a_component_is_refused(kept, given, modality):
    processor = tiny_processor(text=kept == "text", image=kept == "image")
    with pytest.raises(ValueError, match=f"This processor reads {kept}; it has no component for {modality}"):
        process(processor, **given)


def test_a_processor_needs_a_component():
    with pytest.raises(ValueError, match="at least one of tokenizer, image_processor"):
        MultimodalProcessor()


def test_a_component_of_the_wrong_kind_is_refused():
    with pytest.raises(TypeError, match="tokenizer"):
        MultimodalProcessor(tokenizer=tiny_processor().image_processor)


@pytest.mark.parametrize(("text", "image"), [(True, True), (True, False), (False, True)])
@pytest.mark.parametrize("loader", [MultimodalProcessor, AutoProcessor])
def test_save_and_load(tmp_path, loader, text, image):
    processor = tiny_processor(text=text, image=image)
    tiny_model(**{k: None for k, there in {"text": text, "image": image}.items() if not there}).save_pretrained(
        tmp_path
    )
    processor.save_pretrained(tmp_path)
    loaded = loader.from_pretrained(tmp_path)
    assert type(loaded) is MultimodalProcessor
    assert loaded.modalities == processor.modalities
    expected, actual = tiny_batch(processor), tiny_batch(loaded)
    assert set(actual) == set(expected)
    assert all(torch.equal(actual[key], tensor) for key, tensor in expected.items())


def test_save_and_load_with_another_image_processor(tmp_path):
    images = ViTImageProcessor(size={"height": SIDE, "width": SIDE})
    MultimodalProcessor(image_processor=images, tokenizer=tiny_tokenizer()).save_pretrained(tmp_path)
    loaded = MultimodalProcessor.from_pretrained(tmp_path)
    assert isinstance(loaded.image_processor, ViTImageProcessor)
    assert loaded.image_processor.size == {"height": SIDE, "width": SIDE}


def test_model_input_names():
    assert set(tiny_processor().model_input_names) >= {"input_ids", "attention_mask", "pixel_values", "modality_mask"}
    assert set(tiny_processor(text=False).model_input_names) == {"pixel_values", "modality_mask"}


def test_check_model():
    config = tiny_model().config
    tiny_processor().check_model(config)
    tiny_processor(text=False).check_model(tiny_model(text=None).config)
    with pytest.raises(ValueError, match=r"model's modalities \['text', 'image'\] are not the processor's \['text'\]"):
        tiny_processor(image=False).check_model(config)
    processor = tiny_processor()
    processor.tokenizer.add_tokens([f"word{i}" for i in range(40)])
    size = len(processor.tokenizer)
    with pytest.raises(ValueError, match=f"tokenizer has {size} tokens.*embedding only 32.*resize_token_embeddings"):
        processor.check_model(config)
    model = tiny_model()
    model.resize_token_embeddings(size)
    processor.check_model(model.config)


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("bert", 40),
        ("roberta", 39),
        ("mpnet", 38),
        ("distilbert", 40),
        ("gpt2", 40),
        ("t5", None),
        ("modernbert", None),
    ],
)
def test_texts_are_cut_at_the_towers_last_position(name, limit):
    """RoBERTa's and MPNet's positions begin after the padding token's index, 0 here and always 1."""
    config = tiny_towers(name, None)["text"]
    tokenizer = tiny_tokenizer()
    tokenizer.model_max_length = 10**9
    processor = MultimodalProcessor.from_towers_pretrained(text={"config": config, "tokenizer": tokenizer})
    assert processor.tokenizer.model_max_length == (limit or 10**9)
    assert tokenizer.model_max_length == 10**9  # the caller's own
    model = tiny_model(text=name, image=None, num_labels=2)
    processor.check_model(model.config)
    logits = model(**processor(text=["red " * 100 if limit else "red"], return_tensors="pt")).logits
    assert logits.isfinite().all()
    if limit:
        processor.tokenizer.model_max_length = limit + 1
        with pytest.raises(ValueError, match=f"cuts texts at {limit + 1} tokens.*for {limit} only"):
            processor.check_model(model.config)


def test_a_processor_without_text_has_no_tokenizer():
    processor = tiny_processor(text=False)
    assert not processor.tokenizer
    assert processor.tokenizer.eos_token_id is None
    assert "tokenizer" not in processor.to_dict()


class TestFromTowers:
    def test_sizes_and_statistics_are_the_backbones(self):
        processor = MultimodalProcessor.from_towers_pretrained(text=self.text(), image={"architecture": "inception_v3"})
        images = processor.image_processor
        assert dict(images.crop_size) == {"height": 299, "width": 299}
        assert list(images.image_mean) == [0.5, 0.5, 0.5]  # of inception_v3, not ImageNet's
        assert processor.modalities == ("text", "image")

    def test_image_size(self):
        image = {"architecture": "vit_tiny_patch16_224", "image_size": 96}
        images = MultimodalProcessor.from_towers_pretrained(image=image).image_processor
        assert dict(images.crop_size) == {"height": 96, "width": 96}

    @pytest.mark.parametrize("img_size", [64, [64, 64]])
    def test_image_size_among_timms_own_arguments(self, img_size):
        image = {"architecture": "vit_tiny_patch16_224", "model_args": {"img_size": img_size}}
        images = MultimodalProcessor.from_towers_pretrained(image=image).image_processor
        assert dict(images.crop_size) == {"height": 64, "width": 64}

    def test_vision_model_of_transformers_without_a_folder(self):
        config = ViTConfig(image_size=48, patch_size=8)
        images = MultimodalProcessor.from_towers_pretrained(image=config).image_processor
        assert isinstance(images, MultimodalImageProcessor)
        assert dict(images.crop_size) == {"height": 48, "width": 48}

    def test_vision_model_of_transformers_from_its_folder(self, tmp_path):
        ViTConfig(image_size=48, patch_size=8).save_pretrained(tmp_path)
        ViTImageProcessor(size={"height": 48, "width": 48}).save_pretrained(tmp_path)
        images = MultimodalProcessor.from_towers_pretrained(image=str(tmp_path)).image_processor
        assert isinstance(images, ViTImageProcessor)
        assert dict(images.size) == {"height": 48, "width": 48}

    def test_tokenizer_from_a_folder(self, tmp_path):
        tiny_towers()["text"].save_pretrained(tmp_path)
        tiny_tokenizer().save_pretrained(tmp_path)
        tokenizer = MultimodalProcessor.from_towers_pretrained(text=str(tmp_path)).tokenizer
        assert tokenizer("a red square")["input_ids"] == tiny_tokenizer()("a red square")["input_ids"]

    def test_tokenizer_without_padding_pads_with_its_end(self, tmp_path):
        tokenizer = tiny_tokenizer()
        tokenizer.pad_token, tokenizer.eos_token = None, "[SEP]"
        tokenizer.save_pretrained(tmp_path)
        text = {"config": tiny_towers()["text"], "tokenizer": str(tmp_path)}
        assert MultimodalProcessor.from_towers_pretrained(text=text).tokenizer.pad_token == "[SEP]"

    def test_configuration_alone_says_nothing_about_the_tokenizer(self):
        with pytest.raises(ValueError, match=r"configuration alone: say which tokenizer goes with it"):
            MultimodalProcessor.from_towers_pretrained(text=tiny_towers()["text"])

    @staticmethod
    def text():
        return {"config": tiny_towers()["text"], "tokenizer": tiny_tokenizer()}
