# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Benchmark of decoding: with keys and values kept against reading everything again for each token."""

import json
import os
from typing import Any

import torch
import transformers
import typer
from bench_common import describe_machine, header, spread, take_turns

from hf_multimodal import MultimodalForConditionalGeneration

_VOCABULARY = 8192
_PROMPT_LENGTH = 16
_SIDE = 96
_TEXT = {"hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 1024}
_DECODER = {**_TEXT, "vocab_size": _VOCABULARY, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}


def build_writer(device: torch.device) -> MultimodalForConditionalGeneration:
    """Builds a question-answering writer with fresh weights, which never ends a text by itself."""
    text = transformers.AutoConfig.for_model("bert", vocab_size=_VOCABULARY, **_TEXT)
    model = MultimodalForConditionalGeneration.from_towers_pretrained(
        text=text,
        image={"architecture": "resnet18", "image_size": _SIDE},
        decoder_config=transformers.AutoConfig.for_model("bert", **_DECODER),
        decoder_start_token_id=1,
        pad_token_id=0,
        hidden_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=1024,
    )
    model.generation_config.eos_token_id = None
    return model.to(device).eval()


def decode(
    tokens: int = typer.Option(32, min=2, help="Tokens written for each row."),
    batch_size: int = typer.Option(8, min=1, help="Rows written for at a time."),
    num_beams: int = typer.Option(1, min=1, help="Beams of the search; 1 is greedy."),
    steps: int = typer.Option(5, min=2, help="Rounds."),
    seed: int = typer.Option(0, help="Seed of weights and inputs."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON instead of text."),
) -> None:
    """Measures writing with and without a cache, in turns, and checks that both write the same."""
    device = torch.device(os.environ.get("BENCH_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu"))
    torch.manual_seed(seed)
    model = build_writer(device)
    batch = {
        "input_ids": torch.randint(3, _VOCABULARY, (batch_size, _PROMPT_LENGTH), device=device),
        "attention_mask": torch.ones(batch_size, _PROMPT_LENGTH, dtype=torch.long, device=device),
        "pixel_values": torch.randn(batch_size, 3, _SIDE, _SIDE, device=device),
    }
    encoded = model.model(**batch)
    written: dict[str, list[list[int]]] = {}

    def write(name: str, use_cache: bool) -> None:
        with torch.inference_mode():
            options: dict[str, Any] = {"max_new_tokens": tokens, "num_beams": num_beams, "suppress_tokens": [0]}
            written[name] = model.generate(encoder_outputs=encoded, use_cache=use_cache, **options).tolist()

    names = {"cached": True, "uncached": False}
    rounds = take_turns({name: lambda n=name, u=use: write(n, u) for name, use in names.items()}, steps)
    ratios = [seconds["uncached"] / seconds["cached"] for seconds in rounds]
    settings = {"tokens": tokens, "batch_size": batch_size, "num_beams": num_beams, "steps": steps, "seed": seed}
    result = {
        "settings": settings,
        "machine": describe_machine(device),
        "same_tokens": written["cached"] == written["uncached"],
        "seconds": {name: spread([seconds[name] for seconds in rounds]) for name in names},
        "speedup": spread(ratios),
    }
    if as_json:
        typer.echo(json.dumps(result, indent=2))
        return
    times = result["seconds"]
    lines = [f"  {name:<9} {x['median'] * 1000:7.0f} ms" for name, x in times.items()]
    ratio = result["speedup"]
    lines.append(f"  with a cache {ratio['median']:.2f} times as fast ({ratio['low']:.2f} to {ratio['high']:.2f})")
    lines.append(f"  the same tokens: {'yes' if result['same_tokens'] else 'no'}")
    typer.echo("\n".join([*header(result), *lines]))


__all__ = ["build_writer", "decode"]
