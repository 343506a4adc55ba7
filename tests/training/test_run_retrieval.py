# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""A run of retrieval, from YAML values to search on the command line; and the mistakes before it starts."""

import json

import pyarrow.parquet as pq
import pytest
import yaml
from typer.testing import CliRunner

from hf_multimodal import MultimodalForRetrieval, MultimodalTrainer, MultimodalTrainingArguments
from hf_multimodal.cli.main import app
from hf_multimodal.evaluation.retrieval_metrics import score_names
from hf_multimodal.retrieval.evaluate import evaluate_retrieval
from hf_multimodal.training.inference import evaluate_model, predict_row
from hf_multimodal.training.row_source import RowSource
from hf_multimodal.training.run import train
from hf_multimodal.training.run_config import RunConfig
from tests.tiny import tiny_model, tiny_processor
from tests.training.test_distributed import launch
from tests.training.tiny_run import tiny_run


def retrieval_run(folder, **changes):
    values = tiny_run(folder, task="retrieval")
    values["data"]["columns"] = {"text": "captions", "image": "image", "id": "id", "item": "picture"}
    values["model"] = {**values["model"], "embedding_size": 8}
    values["training"] = {**values["training"], "gradient_cache_size": 5}
    return {**values, **changes}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return train(RunConfig.from_dict(retrieval_run(tmp_path_factory.mktemp("runs") / "tiny")))


def own_rows(finished):
    return RowSource.for_model(str(finished.folder), source=None, split="test", columns=None)


def test_what_a_run_leaves_behind(finished):
    assert set(score_names(("text", "image"))) <= set(finished.metrics["test"])
    # 20 rows show ten pictures twice, each with two or three captions
    assert all(20 <= size <= 30 for size in finished.sizes.values())
    card = (finished.folder / "README.md").read_text()
    assert "| text_to_image_recall@1 |" in card
    assert "name: mean recall" in card
    assert "embeddings of width 8, contrastive objective `infonce`" in card
    assert 'hf-multimodal search my_index --text "a text" --rerank 50' in card


def test_evaluation_agrees_with_training_and_reranks(finished, tmp_path):
    scores = evaluate_retrieval(str(finished.folder), own_rows(finished), rerank=5, output=tmp_path / "out")
    for name in score_names(("text", "image")):
        assert scores[name] == pytest.approx(finished.metrics["test"][name], abs=1e-6)
    assert scores["reranked_text_to_image_recall@5"] == scores["text_to_image_recall@5"]  # the same five
    assert json.loads((tmp_path / "out" / "metrics.json").read_text()) == pytest.approx(scores)
    table = pq.read_table(tmp_path / "out" / "rankings.parquet").to_pydict()
    to_image = [r for d, r in zip(table["direction"], table["rank"], strict=True) if d == "text_to_image"]
    assert sum(r <= 1 for r in to_image) / len(to_image) == pytest.approx(scores["text_to_image_recall@1"])
    assert len(set(table["query"])) == len(table["query"]) - 10  # a picture is named by the first of its captions


def test_the_command_line_from_embeddings_to_hits(finished, tmp_path):
    runner, model = CliRunner(), str(finished.folder)

    def run(*arguments):
        done = runner.invoke(app, [str(x) for x in arguments], catch_exceptions=False)
        assert done.exit_code == 0
        return done.stdout

    options = ["--modality", "image", "--unique-items", "--tokens", "--keep", "template"]
    assert "10 vectors" in run("embed", model, "--split", "test", "--output", tmp_path / "e", *options)
    assert "10 vectors" in run("index", tmp_path / "i", "--embeddings", tmp_path / "e", "--kind", "hnsw")
    hits = json.loads(run("search", tmp_path / "i", "--text", "a red square", "-k", "3", "--rerank", "5"))
    assert len(hits) == 3
    assert set(hits[0]) == {"id", "similarity", "match_score", "score", "metadata"}
    assert hits[0]["id"].startswith("test-")
    template = hits[0]["metadata"]["template"]
    some = json.loads(run("search", tmp_path / "i", "--text", "a red square", "--where", f"template={template}"))
    assert {hit["metadata"]["template"] for hit in some} == {template}
    assert "9 vectors" in run("index", tmp_path / "i", "--delete", hits[0]["id"])
    assert "mean_recall" in run("evaluate", model, "--rerank", "5")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["index", "i"], "Nothing to do"),
        (["index", "i", "--embeddings", "e", "--delete", "x"], "A new index has nothing to delete"),
        (["index", "i", "--embeddings", "e", "--uri", "x"], "--uri is for --backend milvus"),
        (["index", "i", "--delete", "x"], r"holds no index"),
        (["index", "i", "--embeddings", "e", "--add", "--kind", "hnsw"], "are of a new index: leave them out"),
        (["search", "i"], "Give one query"),
        (["search", "i", "--text", "a", "--image", "b"], "Give one query.*got 2"),
        (["search", "i", "--text", "a", "--where", "red"], "Cannot read --where 'red'"),
    ],
)
def test_mistakes_on_the_command_line(arguments, message):
    with pytest.raises(ValueError, match=message):
        CliRunner().invoke(app, arguments, catch_exceptions=False)


