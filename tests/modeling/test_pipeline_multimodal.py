# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""The pipeline: one row, many rows, absent modalities, and the three kinds of output."""

import pytest
import torch
from transformers import pipeline

from hf_multimodal.modeling.modeling_multimodal import MultimodalForClassification, MultimodalForQuestionAnswering
from hf_multimodal.modeling.pipeline_multimodal import MultimodalClassificationPipeline
from hf_multimodal.modeling.pipeline_rows import collate_rows
from tests.tiny import TEXTS, tiny_model, tiny_pictures, tiny_processor

LABELS = {"id2label": {0: "cat", 1: "dog", 2: "bird"}, "label2id": {"cat": 0, "dog": 1, "bird": 2}}
ROWS = [{"text": text, "image": image} for text, image in zip(TEXTS, tiny_pictures(), strict=True)]


def build(cls=MultimodalForClassification, **config):
    return MultimodalClassificationPipeline(model=tiny_model(cls, **LABELS, **config), processor=tiny_processor())


@pytest.fixture(scope="module")
def pipe():
    return build()


def by_label(result, field="score"):
    return {entry["label"]: entry[field] for entry in result}


def logits(pipe, row):
    batch = pipe.processor(text=[row.get("text")], images=[row.get("image")], return_tensors="pt")
    with torch.no_grad():
        return pipe.model(**batch).logits[0]


def check_row(pipe, row, result):
    expected = dict(zip(LABELS["label2id"], logits(pipe, row).softmax(-1).tolist(), strict=True))
    assert by_label(result) == pytest.approx(expected, abs=1e-5)
    assert [entry["score"] for entry in result] == sorted(expected.values(), reverse=True) or len(result) == len(
        expected
    )


def test_one_row(pipe):
    result = pipe(ROWS[0])
    check_row(pipe, ROWS[0], result)
    scores = [entry["score"] for entry in result]
    assert scores == sorted(scores, reverse=True)
    assert sum(scores) == pytest.approx(1, abs=1e-6)


def test_one_row_by_name(pipe):
    assert pipe(text=TEXTS[0], image=ROWS[0]["image"]) == pipe(ROWS[0])


@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_a_list_of_rows(pipe, batch_size):
    results = pipe(ROWS, batch_size=batch_size)
    assert isinstance(results, list)
    assert len(results) == 3
    for row, result in zip(ROWS, results, strict=True):
        check_row(pipe, row, result)


def test_a_generator_of_rows(pipe):
    results = pipe((row for row in ROWS), batch_size=2)
    assert not isinstance(results, list)
    results = list(results)
    assert len(results) == 3
    for row, result in zip(ROWS, results, strict=True):
        check_row(pipe, row, result)


@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("spelling", ["none", "missing"])
def test_absent_modalities(pipe, spelling, batch_size):
    rows = [{**ROWS[0], "image": None}, ROWS[1], {**ROWS[2], "text": None}]
    given = rows if spelling == "none" else [{k: x for k, x in row.items() if x is not None} for row in rows]
    for row, result in zip(rows, pipe(given, batch_size=batch_size), strict=True):
        check_row(pipe, row, result)


def test_an_image_as_a_path(pipe, tmp_path):
    ROWS[0]["image"].save(tmp_path / "picture.png")
    assert by_label(pipe(text=TEXTS[0], image=str(tmp_path / "picture.png"))) == pytest.approx(by_label(pipe(ROWS[0])))


def test_question_is_another_word_for_text(pipe):
    assert pipe({"question": TEXTS[0], "image": ROWS[0]["image"]}) == pipe(ROWS[0])


def test_top_k(pipe):
    everything = pipe(ROWS[0])
    assert pipe(ROWS[0], top_k=2) == everything[:2]
    assert pipe(ROWS, top_k=1)[0] == everything[:1]


