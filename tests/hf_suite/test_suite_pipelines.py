# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""transformers' common pipeline tests on ours. Its own tasks, which none of our models has, it skips by itself."""

import sys
import tempfile
import unittest
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

from transformers import set_seed

from hf_multimodal import (
    MultimodalClassificationPipeline,
    MultimodalForClassification,
    MultimodalForQuestionAnswering,
    MultimodalImageProcessor,
    MultimodalProcessor,
)
from tests.hf_suite.upstream import PipelineTesterMixin
from tests.tiny import TEXTS, tiny_model, tiny_pictures, tiny_processor

TASKS = {
    "multimodal-classification": MultimodalForClassification,
    "multimodal-question-answering": MultimodalForQuestionAnswering,
}


class PipelineTests:
    """What the mixin asks about a task: a pipeline, rows for it, and what is right about the answers."""

    def get_test_pipeline(self, model, tokenizer, image_processor, processor, dtype):
        rows = [
            {"text": TEXTS[0], "image": tiny_pictures()[0]},
            {"text": TEXTS[1], "image": None},
            {"image": tiny_pictures()[2]},
        ]
        return MultimodalClassificationPipeline(model=model, processor=processor, dtype=dtype), rows

    def run_pipeline_test(self, pipeline, rows):
        for one, batched in zip([pipeline(row) for row in rows], pipeline(rows, batch_size=2), strict=True):
            scores = {entry["label"]: entry["score"] for entry in one}
            assert scores.keys() == {"LABEL_0", "LABEL_1"}
            assert abs(sum(scores.values()) - 1) < 1e-3
            assert all(abs(scores[entry["label"]] - entry["score"]) < 1e-3 for entry in batched)


class MultimodalPipelineTest(PipelineTesterMixin, unittest.TestCase):
    pipeline_model_mapping = TASKS

    def setUp(self):
        set_seed(0)
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        for model_class in TASKS.values():
            path = Path(folder.name) / model_class.config_class.model_type / model_class.__name__
            tiny_model(model_class, num_labels=2).save_pretrained(path)
            tiny_processor().save_pretrained(path)
        # The mixin looks models up on the Hub and classes inside transformers.
        mixin = sys.modules[PipelineTesterMixin.__module__]
        components = {"tokenizer_classes": [], "processor_classes": ["MultimodalImageProcessor"]}
        for target, name, value in (
            (mixin, "TRANSFORMERS_TINY_MODEL_PATH", folder.name),
            (mixin, "tiny_model_summary", {model_class.__name__: components for model_class in TASKS.values()}),
            (
                mixin,
                "pipeline_test_mapping",
                {task: {"test": f"{__name__}.{PipelineTests.__name__}"} for task in TASKS},
            ),
            (mixin, "PROCESSOR_MAPPING_NAMES", {"hf_multimodal": "MultimodalProcessor"}),
            (
                mixin,
                "transformers_module",
                SimpleNamespace(
                    MultimodalImageProcessor=MultimodalImageProcessor, MultimodalProcessor=MultimodalProcessor
                ),
            ),
        ):
            patcher = patch.object(target, name, value)
            patcher.start()
            self.addCleanup(patcher.stop)

    def test_pipeline_multimodal(self):
        for task in TASKS:
            with self.subTest(task):
                self.run_task_tests(task)

    def test_pipeline_multimodal_fp16(self):
        for task in TASKS:
            with self.subTest(task):
                self.run_task_tests(task, dtype="float16")
