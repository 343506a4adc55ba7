# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks of training steps share: towers of several sizes, batches, a step and how its times are told."""

import itertools
import statistics
import time
from collections.abc import Callable
from enum import Enum
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
import transformers
from bench_common import WARM_UP
from torch import nn

from hf_multimodal import MultimodalForClassification, MultimodalTrainer, MultimodalTrainingArguments

NUM_LABELS = 10


class Size(NamedTuple):
    """How large the towers and what they read are.

    Attributes:
        text: Of a BERT.
        architecture: Of timm.
        side: Side of a picture in pixels.
        width: Of the fusion.
        text_length: Tokens of a text.
    """

    text: dict[str, int]
    architecture: str
    side: int
    width: int
    text_length: int = 32


_FIELDS = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
_BERT_BASE = dict(zip(_FIELDS, (30_522, 768, 12, 12, 3072), strict=True))
SIZES = {
    "small": Size(dict(zip(_FIELDS, (8192, 256, 4, 4, 1024), strict=True)), "resnet18", 96, 256),
    "base": Size(_BERT_BASE, "resnet50", 224, 512),
    "vit": Size(_BERT_BASE, "vit_base_patch16_224", 224, 768, 64),
    # so small that what a loop adds to a step shows beside it
    "tiny": Size(dict(zip(_FIELDS, (64, 32, 1, 2, 32), strict=True)), "test_resnet", 32, 32),
}
Towers = Enum("Towers", {name: name for name in SIZES}, type=str)
MapTowers = Enum("MapTowers", {name: name for name in ("small", "base")}, type=str)  # whose features are maps


def build_model(towers: str, fusion: str, device: torch.device) -> MultimodalForClassification:
    """Builds our model with fresh weights."""
    size = SIZES[towers]
    shape = {"hidden_size": size.width, "intermediate_size": 4 * size.width, "num_labels": NUM_LABELS}
    return MultimodalForClassification.from_towers_pretrained(
        text=transformers.BertConfig(**size.text), image={"architecture": size.architecture}, fusion=fusion, **shape
    ).to(device)


def build_batch(towers: str, rows: int, device: torch.device) -> dict[str, torch.Tensor]:
    """Draws a batch as the collator makes it: texts of half to full length, and every modality present."""
    size = SIZES[towers]
    lengths = torch.randint(size.text_length // 2, size.text_length + 1, (rows, 1))
    batch = {
        "input_ids": torch.randint(1, size.text["vocab_size"], (rows, size.text_length)),
        "attention_mask": (torch.arange(size.text_length) < lengths).long(),
        "pixel_values": torch.randn(rows, 3, size.side, size.side),
        "modality_mask": torch.ones(rows, 2, dtype=torch.bool),
        "labels": torch.randint(0, NUM_LABELS, (rows,)),
    }
    return {key: tensor.to(device) for key, tensor in batch.items()}


def training_step(module: nn.Module, compute_loss: Callable[[], torch.Tensor]) -> Callable[[], None]:
    """Returns what a training loop does per batch, with the optimizer and the clipping that Trainer uses by default."""
    parameters = list(module.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=1e-5, fused=True)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)

    def step() -> None:
        compute_loss().backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()

    return step


class StepTimer(transformers.TrainerCallback):
    """Notes the seconds of every turn of Trainer's loop."""

    def __init__(self) -> None:
        self.marks: list[float] = []

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ANN401 (as overridden)
        """Notes the time."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.marks.append(time.perf_counter())

    def median(self) -> float:
        """Returns the median seconds of a turn, after the first ones."""
        return statistics.median(b - a for a, b in itertools.pairwise(self.marks[WARM_UP:]))


QUIET = {
    "report_to": "none",
    "disable_tqdm": True,
    **dict.fromkeys(("eval_strategy", "save_strategy", "logging_strategy"), "no"),
}


def our_trainer(
    model: nn.Module,
    folder: str,
    batch: dict[str, torch.Tensor],
    steps: int,
    timer: transformers.TrainerCallback,
    **arguments: Any,  # noqa: ANN401 (of MultimodalTrainingArguments)
) -> MultimodalTrainer:
    """Builds a trainer that takes so many steps on one batch, which it is handed ready-made, and prints nothing."""
    settings = {**QUIET, "num_train_epochs": 1, "load_best_model_at_end": False, **arguments}
    trainer = MultimodalTrainer(
        model,
        MultimodalTrainingArguments(folder, per_device_train_batch_size=2, **settings),
        processing_class=SimpleNamespace(check_model=lambda config: None, modalities=("text", "image")),
        train_dataset=[0, 1] * steps,
        data_collator=lambda _: dict(batch),
        callbacks=[timer],
    )
    trainer.pop_callback(transformers.trainer_callback.PrinterCallback)  # it prints to standard output
    return trainer


def line(label: str, values: dict[str, float], unit: str = "", digits: int = 3) -> str:
    """Writes a label with median and quartiles."""
    low, high = (f"{values[key]:.{digits}f}" for key in ("low", "high"))
    return f"{label:<58} {values['median']:>9.{digits}f}{unit}   ({low} to {high})"


__all__ = [
    "NUM_LABELS",
    "QUIET",
    "SIZES",
    "MapTowers",
    "Size",
    "StepTimer",
    "Towers",
    "build_batch",
    "build_model",
    "line",
    "our_trainer",
    "training_step",
]
