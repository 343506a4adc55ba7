# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Which graphs a model is cut into, with examples of what each takes.

Shapes: B rows, L tokens of one modality, H width, T tokens of a text.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from hf_multimodal.modeling.configuration_multimodal import TOWER_INPUTS
from hf_multimodal.modeling.modeling_decoder import read_by_decoder
from hf_multimodal.modeling.modeling_outputs import TowerOutput
from hf_multimodal.modeling.processing_multimodal import MultimodalProcessor
from hf_multimodal.prediction.predictor import TorchPredictor

# axes beside the rows whose size depends on what is read
_SEQUENCES = ("input_ids", "attention_mask", "token_type_ids", "decoder_input_ids")
_TEXTS = ("a b c", "a b", "a b c d e")  # of any words: their numbers alone matter


@dataclass(frozen=True)
class Graph:
    """A part of a model that becomes a graph.

    Attributes:
        name: Its name in the bundle.
        module: Takes the inputs one after another.
        inputs: Name -> an example of it.
        outputs: Names of what the module returns.
        dynamic: Name -> axes of any size; the rows are always.
    """

    name: str
    module: nn.Module
    inputs: Mapping[str, torch.Tensor]
    outputs: tuple[str, ...]
    dynamic: Mapping[str, tuple[int, ...]]


class _Predictions(nn.Module):
    def __init__(self, model: Any, names: tuple[str, ...]) -> None:  # noqa: ANN401 (a model that predicts)
        super().__init__()
        self.model, self.names = model, names

    def forward(self, *inputs: torch.Tensor) -> Any:  # noqa: ANN401 (logits, or those of each task)
        logits = self.model(**dict(zip(self.names, inputs, strict=True))).logits
        return tuple(logits.values()) if isinstance(logits, Mapping) else logits


class _Tower(nn.Module):
    def __init__(self, model: Any, modality: str, names: tuple[str, ...]) -> None:  # noqa: ANN401 (of retrieval)
        super().__init__()
        self.model, self.modality, self.names = model, modality, names

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        towers = self.model.encode(**dict(zip(self.names, inputs, strict=True)))
        tower = towers[self.modality]
        return self.model.embed(towers)[self.modality], tower.tokens, tower.mask


class _Match(nn.Module):
    def __init__(self, model: Any) -> None:  # noqa: ANN401 (of retrieval)
        super().__init__()
        self.model = model

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        parts = zip(self.model.config.modalities, inputs[::2], inputs[1::2], strict=True)
        return self.model.match({m: TowerOutput(tokens=tokens, mask=mask) for m, tokens, mask in parts})


class _Encoder(nn.Module):
    def __init__(self, model: Any, names: tuple[str, ...]) -> None:  # noqa: ANN401 (one that writes)
        super().__init__()
        self.model, self.names = model, names

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        tokens, mask = read_by_decoder(self.model.model(**dict(zip(self.names, inputs, strict=True))))
        return self.model.head.projection(tokens), mask  # type: ignore[return-value]  # fusions that write have a mask


class _Decoder(nn.Module):
    def __init__(self, model: Any) -> None:  # noqa: ANN401 (one that writes)
        super().__init__()
        self.language_model = model.head.language_model

    def forward(self, decoder_input_ids: torch.Tensor, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        own = {"encoder_hidden_states": tokens, "encoder_attention_mask": mask, "use_cache": False}
        return self.language_model(input_ids=decoder_input_ids, return_dict=True, **own).logits[:, -1]


def example_rows(processor: MultimodalProcessor) -> list[dict[str, Any]]:
    """Makes three rows that have all modalities, with texts and sounds of several lengths."""
    rows: list[dict[str, Any]] = [{} for _ in _TEXTS]
    for number, (row, text) in enumerate(zip(rows, _TEXTS, strict=True)):
        for modality in processor.modalities:
            if modality == "text":
                row[modality] = text
            elif modality == "image":
                row[modality] = Image.new("RGB", (64, 64), (80 * number, 120, 200))
            elif modality == "audio":
                rate = processor.feature_extractor.sampling_rate
                samples = np.random.default_rng(number).normal(size=rate * (number + 2) // 4).astype(np.float32)
                row[modality] = {"array": samples, "sampling_rate": rate}
            elif modality == "video":
                row[modality] = np.full((2, 64, 64, 3), 80 * number, dtype=np.uint8)
            else:
                row[modality] = {name: [float(number), 1.0] for name in processor.series_feature_extractor.channels}
    return rows


@torch.no_grad()
def graphs_of(predictor: TorchPredictor) -> list[Graph]:
    """Cuts a model into graphs.

    Args:
        predictor: The model, on the CPU.
    """
    model, reader = predictor.model, predictor.reader
    batch = dict(reader.batch([reader.open(row) for row in example_rows(predictor.processor)]))
    names = tuple(batch)
    dynamic = {name: _free_axes(name, tensor) for name, tensor in batch.items()}
    if predictor.kind == "prediction":
        outputs = tuple(predictor.config.tasks) if predictor.config.tasks else ("logits",)
        return [Graph("model", _Predictions(model, names), batch, outputs, dynamic)]
    if predictor.kind == "retrieval":
        return _retrieval_graphs(predictor, batch, dynamic)
    encoder = _Encoder(model, names)
    tokens, mask = encoder(*batch.values())
    start = torch.full((len(tokens), 4), predictor.config.decoder_start_token_id, dtype=torch.long)
    read = {"decoder_input_ids": start, "tokens": tokens, "mask": mask}
    return [
        Graph("encoder", encoder, batch, ("tokens", "mask"), dynamic),
        Graph("decoder", _Decoder(model), read, ("logits",), {"decoder_input_ids": (1,), "tokens": (1,), "mask": (1,)}),
    ]


def _retrieval_graphs(
    predictor: TorchPredictor, batch: Mapping[str, torch.Tensor], dynamic: Mapping[str, tuple[int, ...]]
) -> list[Graph]:
    graphs, pair = [], {}
    for modality in predictor.modalities:
        own = {name: batch[name] for name in TOWER_INPUTS[modality] if name in batch}
        tower = _Tower(predictor.model, modality, tuple(own))
        graphs.append(
            Graph(modality, tower, own, ("embedding", "tokens", "mask"), {name: dynamic[name] for name in own})
        )
        _, pair[f"{modality}_tokens"], pair[f"{modality}_mask"] = tower(*own.values())
    return [*graphs, Graph("match", _Match(predictor.model), pair, ("logits",), dict.fromkeys(pair, (1,)))]


def _free_axes(name: str, tensor: torch.Tensor) -> tuple[int, ...]:
    if name in _SEQUENCES or name == "audio_mask":
        return (1,)
    return (1,) if name == "audio_values" and tensor.ndim == 2 else ()


__all__ = ["Graph", "example_rows", "graphs_of"]
