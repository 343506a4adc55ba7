# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Metrics of generated text against published numbers, and by hand."""

import evaluate
import pytest

from hf_multimodal.data.word_tokenizer import build_word_tokenizer
from hf_multimodal.evaluation import text_metrics
from hf_multimodal.evaluation.text_metrics import (
    Bleu,
    Cider,
    Distinct,
    ExactMatch,
    RougeL,
    VqaAccuracy,
    caption_scores,
    cider_scores,
)

# The worked example in the documentation of aac-metrics, whose numbers agree with the authors' code; punctuation is
# taken off before.
CANDIDATES = ["a man is speaking", "rain falls"]
REFERENCES = [
    ["a man speaks.", "someone speaks.", "a man is speaking while a bird is chirping in the background"],
    ["rain is falling hard on a surface"],
]


def test_cider_d_of_a_published_example():
    assert cider_scores(CANDIDATES, REFERENCES) == pytest.approx([1.3641, 0.5587], abs=1e-4)
    assert Cider().compute(predictions=CANDIDATES, references=REFERENCES)["cider"] == pytest.approx(0.9614, abs=1e-4)


def test_cider_d_of_a_perfect_caption_is_ten():
    texts = ["a red bag with a long strap", "two blue shoes on a shelf", "one small watch of green steel"]
    assert cider_scores(texts, [[text] for text in texts]) == pytest.approx([10.0] * 3)


def test_cider_d_punishes_repetition_and_length():
    references = [["a red bag with a long strap"], ["two blue shoes on a shelf"]]
    plain, repeated = (
        cider_scores([text, "x"], references)[0] for text in ("a red bag", "red red red red red red bag")
    )
    assert plain > repeated > 0


def test_cider_d_of_words_that_every_row_has_is_zero():
    assert cider_scores(["the", "the"], [["the"], ["the"]]) == [0.0, 0.0]


def test_bleu_of_papineni_et_al():
    # its modified unigram precision of "the the the ..." is 2/7; without any longer match the product is near zero
    references = [["The cat is on the mat.", "There is a cat on the mat."]]
    exact = Bleu().compute(predictions=["the cat is on the mat."], references=references)
    assert exact["bleu"] == pytest.approx(1.0)
    assert Bleu().compute(predictions=["the the the the the the the"], references=references)["bleu"] < 0.1


def test_rows_may_have_different_numbers_of_references():
    texts = ["a man is speaking now", "rain falls on the roof"]
    scores = caption_scores(texts, [["no such thing", texts[0]], [texts[1]]])
    assert scores["bleu"] == pytest.approx(1.0)
    assert scores["rougeL"] == pytest.approx(1.0)


def test_rouge_l_by_hand():
    # longest common subsequence of 3 words out of 4 on both sides
    scores = RougeL().compute(predictions=["police kill the gunman"], references=[["police killed the gunman", "x"]])
    assert scores["rougeL"] == pytest.approx(0.75)


def test_exact_match_forgives_case_and_punctuation():
    scores = ExactMatch().compute(predictions=["Light blue.", "light", ""], references=[["light  blue"], ["x"], ["x"]])
    assert scores["exact_match"] == pytest.approx(1 / 3)


@pytest.mark.parametrize(("agreeing", "score"), [(0, 0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1), (10, 1)])
def test_vqa_accuracy_of_ten_annotators(agreeing, score):
    answers = ["Two"] * agreeing + [f"other {i}" for i in range(10 - agreeing)]
    scores = VqaAccuracy().compute(predictions=["the 2"], references=[answers])
    assert scores["vqa_accuracy"] == pytest.approx(score)


def test_vqa_accuracy_of_one_answer():
    scores = VqaAccuracy().compute(predictions=["yes", "no"], references=[["yes"], ["yes"]])
    assert scores["vqa_accuracy"] == 0.5


@pytest.mark.parametrize("metric", [Bleu, RougeL, Cider, ExactMatch, VqaAccuracy])
def test_what_a_word_tokenizer_writes_is_the_same_text(metric):
    references = ["Puma Men's Black T-shirt 1.5 l", "Café crème, by Doña Inés (new)", "Two plain blue bags for women"]
    tokenizer = build_word_tokenizer(references)
    ids = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in references]
    written = tokenizer.batch_decode(ids)
    assert written != references
    (score,) = metric().compute(predictions=written, references=[[text] for text in references]).values()
    assert score == pytest.approx(10 if metric is Cider else 1)


@pytest.mark.parametrize(
    ("given", "right"),
    [("t shirt", "T-shirt"), ("dont", "don't"), ("10000", "10,000"), ("usa", "U.S.A."), ("3", "three")],
)
def test_vqa_accuracy_forgives_spelling(given, right):
    assert VqaAccuracy().compute(predictions=[given], references=[[right]])["vqa_accuracy"] == 1
    assert VqaAccuracy().compute(predictions=[""], references=[["?"]])["vqa_accuracy"] == 0


def test_distinct():
    scores = Distinct().compute(predictions=["a", "a", "b", "a"], references=[["a"], ["b"], ["c"], ["c"]])
    assert scores == {"distinct": 0.5, "distinct_references": 0.75}


def test_modules_accumulate_and_combine():
    both = evaluate.combine([Cider(), ExactMatch()])
    for text, own in zip(CANDIDATES, REFERENCES, strict=True):
        both.add_batch(predictions=[text], references=[own])
    assert both.compute() == {"cider": pytest.approx(0.9614, abs=1e-4), "exact_match": 0.0}


def test_a_row_without_references():
    with pytest.raises(ValueError, match="Row 1 has no reference"):
        Cider().compute(predictions=["a", "b"], references=[["a"], []])


def test_a_missing_library(monkeypatch):
    def fail(name):
        raise ImportError(name)

    monkeypatch.setattr(text_metrics, "import_module", fail)
    with pytest.raises(ImportError, match=r"pip install 'hf_multimodal\[generation\]'"):
        Bleu().compute(predictions=["a"], references=[["a"]])
