# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""The composite configuration: one sub-configuration per tower, the fusion, and the head."""

import difflib
from typing import Any, cast

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, PreTrainedConfig
from transformers.activations import ACT2FN
from transformers.configuration_utils import SubConfigSpec

from .configuration_lstm import LstmTextConfig
from .configuration_patch_series import PatchSeriesConfig

# Modality -> configuration field, in the order of every modality axis in the package (`modality_mask` and friends).
TOWER_CONFIG_FIELDS = {
    "text": "text_config",
    "image": "vision_config",
    "audio": "audio_config",
    "video": "video_config",
    "series": "series_config",
}
MODALITIES = tuple(TOWER_CONFIG_FIELDS)
# Modality -> the argument of the processor's call that takes it, named as in transformers.
PROCESSOR_ARGUMENTS = {"text": "text", "image": "images", "audio": "audio", "video": "videos", "series": "series"}
# Modality -> what a model reads of it, named as in transformers; the first one is the modality's main input.
TOWER_INPUTS = {
    "text": ("input_ids", "attention_mask", "token_type_ids", "inputs_embeds"),
    "image": ("pixel_values",),
    "audio": ("audio_values", "audio_mask"),
    "video": ("pixel_values_videos",),
    "series": ("series_values", "series_mask", "series_categories"),
}
FUSIONS = ("cross_attention", "merged_attention", "bottleneck", "concat", "mean", "weighted", "decision")
TOKEN_FUSIONS = ("cross_attention", "merged_attention", "bottleneck")  # in which the modalities' tokens meet
WEIGHTING_FUSIONS = ("weighted", "decision")  # that give each modality a weight, row by row
CONTRASTIVE_OBJECTIVES = ("infonce", "sigmoid")
PRETRAINING_OBJECTIVES = ("masked_language", "contrastive", "matching", "reconstruction")
_PAIR_OBJECTIVES = ("contrastive", "matching")
TASK_WEIGHTINGS = ("fixed", "uncertainty")
# What a task of `MultimodalForMultiTask` may say of itself.
TASK_FIELDS = ("problem_type", "labels")
# The first three are transformers' own; the last is question answering with several answers, each right to a degree.
PROBLEM_TYPES = ("single_label_classification", "multi_label_classification", "regression", "scored_answers")


_SIZES = (
    "hidden_size",
    "num_attention_heads",
    "intermediate_size",
    "num_bottleneck_tokens",
    "num_frames",
    "embedding_size",
    "match_negatives",
    "reconstruction_patch_size",
)


def check_known(kind: str, name: str, known: tuple[str, ...]) -> None:
    """Refuses a name that is not in a fixed set.

    Raises:
        ValueError: naming what was given, the nearest known name, and all known names.
    """
    if name in known:
        return
    nearest = difflib.get_close_matches(str(name), known, n=1)
    hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
    raise ValueError(f"Unknown {kind} {name!r}.{hint} Known: {', '.join(known)}.")


def _check_class_weights(weights: list[int | float], count: int, where: str) -> None:
    if len(weights) != count or min(weights) < 0:
        raise ValueError(f"class_weights{where}={weights}: give one for each of the {count} labels, none negative.")


