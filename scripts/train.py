#!/usr/bin/env python
# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""`hf-multimodal train` for launchers: accelerate launch scripts/train.py CONFIG.yaml [key=value ...]."""

import typer

from hf_multimodal.cli.main import run_verb
from hf_multimodal.cli.train import train

if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(train)
    run_verb(app)