def test_multi_label_scores_are_independent():
    pipe = build(problem_type="multi_label_classification")
    expected = dict(zip(LABELS["label2id"], logits(pipe, ROWS[0]).sigmoid().tolist(), strict=True))
    assert by_label(pipe(ROWS[0])) == pytest.approx(expected, abs=1e-5)
    assert sum(expected.values()) != pytest.approx(1, abs=1e-3)


def test_regression_gives_values():
    pipe = build(problem_type="regression")
    result = pipe(ROWS[0])
    assert [entry["label"] for entry in result] == ["cat", "dog", "bird"]
    expected = dict(zip(LABELS["label2id"], logits(pipe, ROWS[0]).tolist(), strict=True))
    assert by_label(result, "value") == pytest.approx(expected, abs=1e-5)


def test_one_label_is_regression():
    """A model with one label is trained by squared error when its configuration names no problem type."""
    model = tiny_model(num_labels=1)
    pipe = MultimodalClassificationPipeline(model=model, processor=tiny_processor())
    assert by_label(pipe(ROWS[0]), "value") == pytest.approx({"LABEL_0": logits(pipe, ROWS[0]).item()}, abs=1e-5)


def test_question_answering():
    pipe = build(MultimodalForQuestionAnswering)
    check_row(pipe, ROWS[0], pipe(ROWS[0]))


def test_a_model_of_one_modality():
    model = tiny_model(image=None, **LABELS)
    pipe = MultimodalClassificationPipeline(model=model, processor=tiny_processor(image=False))
    with torch.no_grad():
        expected = model(**pipe.processor(text=TEXTS[:1], return_tensors="pt")).logits[0].softmax(-1)
    assert by_label(pipe(text=TEXTS[0])) == pytest.approx(dict(zip(LABELS["label2id"], expected.tolist(), strict=True)))


def test_what_it_refuses(pipe):
    with pytest.raises(ValueError, match="Unknown modality 'imge'. Did you mean 'image'"):
        pipe({"text": "a", "imge": None})
    with pytest.raises(TypeError, match="A row is a dict with any of text, image, audio, video, series, got str"):
        pipe("a red square")
    with pytest.raises(TypeError, match=r"Unknown arguments \['topk'\]: this pipeline takes top_k"):
        pipe(ROWS[0], topk=2)
    with pytest.raises(ValueError, match="has none of text, image"):
        pipe({"text": None})


def test_rows_become_columns():
    assert collate_rows([{"text": "a", "image": 1}, {"text": "b", "image": None}]) == {
        "text": ["a", "b"],
        "image": [1, None],
    }


@pytest.mark.parametrize(
    ("cls", "task"),
    [
        (MultimodalForClassification, "multimodal-classification"),
        (MultimodalForQuestionAnswering, "multimodal-question-answering"),
    ],
)
def test_save_and_load(tmp_path, cls, task):
    pipe = build(cls)
    pipe.save_pretrained(tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".py", ".safetensors"}
    loaded = pipeline(task, model=str(tmp_path))
    assert type(loaded) is MultimodalClassificationPipeline
    for actual, expected in zip(loaded(ROWS, batch_size=2), pipe(ROWS), strict=True):
        assert by_label(actual) == pytest.approx(by_label(expected), abs=1e-5)


def test_images_are_opened_as_safely_as_anywhere(pipe, tmp_path):
    picture = tiny_pictures(1)[0]
    picture.save(tmp_path / "x.png")
    whole = (tmp_path / "x.png").read_bytes()
    expected = pipe({"text": "the blue circle", "image": picture})
    assert pipe({"text": "the blue circle", "image": whole}) == expected
    assert pipe({"text": "the blue circle", "image": {"bytes": whole, "path": None}}) == expected
    with pytest.raises(ValueError, match="truncated"):
        pipe({"text": "the blue circle", "image": whole[:-400]})
    with pytest.raises(ValueError, match="is a URL, and URLs are not read"):
        pipe({"text": "the blue circle", "image": "ftp://example.com/x.png"})
