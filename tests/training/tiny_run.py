# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Runs of seconds, as dictionaries for `RunConfig.from_dict` or YAML: on a few scenes, and towards several tasks."""

import math
import random

from hf_multimodal.modeling.video_opening import encode_video
from tests.tiny import tiny_clips

NUM_TASK_ROWS = 24


def tiny_run(folder, **changes):
    """Returns the run's values; keyword arguments replace top-level ones."""
    encoder = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    return {
        "output_dir": str(folder),
        "data": {
            "source": "scenes",
            "columns": {"text": "statement", "image": "image", "label": "label", "id": "id"},
            "options": {"num_rows": 20},
        },
        "towers": {
            "text": {"tokenizer": "from_rows", "config": {"model_type": "bert", **encoder}},
            "image": {"architecture": "resnet18", "model_args": {"channels": [8, 8, 8, 8]}, "image_size": 32},
        },
        "model": dict(encoder),
        "training": {
            "num_train_epochs": 1,
            "per_device_train_batch_size": 8,
            "per_device_eval_batch_size": 8,
            "report_to": "none",
        },
        **changes,
    }


def make_task_rows(seed):
    """Draws rows of text, clip and table, each of which lacks some parts and labels."""
    rng = random.Random(seed)
    rows = []
    for index in range(NUM_TASK_ROWS):
        level = rng.choice(["low", "high"])
        speed = rng.gauss(2.0 if level == "high" else -2.0, 0.1)
        rows.append(
            {
                "note": None if index % 5 == 0 else f"a {level} note",
                "film": encode_video(tiny_clips((3,), seed=index)[0]) if index % 3 else None,
                "speed": None if index % 7 == 0 else speed,
                "brand": rng.choice(["x", "y"]),
                "level": None if index % 4 == 0 else level,
                "marks": [m for m in ("a", "b") if rng.random() < 0.5] if index % 2 else None,
                "price": math.nan if index % 6 == 0 else 10 * speed,
                "key": f"row {index}",
            }
        )
    return rows


def task_run(folder, source, **changes):
    """Returns the values of a run on the parquet files of such rows, one per split."""
    run = tiny_run(folder, task="multi_task")
    labels = {"level": "level", "marks": "marks", "price": "price"}
    columns = {"text": "note", "video": "film", "series": ["speed", "brand"], "label": labels, "id": "key"}
    run["data"] = {"source": str(source), "columns": columns}
    run["towers"] = {
        "text": run["towers"]["text"],
        "video": {**run["towers"]["image"], "preprocessing": {"num_frames": 2}},
        "series": {"config": {"model_type": "patch_series", "d_model": 16}},
    }
    run["model"] = {**run["model"], "task_weighting": "uncertainty", "modality_dropout": {"video": 0.5}}
    run["training"] = {**run["training"], "num_train_epochs": 2}
    return {**run, **changes}
