# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""transformers' common model, configuration, export and training tests on our models."""

import tempfile
import unittest
from unittest.mock import patch

import torch
from transformers.models.auto import modeling_auto

from hf_multimodal import (
    MultimodalConfig,
    MultimodalForClassification,
    MultimodalForConditionalGeneration,
    MultimodalForMultiTask,
    MultimodalForPreTraining,
    MultimodalForQuestionAnswering,
    MultimodalForRetrieval,
    MultimodalModel,
)
from hf_multimodal.modeling.configuration_multimodal import TOWER_CONFIG_FIELDS
from tests.hf_suite.skips import apply_skips
from tests.hf_suite.upstream import (
    ConfigTester,
    GenerationTesterMixin,
    ModelTesterMixin,
    TrainingTesterMixin,
    floats_tensor,
    ids_tensor,
    random_attention_mask,
)
from tests.tiny import TEXT_TOWERS, tiny_towers


class ModelTester:
    """What the mixins ask about a model: its sizes, a configuration, a batch."""

    batch_size = 3
    hidden_size = 16
    num_hidden_layers = num_attention_heads = num_labels = 2
    vocab_size = 32  # of `tests.tiny`'s text towers
    is_training = True
    decoder_seq_length = 5

    def __init__(self, text, image=None, audio=None, video=None, series=None, image_size=32, seq_length=7, **config):
        towers = tiny_towers(text, image, audio, video, series)
        self.fields = {TOWER_CONFIG_FIELDS[modality]: tower for modality, tower in towers.items()}
        self.fields.update(config)
        self.image_size = image_size
        self.seq_length = self.encoder_seq_length = self.key_length = seq_length

    def get_config(self):
        return MultimodalConfig(
            hidden_size=self.hidden_size,
            num_hidden_layers=2,
            num_attention_heads=self.num_attention_heads,
            intermediate_size=32,
            **self.fields,
        )

    def prepare_config_and_inputs_for_common(self):
        config, inputs = self.get_config(), {}
        if "text" in config.modalities:
            inputs["input_ids"] = ids_tensor([self.batch_size, self.seq_length], self.vocab_size)
            inputs["attention_mask"] = random_attention_mask([self.batch_size, self.seq_length])
        if "image" in config.modalities:
            inputs["pixel_values"] = floats_tensor([self.batch_size, 3, self.image_size, self.image_size])
        if "audio" in config.modalities:
            inputs["audio_values"] = floats_tensor([self.batch_size, 1, 16, 33])
        if "video" in config.modalities:
            frames = [self.batch_size, config.num_frames, 3, self.image_size, self.image_size]
            inputs["pixel_values_videos"] = floats_tensor(frames)
        if "series" in config.modalities:
            inputs["series_values"] = floats_tensor([self.batch_size, 8, 2])
            inputs["series_mask"] = random_attention_mask([self.batch_size, 8, 2])
            inputs["series_categories"] = ids_tensor([self.batch_size, 2], 4)
        if config.decoder_config is not None:
            inputs["decoder_input_ids"] = ids_tensor([self.batch_size, self.decoder_seq_length], self.vocab_size)
        return config, inputs


class _ModelTest(ModelTesterMixin):
    _is_composite = True
    model = {}  # arguments of `ModelTester`

    def setUp(self):
        self.model_tester = ModelTester(**self.model)
        # The mixins decide by class name in these tables what a model is; registration does not fill them.
        for names, model_class in (
            (modeling_auto.MODEL_MAPPING_NAMES, MultimodalModel),
            (modeling_auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES, MultimodalForClassification),
        ):
            table = patch.dict(names, {MultimodalConfig.model_type: model_class.__name__})
            table.start()
            self.addCleanup(table.stop)

    def _prepare_for_class(self, inputs_dict, model_class, return_labels=False):
        inputs = super()._prepare_for_class(inputs_dict, model_class, return_labels)
        if return_labels and model_class is MultimodalForQuestionAnswering:  # upstream has no labels for this task
            inputs["labels"] = torch.zeros(self.model_tester.batch_size, dtype=torch.long)
        if return_labels and model_class is MultimodalForConditionalGeneration:
            inputs["labels"] = inputs["decoder_input_ids"]
        if return_labels and model_class is MultimodalForPreTraining:
            hidden = torch.arange(16).expand(self.model_tester.batch_size, -1) % 2 == 0
            inputs["labels"] = {"masked_language": inputs["input_ids"], "image": hidden}
        if return_labels and model_class is MultimodalForRetrieval:
            inputs["labels"] = torch.arange(self.model_tester.batch_size)
        if return_labels and model_class is MultimodalForMultiTask:
            rows = self.model_tester.batch_size
            inputs["labels"] = {"kind": torch.zeros(rows, dtype=torch.long), "size": torch.ones(rows)}
        return inputs


