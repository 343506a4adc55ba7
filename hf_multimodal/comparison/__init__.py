# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Is multimodal worth it? Each modality alone, all as text, and each fusion, on the same rows, seeds and budget."""
