# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""The trainer: transformers' own, with hooks only where rows of several modalities need them."""

import csv
from collections.abc import Callable
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from accelerate.data_loader import prepare_data_loader
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, SequentialSampler
from transformers import EarlyStoppingCallback, PreTrainedModel
from transformers.trainer_utils import IntervalStrategy

from hf_multimodal.data.collator import ROW_IDS, MultimodalCollator
from hf_multimodal.data.columns import ROW_ID
from hf_multimodal.data.labels import schema_of_model
from hf_multimodal.data.masking import MaskingSchema
from hf_multimodal.data.row_stream import RowStream
from hf_multimodal.evaluation.metrics import build_compute_metrics, metric_names
from hf_multimodal.hub.model_card import CardFacts, architecture_of, write_model_card
from hf_multimodal.training.adapters import add_adapters, copy_merged, has_adapters
from hf_multimodal.training.arguments import MultimodalTrainingArguments
from hf_multimodal.training.callbacks import FindBest, OwnSpecialTokens, TellEpoch
from hf_multimodal.training.checkpoints import WholeCheckpoints
from hf_multimodal.training.nonfinite_steps import SkipNonFiniteSteps
from hf_multimodal.training.optimizer_groups import set_learning_rates
from hf_multimodal.training.row_orders import LengthOrder, PictureOrder, picture_keys, text_lengths
from hf_multimodal.training.stall_watch import StallWatch


def set_chunk_size(model: PreTrainedModel, args: Any) -> None:  # noqa: ANN401 (TrainingArguments of either kind)
    """Turns gradient caching on where the arguments ask for it.

    Raises:
        ValueError: if the model's loss is no contrastive one.
    """
    chunk_size = getattr(args, "gradient_cache_size", None)
    if chunk_size is None:
        return
    if not hasattr(model, "set_chunk_size"):
        raise ValueError(
            f"gradient_cache_size={chunk_size} is for retrieval; the loss of {type(model).__name__} is a mean over "
            "rows, so a smaller batch with gradient_accumulation_steps does the same."
        )
    cast(Any, model).set_chunk_size(chunk_size)


def _emissions(folder: Path) -> dict[str, Any] | None:
    """Sums up what CodeCarbon wrote of a training and those it went on from, if it did, as the Hub's header has it."""
    file = folder / "emissions.csv"
    if not file.is_file():
        return None
    with file.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    grams = 1000 * sum(float(row["emissions"]) for row in rows)
    return {
        "emissions": float(f"{grams:.4g}"),
        "source": "CodeCarbon",
        "geographical_location": rows[-1]["country_name"],
    }


