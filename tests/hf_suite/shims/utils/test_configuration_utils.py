# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Stands in for upstream's `tests/utils/test_configuration_utils.py`, of which the mixins use one dict."""

# Fields that every configuration takes, with values that are not their defaults.
config_common_kwargs = {
    "architectures": ["MultimodalModel"],
    "chunk_size_feed_forward": 5,
    "dtype": "float16",
    "id2label": {0: "label"},
    "label2id": {"label": "0"},
    "output_attentions": True,
    "output_hidden_states": True,
    "problem_type": "regression",
    "return_dict": False,
}
