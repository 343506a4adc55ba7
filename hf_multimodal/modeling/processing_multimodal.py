# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Raw rows to tensors: one processor over a component per modality."""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from transformers import (
    AutoFeatureExtractor,
    AutoImageProcessor,
    AutoTokenizer,
    BatchFeature,
    PreTrainedConfig,
    PreTrainedTokenizerBase,
    ProcessorMixin,
)
from transformers.processing_utils import ProcessingKwargs

from .configuration_decoder import DecoderLike, parse_decoder, special_tokens
from .configuration_multimodal import MODALITIES, PROCESSOR_ARGUMENTS
from .configuration_towers import TowerLike, parse_towers
from .modeling_losses import NO_LABEL
from .processing_components import COMPONENT_ORDER, COMPONENTS, AbsentTokenizer, ComponentNames, build_component
from .processing_rows import (
    AUDIO_NAMES,
    as_list,
    as_rows,
    process_images,
    process_series,
    process_sounds,
    process_texts,
    process_videos,
)
from .processing_towers import DEFAULT_NUM_FRAMES, build_components, build_decoder_tokenizer, longest_text
from .remote_code import AUTO_MAP, CarriesCode, copy_modeling_code

_LONGEST = 100_000  # tokens; a tokenizer that knows no limit names 10^30


class MultimodalProcessorKwargs(ProcessingKwargs, total=False):
    """Keyword arguments of the processor's call, by modality."""

    _defaults = {"text_kwargs": {"padding": True, "truncation": True}}  # type: ignore[misc]  # transformers' own way


