# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""The model card says what was measured, and nothing of the machine's folders."""

import pytest
from huggingface_hub import ModelCard

from hf_multimodal.hub.model_card import CardFacts, write_model_card
from tests.tiny import tiny_model

TRAINING = {"seconds": 12.5, "steps": 3, "epochs": 1.0, "processes": 2, "seed": 7}
TRAINING |= {"parameters": 12_345, "trainable_parameters": 345}


def card(folder, architecture="MultimodalForClassification", config=None, **facts):
    folder.mkdir(exist_ok=True)
    metrics = {"validation": {"accuracy": 0.5, "loss": 0.7}, "test": {"accuracy": 0.91234, "f1": 0.9, "runtime": 3.0}}
    facts = {"metrics": metrics, "training": TRAINING, **facts}
    config = config or tiny_model(id2label={0: "no", 1: "yes"}).config
    return ModelCard.load(write_model_card(folder, config, CardFacts(architecture=architecture, **facts)))


def test_the_header_holds_the_test_metrics(tmp_path):
    data = card(tmp_path / "my-model", source="you/rows", metadata={"license": "mit", "tags": ["fashion"]}).data
    assert {(x.metric_type, x.metric_value, x.dataset_split) for x in data.eval_results} == {
        ("accuracy", 0.9123, "test"),
        ("f1", 0.9, "test"),
    }
    assert data.eval_results[0].dataset_type == "you/rows"
    assert (data.model_name, data.license, data.library_name) == ("my-model", "mit", "transformers")
    assert data.tags == ["hf_multimodal", "multimodal", "text", "image", "fashion"]


def test_the_text(tmp_path):
    text = card(tmp_path / "my-model", sizes={"train": 1000, "test": 20}, columns={"text": "question"}).text
    assert "| test | 0.9123 | 0.9000 |  |" in text
    assert "Rows: 1,000 train, 20 test. Seed 7. Training took 12.5 s, 3 steps, 1.0 epochs, on 2 process(es)" in text
    assert "2 labels: no, yes" in text
    assert 'pipeline("multimodal-classification", model="my-model"' in text
    assert "12,345, trained 345" in text


@pytest.mark.parametrize("name", ["rows.csv", "../elsewhere/rows.csv", "/home/someone/rows.csv"])
def test_local_folders_are_not_told(tmp_path, name):
    written = card(tmp_path / "x", source=name)
    assert "`rows.csv`" in written.text
    assert name == "rows.csv" or name not in written.content


def test_files_are_linked_where_they_are(tmp_path):
    assert "metrics.json" not in card(tmp_path / "x").text
    (tmp_path / "x" / "metrics.json").write_text("{}")
    assert card(tmp_path / "x").text.rstrip().endswith("Metrics: [`metrics.json`](metrics.json).")


def test_emissions_where_they_were_estimated(tmp_path):
    told = {"emissions": 1.25, "source": "CodeCarbon", "geographical_location": "Norway"}
    written = card(tmp_path / "x", training={**TRAINING, "emissions": told})
    assert written.data.co2_eq_emissions == told
    assert "CodeCarbon estimates 1.25 g of CO₂-equivalent." in written.text
    assert "CO₂" not in card(tmp_path / "y", training={**TRAINING, "emissions": None}).content


def test_question_answering_and_nothing_measured(tmp_path):
    written = card(tmp_path / "x", "MultimodalForQuestionAnswering", metrics={})
    assert written.data.pipeline_tag == "visual-question-answering"
    assert written.data.eval_results is None
    assert "Nothing was measured" in written.text
    assert 'pipeline("multimodal-question-answering"' in written.text


def test_long_label_lists_are_cut(tmp_path):
    labels = {i: f"label-{i}" for i in range(30)}
    assert "label-19, and 10 more" in card(tmp_path / "x", config=tiny_model(id2label=labels).config).text
