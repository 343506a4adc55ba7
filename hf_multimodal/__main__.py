# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""`python -m hf_multimodal`, and on several processes `accelerate launch -m hf_multimodal VERB …`."""

from hf_multimodal.cli.main import main

if __name__ == "__main__":
    main()
