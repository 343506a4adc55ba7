# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""`hf-multimodal`: the verbs, imported lazily so that `--help` costs nothing."""

import os
import sys
from typing import Annotated

import typer
import yaml

from hf_multimodal import __version__
from hf_multimodal.cli.compare import compare
from hf_multimodal.cli.distill import distill
from hf_multimodal.cli.doctor import doctor
from hf_multimodal.cli.embed import embed
from hf_multimodal.cli.evaluate import evaluate
from hf_multimodal.cli.explain import explain
from hf_multimodal.cli.export import export
from hf_multimodal.cli.hub import hub
from hf_multimodal.cli.index import index
from hf_multimodal.cli.predict import predict
from hf_multimodal.cli.search import search
from hf_multimodal.cli.serve import serve
from hf_multimodal.cli.train import train

app = typer.Typer(
    name="hf-multimodal",
    help="Train, evaluate and use models that fuse text, images and sound.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for verb in (
    doctor,
    train,
    distill,
    evaluate,
    compare,
    explain,
    predict,
    embed,
    index,
    search,
    export,
    serve,
    hub,
):
    app.command()(verb)


def _print_version(requested: bool) -> None:
    if requested:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Train, evaluate and use models that fuse text, images and sound."""


def main() -> None:
    """Runs the command line; a user's mistake ends with one line and exit code 2, not with a traceback."""
    run_verb(app)


def run_verb(command: typer.Typer) -> None:
    """Runs a typer application and turns user errors into one line on standard error."""
    try:
        command()
    except (ValueError, TypeError, OSError, ImportError, yaml.YAMLError) as error:
        if os.environ.get("HF_MULTIMODAL_TRACEBACK"):
            raise
        message = " ".join(str(error).split())
        typer.echo(f"error: {message} (HF_MULTIMODAL_TRACEBACK=1 shows where)", err=True)
        sys.exit(2)


__all__ = ["app", "main", "run_verb"]