@apply_skips
class MultimodalModelTest(_ModelTest, unittest.TestCase):
    """Every model class, with a text and an image tower under cross-attention."""

    all_model_classes = (MultimodalModel, MultimodalForClassification, MultimodalForQuestionAnswering)
    additional_model_inputs = ["pixel_values"]
    model = {"text": "bert", "image": "timm resnet", "image_size": 64}

    def test_config(self):
        ConfigTester(self, config_class=MultimodalConfig, has_text_modality=False).run_common_tests()

    def test_attention_outputs(self):
        self.model_tester.num_hidden_layers = 4  # layers times modalities; the text's map comes first
        super().test_attention_outputs()

    def test_hidden_states_output(self):
        self.model_tester.encoder_seq_length = 7 + 4  # the text's tokens and the image's
        super().test_hidden_states_output()

    def test_sdpa_can_dispatch_composite_models(self):
        for model_class in self.all_model_classes:
            with tempfile.TemporaryDirectory() as folder:
                model_class(self.model_tester.get_config()).save_pretrained(folder)
                for asked, text, image, fusion in (
                    (None, "sdpa", "sdpa", "sdpa"),
                    ("eager", "eager", "eager", "eager"),
                    ({"text_config": "eager"}, "eager", "sdpa", "sdpa"),
                    ({"": "eager", "text_config": "sdpa"}, "sdpa", "sdpa", "eager"),
                ):
                    model = model_class.from_pretrained(folder, attn_implementation=asked).base_model
                    got = [model.towers[m].backbone.config._attn_implementation for m in ("text", "image")]
                    assert [*got, model.config._attn_implementation] == [text, image, fusion]


@apply_skips
class TextOnlyModelTest(_ModelTest, unittest.TestCase):
    all_model_classes = (MultimodalForClassification,)
    model = {"text": "distilbert", "image": None}


@apply_skips
class ImageOnlyModelTest(_ModelTest, unittest.TestCase):
    all_model_classes = (MultimodalForClassification,)
    model = {"text": None, "image": "timm vit", "seq_length": 17}  # 4 by 4 patches and the class token


@apply_skips
class ConcatModelTest(_ModelTest, unittest.TestCase):
    all_model_classes = (MultimodalForClassification,)
    additional_model_inputs = ["pixel_values"]
    model = {"text": "roberta", "image": "vit", "fusion": "concat"}


@apply_skips
class TextImageAudioModelTest(_ModelTest, unittest.TestCase):
    all_model_classes = (MultimodalForClassification,)
    additional_model_inputs = ["pixel_values", "audio_values"]
    model = {"text": "bert", "image": "timm vit", "audio": "timm resnet"}

    def test_attention_outputs(self):
        self.model_tester.num_hidden_layers = 6  # layers times modalities; the text's map comes first
        super().test_attention_outputs()

    def test_hidden_states_output(self):
        self.model_tester.encoder_seq_length = 7 + 17 + 2  # the text's tokens, the image's and the sound's
        super().test_hidden_states_output()


@apply_skips
class TextVideoModelTest(_ModelTest, unittest.TestCase):
    all_model_classes = (MultimodalForClassification,)
    additional_model_inputs = ["pixel_values_videos"]
    model = {"text": "bert", "video": "timm vit", "num_frames": 3, "num_temporal_layers": 1}

    def test_attention_outputs(self):
        self.model_tester.num_hidden_layers = 4  # layers times modalities; the text's map comes first
        super().test_attention_outputs()

    def test_hidden_states_output(self):
        self.model_tester.encoder_seq_length = 7 + 3 * 17  # the text's tokens and those of three frames
        super().test_hidden_states_output()


@apply_skips
class TextSeriesModelTest(_ModelTest, unittest.TestCase):
    all_model_classes = (MultimodalForClassification,)
    additional_model_inputs = ["series_values", "series_mask", "series_categories"]
    model = {"text": "bert", "series": "patchtst", "category_sizes": [4, 5]}  # upstream draws integers below five

    def test_attention_outputs(self):
        self.model_tester.num_hidden_layers = 4  # layers times modalities; the text's map comes first
        super().test_attention_outputs()

    def test_hidden_states_output(self):
        self.model_tester.encoder_seq_length = (
            7 + 2 * 2 + 2
        )  # the text's tokens, two patches per channel, two categories
        super().test_hidden_states_output()


@apply_skips
class MultiTaskModelTest(_ModelTest, unittest.TestCase):
    all_model_classes = (MultimodalForMultiTask,)
    additional_model_inputs = ["pixel_values"]
    model = {
        "text": "bert",
        "image": "timm vit",
        "fusion": "merged_attention",
        "tasks": {
            "kind": {"problem_type": "single_label_classification", "labels": ["a", "b", "c"]},
            "size": {"problem_type": "regression", "labels": ["size"]},
        },
        "task_weighting": "uncertainty",
    }

    def test_attention_outputs(self):
        self.model_tester.encoder_seq_length = self.model_tester.key_length = 7 + 17
        super().test_attention_outputs()

    def test_hidden_states_output(self):
        self.model_tester.encoder_seq_length = 7 + 17  # the text's tokens and the image's
        super().test_hidden_states_output()


