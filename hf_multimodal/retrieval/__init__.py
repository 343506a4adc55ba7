# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""From a trained retrieval model to answers: embed a collection, index it, search it, rerank what is found."""
