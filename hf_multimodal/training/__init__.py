# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Training: arguments, trainer, and runs described by one YAML file."""
