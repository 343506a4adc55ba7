# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Benchmark of contrastive training against other libraries over the same towers, rows and batch, in turns."""

import importlib.metadata
import importlib.util
import json
import tempfile
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
import transformers
import typer
from bench_common import WARM_UP, describe_machine, header, spread, take_turns
from bench_steps import QUIET, SIZES, StepTimer, Towers, build_batch, line, our_trainer, training_step
from torch import nn
from torch.nn import functional as F  # noqa: N812 (the field's own abbreviation)

from hf_multimodal import MultimodalForRetrieval

TEMPERATURE = 0.07


def contrastive_loss(first: torch.Tensor, second: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """CLIP's objective (Radford et al. 2021) of embeddings (B, D) whose rows belong together."""
    logits = scale * F.normalize(first, dim=-1) @ F.normalize(second, dim=-1).T
    targets = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, targets) + F.cross_entropy(logits.T, targets)) / 2


class BareDualEncoder(nn.Module):
    """The limit: the same two backbones, the mean of what they say, a linear layer each.

    Args:
        ours: Model whose backbones are copied.
    """

    def __init__(self, ours: MultimodalForRetrieval) -> None:
        super().__init__()
        towers = deepcopy(ours.model.towers)
        self.text, self.image = towers["text"].backbone, towers["image"].backbone.timm_model
        width = ours.config.embedding_size or ours.config.hidden_size
        self.projections = nn.ModuleList([nn.Linear(tower.width, width) for tower in towers.values()])
        self.scale = nn.Parameter(torch.tensor(1 / TEMPERATURE))

    def forward(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Computes the loss of a batch."""
        mask = batch["attention_mask"]
        text = self.text(input_ids=batch["input_ids"], attention_mask=mask).last_hidden_state
        weights = mask.unsqueeze(-1).to(text.dtype)
        text = (text * weights).sum(1) / weights.sum(1)
        features = self.image.forward_features(batch["pixel_values"])
        image = features.mean((2, 3)) if features.ndim == 4 else features.mean(1)
        return contrastive_loss(self.projections[0](text), self.projections[1](image), self.scale)


def build_ours(towers: str) -> MultimodalForRetrieval:
    """Builds our model, without its match head's objective, which the others lack."""
    size = SIZES[towers]
    return MultimodalForRetrieval.from_towers_pretrained(
        text=transformers.BertConfig(**size.text),
        image={"architecture": size.architecture, "image_size": size.side},
        match_weight=0.0,
        hidden_size=size.width,
        intermediate_size=4 * size.width,
    )


def build_dual_encoder(towers: str) -> transformers.PreTrainedModel:
    """Builds transformers' own model of two towers."""
    size = SIZES[towers]
    image = transformers.TimmWrapperConfig(architecture=size.architecture, do_pooling=True)
    vision = transformers.TimmWrapperModel(image)
    vision.config.hidden_size = vision.timm_model.num_features
    return transformers.VisionTextDualEncoderModel(
        vision_model=vision, text_model=transformers.BertModel(transformers.BertConfig(**size.text))
    )


def build_open_clip(towers: str) -> nn.Module:
    """Builds open_clip's model of the same timm tower and the same BERT.

    Raises:
        ImportError: if open_clip is not installed.
    """
    from open_clip.model import CLIPTextCfg, CLIPVisionCfg, CustomTextCLIP

    size = SIZES[towers]
    with tempfile.TemporaryDirectory() as folder:
        transformers.BertConfig(**size.text).save_pretrained(folder)
        return CustomTextCLIP(
            size.width,
            CLIPVisionCfg(timm_model_name=size.architecture, image_size=size.side),
            CLIPTextCfg(hf_model_name=folder, hf_model_pretrained=False, hf_proj_type="linear"),
        )


def losses_of(models: dict[str, nn.Module], batch: dict[str, torch.Tensor]) -> dict[str, Callable[[], torch.Tensor]]:
    """Returns what computes each model's loss of a batch."""
    texts = {name: batch[name] for name in ("input_ids", "attention_mask")}
    pixels = batch["pixel_values"]
    items = torch.arange(len(pixels), device=pixels.device)

    def of_open_clip() -> torch.Tensor:
        image, text, scale = models["open_clip"](pixels, texts["input_ids"])
        return contrastive_loss(text, image, scale)

    every = {
        "ours": lambda: models["ours"](**texts, pixel_values=pixels, labels=items).loss,
        "bare": lambda: models["bare"](batch),
        "VisionTextDualEncoder": lambda: (
            models["VisionTextDualEncoder"](**texts, pixel_values=pixels, return_loss=True).loss
        ),
        "open_clip": of_open_clip,
    }
    return {name: every[name] for name in models}


def trainer_seconds(model: nn.Module, batch: dict[str, torch.Tensor], steps: int, bf16: bool) -> float:
    """Trains under Trainer (ours under MultimodalTrainer) and returns the median seconds of a step."""
    count, timer = steps + WARM_UP + 1, StepTimer()
    with tempfile.TemporaryDirectory() as folder:
        if isinstance(model, MultimodalForRetrieval):
            our_trainer(model, folder, batch, count, timer, bf16=bf16).train()
            return timer.median()
        settings = {**QUIET, "num_train_epochs": 1, "remove_unused_columns": False, "bf16": bf16}
        trainer = transformers.Trainer(
            model,
            transformers.TrainingArguments(folder, per_device_train_batch_size=2, **settings),
            train_dataset=[0, 1] * count,
            data_collator=lambda _: dict(batch),
            callbacks=[timer],
        )
        trainer.pop_callback(transformers.trainer_callback.PrinterCallback)  # it prints to standard output
        trainer.train()
    return timer.median()


def under_trainer(
    models: dict[str, nn.Module], batch: dict[str, torch.Tensor], steps: int, bf16: bool
) -> list[dict[str, float]]:
    """Returns the seconds of a step of ours and of VisionTextDualEncoder under Trainer, in three rounds."""
    rows = {name: tensor.cpu() for name, tensor in batch.items() if name not in ("modality_mask", "labels")}
    items = torch.arange(len(rows["pixel_values"]))
    batches = {"ours": {**rows, "labels": items}, "VisionTextDualEncoder": {**rows, "return_loss": True}}
    return [{name: trainer_seconds(models[name], own, steps, bf16) for name, own in batches.items()} for _ in range(3)]


def inference_rounds(
    models: dict[str, nn.Module],
    batch: dict[str, torch.Tensor],
    rows: int,
    steps: int,
    precision: Any,  # noqa: ANN401 (a context)
) -> list[dict[str, float]]:
    """Returns the seconds that each model takes for the embeddings of so many rows, in turns."""
    repeats = -(-rows // len(batch["pixel_values"]))
    own = {name: tensor.repeat(repeats, *[1] * (tensor.ndim - 1))[:rows] for name, tensor in batch.items()}
    texts = {name: own[name] for name in ("input_ids", "attention_mask")}
    ours: Any = models["ours"]
    calls = {
        "ours": lambda: ours.embed(ours.encode(**texts, pixel_values=own["pixel_values"])),
        "bare": lambda: models["bare"](own),
        "VisionTextDualEncoder": lambda: models["VisionTextDualEncoder"](**texts, pixel_values=own["pixel_values"]),
        "open_clip": lambda: models["open_clip"](own["pixel_values"], own["input_ids"]),
    }

    def run(name: str) -> None:
        with torch.inference_mode(), precision:
            calls[name]()

    for model in models.values():
        model.eval()
    return take_turns({name: lambda n=name: run(n) for name in models}, steps)  # type: ignore[misc]


def peers(
    towers: Towers = typer.Option("small", help="Size of the towers."),  # noqa: B008 (typer's way)
    batch_size: int = typer.Option(16, min=2, help="Rows in a batch."),
    steps: int = typer.Option(20, min=2, help="Rounds that count; in each, every variant takes one step."),
    bf16: bool = typer.Option(False, "--bf16", help="Compute in bfloat16 (autocast)."),
    seed: int = typer.Option(0, help="Seed of weights and rows."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON instead of text."),
) -> None:
    """Measures our contrastive step against a bare loop, VisionTextDualEncoder and, where installed, open_clip."""
    torch.manual_seed(seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    ours = build_ours(towers.value)
    models = {"ours": ours, "bare": BareDualEncoder(ours), "VisionTextDualEncoder": build_dual_encoder(towers.value)}
    if importlib.util.find_spec("open_clip") is not None:
        models["open_clip"] = build_open_clip(towers.value)
    batch = build_batch(towers.value, batch_size, device)
    precision = torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16)
    losses = losses_of({name: model.to(device).train() for name, model in models.items()}, batch)

    def in_precision(compute_loss: Callable[[], torch.Tensor]) -> Callable[[], torch.Tensor]:
        def compute() -> torch.Tensor:
            with precision:
                return compute_loss()

        return compute

    variants = {name: training_step(models[name], in_precision(losses[name])) for name in models}
    rounds = take_turns(variants, steps)
    trained = under_trainer(models, batch, steps, bf16)
    inference = {f"{rows} row(s)": inference_rounds(models, batch, rows, steps, precision) for rows in (1, 32)}
    result = {
        "settings": {
            "towers": towers.value,
            "batch_size": batch_size,
            "steps": steps,
            "precision": "bfloat16" if bf16 else "float32",
            "seed": seed,
        },
        "machine": {**describe_machine(device), **_versions("open_clip_torch")},
        "milliseconds": {name: spread([1000 * x[name] for x in rounds]) for name in variants},
        "ours_over": {name: spread([x["ours"] / x[name] for x in rounds]) for name in variants if name != "ours"},
        "inference_milliseconds": {
            name: {model: spread([1000 * x[model] for x in turns]) for model in models}
            for name, turns in inference.items()
        },
        "under_trainer": spread([x["ours"] / x["VisionTextDualEncoder"] for x in trained]),
        "parameters": {name: sum(p.numel() for p in model.parameters()) for name, model in models.items()},
    }
    typer.echo(json.dumps(result, indent=2) if as_json else _report(result))


def _versions(package: str) -> dict[str, str]:
    try:
        return {package: importlib.metadata.version(package)}
    except importlib.metadata.PackageNotFoundError:
        return {}


def _report(result: dict[str, Any]) -> str:
    ratios = result["ours_over"]
    lines = [*header(result), "Contrastive training steps, the variants in turns; median (quartiles):"]
    lines += [line(f"  {name}", values, " ms", 1) for name, values in result["milliseconds"].items()]
    lines += [line(f"ours / {name}", values) for name, values in ratios.items()]
    lines.append(line("ours / VisionTextDualEncoder, both under Trainer", result["under_trainer"]))
    lines.append("Embedding rows:")
    for rows, times in result["inference_milliseconds"].items():
        lines += [line(f"  {rows}, {name}", values, " ms", 1) for name, values in times.items()]
    if "open_clip" not in ratios:
        lines.append("open_clip is not installed (pip install open_clip_torch), so it was not measured.")
    return "\n".join(lines)


__all__ = ["peers"]
