# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Evaluation: metrics as `evaluate` modules that load without a network."""
