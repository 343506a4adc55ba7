# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""The collator: what it hands the processor, the labels, and the row it names where something is wrong."""

import io
import pickle

import pytest
import torch
from PIL import Image
from transformers import BatchFeature

from hf_multimodal.data.collator import MultimodalCollator, RowError
from hf_multimodal.data.labels import LabelSchema
from tests.tiny import TEXTS, needs_dynamo, tiny_model, tiny_pictures, tiny_processor


class FakeProcessor:
    """Keeps what it was called with."""

    def __init__(self, *modalities):
        self.modalities = modalities or ("text", "image")

    def __call__(self, **arguments):
        self.arguments = arguments
        return BatchFeature({"pixel_values": torch.zeros(1)})


def png(colour):
    buffer = io.BytesIO()
    Image.new("RGB", (3, 2), colour).save(buffer, format="PNG")
    return {"bytes": buffer.getvalue(), "path": None}


ROWS = [
    {"row_id": "a", "text": "red", "image": png((255, 0, 0)), "label": "yes"},
    {"row_id": "b", "text": "", "image": None, "label": "no"},
    {"row_id": "c", "text": None, "image": png((0, 0, 255)), "label": "yes"},
]
SCHEMA = LabelSchema("single_label_classification", ("no", "yes"))


def test_processor_gets_texts_and_opened_images():
    processor = FakeProcessor()
    MultimodalCollator(processor)(ROWS)
    images = processor.arguments.pop("images")
    assert [image and image.getpixel((0, 0)) for image in images] == [(255, 0, 0), None, (0, 0, 255)]
    assert processor.arguments == {
        "text": ["red", "", None],
        "padding": True,
        "truncation": True,
        "return_tensors": "pt",
    }


def test_only_the_processors_modalities_are_read():
    processor = FakeProcessor("text")
    MultimodalCollator(processor)([{"text": "red", "image": {"bytes": b"no image", "path": None}}])
    assert processor.arguments["text"] == ["red"]
    assert "images" not in processor.arguments
    MultimodalCollator(FakeProcessor("image"))([{"image": png((0, 0, 0)), "text": 5}])


def test_empty_image_mapping_is_absent():
    processor = FakeProcessor()
    MultimodalCollator(processor)([{"text": "red", "image": {"bytes": None, "path": None}}])
    assert processor.arguments["images"] == [None]


@pytest.mark.parametrize(
    ("schema", "labels", "expected"),
    [
        (SCHEMA, ["yes", "no"], torch.tensor([1, 0])),
        (LabelSchema("regression", ("t",)), [0.5, 2], torch.tensor([0.5, 2.0])),
        (LabelSchema("regression", ("t", "u")), [[0.5, 1], [2, 3]], torch.tensor([[0.5, 1.0], [2.0, 3.0]])),
        (LabelSchema("multi_label_classification", ("a", "b")), [["b"], []], torch.tensor([[0.0, 1.0], [0.0, 0.0]])),
    ],
)
def test_labels(schema, labels, expected):
    batch = MultimodalCollator(FakeProcessor(), schema)([{"text": "x", "label": label} for label in labels])
    assert batch["labels"].dtype == expected.dtype
    assert torch.equal(batch["labels"], expected)


def test_no_labels_without_schema_or_column():
    assert "labels" not in MultimodalCollator(FakeProcessor())(ROWS)
    assert "labels" not in MultimodalCollator(FakeProcessor(), SCHEMA)([{"text": "x"}])


def test_collator_can_be_pickled():
    collator = pickle.loads(pickle.dumps(MultimodalCollator(FakeProcessor(), SCHEMA, {"text": "title"})))
    assert torch.equal(collator(ROWS)["labels"], torch.tensor([1, 0, 1]))


