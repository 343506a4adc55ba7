# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""The HTTP service of a saved model or a bundle, with a page to try it in a browser."""
