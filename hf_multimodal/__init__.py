# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Fuse any Hugging Face text and audio encoders with any timm vision encoder, inside transformers.

Importing this package is light: it loads neither torch nor transformers. Public names load their module on first
use, and transformers' auto classes know the package from the moment either of the two is imported.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from hf_multimodal.registration import install_import_hook, register

if TYPE_CHECKING:
    from hf_multimodal.data.collator import MultimodalCollator
    from hf_multimodal.data.loading import load_rows
    from hf_multimodal.data.scenes import make_scenes
    from hf_multimodal.modeling.audio_processing_multimodal import MultimodalAudioProcessor
    from hf_multimodal.modeling.configuration_multimodal import MultimodalConfig
    from hf_multimodal.modeling.image_processing_multimodal import MultimodalImageProcessor
    from hf_multimodal.modeling.modeling_generation import MultimodalForConditionalGeneration
    from hf_multimodal.modeling.modeling_multimodal import (
        MultimodalForClassification,
        MultimodalForQuestionAnswering,
        MultimodalModel,
    )
    from hf_multimodal.modeling.modeling_pretraining import MultimodalForPreTraining
    from hf_multimodal.modeling.modeling_retrieval import MultimodalForRetrieval
    from hf_multimodal.modeling.modeling_tasks import MultimodalForMultiTask
    from hf_multimodal.modeling.pipeline_generation import MultimodalGenerationPipeline
    from hf_multimodal.modeling.pipeline_multimodal import MultimodalClassificationPipeline
    from hf_multimodal.modeling.processing_multimodal import MultimodalProcessor
    from hf_multimodal.modeling.series_processing_multimodal import MultimodalSeriesProcessor, fit_series
    from hf_multimodal.retrieval.collection import Collection
    from hf_multimodal.retrieval.embed import embed_rows
    from hf_multimodal.retrieval.search import Searcher
    from hf_multimodal.training.arguments import MultimodalTrainingArguments
    from hf_multimodal.training.generation import write_texts
    from hf_multimodal.training.row_source import RowSource
    from hf_multimodal.training.trainer import MultimodalTrainer

__version__ = "0.1.0"

__all__ = [
    "Collection",
    "MultimodalAudioProcessor",
    "MultimodalClassificationPipeline",
    "MultimodalCollator",
    "MultimodalConfig",
    "MultimodalForClassification",
    "MultimodalForConditionalGeneration",
    "MultimodalForMultiTask",
    "MultimodalForPreTraining",
    "MultimodalForQuestionAnswering",
    "MultimodalForRetrieval",
    "MultimodalGenerationPipeline",
    "MultimodalImageProcessor",
    "MultimodalModel",
    "MultimodalProcessor",
    "MultimodalSeriesProcessor",
    "MultimodalTrainer",
    "MultimodalTrainingArguments",
    "RowSource",
    "Searcher",
    "__version__",
    "embed_rows",
    "fit_series",
    "load_rows",
    "make_scenes",
    "write_texts",
]

# Where each lazy public name lives. Type checkers read the imports above, the interpreter reads this table.
_MODULE_OF = {
    "Collection": "hf_multimodal.retrieval.collection",
    "MultimodalAudioProcessor": "hf_multimodal.modeling.audio_processing_multimodal",
    "MultimodalClassificationPipeline": "hf_multimodal.modeling.pipeline_multimodal",
    "MultimodalCollator": "hf_multimodal.data.collator",
    "MultimodalConfig": "hf_multimodal.modeling.configuration_multimodal",
    "MultimodalForClassification": "hf_multimodal.modeling.modeling_multimodal",
    "MultimodalForConditionalGeneration": "hf_multimodal.modeling.modeling_generation",
    "MultimodalForMultiTask": "hf_multimodal.modeling.modeling_tasks",
    "MultimodalForPreTraining": "hf_multimodal.modeling.modeling_pretraining",
    "MultimodalForQuestionAnswering": "hf_multimodal.modeling.modeling_multimodal",
    "MultimodalForRetrieval": "hf_multimodal.modeling.modeling_retrieval",
    "MultimodalGenerationPipeline": "hf_multimodal.modeling.pipeline_generation",
    "MultimodalImageProcessor": "hf_multimodal.modeling.image_processing_multimodal",
    "MultimodalModel": "hf_multimodal.modeling.modeling_multimodal",
    "MultimodalProcessor": "hf_multimodal.modeling.processing_multimodal",
    "MultimodalSeriesProcessor": "hf_multimodal.modeling.series_processing_multimodal",
    "MultimodalTrainer": "hf_multimodal.training.trainer",
    "MultimodalTrainingArguments": "hf_multimodal.training.arguments",
    "RowSource": "hf_multimodal.training.row_source",
    "Searcher": "hf_multimodal.retrieval.search",
    "embed_rows": "hf_multimodal.retrieval.embed",
    "fit_series": "hf_multimodal.modeling.series_processing_multimodal",
    "load_rows": "hf_multimodal.data.loading",
    "make_scenes": "hf_multimodal.data.scenes",
    "write_texts": "hf_multimodal.training.generation",
}


def __getattr__(name: str) -> object:
    """Load a public name on first use (PEP 562), and register the model classes when one of them is asked for."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'hf_multimodal' has no attribute {name!r}; public names: {', '.join(__all__)}")
    module_name = _MODULE_OF[name]
    if module_name.startswith("hf_multimodal.modeling."):
        register()
    value: object = getattr(import_module(module_name), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the lazy names too, so that completion finds them."""
    return sorted({*globals(), *_MODULE_OF})


install_import_hook()