class MultimodalProcessor(CarriesCode, ProcessorMixin):
    """Tokenizer, image processor and whatever else a model's inputs are made by, and the `modality_mask` of a batch.

    Args:
        image_processor: Image processor, or None for a model without images.
        tokenizer: Tokenizer, or None for a model without text.
        feature_extractor: Feature extractor for sounds, or None for a model without audio.
        video_image_processor: Image processor for the frames of clips, or None for a model without video.
        series_feature_extractor: `MultimodalSeriesProcessor`, or None for a model without series.
        decoder_tokenizer: Tokenizer of what a model writes, or None for a model that writes nothing.
        num_frames: Frames taken from a clip, at equal distances; of a shorter clip the last one is repeated.
        chat_template: Template for dialogues.

    Raises:
        ValueError: if there is no component at all.
    """

    valid_processor_kwargs = MultimodalProcessorKwargs
    video_image_processor: Any
    series_feature_extractor: Any
    decoder_tokenizer: Any
    get_attributes = ComponentNames()

    def __init__(
        self,
        image_processor: Any = None,  # noqa: ANN401 (any Hugging Face image processor)
        tokenizer: PreTrainedTokenizerBase | None = None,
        feature_extractor: Any = None,  # noqa: ANN401 (any Hugging Face feature extractor)
        video_image_processor: Any = None,  # noqa: ANN401 (any Hugging Face image processor)
        series_feature_extractor: Any = None,  # noqa: ANN401 (MultimodalSeriesProcessor, also as remote code)
        decoder_tokenizer: PreTrainedTokenizerBase | None = None,
        num_frames: int = DEFAULT_NUM_FRAMES,
        chat_template: str | None = None,
    ) -> None:
        self.chat_template = chat_template
        self.num_frames = num_frames
        readers = (image_processor, tokenizer, feature_extractor, video_image_processor, series_feature_extractor)
        for name, component in zip(COMPONENT_ORDER, (*readers, decoder_tokenizer), strict=True):
            if component is not None:
                self.check_argument_for_proper_class(name, component)
            setattr(self, name, component)
        if tokenizer is None:
            self.tokenizer = AbsentTokenizer()
        if not self.modalities:
            raise ValueError(f"A processor needs at least one of {', '.join(COMPONENTS.values())}.")
        self.auto_map = {"AutoProcessor": AUTO_MAP["AutoProcessor"]}

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities this processor reads: the columns of `modality_mask`."""
        return tuple(m for m in MODALITIES if getattr(self, COMPONENTS[m]))

    @property
    def model_input_names(self) -> list[str]:
        """Names of the tensors in a batch."""
        names = []
        for modality in self.modalities:
            own = getattr(self, COMPONENTS[modality]).model_input_names
            renamed = {"audio": AUDIO_NAMES, "video": {"pixel_values": "pixel_values_videos"}}.get(modality, {})
            names += [renamed.get(name, name) for name in own]
        return [*dict.fromkeys(names), "modality_mask"]

    @classmethod
    def from_towers_pretrained(
        cls,
        *,
        text: TowerLike = None,
        image: TowerLike = None,
        audio: TowerLike = None,
        video: TowerLike = None,
        series: TowerLike = None,
        decoder: DecoderLike = None,
    ) -> "MultimodalProcessor":
        """Builds the processor for the same towers, and decoder, as the model's `from_towers_pretrained`.

        Raises:
            ValueError: if a tower is unknown, or says nothing about its tokenizer.
        """
        specs = parse_towers({"text": text, "image": image, "audio": audio, "video": video, "series": series})
        components, arguments = build_components(specs)
        if decoder is not None:
            arguments["decoder_tokenizer"] = build_decoder_tokenizer(parse_decoder(decoder))
        return cls(**{COMPONENTS[m]: component for m, component in components.items()}, **arguments)

    def __call__(
        self,
        images: Any = None,  # noqa: ANN401 (ImageInput)
        text: str | Sequence[str | None] | None = None,
        audio: Any = None,  # noqa: ANN401 (described below)
        videos: Any = None,  # noqa: ANN401 (described below)
        series: Any = None,  # noqa: ANN401 (described below)
        **kwargs: Any,  # noqa: ANN401 (MultimodalProcessorKwargs)
    ) -> BatchFeature:
        """Turns a batch of rows into tensors.

        Args:
            images: One image or one per row; None in the list = this row has no image.
            text: One string or one per row; None in the list = this row has no text (an empty string is a text).
            audio: One sound or one per row: samples (an array) at the feature extractor's `sampling_rate`, or anything
                that `open_audio` opens and resamples to it; None in the list = this row has no sound.
            videos: One clip or a list of one per row, as `open_video` opens them; None in the list = this row has none.
            series: One series or table row or a list of one per row, as `MultimodalSeriesProcessor.open` reads them;
                None in the list = this row has none.
            **kwargs: Arguments of the tokenizer and the image processor, flat or as `text_kwargs`, `images_kwargs`;
                `return_tensors`.

        Returns:
            The components' tensors, and `modality_mask` (B, M) bool in the order of `modalities`.

        Raises:
            ValueError: if the lists' lengths differ, a modality has no component, or a row has nothing at all.
        """
        rows = {"text": as_rows(text, str), "image": as_rows(images, None), "audio": as_list(audio)}
        rows.update({"video": as_list(videos), "series": as_list(series)})
        present = self._presence(rows)
        data, tensor_type = self._tensors(rows, kwargs)
        data["modality_mask"] = [
            [present[m][i] for m in self.modalities] for i in range(len(next(iter(present.values()))))
        ]
        return BatchFeature(data, tensor_type=tensor_type)

    def tensors_of(self, columns: Mapping[str, Sequence[Any]], **kwargs: Any) -> BatchFeature:  # noqa: ANN401
        """Makes the components' tensors of some modalities alone, whatever else a row has: no `modality_mask`.

        Args:
            columns: Modality -> a value or None per row.
            **kwargs: As of a call.
        """
        data, tensor_type = self._tensors(columns, kwargs)
        return BatchFeature(data, tensor_type=tensor_type)

    def _tensors(self, rows: Mapping[str, Any], kwargs: Mapping[str, Any]) -> tuple[dict[str, Any], Any]:
        """Runs the components; returns their tensors, and the type asked for."""
        merged = self._merge_kwargs(
            self.valid_processor_kwargs,  # type: ignore[arg-type]  # takes the class, annotated as its instance
            tokenizer_init_kwargs=self.tokenizer.init_kwargs if self.tokenizer else {},
            **kwargs,
        )
        data: dict[str, Any] = {}
        if rows.get("text") is not None:
            data.update(process_texts(self.tokenizer, rows["text"], merged["text_kwargs"]))
        if rows.get("image") is not None:
            data.update(process_images(self.image_processor, rows["image"], merged["images_kwargs"]))
        if rows.get("audio") is not None:
            data.update(process_sounds(self.feature_extractor, rows["audio"]))
        if rows.get("video") is not None:
            kwargs_of_frames = merged["images_kwargs"]
            data.update(process_videos(self.video_image_processor, rows["video"], self.num_frames, kwargs_of_frames))
        if rows.get("series") is not None:
            data.update(process_series(self.series_feature_extractor, rows["series"]))
        return data, kwargs.get("return_tensors", merged["text_kwargs"].get("return_tensors"))

    def encode_targets(self, texts: Sequence[str]) -> torch.Tensor:
        """Turns what a model should write into its labels.

        Args:
            texts: (B,) texts.

        Returns:
            (B, T) long: the tokens of each and the one that ends it; -100 after that, where nothing is to be learned.

        Raises:
            ValueError: if this processor is for a model that writes nothing.
        """
        tokenizer = self._writer
        end = special_tokens(tokenizer)["eos_token_id"]
        options = {
            "add_special_tokens": False,
            "truncation": True,
            "max_length": min(tokenizer.model_max_length, _LONGEST) - 1,
        }
        rows = [torch.tensor([*tokenizer(text, **options)["input_ids"], end], dtype=torch.long) for text in texts]
        return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=NO_LABEL)

    def batch_decode(self, *args: Any, **kwargs: Any) -> list[str]:  # noqa: ANN401 (of any tokenizer)
        """Turns token ids into texts: of the decoder's tokenizer where there is one, else of the text tower's."""
        return (self.decoder_tokenizer or self.tokenizer).batch_decode(*args, **kwargs)

    def decode(self, *args: Any, **kwargs: Any) -> str:  # noqa: ANN401 (of any tokenizer)
        """Turns the token ids of one row into a text; see `batch_decode`."""
        return (self.decoder_tokenizer or self.tokenizer).decode(*args, **kwargs)

    def fold_dialogue(self, turns: Sequence[Mapping[str, str]]) -> str:
        """Makes one prompt of the turns of a dialogue, by the chat template where there is one.

        Without a template each turn stands after its role and a colon, and the last line asks the assistant to go on.

        Args:
            turns: `{"role": "user" or "assistant" or "system", "content": text}` each, oldest first.

        Raises:
            ValueError: if there are no turns, one has other keys, or this processor reads no text.
        """
        if "text" not in self.modalities:
            raise ValueError("This processor reads no text, so there is no place for a dialogue: give a text tower.")
        if not turns:
            raise ValueError("A dialogue needs at least one turn: {'role': 'user', 'content': …}.")
        for index, turn in enumerate(turns):
            if set(turn) != {"role", "content"} or not all(isinstance(value, str) for value in turn.values()):
                raise ValueError(f"Turn {index} is {dict(turn)!r}: give a role and a content, both texts.")
        template = self.chat_template or getattr(self.tokenizer, "chat_template", None)
        if template:
            options: dict[str, Any] = {"tokenize": False, "add_generation_prompt": True, "chat_template": template}
            return self.tokenizer.apply_chat_template([dict(turn) for turn in turns], **options)
        return " ".join([*(f"{turn['role']}: {turn['content']}" for turn in turns), "assistant:"])

    @property
    def _writer(self) -> Any:  # noqa: ANN401 (any tokenizer)
        if self.decoder_tokenizer is None:
            raise ValueError(
                "This processor has no decoder_tokenizer: it is for a model that writes nothing. Build it with "
                "from_towers_pretrained(…, decoder=…)."
            )
        return self.decoder_tokenizer

    def _presence(self, rows: dict[str, list | None]) -> dict[str, list[bool]]:
        """Says per modality which rows have it, and refuses what cannot be a batch."""
        given = {m: values for m, values in rows.items() if values is not None}
        if not given:
            raise ValueError(f"Nothing to process: give at least one of {', '.join(self.modalities)}.")
        for modality in given:
            if modality not in self.modalities:
                raise ValueError(
                    f"This processor reads {', '.join(self.modalities)}; it has no component for {modality}."
                )
        sizes = {m: len(values) for m, values in given.items()}
        if len(set(sizes.values())) > 1:
            raise ValueError(f"One value per row and modality is needed (None where absent); got lengths {sizes}.")
        size = next(iter(sizes.values()))
        present = {m: [x is not None for x in given[m]] if m in given else [False] * size for m in self.modalities}
        for index in range(size):
            if not any(present[m][index] for m in self.modalities):
                raise ValueError(
                    f"Row {index} of the batch has none of {', '.join(self.modalities)}: a row needs at least one. "
                    "Drop it or fill it in."
                )
        return present

    def check_model(self, config: PreTrainedConfig) -> None:
        """Checks that a model can read what this processor makes.

        Raises:
            ValueError: if the modalities or the sizes of clips or series differ, or the tokenizer has more tokens or
                makes longer texts than the text tower can embed.
        """
        if tuple(config.modalities) != self.modalities:
            raise ValueError(
                f"The model's modalities {list(config.modalities)} are not the processor's {list(self.modalities)}: "
                "build both with from_towers_pretrained on the same towers."
            )
        if "video" in self.modalities and config.num_frames != self.num_frames:
            raise ValueError(
                f"The processor takes num_frames={self.num_frames} from a clip, the model was built for "
                f"{config.num_frames}: give both the same towers.video.preprocessing.num_frames."
            )
        if "series" in self.modalities:
            self._check_series(config)
        if "text" in self.modalities:
            self._check_text(config)
        if (config.decoder_config is None) != (self.decoder_tokenizer is None):
            raise ValueError("Of model and processor only one has a decoder: build both on the same decoder.")
        if self.decoder_tokenizer is not None and len(self.decoder_tokenizer) > config.decoder_config.vocab_size:
            raise ValueError(
                f"The decoder's tokenizer has {len(self.decoder_tokenizer)} tokens, the decoder's embedding only "
                f"{config.decoder_config.vocab_size}: use its own tokenizer, or resize_token_embeddings."
            )
        limit = None if self.decoder_tokenizer is None else longest_text(config.decoder_config)
        if limit is not None and self.decoder_tokenizer.model_max_length > limit:
            raise ValueError(
                f"The decoder's tokenizer cuts texts at {self.decoder_tokenizer.model_max_length} tokens, the decoder "
                f"has positions for {limit} only: set processor.decoder_tokenizer.model_max_length "
                f"(decoder.max_length) to {limit} or less."
            )

    def _check_series(self, config: PreTrainedConfig) -> None:
        made, tower = self.series_feature_extractor, config.series_config
        sizes = [len(known) for known in made.categories.values()]
        found = (len(made.channels), made.length, sizes)
        expected = (tower.num_input_channels, tower.context_length, list(config.category_sizes or []))
        if found != expected:
            raise ValueError(
                f"The processor makes series of {found[0]} channels, {found[1]} steps and categories of {found[2]} "
                f"values, the model reads {expected[0]}, {expected[1]} and {expected[2]}: build both on the same "
                "towers.series.preprocessing, as fit_series makes it."
            )

    def _check_text(self, config: PreTrainedConfig) -> None:
        vocab_size = getattr(config.text_config, "vocab_size", None)
        if vocab_size is not None and len(self.tokenizer) > vocab_size:
            raise ValueError(
                f"The tokenizer has {len(self.tokenizer)} tokens, the text tower's embedding only {vocab_size}: use "
                "the tower's own tokenizer, or call model.resize_token_embeddings(len(processor.tokenizer))."
            )
        limit = longest_text(config.text_config)
        if limit is not None and self.tokenizer.model_max_length > limit:
            raise ValueError(
                f"The tokenizer cuts texts at {self.tokenizer.model_max_length} tokens, the text tower has positions "
                f"for {limit} only: set processor.tokenizer.model_max_length (data.max_length) to {limit} or less."
            )

    def save_pretrained(self, save_directory: str | Path, push_to_hub: bool = False, **kwargs: Any) -> list[str]:  # noqa: ANN401
        """Saves the components, and the code that loads them where this package is absent."""
        copy_modeling_code(save_directory)
        return super().save_pretrained(str(save_directory), push_to_hub=push_to_hub, **kwargs)

    def to_dict(self) -> dict[str, Any]:
        """Serialises the processor; `modalities` tells loading which components there are."""
        components = COMPONENTS.values()
        plain = copy.copy(self)
        plain.decoder_tokenizer = None  # saved in a folder of its own; upstream knows the name `tokenizer` only
        saved = {k: v for k, v in ProcessorMixin.to_dict(plain).items() if k not in components or getattr(self, k)}
        saved.pop("decoder_tokenizer", None)
        return {**saved, "modalities": list(self.modalities), "writes": self.decoder_tokenizer is not None}

    @classmethod
    def from_args_and_dict(cls, args: list[Any], processor_dict: dict[str, Any], **kwargs: Any) -> Any:  # noqa: ANN401
        """Builds the processor from its components and what else was saved; called by `from_pretrained`."""
        others = {key: value for key, value in processor_dict.items() if key not in (*COMPONENT_ORDER, "writes")}
        return super().from_args_and_dict(args, others, **kwargs)

    @classmethod
    def _get_arguments_from_pretrained(
        cls,
        pretrained_model_name_or_path: str,
        processor_dict: dict[str, Any] | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> list[Any]:
        saved = (processor_dict or {}).get("modalities", list(MODALITIES))
        loaders: dict[str, Any] = {"text": AutoTokenizer, "image": AutoImageProcessor, "audio": AutoFeatureExtractor}
        loaded: dict[str, Any] = {
            COMPONENTS[m]: auto.from_pretrained(pretrained_model_name_or_path, **kwargs)
            for m, auto in loaders.items()
            if m in saved
        }
        for modality in ("video", "series"):
            if modality in saved:
                loaded[COMPONENTS[modality]] = build_component((processor_dict or {})[COMPONENTS[modality]])
        if (processor_dict or {}).get("writes"):
            own = {**kwargs, "subfolder": str(PurePosixPath(kwargs.get("subfolder", ""), "decoder_tokenizer"))}
            loaded["decoder_tokenizer"] = AutoTokenizer.from_pretrained(pretrained_model_name_or_path, **own)
        return [loaded.get(name) for name in COMPONENT_ORDER]


__all__ = ["COMPONENTS", "PROCESSOR_ARGUMENTS", "MultimodalProcessor"]
