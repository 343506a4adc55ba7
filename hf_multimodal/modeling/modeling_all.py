# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""The table of all models with a head."""

from .modeling_generation import MultimodalForConditionalGeneration
from .modeling_multimodal import MultimodalForClassification, MultimodalForQuestionAnswering, MultimodalWithHead
from .modeling_pretraining import MultimodalForPreTraining
from .modeling_retrieval import MultimodalForRetrieval
from .modeling_tasks import MultimodalForMultiTask

# keys: `architectures` in a saved configuration
MODELS_WITH_HEAD: dict[str, type[MultimodalWithHead]] = {
    model_class.__name__: model_class
    for model_class in (
        MultimodalForClassification,
        MultimodalForQuestionAnswering,
        MultimodalForMultiTask,
        MultimodalForRetrieval,
        MultimodalForConditionalGeneration,
        MultimodalForPreTraining,
    )
}

__all__ = ["MODELS_WITH_HEAD"]