@apply_skips
class RetrievalModelTest(_ModelTest, unittest.TestCase):
    all_model_classes = (MultimodalForRetrieval,)
    additional_model_inputs = ["pixel_values"]
    model = {"text": "bert", "image": "timm vit", "embedding_size": 8}

    def test_attention_outputs(self):
        self.model_tester.num_hidden_layers = 4  # layers times modalities; the text's map comes first
        super().test_attention_outputs()

    def test_hidden_states_output(self):
        self.model_tester.encoder_seq_length = 7 + 17  # the text's tokens and the image's
        super().test_hidden_states_output()


@apply_skips
class GenerationModelTest(_ModelTest, GenerationTesterMixin, unittest.TestCase):
    all_model_classes = (MultimodalForConditionalGeneration,)
    additional_model_inputs = ["pixel_values", "decoder_input_ids"]
    is_encoder_decoder = True
    model = {
        "text": "bert",
        "image": "timm vit",
        "decoder_config": {**TEXT_TOWERS["bert"], "num_hidden_layers": 2},
        "decoder_start_token_id": 2,
        "bos_token_id": 2,
        "eos_token_id": 3,
        "pad_token_id": 0,
    }

    def test_hidden_states_output(self):
        self.model_tester.encoder_seq_length = 7 + 17  # the text's tokens and the image's
        super().test_hidden_states_output()


@apply_skips
class PreTrainingModelTest(_ModelTest, unittest.TestCase):
    all_model_classes = (MultimodalForPreTraining,)
    additional_model_inputs = ["pixel_values"]
    model = {
        "text": "bert",
        "image": "timm vit",
        "pretraining_objectives": {"masked_language": 1.0, "reconstruction": 1.0},
    }

    def test_attention_outputs(self):
        self.model_tester.num_hidden_layers = 4 + 2  # layers times modalities, then those that draw the picture
        super().test_attention_outputs()

    def test_hidden_states_output(self):
        self.model_tester.encoder_seq_length = 7 + 17  # the text's tokens and the image's
        super().test_hidden_states_output()


@apply_skips
class MergedAttentionModelTest(_ModelTest, unittest.TestCase):
    all_model_classes = (MultimodalForClassification,)
    additional_model_inputs = ["pixel_values"]
    model = {"text": "bert", "image": "timm vit", "fusion": "merged_attention"}

    def test_attention_outputs(self):
        self.model_tester.encoder_seq_length = self.model_tester.key_length = 7 + 17
        super().test_attention_outputs()

    def test_hidden_states_output(self):
        self.model_tester.encoder_seq_length = 7 + 17  # the text's tokens and the image's
        super().test_hidden_states_output()


@apply_skips
class BottleneckModelTest(_ModelTest, unittest.TestCase):
    all_model_classes = (MultimodalForClassification,)
    additional_model_inputs = ["pixel_values"]
    model = {"text": "bert", "image": "timm vit", "fusion": "bottleneck"}

    def test_attention_outputs(self):
        self.model_tester.num_hidden_layers = 4  # layers times modalities; the text's map comes first
        self.model_tester.encoder_seq_length = self.model_tester.key_length = 7 + 4  # its tokens and the shared ones
        super().test_attention_outputs()

    def test_hidden_states_output(self):
        self.model_tester.encoder_seq_length = 7 + 17
        super().test_hidden_states_output()


@apply_skips
class WeightedModelTest(_ModelTest, unittest.TestCase):
    all_model_classes = (MultimodalForClassification,)
    additional_model_inputs = ["pixel_values"]
    model = {"text": "distilbert", "image": "timm resnet", "image_size": 64, "fusion": "weighted"}


@apply_skips
class DecisionModelTest(_ModelTest, unittest.TestCase):
    all_model_classes = (MultimodalForClassification,)
    additional_model_inputs = ["pixel_values"]
    model = {"text": "distilbert", "image": "timm vit", "fusion": "decision"}


class _TrainingTester(ModelTester):
    def get_config(self):
        config = super().get_config()
        config.vocab_size = self.vocab_size  # the mixin draws token ids below it
        return config


class TrainingTest(TrainingTesterMixin, unittest.TestCase):
    """A tiny classifier learns one batch by heart."""

    model_tester = _TrainingTester("bert", "timm resnet", image_size=64, hidden_dropout_prob=0.0)
    all_model_classes = (MultimodalForClassification,)
    training_overfit_steps = 60
    training_overfit_seq_length = 7

    def _create_text_training_batch(self, batch_size, seq_length, vocab_size):
        inputs = super()._create_text_training_batch(batch_size, seq_length, vocab_size)
        pictures = torch.randn(batch_size, 3, 64, 64, generator=torch.Generator().manual_seed(0))
        return {"input_ids": inputs["input_ids"], "pixel_values": pictures, "labels": torch.arange(batch_size)}
