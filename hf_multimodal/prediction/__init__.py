# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""A saved model, or an exported one, as an object that answers rows: what services and exports are built on."""
