# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""What runs on a GPU gives what runs on a CPU; skipped without one (HF_MULTIMODAL_TEST_CUDA_DEVICES=0 names it)."""

import json

import pytest
import torch

from hf_multimodal import MultimodalForClassification
from hf_multimodal.training.inference import evaluate_model
from hf_multimodal.training.row_source import RowSource
from hf_multimodal.training.run import train
from hf_multimodal.training.run_config import RunConfig
from tests.tiny import tiny_batch, tiny_model
from tests.training.test_run_generation import caption_run
from tests.training.test_run_pretraining import pretraining_run
from tests.training.test_run_retrieval import retrieval_run
from tests.training.tiny_run import tiny_run

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="no GPU is visible: set HF_MULTIMODAL_TEST_CUDA_DEVICES"
)


@pytest.mark.parametrize("fusion", ["cross_attention", "merged_attention", "bottleneck", "concat", "decision"])
def test_the_same_logits_and_gradients(fusion):
    model = tiny_model(fusion=fusion).eval()
    batch = tiny_batch(labels=torch.tensor([0, 1, 1]))
    expected = model(**batch)
    expected.loss.backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    moved = model.to("cuda")(**{name: x.to("cuda") for name, x in batch.items()})
    moved.loss.backward()
    torch.testing.assert_close(moved.logits.cpu(), expected.logits, atol=1e-3, rtol=1e-3)
    own = {name: p.grad.cpu() for name, p in model.named_parameters() if p.grad is not None}
    assert own.keys() == gradients.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(own[name], gradient, atol=1e-2, rtol=1e-2, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("extra", [{}, {"bf16": True}, {"bf16": True, "torch_compile": True}])
def test_training(tmp_path, extra):
    values = tiny_run(tmp_path / "run")
    values["training"] = {**values["training"], "num_train_epochs": 3, "logging_steps": 1, **extra}
    result = train(RunConfig.from_dict(values))
    assert result.metrics["training"]["skipped_steps"] == 0
    loaded = MultimodalForClassification.from_pretrained(result.folder)
    assert next(loaded.parameters()).device.type == "cpu"
    source = RowSource.for_model(str(result.folder), source=None, split="test", columns=None)
    again = evaluate_model(str(result.folder), source)
    tolerance = 0.05 if extra else 1e-3
    assert again["loss"] == pytest.approx(result.metrics["test"]["loss"], abs=tolerance)


def test_kept_features(tmp_path):
    values = tiny_run(tmp_path / "plain")
    for tower in values["towers"].values():
        tower["frozen"] = True
    plain = train(RunConfig.from_dict(values))
    values["training"] = {**values["training"], "feature_cache": str(tmp_path / "features")}
    kept = train(RunConfig.from_dict({**values, "output_dir": str(tmp_path / "kept")}))
    assert kept.metrics["test"]["loss"] == pytest.approx(plain.metrics["test"]["loss"], abs=1e-3)


@pytest.mark.parametrize("build", [caption_run, retrieval_run, pretraining_run])
def test_other_tasks(tmp_path, build):
    values = build(tmp_path / "run")
    values["training"] = {**values["training"], "bf16": True}
    result = train(RunConfig.from_dict(values))
    assert result.metrics["training"]["skipped_steps"] == 0
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["test"]["loss"] > 0
