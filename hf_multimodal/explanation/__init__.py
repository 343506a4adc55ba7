# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Why a model decided as it did: which modality, which words, which part of the picture."""