@strict
class MultimodalConfig(PreTrainedConfig):
    r"""Configuration of every `Multimodal*` model.

    A tower is present when its sub-configuration is. The generic fields (`hidden_size`, `num_hidden_layers`,
    `num_attention_heads`, `intermediate_size`, …) describe the fusion; each tower keeps its own in its
    sub-configuration.

    Args:
        text_config: Any Hugging Face text encoder's configuration, or its dict with a `model_type`.
        vision_config: Any timm backbone (`{"architecture": "resnet18", "model_args": {…}}`) or Hugging Face vision
            model's configuration. `model_args` are handed to `timm.create_model` unchanged.
        audio_config: Any Hugging Face audio encoder's configuration, or a timm backbone's, which reads spectrograms.
        video_config: As `vision_config`: it reads a clip frame by frame.
        series_config: A Hugging Face encoder of series in patches (PatchTST, PatchTSMixer), or the built-in
            `patch_series`, for table rows, too.
        hidden_size: Width of the fused tokens and of the pooled vector.
        fusion: Name of the fusion, one of `FUSIONS`.
        num_hidden_layers: Fusion layers.
        num_attention_heads: Attention heads of the fusion.
        intermediate_size: Width of the fusion's feed-forward layers.
        hidden_act: Activation of the feed-forward layers, a key of `transformers.activations.ACT2FN`.
        hidden_dropout_prob: Dropout on the fusion's residual branches.
        attention_probs_dropout_prob: Dropout on the fusion's attention weights.
        fusion_gates: Whether cross-attention starts closed behind a learned tanh gate (Flamingo, Alayrac et al. 2022),
            so that training starts from the towers' own features.
        num_frames: Frames of a clip.
        pool_frames: Whether a frame of a clip becomes one token, the mean of its picture's.
        num_temporal_layers: Layers of attention through time over a clip's tokens, before the fusion.
        position_temperature: Longest wavelength of the fixed 2-D positions of feature maps, in cells over 2 pi. The
            usual 10,000 is made for sequences of thousands; on a map of a few cells it leaves three quarters of the
            channels constant. Where the answer depends on the place, 100 is learned sooner.
        category_sizes: For each categorical column of the series, how many values are known; the rest share a bucket.
        num_bottleneck_tokens: Shared tokens of the `bottleneck` fusion.
        classifier_dropout: Dropout before the head; `None` takes `hidden_dropout_prob`.
        modality_dropout: Modality -> probability that a row loses it in training, so that the model learns to do
            without; a row always keeps something.
        label_smoothing: Share of the target that is spread over all labels (Szegedy et al. 2016); single label only.
        focal_gamma: Exponent of the focal loss (Lin et al. 2017), which turns to what is still hard; 0 = plain.
        class_weights: A weight per label: of its rows for a single label, of its positives for several. With `tasks` a
            mapping of task to these.
        tasks: Of `MultimodalForMultiTask`: task -> `{"problem_type": …, "labels": [name, …]}`. For regression the
            labels are the names of the targets.
        task_weights: Task -> factor on its loss (lambda); 1 where it is left out.
        task_weighting: `fixed`, or `uncertainty`: a learned variance per task beside the factors (Kendall et al. 2018).
        decoder_config: Of `MultimodalForConditionalGeneration`: any Hugging Face decoder that can cross-attend (BERT,
            RoBERTa, GPT-2, …), or its dict with a `model_type`.
        decoder_start_token_id: Token that the decoder starts from; of the decoder's tokenizer, as the next three.
        bos_token_id: First token of a text.
        eos_token_id: Token that ends a text.
        pad_token_id: Token that fills shorter texts of a batch up.
        embedding_size: Of `MultimodalForRetrieval`: width of the embeddings.
        contrastive_objective: `infonce` (van den Oord et al. 2018) or `sigmoid` (SigLIP, Zhai et al. 2023).
        match_weight: Factor on the match head's loss; 0 trains none.
        match_negatives: Hard negatives per row and direction for the match head.
        pretraining_objectives: Of `MultimodalForPreTraining`: objective -> factor on its loss, of
            `PRETRAINING_OBJECTIVES`; `matching` draws its negatives by the embeddings of `contrastive`.
        reconstruction_patch_size: Side of the patches in which pictures and spectrograms are hidden and drawn again.
        frozen_towers: Modalities whose backbone is neither trained nor put into training mode.
        layer_norm_eps: Epsilon of the fusion's layer norms.
        problem_type: One of `PROBLEM_TYPES`; None infers it from the labels, as in transformers.
        initializer_range: Standard deviation of the fusion's and heads' initial weights at a fan-in of 768; scaled by
            sqrt(768 / fan-in). The default is 1 / sqrt(fan-in) (LeCun et al. 1998), which keeps the signal's size.

    Raises:
        StrictDataclassError: of huggingface_hub, if a field has the wrong type, the fusion, the problem type or a
            frozen tower is unknown, or the heads do not divide the width.
    """

    model_type = "hf_multimodal"
    keys_to_ignore_at_inference = [
        "modality_embeds",
        "modality_weights",
        "task_losses",
        "objective_losses",
        "reconstructions",
        "match_logits",
        "contrastive_loss",
        "match_loss",
        "hidden_states",
        "attentions",
        "cross_attentions",
    ]
    sub_configs_defaults = {
        "text_config": SubConfigSpec(config_class=AutoConfig, model_type="bert", optional=True),
        "vision_config": SubConfigSpec(config_class=AutoConfig, model_type="timm_wrapper", optional=True),
        "audio_config": SubConfigSpec(config_class=AutoConfig, model_type="timm_wrapper", optional=True),
        "video_config": SubConfigSpec(config_class=AutoConfig, model_type="timm_wrapper", optional=True),
        "series_config": SubConfigSpec(config_class=AutoConfig, model_type="patch_series", optional=True),
        "decoder_config": SubConfigSpec(config_class=AutoConfig, model_type="bert", optional=True),
    }

    text_config: PreTrainedConfig | dict | None = None
    vision_config: PreTrainedConfig | dict | None = None
    audio_config: PreTrainedConfig | dict | None = None
    video_config: PreTrainedConfig | dict | None = None
    series_config: PreTrainedConfig | dict | None = None
    decoder_config: PreTrainedConfig | dict | None = None
    decoder_start_token_id: int | None = None
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None
    pad_token_id: int | None = None
    hidden_size: int = 256
    fusion: str = "cross_attention"
    num_hidden_layers: int = 2
    num_attention_heads: int = 8
    intermediate_size: int = 1024
    hidden_act: str = "gelu"
    hidden_dropout_prob: int | float = 0.1
    attention_probs_dropout_prob: int | float = 0.0
    fusion_gates: bool = False
    num_frames: int = 8
    pool_frames: bool = False
    num_temporal_layers: int = 0
    position_temperature: int | float = 10_000
    category_sizes: list[int] | None = None
    num_bottleneck_tokens: int = 4
    classifier_dropout: int | float | None = None
    modality_dropout: dict[str, int | float] | None = None
    label_smoothing: int | float = 0.0
    focal_gamma: int | float = 0.0
    class_weights: list[int | float] | dict[str, list[int | float]] | None = None
    tasks: dict[str, dict[str, Any]] | None = None
    task_weights: dict[str, int | float] | None = None
    task_weighting: str = "fixed"
    embedding_size: int = 256
    contrastive_objective: str = "infonce"
    match_weight: int | float = 1.0
    match_negatives: int = 1
    pretraining_objectives: dict[str, int | float] | None = None
    reconstruction_patch_size: int = 8
    frozen_towers: list[str] | None = None
    layer_norm_eps: float = 1e-6
    initializer_range: float = 0.036
    problem_type: str | None = None  # type: ignore[assignment]  # one more than upstream's

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Any:  # noqa: ANN401 (with return_unused_kwargs a pair)
        """Builds a configuration from a saved one."""
        if not cls.__module__.startswith("transformers_modules."):
            # `pipeline` would insist on the code in the checkpoint, though the installed pipeline is registered
            config_dict = {key: value for key, value in config_dict.items() if key != "custom_pipelines"}
        return super().from_dict(config_dict, **kwargs)

    def __post_init__(self, **kwargs: Any) -> None:  # noqa: ANN401 (as overridden)
        """Completes the sub-configurations; with a decoder the model is an encoder-decoder."""
        super().__post_init__(**kwargs)
        self.is_encoder_decoder = self.is_encoder_decoder or self.decoder_config is not None

    def validate_numbers(self) -> None:
        """Checks that sizes are positive and probabilities are probabilities."""
        for name in _SIZES:
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: it must be at least 1.")
        if self.position_temperature < 1:
            raise ValueError(f"position_temperature={self.position_temperature}: it must be at least 1.")
        for name in ("num_hidden_layers", "num_temporal_layers"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}={getattr(self, name)}: it cannot be negative.")
        for name in ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < 1:
                raise ValueError(f"{name}={value}: a dropout probability is at least 0 and below 1.")

    def validate_fusion(self) -> None:
        """Checks the fusion's name and shape."""
        check_known("fusion", self.fusion, FUSIONS)
        check_known("hidden_act", self.hidden_act, tuple(ACT2FN))
        if self.num_attention_heads < 1:
            return  # refused by `validate_numbers`; here it would divide by zero
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size={self.hidden_size} is not a multiple of num_attention_heads={self.num_attention_heads}: "
                "choose a multiple, for instance "
                f"hidden_size={max(1, self.hidden_size // self.num_attention_heads) * self.num_attention_heads}."
            )

    def validate_task(self) -> None:
        """Checks the problem type's name and the objective's options."""
        if self.problem_type is not None:
            check_known("problem_type", self.problem_type, PROBLEM_TYPES)
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"label_smoothing={self.label_smoothing}: it is at least 0 and below 1.")
        if self.focal_gamma < 0:
            raise ValueError(f"focal_gamma={self.focal_gamma}: it cannot be negative.")
        if isinstance(self.class_weights, dict) != bool(self.tasks) and self.class_weights is not None:
            raise ValueError(
                f"class_weights={self.class_weights}: of several tasks it maps each task to its weights, of one it is "
                "a list."
            )
        if isinstance(self.class_weights, list):
            _check_class_weights(self.class_weights, cast(int, self.num_labels), "")

    def validate_retrieval(self) -> None:
        """Checks the contrastive objective and the match head's weight."""
        check_known("contrastive_objective", self.contrastive_objective, CONTRASTIVE_OBJECTIVES)
        if self.match_weight < 0:
            raise ValueError(f"match_weight={self.match_weight}: it cannot be negative.")

    def validate_pretraining(self) -> None:
        """Checks the objectives' names and weights, and that there is something for each to learn from."""
        needed = {"masked_language": ("text",), "reconstruction": ("image", "audio")}
        for name, weight in (self.pretraining_objectives or {}).items():
            check_known("objective in pretraining_objectives", name, PRETRAINING_OBJECTIVES)
            if weight < 0:
                raise ValueError(f"pretraining_objectives of {name!r} is {weight}: it cannot be negative.")
            if name in needed and not set(needed[name]) & set(self.modalities):
                raise ValueError(f"The objective {name!r} needs a tower of {' or '.join(needed[name])}: add one.")

    def validate_tasks(self) -> None:
        """Checks that every task is described in full, and that weights name tasks."""
        for name, task in (self.tasks or {}).items():
            for key in task:
                check_known(f"field of task {name!r}", key, TASK_FIELDS)
            check_known(f"problem_type of task {name!r}", task.get("problem_type", "missing"), PROBLEM_TYPES[:3])
            if not task.get("labels"):
                raise ValueError(f"Task {name!r} has no labels: name its classes, or its targets.")
        for name, weights in (self.class_weights if isinstance(self.class_weights, dict) else {}).items():
            check_known("task in class_weights", name, tuple(self.tasks or ()))
            _check_class_weights(weights, len((self.tasks or {})[name]["labels"]), f" of task {name!r}")
        for name, weight in (self.task_weights or {}).items():
            check_known("task in task_weights", name, tuple(self.tasks or ()))
            if weight < 0:
                raise ValueError(f"task_weights of {name!r} is {weight}: it cannot be negative.")
        check_known("task_weighting", self.task_weighting, TASK_WEIGHTINGS)
        if self.task_weighting != "fixed" and not self.tasks:
            raise ValueError(f"task_weighting={self.task_weighting!r} is for several tasks: leave it out.")

    def validate_modality_dropout(self) -> None:
        """Checks that every rate is a probability of a modality that is there."""
        for modality, rate in (self.modality_dropout or {}).items():
            check_known("modality in modality_dropout", modality, self.modalities)
            if not 0 <= rate <= 1:
                raise ValueError(f"modality_dropout of {modality} is {rate}: a probability lies between 0 and 1.")

    def validate_frozen_towers(self) -> None:
        """Checks that every frozen tower is there."""
        for modality in self.frozen_towers or ():
            check_known("modality in frozen_towers", modality, MODALITIES)
            if modality not in self.modalities:
                raise ValueError(
                    f"frozen_towers names {modality!r}, but this configuration has no {TOWER_CONFIG_FIELDS[modality]}: "
                    f"add the tower or drop it from frozen_towers. Towers present: {list(self.modalities)}."
                )

    def get_text_config(self, decoder: bool | None = None, encoder: bool | None = None) -> PreTrainedConfig:
        """Returns the configuration of what writes text, where there is a decoder and the encoder is not asked for."""
        if self.decoder_config is not None and not (encoder and not decoder):
            return cast(PreTrainedConfig, self.decoder_config)
        return super().get_text_config(decoder=decoder, encoder=encoder)

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities that have a tower, in the order of `MODALITIES`."""
        return tuple(m for m, field in TOWER_CONFIG_FIELDS.items() if getattr(self, field, None) is not None)

    @property
    def has_pair_objective(self) -> bool:
        """Whether pretraining compares pairs of two modalities."""
        return bool(set(_PAIR_OBJECTIVES) & set(self.pretraining_objectives or ()))

    @property
    def task_names(self) -> tuple[str, ...]:
        """The tasks in the order of their heads: alphabetical, as a saved configuration keeps no other."""
        return tuple(sorted(self.tasks or ()))

    def tower_config(self, modality: str) -> PreTrainedConfig:
        """Returns one tower's sub-configuration.

        Raises:
            ValueError: if the modality is unknown or has no tower here.
        """
        check_known("modality", modality, MODALITIES)
        config = getattr(self, TOWER_CONFIG_FIELDS[modality])
        if config is None:
            raise ValueError(f"This model has no {modality} tower. Its modalities: {list(self.modalities)}.")
        return config


__all__ = [
    "CONTRASTIVE_OBJECTIVES",
    "FUSIONS",
    "MODALITIES",
    "PRETRAINING_OBJECTIVES",
    "PROBLEM_TYPES",
    "PROCESSOR_ARGUMENTS",
    "TASK_WEIGHTINGS",
    "TOKEN_FUSIONS",
    "TOWER_CONFIG_FIELDS",
    "TOWER_INPUTS",
    "WEIGHTING_FUSIONS",
    "LstmTextConfig",
    "MultimodalConfig",
    "PatchSeriesConfig",
    "check_known",
]
