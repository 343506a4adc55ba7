# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""How well a pretrained model guesses what is hidden: its loss on rows, and pictures drawn again."""

import tempfile
from pathlib import Path
from typing import Any

import torch

from hf_multimodal.data.captions import spread_captions
from hf_multimodal.data.collator import MultimodalCollator
from hf_multimodal.data.masking import MaskingSchema, masking_options
from hf_multimodal.data.whole_files import write_whole
from hf_multimodal.evaluation.predictions import METRICS, metrics_json
from hf_multimodal.evaluation.reconstructions import write_reconstructions
from hf_multimodal.modeling.configuration_multimodal import TOWER_INPUTS
from hf_multimodal.modeling.modeling_pretraining import MultimodalForPreTraining
from hf_multimodal.modeling.modeling_reconstruction import from_patches, hide_patches, patch_grid
from hf_multimodal.training.inference import evaluation_arguments, load_model
from hf_multimodal.training.output_folder import RUN_FILE
from hf_multimodal.training.row_source import RowSource
from hf_multimodal.training.run_config import RunConfig
from hf_multimodal.training.trainer import MultimodalTrainer

SHOWN = 12


def masking_of(model: str, config: Any) -> MaskingSchema:  # noqa: ANN401 (a MultimodalConfig)
    """Returns what a saved model's run has hidden; the defaults where the folder holds no run."""
    run_file = Path(model) / RUN_FILE
    section = RunConfig.load(run_file).data.masking if run_file.is_file() else {}
    return MaskingSchema.from_config(config, **masking_options(section))


def evaluate_pretraining(
    model: str, rows: RowSource, *, output: Path | None = None, batch_size: int = 64
) -> dict[str, float]:
    """Computes the loss of a pretrained model, of which the same is hidden in every evaluation.

    Args:
        model: Folder or Hub id.
        rows: The rows, without labels.
        output: Folder for `metrics.json` and `reconstructions_MODALITY.png` (twelve originals, what the model saw of
            them, and what it drew), or None.
        batch_size: Rows per device and step.

    Raises:
        ValueError: if the model is another one, or a row is not usable.
    """
    loaded, processor = load_model(model)
    if not isinstance(loaded, MultimodalForPreTraining):
        raise ValueError(f"{model!r} holds {type(loaded).__name__}, which is no model for pretraining.")
    collator = MultimodalCollator(processor, masking_of(model, loaded.config), rows.columns)
    dataset = spread_captions(rows.load(with_labels=False, text_lists=True))
    with tempfile.TemporaryDirectory() as scratch:
        arguments = evaluation_arguments(scratch, batch_size)
        trainer = MultimodalTrainer(loaded, arguments, processing_class=processor, data_collator=collator)
        scores = trainer.evaluate(dataset)
        metrics = {name.removeprefix("eval_"): value for name, value in scores.items()}
        if output is not None and trainer.is_world_process_zero():
            output.mkdir(parents=True, exist_ok=True)
            draw_rows(loaded, processor, collator, dataset, output)
            write_whole(output / METRICS, metrics_json(metrics))
    return metrics


def draw_rows(
    model: MultimodalForPreTraining,
    processor: Any,  # noqa: ANN401 (a MultimodalProcessor)
    collator: MultimodalCollator,
    rows: Any,  # noqa: ANN401 (a dataset of rows)
    folder: Path,
) -> list[Path]:
    """Draws the first rows again and writes a sheet of each modality that can be drawn."""
    batch = collator.for_evaluation()([rows[i] for i in range(min(SHOWN, len(rows)))]).to(model.device)
    hidden, size, written = batch.pop("labels"), model.config.reconstruction_patch_size, []
    originals = {m: batch[TOWER_INPUTS[m][0]] for m in hidden if m in ("image", "audio")}
    shown = {m: hide_patches(pixels, hidden[m].to(pixels.device), size) for m, pixels in originals.items()}
    model.eval()
    with torch.inference_mode():
        output = model(**{**batch, **{TOWER_INPUTS[m][0]: pixels for m, pixels in shown.items()}})
    for modality, patches in (output.reconstructions or {}).items():
        if modality not in originals:
            continue
        height, width = originals[modality].shape[-2:]
        drawn = from_patches(patches, patch_grid(originals[modality], size), size)[..., :height, :width]
        states = {"original": originals[modality], "seen": shown[modality], "drawn": drawn}
        if not hidden[modality].any():
            del states["seen"]
        pixels = {name: tensor.float().cpu().numpy() for name, tensor in states.items()}
        look: dict[str, Any] = {}
        if modality == "image":
            look = {"mean": processor.image_processor.image_mean, "std": processor.image_processor.image_std}
        written.append(write_reconstructions(folder, modality, pixels, **look))
    return written


__all__ = ["draw_rows", "evaluate_pretraining", "masking_of"]
