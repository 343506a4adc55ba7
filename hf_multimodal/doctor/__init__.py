# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""What is wrong with rows and configuration, found before anything is trained."""