def test_a_model_that_finds_does_not_predict(finished):
    model = str(finished.folder)
    with pytest.raises(ValueError, match="is a model for retrieval, which predicts no labels: use embed"):
        predict_row(model, {"text": "a"})
    with pytest.raises(ValueError, match="use embed, index and search"):
        evaluate_model(model, own_rows(finished))
    with pytest.raises(ValueError, match="--missing is for models of prediction, and this one is of retrieval"):
        CliRunner().invoke(app, ["evaluate", model, "--missing"], catch_exceptions=False)


def test_reranking_is_for_retrieval(tmp_path):
    tiny_model().save_pretrained(tmp_path)
    tiny_processor().save_pretrained(tmp_path)
    columns = ["--source", "scenes", "--column", "text=statement", "--column", "label=label"]
    with pytest.raises(ValueError, match="--rerank is for models of retrieval, and this one is of prediction"):
        CliRunner().invoke(app, ["evaluate", str(tmp_path), "--rerank", "5", *columns], catch_exceptions=False)


def change(values, **columns):
    values["data"]["columns"] = {**values["data"]["columns"], **columns}
    return values


@pytest.mark.parametrize(
    ("alter", "message"),
    [
        (lambda v: change(v, label="label"), "retrieval has no labels.*leave data.columns.label out"),
        (lambda v: {**v, "towers": {"text": v["towers"]["text"]}}, "matches two modalities, but there are 1 towers"),
        (lambda v: {**v, "task": "classification"}, "data.columns.item is for task: retrieval"),
        (lambda v: change(v, item="needs_binding"), "Column 'needs_binding' holds .*which cannot be ids of items"),
        (
            lambda v: {**v, "training": {**v["training"], "metric_for_best_model": "accuracy"}},
            "Unknown metric in training.metric_for_best_model 'accuracy'",
        ),
    ],
)
def test_mistakes_before_anything_is_written(alter, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        train(RunConfig.from_dict(alter(retrieval_run(tmp_path / "run"))))
    assert not (tmp_path / "run").exists()


def test_gradient_caching_is_for_retrieval(tmp_path):
    arguments = MultimodalTrainingArguments(str(tmp_path), gradient_cache_size=8, report_to="none")
    with pytest.raises(ValueError, match="gradient_cache_size=8 is for retrieval; the loss of MultimodalForClassif"):
        MultimodalTrainer(tiny_model(), arguments, processing_class=tiny_processor())
    model = tiny_model(MultimodalForRetrieval)
    MultimodalTrainer(model, arguments, processing_class=tiny_processor())
    assert model.chunk_size == model.model.chunk_size == 8
    made = MultimodalTrainer(
        model_init=lambda: tiny_model(MultimodalForRetrieval), args=arguments, processing_class=tiny_processor()
    )
    assert made.call_model_init().chunk_size == 8
    assert "logit_scale" not in made.get_decay_parameter_names(model)


@pytest.mark.distributed
def test_two_processes_train_and_evaluate(tmp_path):
    """Negatives of both processes, a last batch that the processes do not fill alike, shared reranking."""
    values = retrieval_run(tmp_path / "run")
    values["data"]["options"]["num_rows"] = 28
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(values))
    launch("scripts/train.py", str(tmp_path / "run.yaml"))
    launch("-m", "hf_multimodal", "evaluate", str(tmp_path / "run"), "--rerank", "4", "--output", str(tmp_path / "out"))
    together = json.loads((tmp_path / "out" / "metrics.json").read_text())
    rows = RowSource.for_model(str(tmp_path / "run"), source=None, split="test", columns=None)
    assert together == pytest.approx(evaluate_retrieval(str(tmp_path / "run"), rows, rerank=4), abs=1e-6)
    trained = json.loads((tmp_path / "run" / "metrics.json").read_text())["test"]
    assert trained["mean_recall"] == pytest.approx(together["mean_recall"], abs=1e-6)
