# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Models as graphs of ONNX or OpenVINO, smaller if asked, with a report of what was lost."""
