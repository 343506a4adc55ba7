# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""The predictor gives what the pipeline gives, alone and inside a batch of strangers; bad rows are named."""

import numpy as np
import pytest
import torch

from hf_multimodal.modeling.modeling_retrieval import MultimodalForRetrieval
from hf_multimodal.modeling.modeling_tasks import MultimodalForMultiTask
from hf_multimodal.modeling.pipeline_generation import MultimodalGenerationPipeline
from hf_multimodal.modeling.pipeline_multimodal import MultimodalClassificationPipeline
from hf_multimodal.prediction.load import open_predictor
from hf_multimodal.prediction.predictor import InputError, Limits, TorchPredictor
from tests.serving.rows import encoded_picture, encoded_sound, sound_and_picture_rows
from tests.tiny import tiny_generation, tiny_model, tiny_processor, tiny_series

TOLERANCE = 1e-5


def predictor_of(model, processor, kind, **options):
    return TorchPredictor(model, processor, kind=kind, name="tiny", revision="0", **options)


@pytest.fixture(scope="module")
def listening():
    model = tiny_model(audio="timm resnet", series="patch_series", num_labels=3)
    return predictor_of(model, tiny_processor(audio="timm resnet", series=True), "prediction")


def scores(labels):
    return {one["label"]: one["score"] for one in labels}


def test_alone_in_a_batch_and_through_the_pipeline(listening):
    rows = [*sound_and_picture_rows(), {"text": "a", "series": tiny_series()[0]}]
    together = listening.predict(rows)
    pipeline = MultimodalClassificationPipeline(model=listening.model, processor=listening.processor)
    for row, own in zip(rows, together, strict=True):
        assert scores(own) == pytest.approx(scores(listening.predict([row])[0]), abs=TOLERANCE)
        assert scores(own) == pytest.approx(scores(pipeline(row)), abs=TOLERANCE)
    assert len(listening.predict(rows[:1], top_k=2)[0]) == 2


def test_several_tasks():
    tasks = {
        "kind": {"problem_type": "single_label_classification", "labels": ["a", "b"]},
        "size": {"problem_type": "regression", "labels": ["size"]},
    }
    predictor = predictor_of(tiny_model(MultimodalForMultiTask, tasks=tasks), tiny_processor(), "prediction")
    (told,) = predictor.predict([{"text": "red"}])
    assert {one["label"] for one in told["kind"]} == {"a", "b"}
    assert set(told["size"][0]) == {"label", "value"}


def test_embeddings_are_those_of_the_model():
    predictor = predictor_of(tiny_model(MultimodalForRetrieval, embedding_size=8), tiny_processor(), "retrieval")
    both, text = predictor.embed([{"text": "red", "image": encoded_picture()}, {"text": "red"}])
    assert set(both) == {"text", "image"}
    assert set(text) == {"text"}
    np.testing.assert_allclose(both["text"], text["text"], atol=TOLERANCE)
    with torch.inference_mode():
        batch = predictor.processor(text=["red"], return_tensors="pt")
        batch.pop("modality_mask")
        expected = predictor.model.embed(predictor.model.encode(**batch))["text"][0]
    np.testing.assert_allclose(text["text"], expected, atol=TOLERANCE)


def test_texts_in_pieces_are_the_whole_text():
    model, processor = tiny_generation()
    predictor = predictor_of(model, processor, "generation")
    row = predictor.open({"text": "a red square", "image": encoded_picture()})
    pieces = []
    (whole,) = predictor.generate([row], on_text=pieces.append, max_new_tokens=8)
    assert "".join(pieces).strip() == whole
    pipeline = MultimodalGenerationPipeline(model=model, processor=processor)
    assert (
        whole == pipeline({"text": "a red square", "image": encoded_picture()}, max_new_tokens=8)[0]["generated_text"]
    )
    assert len(predictor.generate([row], should_stop=lambda: True, max_new_tokens=8)[0]) <= len(whole)
    with pytest.raises(InputError, match="of a single row"):
        predictor.generate([row, row], on_text=pieces.append)


def test_a_dialogue_becomes_its_text():
    model, processor = tiny_generation()
    predictor = predictor_of(model, processor, "generation")
    turns = [{"role": "user", "content": "a red square"}]
    assert predictor.open({"dialogue": turns})["text"] == processor.fold_dialogue(turns)
    with pytest.raises(InputError, match="either text or dialogue"):
        predictor.open({"dialogue": turns, "text": "a"})
    with pytest.raises(InputError, match="at least one turn") as caught:
        predictor.open({"dialogue": []})
    assert caught.value.modality == "dialogue"


@pytest.mark.parametrize(
    ("row", "modality", "message"),
    [
        ({}, None, "The row is empty: give at least one of text, image, audio, series"),
        ({"text": None}, None, "The row is empty"),
        ({"video": b""}, "video", "does not read video: it reads text, image, audio, series"),
        ({"text": 5}, "text", "of type int is not a text"),
        ({"text": "x" * 21}, "text", "21 characters, over the limit of 20"),
        ({"text": "\ud800"}, "text", "half a character"),
        ({"image": encoded_picture(side=40)}, "image", "over the limit of 1,200"),
        ({"image": encoded_picture("GIF")}, "image", "formats that are read: PNG, JPEG, WEBP"),
        ({"image": b""}, "image", "holds no bytes"),
        ({"audio": encoded_sound(seconds=2)}, "audio", "over the limit of 1 s"),
        ({"series": {"nothing": 1}}, "series", "nothing"),
    ],
)
def test_bad_rows_are_named(listening, row, modality, message):
    limits = Limits(characters=20, pixels=1200, seconds=1)
    predictor = predictor_of(listening.model, listening.processor, "prediction", limits=limits)
    with pytest.raises(InputError, match=message) as caught:
        predictor.open(row)
    assert caught.value.modality == modality


def test_what_a_model_cannot_do(listening):
    with pytest.raises(InputError, match="writes no texts"):
        listening.generate([listening.open({"text": "a"})])
    assert listening.explainer_model() is listening.explainer_model()
    assert listening.explainer_model() is not listening.model


def test_opening_a_folder(tmp_path):
    tiny_model(num_labels=2).save_pretrained(tmp_path / "model")
    tiny_processor().save_pretrained(tmp_path / "model")
    predictor = open_predictor(str(tmp_path / "model"))
    assert (predictor.kind, predictor.name, predictor.modalities) == ("prediction", "model", ("text", "image"))
    assert len(predictor.revision) == 16
    with pytest.raises(ValueError, match="no folder"):
        open_predictor(str(tmp_path / "none"))
    (tmp_path / "empty").mkdir()
    with pytest.raises((ValueError, OSError)):
        open_predictor(str(tmp_path / "empty"))