def test_error_survives_worker_processes():
    with pytest.raises(RowError, match="Row 'r1', column 'image'") as caught:
        MultimodalCollator(FakeProcessor())([{"row_id": "r1", "text": "x", "image": b"no image"}])
    # A DataLoader remakes a worker's error from its type and its text.
    assert str(type(caught.value)(str(caught.value))) == str(caught.value)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"image": b"no image"}, r"Row 'r1', column 'photo': this is not an image .*Convert it"),
        ({"image": {"bytes": None, "path": "gone.png"}}, r"Row 'r1', column 'photo': there is no file 'gone.png'"),
        ({"text": 5}, r"Row 'r1', column 'title': 5 is of type int, not a text. Convert the column with str\(\)"),
        ({"text": ["x"]}, r"Row 'r1', column 'title': \['x'\] is of type list, not a text"),
        ({}, r"Row 'r1' has nothing in any of its columns 'title', 'photo'.*Fill one in or drop the row"),
        ({"text": None, "image": None}, r"Row 'r1' has nothing in any of its columns"),
        ({"text": "x", "label": "maybe"}, r"Row 'r1', column 'answer': 'maybe' is not one of the labels"),
        ({"text": "x", "label": None}, r"Row 'r1', column 'answer': the label is missing"),
    ],
)
def test_errors_name_row_and_source_column(row, message):
    collator = MultimodalCollator(FakeProcessor(), SCHEMA, {"text": "title", "image": "photo", "label": "answer"})
    with pytest.raises(RowError, match=message):
        collator([{"row_id": "r0", "text": "fine", "label": "yes"}, {"row_id": "r1", "label": "yes", **row}])


def test_rows_without_id_are_counted():
    with pytest.raises(RowError, match="Row 1 has nothing in any of its columns 'text'"):
        MultimodalCollator(FakeProcessor("text"))([{"text": "x"}, {}])


class TestSharedPictures:
    """A picture that several rows have is opened once, and goes through the tower once."""

    @staticmethod
    def rows():
        first, second = ({"bytes": _png(seed), "path": None} for seed in (0, 1))
        cells = [first, second, dict(first), None, second]
        return [{"text": TEXTS[i % 3], "image": cell, "row_id": i} for i, cell in enumerate(cells)]

    def test_tensors(self):
        plain = MultimodalCollator(tiny_processor())(self.rows())
        shared = MultimodalCollator(tiny_processor(), share_pictures=True)(self.rows())
        assert next(iter(shared)) == "picture_indices"
        assert shared["pixel_values"].shape[0] == 2
        spread = shared["pixel_values"][shared["picture_indices"]]
        there = plain["modality_mask"][:, 1]
        assert torch.equal(spread[there], plain["pixel_values"][there])
        assert torch.equal(shared["modality_mask"], plain["modality_mask"])
        assert torch.equal(shared["input_ids"], plain["input_ids"])

    def test_nothing_to_share(self):
        rows = [self.rows()[i] for i in (0, 1)]
        assert "picture_indices" not in MultimodalCollator(tiny_processor(), share_pictures=True)(rows)

    @pytest.mark.parametrize("image", ["timm vit", "timm resnet"])
    @pytest.mark.parametrize("mode", ["evaluation", pytest.param("compiled", marks=needs_dynamo), "training"])
    def test_the_same_logits_and_gradients(self, image, mode):
        losses, gradients = [], []
        for share in (False, True):
            model = tiny_model(image=image, num_labels=2).train(mode == "training" and image == "timm vit")
            batch = MultimodalCollator(tiny_processor(), share_pictures=share)(self.rows())
            run = torch.compile(model, fullgraph=True, backend="aot_eager") if mode == "compiled" else model
            loss = run(**batch, labels=torch.tensor([0, 1, 1, 0, 1])).loss
            loss.backward()
            losses.append(loss.item())
            gradients.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
        assert losses[1] == pytest.approx(losses[0], abs=1e-6)
        torch.testing.assert_close(gradients[1], gradients[0], atol=1e-6, rtol=1e-4)


def _png(seed):
    buffer = io.BytesIO()
    tiny_pictures(1, seed=seed)[0].save(buffer, format="PNG")
    return buffer.getvalue()
