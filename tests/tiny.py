# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Builders of tiny towers, models, processors and batches (width at most 32) for all tests."""

import numpy as np
import pytest
import torch
from packaging.version import Version
from PIL import Image
from transformers import AutoConfig

from hf_multimodal.data.word_tokenizer import build_word_tokenizer
from hf_multimodal.modeling.configuration_multimodal import PROCESSOR_ARGUMENTS
from hf_multimodal.modeling.image_processing_multimodal import MultimodalImageProcessor
from hf_multimodal.modeling.modeling_generation import MultimodalForConditionalGeneration
from hf_multimodal.modeling.modeling_multimodal import MultimodalForClassification
from hf_multimodal.modeling.processing_multimodal import MultimodalProcessor
from hf_multimodal.modeling.series_processing_multimodal import MultimodalSeriesProcessor

TEXTS = ["a red square", "a blue circle left of a red square", "the blue circle"]
SIDE = 32  # of every tiny picture, in pixels
needs_dynamo = pytest.mark.skipif(
    Version(torch.__version__) < Version("2.11"), reason="torch.compile follows transformers' wrappers from 2.11 on"
)

_ENCODER = {
    "vocab_size": 32,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 40,
    "pad_token_id": 0,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
# One of each kind of text encoder: with and without a pooler, absolute, relative and rotary positions, encoder halves.
TEXT_TOWERS = {
    "bert": {"model_type": "bert", **_ENCODER},
    "roberta": {"model_type": "roberta", **_ENCODER},
    "electra": {"model_type": "electra", **_ENCODER, "embedding_size": 8},
    "mpnet": {"model_type": "mpnet", **_ENCODER},
    "albert": {"model_type": "albert", **_ENCODER, "embedding_size": 8},
    "modernbert": {
        "model_type": "modernbert",
        **_ENCODER,
        "bos_token_id": 2,
        "cls_token_id": 2,
        "eos_token_id": 3,
        "sep_token_id": 3,
    },
    "deberta-v2": {
        "model_type": "deberta-v2",
        **_ENCODER,
        "relative_attention": True,
        "pos_att_type": ["p2c", "c2p"],
        "position_buckets": 8,
    },
    "distilbert": {
        "model_type": "distilbert",
        "vocab_size": 32,
        "dim": 16,
        "n_layers": 1,
        "n_heads": 2,
        "hidden_dim": 16,
        "max_position_embeddings": 40,
        "dropout": 0.0,
        "attention_dropout": 0.0,
    },
    "lstm": {"model_type": "lstm_text", "vocab_size": 32, "embedding_size": 8, "hidden_size": 16},
    "t5": {
        "model_type": "t5",
        "vocab_size": 32,
        "d_model": 16,
        "d_kv": 8,
        "d_ff": 16,
        "num_layers": 1,
        "num_heads": 2,
        "dropout_rate": 0.0,
    },
    "gpt2": {
        "model_type": "gpt2",
        "vocab_size": 32,
        "n_embd": 16,
        "n_layer": 1,
        "n_head": 2,
        "n_positions": 40,
        "resid_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "attn_pdrop": 0.0,
        "bos_token_id": 2,
        "eos_token_id": 3,
    },
}

_VIT_ARGS = {"embed_dim": 16, "depth": 1, "num_heads": 2, "img_size": SIDE, "patch_size": 8}
_SWIN_ARGS = {"embed_dim": 8, "depths": [2, 1], "num_heads": [1, 2], "img_size": SIDE, "window_size": 4}
_CONV_NET = {"hidden_sizes": [8, 16], "depths": [1, 1]}
# Tokens, (B, W, h, w) and (B, h, w, W) feature maps; timm's and transformers' own.
IMAGE_TOWERS = {
    "timm resnet": {"architecture": "resnet18", "model_args": {"channels": [8, 8, 16, 16]}},
    "timm vit": {"architecture": "vit_tiny_patch16_224", "model_args": _VIT_ARGS},
    "timm convnext": {"architecture": "convnext_atto", "model_args": {"depths": [1, 1, 1, 1], "dims": [8, 8, 16, 16]}},
    "timm swin": {"architecture": "swin_tiny_patch4_window7_224", "model_args": _SWIN_ARGS},
    "timm mobilenetv3": {"architecture": "mobilenetv3_small_050"},
    "vit": {
        "model_type": "vit",
        **{k: _ENCODER[k] for k in ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")},
        "image_size": SIDE,
        "patch_size": 8,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    },
    "resnet": {"model_type": "resnet", **_CONV_NET, "embedding_size": 8, "layer_type": "basic"},
    "convnext": {"model_type": "convnext", **_CONV_NET, "num_stages": 2},
}
# Vision models whose configuration names no width of their features, or another one.
OTHER_IMAGE_TOWERS = {
    "mobilenet_v1": {"model_type": "mobilenet_v1", "depth_multiplier": 0.25},
    "mobilenet_v2": {"model_type": "mobilenet_v2", "depth_multiplier": 0.1},
    "efficientnet": {"model_type": "efficientnet", "width_coefficient": 0.25, "hidden_dim": 320, "image_size": SIDE},
    "mobilevit": {
        "model_type": "mobilevit",
        "image_size": SIDE,
        "hidden_sizes": [16, 16, 16],
        "neck_hidden_sizes": [8, 8, 8, 8, 8, 8, 32],
        "num_attention_heads": 2,
    },
    "mobilevitv2": {"model_type": "mobilevitv2", "image_size": SIDE, "width_multiplier": 0.25, "output_stride": 16},
    "cvt": {"model_type": "cvt", "embed_dim": [8, 8, 16], "num_heads": [1, 1, 2], "depth": [1, 2, 3]},
    "swiftformer": {
        "model_type": "swiftformer",
        "image_size": SIDE,
        "depths": [1, 1, 1, 1],
        "embed_dims": [8, 8, 8, 16],
    },
    "focalnet": {
        "model_type": "focalnet",
        "image_size": SIDE,
        "embed_dim": 8,
        "hidden_sizes": [8, 16],
        "depths": [1, 1],
        "focal_levels": [1, 1],
        "focal_windows": [3, 3],
    },
    "sam2": {
        "model_type": "sam2_hiera_det_model",
        "hidden_size": 8,
        "image_size": [SIDE, SIDE],
        "blocks_per_stage": [1, 1],
        "embed_dim_per_stage": [8, 16],
        "num_attention_heads_per_stage": [1, 2],
        "window_size_per_stage": [4, 2],
        "global_attention_blocks": [],
        "num_query_pool_stages": 1,
    },
    "timm_backbone": {
        "model_type": "timm_backbone",
        "backbone": "mobilenetv3_small_050",
        "use_pretrained_backbone": False,
    },
}
_AUDIO_SIZES = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
# Spectrograms as pictures, samples, transformers' own kinds of spectrogram; each with its processor's arguments.
AUDIO_TOWERS = {
    "timm resnet": (
        {"architecture": "resnet18", "model_args": {"channels": [8, 8, 16, 16], "in_chans": 1}},
        {"sampling_rate": 8000, "num_mel_bins": 16, "max_seconds": 0.32},
    ),
    "wav2vec2": (
        {
            "model_type": "wav2vec2",
            **_AUDIO_SIZES,
            "conv_dim": [8, 8],
            "conv_stride": [5, 4],
            "conv_kernel": [10, 8],
            "num_feat_extract_layers": 2,
            "num_conv_pos_embeddings": 4,
            "num_conv_pos_embedding_groups": 2,
            "feat_extract_norm": "layer",
            "apply_spec_augment": False,
            "hidden_dropout": 0.0,
            "layerdrop": 0.0,
        },
        {"return_attention_mask": True},
    ),
    "audio-spectrogram-transformer": (
        {
            "model_type": "audio-spectrogram-transformer",
            **_AUDIO_SIZES,
            "patch_size": 8,
            "num_mel_bins": 16,
            "max_length": 32,
            "frequency_stride": 8,
            "time_stride": 8,
        },
        {"num_mel_bins": 16, "max_length": 32},
    ),
    "whisper": (
        {
            "model_type": "whisper",
            "d_model": 16,
            "encoder_layers": 1,
            "encoder_attention_heads": 2,
            "encoder_ffn_dim": 16,
            "num_mel_bins": 16,
            "max_source_positions": 50,
        },
        {"feature_size": 16, "chunk_length": 1},
    ),
}
NUM_FRAMES = 3
# Two channels of eight steps and two categories, as `tiny_series` draws them.
SERIES_PREPROCESSING = {
    "channels": ["x", "y"],
    "mean": [0.5, -0.5],
    "std": [2.0, 1.0],
    "length": 8,
    "categories": {"kind": ["a", "b", "c"]},
}
_SERIES_SIZES = {"num_input_channels": 2, "context_length": 8, "patch_length": 4, "d_model": 16}
_SERIES_LAYERS = {"num_hidden_layers": 1, "num_attention_heads": 2, "ffn_dim": 16, "ff_dropout": 0.0}
SERIES_TOWERS = {
    "patch_series": {"model_type": "patch_series", **_SERIES_SIZES},
    "patchtst": {"model_type": "patchtst", **_SERIES_SIZES, **_SERIES_LAYERS, "patch_stride": 4},
    "patchtsmixer": {"model_type": "patchtsmixer", **_SERIES_SIZES, "num_layers": 1, "patch_stride": 4, "dropout": 0.0},
}
# Backbones whose position tables are not in their state dict.
TIMM_WITH_BUFFERS = {
    "swin": IMAGE_TOWERS["timm swin"],
    "swinv2": {"architecture": "swinv2_tiny_window8_256", "model_args": _SWIN_ARGS},
    "beit": {"architecture": "beit_base_patch16_224", "model_args": _VIT_ARGS},
    "relative position vit": {"architecture": "vit_relpos_small_patch16_224", "model_args": _VIT_ARGS},
    "rotary vit": {"architecture": "vit_small_patch16_rope_224", "model_args": _VIT_ARGS},
    "eva": {"architecture": "eva02_tiny_patch14_224", "model_args": _VIT_ARGS},
}


def tower_config(values):
    """Returns a configuration from one of the tables above."""
    values = dict(values)
    return AutoConfig.for_model(values.pop("model_type", "timm_wrapper"), **values)


def tiny_towers(text="bert", image="timm vit", audio=None, video=None, series=None):
    """Returns modality -> configuration, for `from_towers_pretrained`; None leaves a tower out."""
    chosen = {"text": text and TEXT_TOWERS[text], "image": image and IMAGE_TOWERS[image]}
    chosen.update(audio=audio and AUDIO_TOWERS[audio][0], video=video and IMAGE_TOWERS[video])
    chosen["series"] = series and SERIES_TOWERS[series]
    return {modality: tower_config(values) for modality, values in chosen.items() if values}


def tiny_model(
    cls=MultimodalForClassification,
    *,
    text="bert",
    image="timm vit",
    audio=None,
    video=None,
    series=None,
    seed=0,
    **config,
):
    """Builds a model with random weights, the same for the same seed, in evaluation mode and without dropout."""
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    small.update(video and {"num_frames": NUM_FRAMES} or {}, **(series and {"category_sizes": [3]} or {}))
    torch.manual_seed(seed)
    return cls.from_towers_pretrained(
        **tiny_towers(text, image, audio, video, series), **{**small, "hidden_dropout_prob": 0.0, **config}
    ).eval()


def tiny_generation(decoder=None, **config):
    """Builds a model that writes, with the words of `TEXTS`, and its processor; `decoder` as in `DecoderSpec`."""
    decoder = {"tokenizer": tiny_tokenizer(), **(decoder or {})}
    model = tiny_model(MultimodalForConditionalGeneration, decoder=decoder, **config)
    return model, tiny_writing_processor()


def tiny_writing_processor(**changes):
    """Builds the processor of a model that writes; arguments as of `tiny_processor`."""
    own = tiny_processor(**changes)
    return MultimodalProcessor(
        image_processor=own.image_processor, tokenizer=own.tokenizer or None, decoder_tokenizer=tiny_tokenizer()
    )


def tiny_tokenizer():
    """Builds a word tokenizer that knows `TEXTS`."""
    return build_word_tokenizer(TEXTS, max_length=16)


def tiny_processor(text=True, image=True, audio=None, video=False, series=False):
    """Builds the processor of `tiny_model`; False leaves a component out, `audio` names its tower."""
    square = {"height": SIDE, "width": SIDE}
    listening = None
    if audio:
        config, preprocessing = AUDIO_TOWERS[audio]
        spec = {"audio": {"config": config, "preprocessing": preprocessing}}
        listening = MultimodalProcessor.from_towers_pretrained(**spec).feature_extractor
    return MultimodalProcessor(
        image_processor=MultimodalImageProcessor(size=square, crop_size=square) if image else None,
        tokenizer=tiny_tokenizer() if text else None,
        feature_extractor=listening,
        video_image_processor=MultimodalImageProcessor(size=square, crop_size=square) if video else None,
        series_feature_extractor=MultimodalSeriesProcessor(**SERIES_PREPROCESSING) if series else None,
        num_frames=NUM_FRAMES,
    )


def tiny_sounds(rate, seconds=(0.3, 0.1, 0.2), seed=0):
    """Draws noise of some lengths in seconds."""
    generator = np.random.default_rng(seed)
    return [generator.normal(size=int(rate * s)).astype(np.float32) for s in seconds]


def tiny_pictures(count=3, size=(SIDE, SIDE), seed=0):
    """Draws RGB noise of a size (width, height)."""
    pixels = np.random.default_rng(seed).integers(0, 256, (count, size[1], size[0], 3), dtype=np.uint8)
    return [Image.fromarray(picture) for picture in pixels]


def tiny_clips(lengths=(3, 2, 5), seed=0):
    """Draws clips of noise, (frames, SIDE, SIDE, 3), of some lengths."""
    generator = np.random.default_rng(seed)
    return [generator.integers(0, 256, (length, SIDE, SIDE, 3), dtype=np.uint8) for length in lengths]


def tiny_series(lengths=(8, 3, 12), seed=0):
    """Draws series of two channels and some lengths, with a gap in each and a category beside them."""
    generator = np.random.default_rng(seed)
    rows = []
    for length, kind in zip(lengths, ("a", "c", "never seen"), strict=False):
        values = generator.normal(size=(length, 2))
        values[1, 0] = np.nan
        rows.append({"x": values[:, 0].tolist(), "y": values[:, 1].tolist(), "kind": kind})
    return rows


def tiny_batch(processor=None, **tensors):
    """Processes `TEXTS` and as many pictures; keyword arguments (labels, say) join the batch as they are."""
    processor = processor or tiny_processor()
    given = {"text": TEXTS, "image": tiny_pictures()}
    if "audio" in processor.modalities:
        given["audio"] = tiny_sounds(processor.feature_extractor.sampling_rate)
    given.update(video=tiny_clips(), series=tiny_series())
    batch = processor(**{PROCESSOR_ARGUMENTS[m]: given[m] for m in processor.modalities}, return_tensors="pt")
    return {**batch, **tensors}
