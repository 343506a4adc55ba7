# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""A run of generation, from YAML values to texts on the command line; and the mistakes before it starts."""

import json

import pyarrow.parquet as pq
import pytest
import torch
from transformers import GenerationConfig, pipeline
from typer.testing import CliRunner

from hf_multimodal import MultimodalForConditionalGeneration, MultimodalGenerationPipeline, write_texts
from hf_multimodal.cli.main import app
from hf_multimodal.data.loading import load_rows
from hf_multimodal.training import generation
from hf_multimodal.training.generation import evaluate_generation, load_writer, predict_text, predict_texts
from hf_multimodal.training.inference import evaluate_model
from hf_multimodal.training.row_source import RowSource
from hf_multimodal.training.run import train
from hf_multimodal.training.run_config import RunConfig
from tests.tiny import tiny_pictures
from tests.training.test_distributed import launch
from tests.training.tiny_run import tiny_run


def caption_run(folder, **changes):
    values = tiny_run(folder, task="generation", decoder={"tokenizer": "from_rows", "max_length": 24})
    values["data"]["columns"] = {"image": "image", "label": "captions", "id": "id"}
    del values["towers"]["text"]
    return {**values, **changes}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return train(RunConfig.from_dict(caption_run(tmp_path_factory.mktemp("runs") / "tiny")))


def own_rows(finished, split="test"):
    return RowSource.for_model(str(finished.folder), source=None, split=split, columns=None)


def test_what_a_run_leaves_behind(finished):
    scores = finished.metrics["test"]
    assert {"loss", "bleu", "rougeL", "cider", "distinct", "exact_match", "vqa_accuracy"} <= set(scores)
    assert 40 <= finished.sizes["train"] <= 60  # 20 rows of two or three captions
    loaded, processor = load_writer(str(finished.folder))
    assert processor.decoder_tokenizer.model_max_length == 24
    assert loaded.generation_config.eos_token_id == processor.decoder_tokenizer.sep_token_id
    assert "MultimodalForConditionalGeneration" in (finished.folder / "README.md").read_text()


def test_resumed_after_it_was_finished(tmp_path):
    """The saved folder, which holds a tokenizer in a folder of its own, is replaced."""
    config = RunConfig.from_dict(caption_run(tmp_path / "run"))
    first = train(config)
    before = (tmp_path / "run" / "model.safetensors").read_bytes()
    again = train(config, resume=True)
    assert again.metrics["test"]["cider"] == first.metrics["test"]["cider"]
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == before
    assert (tmp_path / "run" / "decoder_tokenizer").is_dir()
    assert not (tmp_path / "run" / ".unfinished").exists()


def test_evaluation_gives_the_same_metrics_and_shows_rows(finished, tmp_path):
    scores = evaluate_generation(str(finished.folder), own_rows(finished), output=tmp_path, batch_size=7)
    for name, value in scores.items():
        assert finished.metrics["test"][name] == pytest.approx(value)
    table = pq.read_table(tmp_path / "predictions.parquet").to_pydict()
    assert table["row_id"] == [f"test-{i:06d}" for i in range(20)]
    assert {len(texts) for texts in table["references"]} == {2, 3}
    page = (tmp_path / "texts.html").read_text()
    assert page.count("<article>") == page.count("data:image/png;base64,") == 12
    assert json.loads((tmp_path / "metrics.json").read_text())["cider"] == pytest.approx(scores["cider"])
    beams = evaluate_generation(str(finished.folder), own_rows(finished), num_beams=3)
    assert set(beams) == set(scores)


def test_texts_do_not_depend_on_the_batch(finished):
    model, processor = load_writer(str(finished.folder))
    rows = own_rows(finished).load(with_labels=False)
    texts = [write_texts(model, processor, rows, batch_size=size) for size in (3, 64)]
    assert texts[0] == texts[1]
    assert all(isinstance(text, str) for text in texts[0])


def test_the_most_agreed_on_of_several_drawn_texts(finished, monkeypatch):
    seen = []
    monkeypatch.setattr(generation, "choose_by_consensus", lambda texts: seen.append(texts) or max(texts))
    model, processor = load_writer(str(finished.folder))
    rows = own_rows(finished).load(with_labels=False)
    before = torch.random.get_rng_state()
    texts = [write_texts(model, processor, rows, batch_size=8, num_samples=3) for _ in range(2)]
    assert torch.equal(torch.random.get_rng_state(), before)
    assert [len(drawn) for drawn in seen] == [3] * 40
    assert len(set(seen[0])) > 1  # drawn, not searched
    assert texts[0] == texts[1] == [max(drawn) for drawn in seen[:20]]
    row = {"image": tiny_pictures(1)[0]}
    assert predict_text(str(finished.folder), row, num_samples=2) == [{"generated_text": max(seen[-1])}]
    with pytest.raises(ValueError, match="num_samples=2 draws texts, num_beams=3 searches for them: give one"):
        write_texts(model, processor, rows, num_beams=3, num_samples=2)


def test_new_rows_need_no_texts(finished, tmp_path):
    (tmp_path / "metrics.json").write_text("{}")
    assert predict_texts(str(finished.folder), own_rows(finished), output=tmp_path) == 20
    assert pq.read_table(tmp_path / "predictions.parquet").column_names == ["row_id", "prediction"]
    assert not (tmp_path / "metrics.json").exists()


