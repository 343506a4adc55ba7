# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""An evaluator of the `evaluate` library over a model's folder and rows."""

from typing import Any, Literal

import evaluate
import numpy as np
from evaluate.evaluator.base import Evaluator
from transformers import AutoConfig, AutoProcessor

from hf_multimodal.data.columns import ROW_ID, Columns, source_name
from hf_multimodal.data.labels import LabelSchema, labels_from_config
from hf_multimodal.data.loading import load_rows
from hf_multimodal.data.sources import Source
from hf_multimodal.evaluation.label_metrics import load_metric
from hf_multimodal.modeling.configuration_multimodal import check_known
from hf_multimodal.modeling.modeling_all import MODELS_WITH_HEAD
from hf_multimodal.modeling.pipeline_multimodal import MultimodalClassificationPipeline


class MultimodalEvaluator(Evaluator):
    """Binds a pipeline, rows and any metric: `MultimodalEvaluator().compute("runs/x", rows, columns={…}, metric="f1")`.

    `hf-multimodal evaluate` does more and on many processes; this is for metrics of one's own, and for those who have
    their evaluation in the `evaluate` library already.
    """

    def __init__(self) -> None:
        super().__init__(task="multimodal-classification", default_metric_name="accuracy")

    def predictions_processor(self, predictions: Any, label_mapping: Any) -> Any:  # noqa: ANN401 (of the base class)
        """Leaves predictions as they are: `compute` reads them itself."""
        return predictions

    def compute(
        self,
        model_or_pipeline: str | MultimodalClassificationPipeline,
        data: Source,
        *,
        columns: Columns,
        split: str | None = None,
        metric: str | evaluate.EvaluationModule | evaluate.CombinedEvaluations = "accuracy",
        batch_size: int = 32,
        strategy: Literal["simple", "bootstrap"] = "simple",
        confidence_level: float = 0.95,
        n_resamples: int = 1000,
        random_state: int | None = None,
        **load_kwargs: Any,  # noqa: ANN401 (of `load_rows`)
    ) -> dict[str, Any]:
        """Predicts the rows and computes a metric.

        Args:
            model_or_pipeline: A model's folder or Hub id, or a pipeline.
            data: What `load_rows` takes.
            columns: Canonical name -> column, with `label`.
            split: Of the source.
            metric: Name of one of this package's (`LABEL_METRICS`), a module, or what `evaluate.combine` returns. Those
                that take `prediction_scores` get the probabilities.
            batch_size: Rows predicted at a time.
            strategy: `bootstrap` adds confidence intervals.
            confidence_level: Of the intervals.
            n_resamples: Draws of the bootstrap.
            random_state: Its seed.
            **load_kwargs: Of `load_rows`.

        Returns:
            As the `evaluate` library's evaluators do: the metric, and the time it took.

        Raises:
            ValueError: if the model has not one single label, or a row is not usable.
        """
        pipe = _pipeline(model_or_pipeline)
        schema = labels_from_config(pipe.model.config)
        if not isinstance(schema, LabelSchema) or schema.problem_type != "single_label_classification":
            raise ValueError("The evaluator takes models of a single label; use evaluate_model for the others.")
        rows = load_rows(data, split=split, columns=columns, **load_kwargs)
        name = source_name(columns, "label")
        references = [schema.encode(row["label"], row=row[ROW_ID], column=name) for row in rows]
        inputs = [{m: row.get(m) for m in pipe.processor.modalities} for row in rows]
        outputs, times = self.call_pipeline(pipe, inputs, batch_size=batch_size)
        scores = np.array([[{x["label"]: x["score"] for x in row}[label] for label in schema.names] for row in outputs])
        module = load_metric(metric) if isinstance(metric, str) else metric
        known = {"predictions": scores.argmax(1), "references": np.array(references), "prediction_scores": scores}
        names = (
            module._feature_names() if isinstance(module, evaluate.EvaluationModule) else known
        )  # of combined ones: all
        taken = {key: value.tolist() for key, value in known.items() if key in names}
        if strategy == "bootstrap" and "prediction_scores" in taken:
            raise ValueError(
                "The evaluate library's bootstrap takes metrics of decisions only: leave strategy out, or read the "
                "intervals in the report of `hf-multimodal evaluate --output`."
            )
        result = self.compute_metric(
            module,
            taken,
            strategy=strategy,
            confidence_level=confidence_level,
            n_resamples=n_resamples,
            random_state=random_state,
        )
        return {**result, **times}


def _pipeline(model: str | MultimodalClassificationPipeline) -> MultimodalClassificationPipeline:
    if isinstance(model, MultimodalClassificationPipeline):
        return model
    saved_as = (AutoConfig.from_pretrained(model).architectures or ["?"])[0]
    check_known("class of a saved model", saved_as, tuple(MODELS_WITH_HEAD))
    loaded: Any = MODELS_WITH_HEAD[saved_as].from_pretrained(model)  # question answering has another head
    return MultimodalClassificationPipeline(model=loaded, processor=AutoProcessor.from_pretrained(model))


__all__ = ["MultimodalEvaluator"]
