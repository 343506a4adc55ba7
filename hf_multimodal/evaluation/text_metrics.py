# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Metrics of generated text as `evaluate` modules: BLEU, ROUGE-L, CIDEr-D, exact match, VQA accuracy.

Predictions are strings, references a list of strings each: captions of a picture, answers of annotators. sacrebleu
and rouge-score compute the first two (`pip install hf_multimodal[generation]`).
"""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from importlib import import_module
from itertools import zip_longest
from typing import Any

import datasets
import evaluate
import numpy as np

CIDER_ORDER = 4  # n-grams of one to four words
CIDER_SIGMA = 6.0  # width of the penalty on a difference in length, in words
_ARTICLES = {"a", "an", "the"}
_NUMBER_WORDS = ("none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_DIGITS = {**{word: str(number) for number, word in enumerate(_NUMBER_WORDS)}, "zero": "0"}


def words(text: str) -> list[str]:
    """Splits a text into lower-case words, without accents, at spaces and punctuation.

    A word tokenizer writes "men ' s t - shirt" where the reference has "Men's T-shirt": both are the same words.
    """
    plain = unicodedata.normalize("NFKD", text.lower())
    return re.findall(r"\w+", "".join(x for x in plain if not unicodedata.combining(x)))


class _TextMetric(evaluate.Metric):
    """An `evaluate.Metric` in memory whose predictions are strings, with any number of references each."""

    citation = ""

    def __init__(self, **kwargs: Any) -> None:  # noqa: ANN401 (evaluate.Metric's own)
        super().__init__(keep_in_memory=True, **kwargs)

    def _info(self) -> evaluate.MetricInfo:
        text: Any = datasets.Value("string")
        features = datasets.Features({"predictions": text, "references": datasets.Sequence(text)})
        return evaluate.MetricInfo(description=self.__doc__, citation=self.citation, features=features)

    def _compute(self, predictions: list[str], references: list[list[str]], **kwargs: Any) -> dict[str, float]:  # noqa: ANN401
        for index, texts in enumerate(references):
            if not texts:
                raise ValueError(f"Row {index} has no reference: every prediction needs at least one.")
        return self.score(predictions, references)

    def score(self, predictions: list[str], references: list[list[str]]) -> dict[str, float]:
        """Computes the metric of texts that have at least one reference each."""
        raise NotImplementedError


class Bleu(_TextMetric):
    """BLEU-4 of the corpus, between 0 and 1, computed by sacrebleu on lower-case words without punctuation."""

    citation = "Papineni et al., BLEU: a method for automatic evaluation of machine translation, ACL 2002."

    def score(self, predictions: list[str], references: list[list[str]]) -> dict[str, float]:
        """Computes `bleu`."""
        plain = [[" ".join(words(text)) for text in own] for own in references]
        streams = [list(stream) for stream in zip_longest(*plain)]  # None where a row has fewer
        bleu = _library("sacrebleu").BLEU(tokenize="none")
        return {"bleu": bleu.corpus_score([" ".join(words(text)) for text in predictions], streams).score / 100}


class RougeL(_TextMetric):
    """ROUGE-L: F1 of the longest common subsequence with the nearest reference, between 0 and 1, mean over rows."""

    citation = "Lin, ROUGE: a package for automatic evaluation of summaries, 2004."

    def score(self, predictions: list[str], references: list[list[str]]) -> dict[str, float]:
        """Computes `rougeL`."""
        scorer = _library("rouge_score.rouge_scorer").RougeScorer(["rougeL"])
        plain = [" ".join(words(text)) for text in predictions]
        pairs = zip(plain, ([" ".join(words(text)) for text in own] for own in references), strict=True)
        return {"rougeL": float(np.mean([scorer.score_multi(own, text)["rougeL"].fmeasure for text, own in pairs]))}


class Cider(_TextMetric):
    """CIDEr-D: consensus with the references by n-grams weighted by how telling they are; 0 to 10, mean over rows.

    How telling an n-gram is follows from the references of all rows, so a score holds for its data set alone.
    """

    citation = "Vedantam et al., CIDEr: consensus-based image description evaluation, CVPR 2015."

    def score(self, predictions: list[str], references: list[list[str]]) -> dict[str, float]:
        """Computes `cider`."""
        return {"cider": float(np.mean(cider_scores(predictions, references)))}


class ExactMatch(_TextMetric):
    """Share of rows whose prediction is one of the references, but for case, punctuation and spaces."""

    def score(self, predictions: list[str], references: list[list[str]]) -> dict[str, float]:
        """Computes `exact_match`."""
        pairs = zip(predictions, references, strict=True)
        return {"exact_match": float(np.mean([_same_words(text) in map(_same_words, own) for text, own in pairs]))}


class VqaAccuracy(_TextMetric):
    """VQA accuracy against several annotators' answers: three who agree make an answer right, mean over rows.

    Of each row it is the mean, over all ways to leave one annotator out, of min(n / 3, 1), with n the others who gave
    the answer. With fewer than three others, as with a single right answer, all of them are enough. Answers are
    compared without case, punctuation, spaces and articles, number words as digits ("T-shirt" is "t shirt", "don't"
    is "dont"); the official evaluation has lists of contractions in the place of leaving out spaces.
    """

    citation = "Antol et al., VQA: Visual Question Answering, ICCV 2015."

    def score(self, predictions: list[str], references: list[list[str]]) -> dict[str, float]:
        """Computes `vqa_accuracy`."""
        pairs = zip(predictions, references, strict=True)
        return {"vqa_accuracy": float(np.mean([_vqa_score(text, own) for text, own in pairs]))}


class Distinct(_TextMetric):
    """Share of the predictions that are distinct, beside the same of the first references."""

    def score(self, predictions: list[str], references: list[list[str]]) -> dict[str, float]:
        """Computes `distinct` and `distinct_references`."""
        firsts = [own[0] for own in references]
        return {name: len(set(x)) / len(x) for name, x in (("distinct", predictions), ("distinct_references", firsts))}


def cider_scores(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> list[float]:
    """Computes CIDEr-D of each prediction (Vedantam et al. 2015, with the clipping and length penalty of its -D).

    Args:
        predictions: (N,) texts.
        references: (N,) lists of texts, none empty.

    Returns:
        (N,) scores between 0 and 10.
    """
    counted = [[_ngrams(text) for text in own] for own in references]
    document_frequency = Counter(gram for own in counted for gram in set().union(*own))
    log_documents = math.log(len(references)) if len(references) > 1 else 1.0  # a lone row would weigh nothing
    weigh = _Weights(document_frequency, log_documents)
    scores = []
    for text, own in zip(predictions, counted, strict=True):
        vectors, lengths = weigh(candidate := _ngrams(text)), _length(candidate)
        found = [_similarity(vectors, weigh(reference), lengths - _length(reference)) for reference in own]
        scores.append(10 * sum(found) / len(found))
    return scores


class _Weights:
    """Turns n-gram counts into one tf-idf vector for each n."""

    def __init__(self, document_frequency: Counter[tuple[str, ...]], log_documents: float) -> None:
        self.document_frequency, self.log_documents = document_frequency, log_documents

    def __call__(self, counts: Counter[tuple[str, ...]]) -> list[dict[tuple[str, ...], float]]:
        vectors: list[dict[tuple[str, ...], float]] = [{} for _ in range(CIDER_ORDER)]
        for gram, count in counts.items():
            rarity = self.log_documents - math.log(max(1, self.document_frequency[gram]))
            vectors[len(gram) - 1][gram] = count * rarity
        return vectors


def _ngrams(text: str) -> Counter[tuple[str, ...]]:
    tokens = words(text)
    starts = ((i, n) for n in range(1, CIDER_ORDER + 1) for i in range(len(tokens) - n + 1))
    return Counter(tuple(tokens[i : i + n]) for i, n in starts)


def _length(counts: Counter[tuple[str, ...]]) -> int:
    return sum(count for gram, count in counts.items() if len(gram) == 2)  # in pairs of words, as the authors' code


def _similarity(candidate: list[dict], reference: list[dict], length_difference: int) -> float:
    total = 0.0
    for own, other in zip(candidate, reference, strict=True):
        norms = math.sqrt(sum(x * x for x in own.values()) * sum(x * x for x in other.values()))
        if norms:
            total += sum(min(x, other[gram]) * other[gram] for gram, x in own.items() if gram in other) / norms
    return total / CIDER_ORDER * math.exp(-(length_difference**2) / (2 * CIDER_SIGMA**2))


def _vqa_score(answer: str, annotators: Sequence[str]) -> float:
    answer, answers = _plain(answer), [_plain(x) for x in annotators]
    given = sum(x == answer for x in answers)
    needed = max(1, min(3, len(answers) - 1))
    if len(answers) == 1:
        return float(given)
    return sum(min((given - (x == answer)) / needed, 1.0) for x in answers) / len(answers)


def _plain(answer: str) -> str:
    spoken = words(answer.replace(".", ""))  # so that the last letter of U.S.A. is no article
    kept = "".join(_DIGITS.get(word, word) for word in spoken if word not in _ARTICLES)
    return kept or answer.strip().lower()


def _same_words(text: str) -> list[str]:
    """The words of a text, or the text itself where it is all punctuation."""
    return words(text) or [text.strip()]


def _library(name: str) -> Any:  # noqa: ANN401 (a module)
    try:
        return import_module(name)
    except ImportError as error:
        raise ImportError(
            f"{name.partition('.')[0]} is not installed: pip install 'hf_multimodal[generation]'."
        ) from error


def check_text_libraries() -> None:
    """Sees that what computes BLEU and ROUGE-L is there, before hours are spent on texts.

    Raises:
        ImportError: saying what to install.
    """
    for name in ("sacrebleu", "rouge_score.rouge_scorer"):
        _library(name)


def caption_scores(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """Computes all that tells of captions: `bleu`, `rougeL`, `cider`, `distinct`, `distinct_references`."""
    return _scores((Bleu, RougeL, Cider, Distinct), predictions, references)


def answer_scores(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """Computes all that tells of answers: `exact_match`, `vqa_accuracy`."""
    return _scores((ExactMatch, VqaAccuracy), predictions, references)


def _scores(
    modules: Sequence[type[_TextMetric]], predictions: Sequence[str], references: Sequence[Sequence[str]]
) -> dict[str, float]:
    scores: dict[str, float] = {}
    for module in modules:
        scores.update(module().compute(predictions=list(predictions), references=[list(own) for own in references]))
    return scores


__all__ = [
    "Bleu",
    "Cider",
    "Distinct",
    "ExactMatch",
    "RougeL",
    "VqaAccuracy",
    "answer_scores",
    "caption_scores",
    "check_text_libraries",
    "cider_scores",
    "words",
]
