# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Everything that travels with a checkpoint: flat files that import only their siblings."""
