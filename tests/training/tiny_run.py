# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""A run of seconds on a few scenes, as a dictionary for `RunConfig.from_dict` or YAML."""


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
