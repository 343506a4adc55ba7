# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Runs whose training rows are streamed."""

import json
import math
import shutil

import datasets
import pytest
import yaml

from hf_multimodal import MultimodalForClassification
from hf_multimodal.data.collator import RowError
from hf_multimodal.data.scenes import make_scenes
from hf_multimodal.training.run import train
from hf_multimodal.training.run_config import RunConfig
from tests.training.test_distributed import launch, metrics_of
from tests.training.test_distributed import train as train_launched
from tests.training.test_run_pretraining import pretraining_run
from tests.training.test_run_retrieval import retrieval_run
from tests.training.tiny_run import tiny_run

ROWS = {"train": 40, "validation": 12, "test": 12}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A folder of parquet files, the training rows in three."""
    folder = tmp_path_factory.mktemp("rows")
    for split, count in ROWS.items():
        rows = make_scenes(split=split, num_rows=count)
        parts = 3 if split == "train" else 1
        for part in range(parts):
            rows.shard(parts, part).to_parquet(str(folder / f"{split}-{part}.parquet"))
    return folder


def streaming_run(folder, source, build=tiny_run, **changes):
    values = build(folder, **changes)
    values["data"].update(source=str(source), options={}, streaming=True, shuffle_buffer=8)
    return values


def test_a_run(source, tmp_path):
    values = streaming_run(tmp_path / "run", source)
    values["training"].update(num_train_epochs=2, dataloader_num_workers=2, logging_steps=1)
    result = train(RunConfig.from_dict(values))
    assert result.sizes == ROWS
    assert result.metrics["training"]["steps"] == 2 * 6  # two workers of 20 rows, in batches of 8
    assert result.labels == ("false", "true")
    assert MultimodalForClassification.from_pretrained(result.folder).config.num_labels == 2
    assert "Rows: 40 train, 12 validation" in (result.folder / "README.md").read_text()


def test_pretraining(source, tmp_path):
    values = streaming_run(tmp_path / "run", source, pretraining_run)
    result = train(RunConfig.from_dict(values))
    assert result.sizes["train"] > 2 * ROWS["train"]  # a row of each caption
    assert result.metrics["training"]["steps"] == math.ceil(result.sizes["train"] / 8)


@pytest.mark.parametrize("is_streaming", [False, True])
def test_resumed_within_an_epoch(source, is_streaming, tmp_path):
    """Workers that stay alive draw their seeds apart, so the model's own chance is the same."""
    values = streaming_run(tmp_path / "whole", source)
    values["data"]["streaming"] = is_streaming
    values["training"].update(
        num_train_epochs=3,
        dataloader_num_workers=2,
        dataloader_persistent_workers=True,
        save_strategy="steps",
        eval_strategy="steps",
        save_steps=4,
        eval_steps=4,
        save_total_limit=None,
    )
    whole = train(RunConfig.from_dict(values)).folder
    broken = tmp_path / "broken"
    shutil.copytree(whole, broken)
    for step in (8, 12, 15, 16, 18):
        shutil.rmtree(broken / "checkpoints" / f"checkpoint-{step}", ignore_errors=True)
    (broken / "model.safetensors").unlink()
    again = train(RunConfig.from_dict({**values, "output_dir": str(broken)}), resume=True).folder
    assert (again / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


@pytest.mark.distributed
def test_two_processes(source, tmp_path):
    values = streaming_run(tmp_path / "run", source)
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(values))
    train_launched(tmp_path)
    facts = metrics_of(tmp_path / "run")["training"]
    assert (facts["processes"], facts["steps"]) == (2, 3)  # 20 rows each, in batches of 8
    launch("-m", "hf_multimodal", "evaluate", str(tmp_path / "run"))


@pytest.fixture(scope="module")
def spoilt(source, tmp_path_factory):
    """The same rows, one of which has a picture that is none."""
    folder = tmp_path_factory.mktemp("spoilt")
    for file in source.glob("*.parquet"):
        rows = datasets.Dataset.from_parquet(str(file)).cast_column("image", datasets.Image(decode=False))
        if file.name == "train-1.parquet":
            pictures = [{"bytes": b"no picture", "path": None} if i == 2 else x for i, x in enumerate(rows["image"])]
            rows = rows.remove_columns("image").add_column("image", pictures)
        rows.to_parquet(str(folder / file.name))
    return folder


@pytest.mark.parametrize("policy", ["skip", "as_missing"])
def test_a_faulty_row(spoilt, policy, tmp_path):
    values = streaming_run(tmp_path / "run", spoilt)
    values["data"].update(faulty_rows=policy, max_faulty_share=0.05, check_rows=False)
    values["training"].update(num_train_epochs=2, dataloader_num_workers=2)
    result = train(RunConfig.from_dict(values))
    told = [json.loads(line) for line in (result.folder / "faulty_rows.jsonl").read_text().splitlines()]
    assert [(row["split"], row["modalities"]) for row in told] == [("train", ["image"])]
    assert result.metrics["training"]["faulty_rows"] == 1


def test_a_faulty_row_in_a_batch_of_its_own(spoilt, tmp_path):
    values = streaming_run(tmp_path / "run", spoilt)
    values["data"].update(faulty_rows="skip", max_faulty_share=0.05)
    values["training"].update(per_device_train_batch_size=1, gradient_accumulation_steps=8)
    assert train(RunConfig.from_dict(values)).metrics["training"]["faulty_rows"] == 1


@pytest.mark.distributed
def test_a_faulty_row_of_one_process_leaves_batches_as_large(spoilt, tmp_path):
    """Retrieval's processes exchange rows, equally many each."""
    values = streaming_run(tmp_path / "run", spoilt, retrieval_run)
    values["data"].update(faulty_rows="skip", max_faulty_share=0.05)
    values["data"]["columns"]["text"] = "statement"
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(values))
    train_launched(tmp_path)
    assert metrics_of(tmp_path / "run")["training"]["faulty_rows"] == 1


def test_too_many_faulty_rows(spoilt, tmp_path):
    values = streaming_run(tmp_path / "run", spoilt)
    values["data"]["faulty_rows"] = "skip"
    with pytest.raises(ValueError, match="1 of 40 train rows cannot be used.*max_faulty_share=0.01"):
        train(RunConfig.from_dict(values))


def test_a_faulty_row_ends_a_run_by_default(spoilt, tmp_path):
    with pytest.raises(RowError, match=r"Row 'train-0000.*', column 'image'"):
        train(RunConfig.from_dict(streaming_run(tmp_path / "run", spoilt)))


@pytest.mark.parametrize(
    ("section", "key", "value", "message"),
    [
        ("data", "limit", {"train": 8}, "data.limit.train takes rows at random, which a stream cannot"),
        ("data", "splits", {"train": "train[:8]"}, "a slice cannot be streamed"),
        ("training", "auto_find_batch_size", True, "training.auto_find_batch_size is not for data.streaming"),
        ("data", "shuffle_buffer", 0, "data.shuffle_buffer holds 0: it is a whole number, 1 or more"),
        ("training", "feature_cache", "features", "training.feature_cache is not for data.streaming"),
    ],
)
def test_what_it_refuses(source, section, key, value, message, tmp_path):
    values = streaming_run(tmp_path / "run", source)
    values[section][key] = value
    with pytest.raises(ValueError, match=message):
        train(RunConfig.from_dict(values))
    assert not (tmp_path / "run").exists()
