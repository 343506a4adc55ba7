# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Every upstream test that is skipped or overridden for our classes, with the reason.

The skips are made from this table, and `test_suite_skips.py` compares it with the classes and with upstream, so it
cannot drift. What upstream skips by itself (no GPU, no flash attention, no mixture of experts, …) is not listed.
"""

import unittest

NO_LAYERS = "fusions of pooled vectors have no layers whose hidden states or attention could be returned"
FIRST_IS_A_DICT = "takes the first output for a tensor; here it is a dict (see the model's own tests)"
EVERY_INPUT = "gives whatever the call takes, clips too, though the processor has no component for them"
NO_TEXT = "is about token embeddings; this model has no text tower"
NO_PLACEHOLDERS = "is about placeholders for images in the text; our images stand beside the text"

ABOUT_LAYERS = {
    "test_attention_outputs": NO_LAYERS,
    "test_can_capture_specific_layers_hidden_states": NO_LAYERS,
    "test_hidden_states_output": NO_LAYERS,
    "test_retain_grad_hidden_states_attentions": NO_LAYERS,
}
MAPS = "told how many attention maps there are and how long, then run as it is"
SIDE_BY_SIDE = "told that both modalities' tokens stand side by side, then run as it is"

# test class -> upstream test -> why it is skipped
SKIPPED = {
    "ConcatModelTest": ABOUT_LAYERS,
    "WeightedModelTest": ABOUT_LAYERS,
    "DecisionModelTest": ABOUT_LAYERS,
    "MultiTaskModelTest": {
        "test_determinism": FIRST_IS_A_DICT,
        "test_retain_grad_hidden_states_attentions": FIRST_IS_A_DICT,
    },
    "PreTrainingModelTest": {
        "test_determinism": FIRST_IS_A_DICT,
        "test_retain_grad_hidden_states_attentions": FIRST_IS_A_DICT,
    },
    "RetrievalModelTest": {
        "test_determinism": FIRST_IS_A_DICT,
        "test_retain_grad_hidden_states_attentions": FIRST_IS_A_DICT,
    },
    "GenerationModelTest": {
        "test_attention_outputs": "takes the maps of both ends to be as long (see test_modeling_generation.py)",
        "test_resize_tokens_embeddings": "feeds the tokens of the decoder, which is resized, to the text tower",
    },
    "ImageOnlyModelTest": {
        "test_inputs_embeds": NO_TEXT,
        "test_load_with_mismatched_shapes": NO_TEXT,
        "test_model_get_set_embeddings": NO_TEXT,
        "test_resize_tokens_embeddings": NO_TEXT,
    },
    "MultimodalProcessorTest": {
        "test_processor_with_multiple_inputs": "wants sounds as input_values or input_features; ours are audio_values",
        "test_replacement_offsets": NO_PLACEHOLDERS,
        "test_flat_kwarg_applied_when_modality_dict_lacks_it": EVERY_INPUT,
        "test_model_input_names": EVERY_INPUT,
        "test_init_arguments_not_in_processor_kwargs": "our num_frames belongs to the model, and no call changes it",
    },
}

# test class -> upstream test -> why it is overridden, and by what
OVERRIDDEN = {
    "MultimodalModelTest": {
        "test_attention_outputs": MAPS,
        "test_hidden_states_output": SIDE_BY_SIDE,
        "test_sdpa_can_dispatch_composite_models": "knows towers by the names built-in models give them; rewritten",
    },
    "TextVideoModelTest": {"test_attention_outputs": MAPS, "test_hidden_states_output": SIDE_BY_SIDE},
    "MultiTaskModelTest": {"test_attention_outputs": MAPS, "test_hidden_states_output": SIDE_BY_SIDE},
    "RetrievalModelTest": {"test_attention_outputs": MAPS, "test_hidden_states_output": SIDE_BY_SIDE},
    "GenerationModelTest": {"test_hidden_states_output": SIDE_BY_SIDE},
    "PreTrainingModelTest": {"test_attention_outputs": MAPS, "test_hidden_states_output": SIDE_BY_SIDE},
    "TextSeriesModelTest": {"test_attention_outputs": MAPS, "test_hidden_states_output": SIDE_BY_SIDE},
    "TextImageAudioModelTest": {"test_attention_outputs": MAPS, "test_hidden_states_output": SIDE_BY_SIDE},
    "MergedAttentionModelTest": {"test_attention_outputs": MAPS, "test_hidden_states_output": SIDE_BY_SIDE},
    "BottleneckModelTest": {"test_attention_outputs": MAPS, "test_hidden_states_output": SIDE_BY_SIDE},
}


def apply_skips(test_class):
    """Class decorator: skips what the table lists for the class."""
    for name, reason in SKIPPED.get(test_class.__name__, {}).items():
        setattr(test_class, name, unittest.skip(reason)(getattr(test_class, name)))
    return test_class