class MultimodalTrainer(WholeCheckpoints):
    """`transformers.Trainer` with collator, metrics, whole checkpoints, early stopping and a measured model card.

    Args:
        model: A `Multimodal*` model with a head; None with `model_init`.
        args: `MultimodalTrainingArguments` (or plain `TrainingArguments` with `remove_unused_columns=False`).
        processing_class: The `MultimodalProcessor`; saved with every checkpoint.
        data_collator: None builds a `MultimodalCollator` on the processor and the model's labels.
        compute_metrics: None takes accuracy and macro F1, or mean squared error for regression, per task; of retrieval
            the recalls in both directions.
        **kwargs: Everything else `transformers.Trainer` takes.

    Raises:
        ValueError: if the processor does not fit the model, or raw columns would not reach the collator.
    """

    def __init__(
        self,
        model: PreTrainedModel | None = None,
        args: Any = None,  # noqa: ANN401 (MultimodalTrainingArguments or TrainingArguments)
        *,
        processing_class: Any,  # noqa: ANN401 (MultimodalProcessor, also when loaded as remote code)
        data_collator: Any = None,  # noqa: ANN401 (any callable)
        compute_metrics: Any = None,  # noqa: ANN401 (any callable)
        **kwargs: Any,  # noqa: ANN401
    ) -> None:
        args = args or MultimodalTrainingArguments()
        if args.remove_unused_columns:
            raise ValueError("Set remove_unused_columns=False: the collator reads the raw text and image columns.")
        if kwargs.get("eval_dataset") is None and isinstance(args, MultimodalTrainingArguments):
            args.eval_strategy, args.load_best_model_at_end = IntervalStrategy.NO, False  # nothing to choose by
        if model is not None and getattr(args, "adapters", None):
            add_adapters(model, args.adapters)
        super().__init__(
            model=model,
            args=args,
            processing_class=processing_class,
            data_collator=data_collator,
            compute_metrics=compute_metrics,
            **kwargs,
        )
        if getattr(args, "adapters", None) and (self.is_fsdp_enabled or self.is_deepspeed_enabled):
            raise ValueError("training.adapters is not for sharded weights (FSDP, DeepSpeed): launch without them.")
        config: Any = cast(PreTrainedModel, self.model).config  # of what model_init made, where that is given
        processing_class.check_model(config)
        if data_collator is None or compute_metrics is None:
            schema = schema_of_model(cast(PreTrainedModel, self.model))
            collator: Any = data_collator or MultimodalCollator(processing_class, schema)
            self.data_collator = collator
            # of some the loss is all there is to gather of a step
            is_loss = not metric_names(schema.problem_type, config.modalities)
            self.compute_metrics = compute_metrics or (None if is_loss else build_compute_metrics(schema.problem_type))
        if hasattr(self.model, "align_special_tokens"):
            self.add_callback(OwnSpecialTokens())
        masking = getattr(self.data_collator, "label_schema", None)
        self._epoch = torch.zeros((), dtype=torch.long).share_memory_()  # seen by the loader's workers, too
        self.add_callback(TellEpoch(self._epoch))
        if isinstance(masking, MaskingSchema):
            self._draw_by_epoch(masking)
        # of another's stream accelerate puts batches together again, for which it takes tensors only
        is_dispatched = isinstance(self.train_dataset, IterableDataset) and not isinstance(
            self.train_dataset, RowStream
        )
        if isinstance(self.data_collator, MultimodalCollator) and not is_dispatched:
            self.data_collator = copy(self.data_collator)
            self.data_collator.with_row_ids = True
            hides = isinstance(masking, MaskingSchema)  # other parts of a picture in each row
            shares = getattr(args, "rows_per_picture", 1) > 1 and args.n_gpu <= 1 and not hides
            self.data_collator.share_pictures = shares
        self._nonfinite = SkipNonFiniteSteps(
            getattr(args, "max_skipped_steps", 0),
            cast(str, args.output_dir),
            args.process_index,
            makes_steps=self.accelerator.scaler is None and not self.is_deepspeed_enabled,
        )
        self.add_callback(self._nonfinite)
        self.add_callback(FindBest(self))
        self._watch = StallWatch(getattr(args, "stall_timeout", 0), args.process_index, args.world_size)
        self.add_callback(self._watch)
        set_chunk_size(cast(PreTrainedModel, self.model), args)
        patience = getattr(args, "early_stopping_patience", 0)
        if patience:
            self.add_callback(EarlyStoppingCallback(early_stopping_patience=patience))

    def train(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 (as overridden)
        """Trains, as `transformers.Trainer.train` does; see `WholeCheckpoints.train`."""
        with self._watch:
            return super().train(*args, **kwargs)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Saves model and processor; one with adapters is saved with these merged, unless it is a checkpoint."""
        model = cast(PreTrainedModel, self.accelerator.unwrap_model(self.model))
        if _internal_call or not has_adapters(model):
            super().save_model(output_dir, _internal_call)
            return
        merged = copy_merged(model)
        if self.args.should_save:
            target = output_dir or cast(str, self.args.output_dir)
            merged.save_pretrained(target)
            cast(Any, self.processing_class).save_pretrained(target)
        if self.args.push_to_hub:
            self.push_to_hub(commit_message="Model save")

    def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 (as overridden)
        with self._watch.paused():  # one process writes, and the others wait as long as it takes
            super()._save_checkpoint(*args, **kwargs)

    def _finish_current_push(self) -> None:
        with self._watch.paused():
            super()._finish_current_push()

    def compute_loss(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 (as overridden)
        """Computes the loss of a batch, as `transformers.Trainer.compute_loss` does."""
        result = super().compute_loss(*args, **kwargs)
        self._watch.advance()  # the others meet this process in what follows
        return result

    def training_step(self, model: nn.Module, inputs: Any, *args: Any, **kwargs: Any) -> torch.Tensor:  # noqa: ANN401 (as overridden)
        """Makes a batch's share of a step, as `transformers.Trainer.training_step` does."""
        self._watch.advance()  # it has its batch; the forward pass may begin by meeting the others
        row_ids = inputs.get(ROW_IDS, ())
        loss = super().training_step(model, inputs, *args, **kwargs)
        self._nonfinite.note(loss, row_ids)
        return loss

    def _prepare_inputs(self, inputs: Any) -> Any:  # noqa: ANN401 (as overridden)
        return super()._prepare_inputs({name: value for name, value in inputs.items() if name != ROW_IDS})

    def _draw_by_epoch(self, masking: MaskingSchema) -> None:
        """Has what is hidden of a row follow the epoch, if rows have ids, so that a resumed run hides the same."""
        own: Any = self.data_collator
        drawn: dict[str, Any] = {"rank": self.args.process_index, "seed": self.args.seed}
        if ROW_ID in (getattr(self.train_dataset, "column_names", None) or ()):
            drawn["epoch"] = self._epoch
        self.data_collator = replace(own, label_schema=replace(masking, **drawn))

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:  # noqa: ANN401 (as overridden)
        rows = self.train_dataset if train_dataset is None else train_dataset
        together = getattr(self.args, "rows_per_picture", 1)
        if together > 1:
            return PictureOrder(picture_keys(rows), together, self.args.seed, self._epoch)
        named = self.args.length_column_name in (getattr(rows, "column_names", None) or ())
        if getattr(self.args, "train_sampling_strategy", None) != "group_by_length" or named:
            return super()._get_train_sampler(train_dataset)
        size = self.args.train_batch_size * self.args.gradient_accumulation_steps * self.args.world_size
        return LengthOrder(text_lengths(rows, self.processing_class), size, self.args.seed, self._epoch)

    def _get_eval_sampler(self, eval_dataset: Any) -> Any:  # noqa: ANN401 (as overridden)
        if getattr(self.args, "train_sampling_strategy", None) != "group_by_length":
            return super()._get_eval_sampler(eval_dataset)
        return SequentialSampler(eval_dataset) if self.args.world_size <= 1 else None  # predictions are told in order

    def get_train_dataloader(self) -> DataLoader:
        """Builds the loader of training; a `RowStream` knows what this process and its workers read of it."""
        if not isinstance(self.train_dataset, RowStream):
            return self._with_own_seeds(super().get_train_dataloader())
        workers = self.args.dataloader_num_workers
        loader = DataLoader(
            self.train_dataset,
            batch_size=self.train_dataset.batch_size,
            collate_fn=self.data_collator,
            num_workers=workers,
            pin_memory=self.args.dataloader_pin_memory,
            persistent_workers=self.args.dataloader_persistent_workers,
            prefetch_factor=self.args.dataloader_prefetch_factor if workers else None,
        )
        self._with_own_seeds(loader)
        # of one process, as it were: its rows are its own already
        return prepare_data_loader(loader, self.args.device, 1, 0, put_on_device=True, dispatch_batches=False)

    def _with_own_seeds(self, loader: DataLoader) -> DataLoader:
        """Seeds workers that stay alive apart: they draw once from the model's own chance, resumed at another time."""
        inner = getattr(loader, "base_dataloader", loader)  # which accelerate has wrapped
        if self.args.dataloader_persistent_workers and inner.generator is None:
            inner.generator = torch.Generator().manual_seed(self.args.seed)
        return loader

    def get_eval_dataloader(self, eval_dataset: Any = None) -> DataLoader:  # noqa: ANN401 (as overridden)
        """Builds the loader of an evaluation, in which the collator draws nothing at random."""
        return self._without_chance(super().get_eval_dataloader, eval_dataset)

    def get_test_dataloader(self, test_dataset: Any) -> DataLoader:  # noqa: ANN401 (as overridden)
        """Builds the loader of predictions; as `get_eval_dataloader`."""
        return self._without_chance(super().get_test_dataloader, test_dataset)

    def _without_chance(self, build: Callable[[Any], DataLoader], dataset: Any) -> DataLoader:  # noqa: ANN401
        collator: Any = self.data_collator
        if hasattr(collator, "for_evaluation"):
            alone = collator.for_evaluation()
            # several GPUs of one process, and accelerate of a stream, cut every tensor row by row
            is_cut = self.args.n_gpu > 1 or isinstance(dataset, IterableDataset)
            self.data_collator = replace(alone, share_pictures=False) if is_cut else alone
        try:
            return build(dataset)
        finally:
            self.data_collator = collator

    def call_model_init(self, trial: Any = None) -> nn.Module:  # noqa: ANN401 (as overridden)
        """Makes a model by `model_init`, with gradient caching where the arguments ask for it."""
        model = super().call_model_init(trial)
        set_chunk_size(cast(PreTrainedModel, model), self.args)
        if adapters := getattr(self.args, "adapters", None):
            add_adapters(cast(PreTrainedModel, model), adapters)
        return model

    def get_decay_parameter_names(self, model: nn.Module) -> list[str]:
        """Names the parameters that weight decay applies to: not to temperature and bias of retrieval (as in CLIP)."""
        names = super().get_decay_parameter_names(model)
        return [name for name in names if not name.endswith(("logit_scale", "logit_bias"))]

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """Builds the optimizer, with the learning rates of towers, their blocks and the head."""
        optimizer = super().create_optimizer(model)
        set_learning_rates(
            optimizer,
            cast(PreTrainedModel, self.model),
            tower=getattr(self.args, "tower_learning_rate", None),
            head=getattr(self.args, "head_learning_rate", None),
            layer_decay=getattr(self.args, "tower_layer_decay", None),
        )
        return optimizer

    def training_facts(self) -> dict[str, Any]:
        """Returns what a card tells about the training: `steps`, `epochs`, `seconds`, `emissions` and so on."""
        model: Any = self.model
        seconds = [entry["train_runtime"] for entry in self.state.log_history if "train_runtime" in entry]
        return {
            "seconds": round(seconds[-1], 1) if seconds else None,
            "epochs": self.state.epoch or 0.0,
            "steps": self.state.global_step,
            "seed": self.args.seed,
            "parameters": sum(p.numel() for p in model.parameters()),
            "trainable_parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
            "processes": self.args.world_size,
            "skipped_steps": self._nonfinite.skipped,
            "emissions": _emissions(Path(str(self.args.output_dir))),
        }

    def create_model_card(
        self,
        language: str | None = None,
        license: str | None = None,
        tags: str | list[str] | None = None,
        model_name: str | None = None,
        finetuned_from: str | None = None,
        tasks: str | list[str] | None = None,
        dataset_tags: str | list[str] | None = None,
        dataset: str | list[str] | None = None,
        dataset_args: str | list[str] | None = None,
    ) -> None:
        """Writes this package's model card, with the kept model's validation metrics, instead of Trainer's draft.

        Args:
            language: Language of the texts.
            license: License of the model.
            tags: Further tags.
            model_name: As in `transformers.Trainer`; the card is named after its folder.
            finetuned_from: Model that this one was made from.
            tasks: As in `transformers.Trainer`; the task follows from the model.
            dataset_tags: Hub ids of the data sets.
            dataset: The data set's name.
            dataset_args: As in `transformers.Trainer`; not told.
        """
        if not self.is_world_process_zero():
            return
        model: Any = self.accelerator.unwrap_model(self.model)
        header = {"language": language, "license": license, "tags": tags, "base_model": finetuned_from}
        header["datasets"] = dataset_tags
        sizes: dict[str, Any] = {"train": self.train_dataset, "validation": self.eval_dataset}
        measured = self._validation_metrics()
        facts = CardFacts(
            architecture=architecture_of(model),
            metrics={"validation": measured} if measured else {},
            training=self.training_facts(),
            sizes={
                split: rows.num_rows if isinstance(rows, RowStream) else len(rows)
                for split, rows in sizes.items()
                if hasattr(rows, "__len__")
            },
            source=dataset if isinstance(dataset, str) else None,
            metadata={key: value for key, value in header.items() if value is not None},
        )
        write_model_card(cast(str, self.args.output_dir), model.config, facts)

    def _validation_metrics(self) -> dict[str, float]:
        """The evaluation of the model that is kept: at the best step, else the last one."""
        prefix, history = "eval_", [x for x in self.state.log_history if "eval_loss" in x]
        best = self.state.best_global_step if self.args.load_best_model_at_end else None
        chosen = [entry for entry in history if entry["step"] == best] or history
        return {k.removeprefix(prefix): v for k, v in chosen[-1].items() if k.startswith(prefix)} if chosen else {}


__all__ = ["MultimodalTrainer"]
