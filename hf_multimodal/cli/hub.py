# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""`hf-multimodal hub`: makes a saved folder ready for a Space or an Inference Endpoint."""

from pathlib import Path
from typing import Annotated

import typer


def hub(
    folder: Annotated[Path, typer.Argument(help="Folder of a saved model.")],
    endpoint: Annotated[bool, typer.Option("--endpoint", help="Write handler.py, for Inference Endpoints.")] = False,
    space: Annotated[bool, typer.Option("--space", help="Write app.py, for a Space.")] = False,
) -> None:
    """Write what the Hub runs a saved folder by; push the folder as it is then. Runs do so with hub_files."""
    from hf_multimodal.hub.hub_files import write_hub_files

    kinds = [kind for kind, wanted in (("endpoint", endpoint), ("space", space)) if wanted]
    if not kinds:
        raise ValueError("Say what for: --endpoint, --space, or both.")
    for file in write_hub_files(folder, kinds):
        typer.echo(file)


__all__ = ["hub"]