def test_pipeline(finished, tmp_path):
    picture = tiny_pictures(1)[0]
    picture.save(tmp_path / "picture.png")
    write = pipeline("multimodal-generation", model=str(finished.folder))
    assert isinstance(write, MultimodalGenerationPipeline)
    alone = write({"image": picture}, num_beams=2)
    (text,) = alone
    assert set(text) == {"generated_text"}
    rows = [{"image": str(tmp_path / "picture.png")}, {"image": picture}, {"image": picture}]
    assert write(rows, batch_size=2, num_beams=2) == [alone] * 3
    options = GenerationConfig(num_beams=2, num_return_sequences=2, max_new_tokens=4, eos_token_id=None, pad_token_id=0)
    options.decoder_start_token_id = write.model.config.decoder_start_token_id
    found = write(rows, batch_size=3, generation_config=options)
    assert [len(texts) for texts in found] == [2, 2, 2]
    assert found[0] == found[1] == found[2]
    assert all(len(text["generated_text"].split()) <= 4 for text in found[0])
    assert write({"image": picture, "dialogue": None}, num_beams=2) == alone
    several = write({"image": picture}, num_beams=3, num_return_sequences=3)
    assert len({text["generated_text"] for text in several}) == 3
    assert predict_text(str(finished.folder), {"image": picture}, num_beams=2) == alone


def test_a_question_or_a_dialogue_and_a_picture(tmp_path):
    values = caption_run(tmp_path / "run")
    values["data"]["columns"] = {"text": "question", "image": "image", "label": "answer", "id": "id"}
    values["towers"]["text"] = tiny_run(tmp_path)["towers"]["text"]
    folder = train(RunConfig.from_dict(values)).folder
    write = pipeline("multimodal-generation", model=str(folder))
    row = {"image": tiny_pictures(1)[0]}
    turns = [{"role": "user", "content": "what colour is the square"}]
    asked = write({**row, "dialogue": turns})
    assert asked == write({**row, "text": "user: what colour is the square assistant:"})
    with pytest.raises(ValueError, match="either text or dialogue"):
        write({**row, "dialogue": turns, "text": "x"})


def test_command_line(finished, tmp_path):
    run = CliRunner()
    result = run.invoke(app, ["evaluate", str(finished.folder), "--num-samples", "2"])
    assert result.exit_code == 0, result.output
    result = run.invoke(app, ["evaluate", str(finished.folder), "--num-beams", "2", "--output", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert "cider" in result.output
    tiny_pictures(1)[0].save(tmp_path / "picture.png")
    result = run.invoke(app, ["predict", str(finished.folder), "--image", str(tmp_path / "picture.png")])
    assert result.exit_code == 0, result.output
    assert "generated_text" in result.output
    rows = ["--source", "scenes", "--split", "test", "--output", str(tmp_path / "texts")]
    result = run.invoke(app, ["predict", str(finished.folder), *rows])
    assert result.exit_code == 0, result.output
    for options in (["--missing"], ["--rerank", "3"]):
        result = run.invoke(app, ["evaluate", str(finished.folder), *options])
        assert result.exit_code != 0


@pytest.mark.distributed
def test_two_processes_write_what_one_does(finished, tmp_path):
    options = ["--output", str(tmp_path / "two"), "--batch-size", "3"]
    launch("-m", "hf_multimodal", "evaluate", str(finished.folder), *options)
    evaluate_generation(str(finished.folder), own_rows(finished), output=tmp_path / "one", batch_size=3)
    tables = [pq.read_table(tmp_path / name / "predictions.parquet").to_pydict() for name in ("one", "two")]
    assert tables[0] == tables[1]


def test_the_other_models_refuse_to_write(tmp_path, finished):
    folder = str(train(RunConfig.from_dict(tiny_run(tmp_path / "run"))).folder)
    with pytest.raises(ValueError, match="MultimodalForClassification, which writes no text"):
        load_writer(folder)
    with pytest.raises(ValueError, match="is a model that writes, and has no labels"):
        evaluate_model(str(finished.folder), own_rows(finished))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"decoder": {}}, "Nothing says which tokens the decoder writes"),
        ({"decoder": {"tokens": 1}}, "Unknown field of the decoder 'tokens'"),
        (
            {"decoder": {"tokenizer": "from_rows", "path": "x"}},
            "makes a new vocabulary, which the weights at decoder.path",
        ),
        ({"task": "classification"}, "decoder is for task: generation, not for classification"),
        ({"model": {"decoder_config": {}}}, "model.decoder_config follows from the data"),
    ],
)
def test_mistakes_in_the_configuration(changes, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        train(RunConfig.from_dict(caption_run(tmp_path / "run", **changes)))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("value", [None, "", [], ["a", " "]])
def test_a_row_without_a_text_to_learn(value, tmp_path):
    rows = load_rows("scenes", split="train", columns={"image": "image"}, num_rows=4)
    listed = [{"image": row["image"], "words": ["a picture"], "n": f"row {i}"} for i, row in enumerate(rows)]
    listed[2]["words"] = value if isinstance(value, list) or value is None else [value]
    values = caption_run(tmp_path / "run")
    values["data"] = {"source": "scenes", "columns": {"image": "image", "label": "words", "id": "n"}}
    values["data"]["splits"] = {"train": "train"}
    config = RunConfig.from_dict(values)
    object.__setattr__(config.data, "source", listed)
    object.__setattr__(config.data, "splits", {"train": None})
    with pytest.raises(ValueError, match=r"Row 'row 2', column 'words': .* is no text to learn to write"):
        train(config)


def test_the_class_of_the_model(finished):
    assert type(load_writer(str(finished.folder))[0]) is MultimodalForConditionalGeneration
