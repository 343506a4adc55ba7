# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""What a saved folder needs to load where this package is absent."""

import inspect
import shutil
from os import PathLike
from pathlib import Path

AUTO_MAP = {
    "AutoConfig": "configuration_multimodal.MultimodalConfig",
    "AutoFeatureExtractor": "audio_processing_multimodal.MultimodalAudioProcessor",
    "AutoImageProcessor": "image_processing_multimodal.MultimodalImageProcessor",
    "AutoModel": "modeling_multimodal.MultimodalModel",
    "AutoModelForImageTextToText": "modeling_generation.MultimodalForConditionalGeneration",
    "AutoModelForPreTraining": "modeling_pretraining.MultimodalForPreTraining",
    "AutoModelForSequenceClassification": "modeling_multimodal.MultimodalForClassification",
    "AutoModelForVisualQuestionAnswering": "modeling_multimodal.MultimodalForQuestionAnswering",
    "AutoProcessor": "processing_multimodal.MultimodalProcessor",
}
PIPELINE = "pipeline_multimodal.MultimodalClassificationPipeline"
GENERATION_PIPELINE = "pipeline_generation.MultimodalGenerationPipeline"


class CarriesCode:
    """Mixin of what is pushed to the Hub together with its code."""

    def _get_files_timestamps(self, working_dir: str | PathLike[str]) -> dict[str, float]:
        """Leaves the code out of the files that a push takes as already there: it was copied a moment before."""
        stamps: dict[str, float] = super()._get_files_timestamps(working_dir)  # type: ignore[misc]  # PushToHubMixin's
        return {name: time for name, time in stamps.items() if not name.endswith(".py")}


def copy_modeling_code(save_directory: str | PathLike) -> None:
    """Copies the flat modelling files into a checkpoint folder, so that `trust_remote_code=True` finds them there."""
    # The entry points are imported by name here because transformers, when it loads a folder's code, brings along just
    # the files it reaches by relative imports: a model loaded that way can be saved again, whole.
    from .image_processing_multimodal import MultimodalImageProcessor
    from .modeling_all import MODELS_WITH_HEAD
    from .modeling_multimodal import MultimodalModel
    from .pipeline_generation import MultimodalGenerationPipeline
    from .pipeline_multimodal import MultimodalClassificationPipeline
    from .processing_multimodal import MultimodalProcessor

    models: tuple[type, ...] = (MultimodalModel, *MODELS_WITH_HEAD.values())
    entry_points: tuple[type, ...] = (
        MultimodalImageProcessor,
        *models,
        MultimodalClassificationPipeline,
        MultimodalGenerationPipeline,
        MultimodalProcessor,
    )
    target = Path(save_directory)
    target.mkdir(parents=True, exist_ok=True)
    for folder in sorted({Path(inspect.getfile(entry)).parent for entry in entry_points}):
        for file in sorted(folder.glob("*.py")):
            if file.name != "__init__.py" and folder != target.resolve():
                shutil.copyfile(file, target / file.name)


__all__ = ["AUTO_MAP", "GENERATION_PIPELINE", "PIPELINE", "CarriesCode", "copy_modeling_code"]
