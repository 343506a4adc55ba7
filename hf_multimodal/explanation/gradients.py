# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Integrated gradients (Sundararajan et al. 2017) by Captum, of words, pixels and sounds at once."""

from collections.abc import Mapping
from typing import Any

import torch

from hf_multimodal.explanation.target import Target

STEPS = 32
# Modality -> the input that is a floating-point tensor; text by its embeddings
_INPUTS = {"text": "inputs_embeds", "image": "pixel_values", "audio": "audio_values"}


def integrated_gradients(
    model: Any,  # noqa: ANN401 (a model that predicts)
    batch: Mapping[str, torch.Tensor],
    target: Target,
    steps: int = STEPS,
) -> tuple[dict[str, torch.Tensor], float]:
    """Attributes a logit to the inputs: how much each adds to it on the way from a blank row to this one.

    Blank are the embedding of padding, a picture of the processor's mean colour, and a spectrogram of its mean. Clips
    and series stay as they are.

    Args:
        model: The model.
        batch: Of one row.
        target: What is explained.
        steps: Of the integral.

    Returns:
        Modality -> attributions: text (L,), image (height, width), audio as its input without batch and channels; and
        by how much they miss the logit's difference, as a share of it (completeness).

    Raises:
        ImportError: if Captum is not installed.
    """
    try:
        from captum.attr import IntegratedGradients
    except ImportError as error:
        raise ImportError('Attributions need Captum: pip install "hf_multimodal[explain]".') from error
    inputs, baselines = _start_and_end(model, batch)
    if not inputs:
        return {}, 0.0
    names = list(inputs)
    replaced = {*names, "input_ids"} if "inputs_embeds" in inputs else set(names)
    rest = {name: tensor for name, tensor in batch.items() if name not in replaced}

    def forward(*values: torch.Tensor) -> torch.Tensor:
        count = len(values[0])
        others = {name: tensor.expand(count, *tensor.shape[1:]) for name, tensor in rest.items()}
        return target.of(model(**dict(zip(names, values, strict=True)), **others))

    with torch.backends.cudnn.flags(enabled=False):  # whose recurrent layers have no gradient outside of training
        attributions, missed = IntegratedGradients(forward).attribute(
            tuple(inputs.values()),
            tuple(baselines.values()),
            n_steps=steps,
            internal_batch_size=max(8, len(names)),
            return_convergence_delta=True,
        )
    with torch.no_grad():
        difference = forward(*inputs.values()) - forward(*baselines.values())
    by_input = dict(zip(names, attributions, strict=True))
    found = {}
    for modality, name in _INPUTS.items():
        if name in by_input:
            values = by_input[name][0].detach()
            found[modality] = values.sum(-1) if modality == "text" else values.sum(0) if values.ndim == 3 else values
    return found, float(missed.abs().item() / difference.abs().clamp(min=1e-6).item())


def _start_and_end(
    model: Any,  # noqa: ANN401 (a model that predicts)
    batch: Mapping[str, torch.Tensor],
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """The row's inputs as floating-point numbers, and the blank ones."""
    there = dict(zip(model.config.modalities, batch["modality_mask"][0].tolist(), strict=True))
    inputs, baselines = {}, {}
    for modality, name in _INPUTS.items():
        if not there.get(modality):
            continue
        if modality == "text":
            embed = model.model.towers["text"].backbone.get_input_embeddings()
            inputs[name] = embed(batch["input_ids"]).detach()
            padding = getattr(embed, "padding_idx", None)
            blank = torch.zeros_like(inputs[name]) if padding is None else embed.weight[padding].expand_as(inputs[name])
            baselines[name] = blank.detach()
        elif name in batch:
            inputs[name] = batch[name]
            baselines[name] = torch.zeros_like(batch[name])
    return inputs, baselines


__all__ = ["STEPS", "integrated_gradients"]
