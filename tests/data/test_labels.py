# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""Label schemas: what is inferred, what a cell becomes, and every refusal."""

import pickle

import datasets
import numpy as np
import pytest

from hf_multimodal.data.labels import LabelError, LabelSchema, check_labels
from tests.tiny import tiny_model

SINGLE = "single_label_classification"
MULTI = "multi_label_classification"


def rows(values, feature=None):
    features = None if feature is None else datasets.Features({"label": feature})
    return datasets.Dataset.from_dict({"label": values}, features=features)


def encode(schema, value):
    return schema.encode(value, row="r7", column="answer")


@pytest.mark.parametrize(
    ("values", "problem_type", "names"),
    [
        (["b", "a", "b"], SINGLE, ("a", "b")),
        ([10, 9, 10], SINGLE, ("9", "10")),  # By size, not by spelling.
        ([True, False], SINGLE, ("False", "True")),
        ([None, "b", "a"], SINGLE, ("a", "b")),
        ([["x", "y"], [], ["w"]], MULTI, ("w", "x", "y")),
        ([[3, 20], [1]], MULTI, ("1", "3", "20")),
        ([0.5, 2.0], "regression", ("label",)),
        ([[0.5, 1.0], [2.0, 3.0]], "regression", ("label_0", "label_1")),
    ],
)
def test_inference(values, problem_type, names):
    schema = LabelSchema.from_dataset(rows(values))
    assert (schema.problem_type, schema.names) == (problem_type, names)
    assert schema.num_labels == len(names)


def test_class_label_keeps_its_order():
    schema = LabelSchema.from_dataset(rows([1, 0], datasets.ClassLabel(names=["yes", "no"])))
    assert schema.id2label == {0: "yes", 1: "no"}
    assert schema.label2id == {"yes": 0, "no": 1}
    assert [schema.decode(index) for index in (0, 1)] == ["yes", "no"]
    assert encode(schema, 1) == 1
    assert encode(schema, "no") == 1


def test_list_of_class_labels():
    schema = LabelSchema.from_dataset(rows([[0, 2], []], datasets.List(datasets.ClassLabel(names=["a", "b", "c"]))))
    assert (schema.problem_type, schema.names) == (MULTI, ("a", "b", "c"))
    assert encode(schema, [0, 2]) == [1.0, 0.0, 1.0]


def test_streamed_class_label_needs_no_scan():
    streamed = rows([1, 0], datasets.ClassLabel(names=["yes", "no"])).to_iterable_dataset()
    assert LabelSchema.from_dataset(streamed).names == ("yes", "no")
    check_labels(streamed, LabelSchema(SINGLE, ("a", "b")), columns={"label": "y"})  # Checked as they come.


def test_given_names_reorder_the_stored_integers():
    stored = rows([0, 1], datasets.ClassLabel(names=["cat", "dog"]))
    schema = LabelSchema.from_dataset(stored, names=("dog", "cat"))
    assert [encode(schema, value) for value in (0, 1, "dog")] == [1, 0, 0]


def test_integers_are_names_where_names_are_integers():
    schema = LabelSchema.from_dataset(rows([5, 3]))
    assert [encode(schema, value) for value in (3, 5, np.int64(5), "5")] == [0, 1, 1, 1]
    with pytest.raises(LabelError, match=r"'0' is not one of the labels.*'3', '5'"):
        encode(schema, 0)


def test_digit_names_of_a_class_label_are_still_indexed():
    schema = LabelSchema.from_dataset(rows([0, 1], datasets.ClassLabel(names=["1", "0"])))
    assert encode(schema, 1) == 1
    assert encode(schema, "1") == 0


def test_integers_index_other_names():
    schema = LabelSchema.from_dataset(rows([0, 1]), names=("off", "on"))
    assert encode(schema, 1) == 1


@pytest.mark.parametrize("names", [("False", "True"), ("false", "true")])
def test_bools(names):
    schema = LabelSchema(SINGLE, names)
    assert [encode(schema, value) for value in (False, True)] == [0, 1]


def test_problem_type_overrides():
    assert LabelSchema.from_dataset(rows([1, 2]), problem_type="regression").names == ("label",)
    assert LabelSchema.from_dataset(rows(["a"]), problem_type=SINGLE, names=["a", "b"]).num_labels == 2


def test_encoded_types():
    assert encode(LabelSchema(MULTI, ("a", "b", "c")), ["c", "a", "c"]) == [1.0, 0.0, 1.0]
    assert encode(LabelSchema(MULTI, ("a", "b")), []) == [0.0, 0.0]
    assert encode(LabelSchema("regression", ("t",)), 3) == 3.0
    assert encode(LabelSchema("regression", ("t",)), [3]) == 3.0
    assert encode(LabelSchema("regression", ("t", "u")), [3, np.float32(0.5)]) == [3.0, 0.5]


def test_schema_can_be_pickled_and_compared():
    schema = LabelSchema(SINGLE, ["a", "b"])
    encode(schema, "a")
    assert pickle.loads(pickle.dumps(schema)) == schema == LabelSchema(SINGLE, ("a", "b"))


def test_unknown_label_names_row_column_and_nearest():
    schema = LabelSchema(SINGLE, ("circle", "square"))
    with pytest.raises(
        LabelError,
        match=r"Row 'r7', column 'answer': 'circel' is not one of the labels. Did you mean 'circle'\? "
        r"Labels: 'circle', 'square'. Correct it",
    ):
        encode(schema, "circel")


def test_at_most_twenty_labels_are_listed():
    schema = LabelSchema(SINGLE, tuple(f"n{index:02d}" for index in range(25)))
    with pytest.raises(LabelError, match=r"'n19' and 5 more\."):
        encode(schema, "zzz")


@pytest.mark.parametrize("value", [None, -1, -1.0])
def test_missing_single_label(value):
    with pytest.raises(
        LabelError, match=r"Row 'r7'.*label is missing.*without a label cannot be trained on.*drop the row"
    ):
        encode(LabelSchema(SINGLE, ("a", "b")), value)


@pytest.mark.parametrize(
    ("problem_type", "value", "message"),
    [
        (SINGLE, 2.5, r"2\.5 is of type float, but single_label_classification needs a label name.*set problem_type"),
        (SINGLE, ["a"], r"is a list, but single_label_classification takes one label per row.*multi_label"),
        (SINGLE, 2, r"2 is not the index of a label: indices go from 0 to 1"),
        (SINGLE, -2, r"-2 is not the index of a label"),
        (MULTI, None, r"labels are missing. Give an empty list if none applies"),
        (MULTI, "a", r"'a' is of type str, but multi_label_classification needs a list"),
        (MULTI, 1, r"1 is of type int, but multi_label_classification needs a list"),
        (MULTI, ["a", None], r"holds a missing label. Leave it out"),
        (MULTI, ["a", "c"], r"'c' is not one of the labels"),
        ("regression", None, r"target is missing.*drop the row"),
        ("regression", "a", r"'a' is of type str, but regression needs a number. Convert the column to float"),
        ("regression", True, r"True is of type bool, but regression needs a number"),
        ("regression", [1.0, None], r"None is of type NoneType, but regression needs a number"),
        ("regression", [1.0, float("nan")], r"target is nan, which is no number to train on"),
        ("regression", [1.0, float("inf")], r"target is inf"),
        ("regression", [1.0], r"\[1\.0\] has 1 targets, but there are 2 \(a, b\)"),
        ("regression", 1.0, r"1\.0 has 1 targets, but there are 2"),
    ],
)
def test_refused_cells(problem_type, value, message):
    with pytest.raises(LabelError, match=r"Row 'r7', column 'answer': .*" + message):
        encode(LabelSchema(problem_type, ("a", "b")), value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("single_label", ("a", "b")), r"problem_type 'single_label'.*Known: single_label_classification"),
        ((SINGLE, ()), r"one or more strings, got \(\)"),
        ((SINGLE, (1, 2)), r"one or more strings, got \(1, 2\)"),
        ((SINGLE, ("a", "b", "a")), r"distinct; given more than once: 'a'"),
    ],
)
def test_refused_schemas(arguments, message):
    with pytest.raises(ValueError, match=message):
        LabelSchema(*arguments)


@pytest.mark.parametrize("index", [-1, 2])
def test_decode_out_of_range(index):
    with pytest.raises(ValueError, match=rf"no label {index}: indices go from 0 to 1"):
        LabelSchema(SINGLE, ("a", "b")).decode(index)


@pytest.mark.parametrize(
    ("values", "arguments", "message"),
    [
        ([None, None], {}, r"Column 'label' holds no label at all"),
        ([None, None], {"problem_type": SINGLE}, r"Column 'label' holds no label at all"),
        ([[], []], {}, r"holds only empty lists"),
        ([[], []], {"problem_type": MULTI}, r"holds no label at all"),
        (["a", "a"], {}, r"holds only the label 'a': there is nothing to learn"),
        ([{"a": 1}], {}, r"holds dict, which are no labels"),
        ([0.5, 1.5], {"problem_type": SINGLE}, r"holds float values, which cannot be classes: convert them"),
        (["a", "b"], {"column": "lable"}, r"no column 'lable'. Columns there are: label"),
        (["a", "b"], {"problem_type": "clasification"}, r"Unknown problem_type 'clasification'"),
    ],
)
def test_refused_columns(values, arguments, message):
    with pytest.raises(ValueError, match=message):
        LabelSchema.from_dataset(rows(values), **arguments)


def test_streamed_strings_need_names():
    streamed = rows(["a", "b"]).to_iterable_dataset()
    with pytest.raises(ValueError, match=r"streamed, so the labels in column 'label' are not known beforehand"):
        LabelSchema.from_dataset(streamed)
    with pytest.raises(ValueError, match=r"streamed, so the type of the labels.*give problem_type"):
        LabelSchema.from_dataset(streamed, names=("a", "b"))
    assert LabelSchema.from_dataset(streamed, problem_type=SINGLE, names=("a", "b")).num_labels == 2


def test_check_labels_names_the_row_id():
    dataset = datasets.Dataset.from_dict({"label": ["a", "b", "x"], "row_id": ["r0", "r1", "r2"]})
    schema = LabelSchema(SINGLE, ("a", "b"))
    check_labels(dataset.select([0, 1]), schema, columns={"label": "answer"})
    with pytest.raises(LabelError, match=r"Row 'r2', column 'answer': 'x' is not"):
        check_labels(dataset, schema, columns={"label": "answer"})
    with pytest.raises(LabelError, match=r"Row 'r2', column 'answer'"):
        check_labels(dataset.select([2, 1]), schema, columns={"label": "answer"})
    with pytest.raises(LabelError, match=r"Row 2, column 'answer'"):
        check_labels(dataset.remove_columns("row_id"), schema, columns={"label": "answer"})


def test_check_labels_opens_no_image():
    broken = {"image": [{"bytes": b"no image", "path": None}] * 2, "label": ["a", "b"]}
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("string")})
    dataset = datasets.Dataset.from_dict(broken, features=features)
    check_labels(dataset, LabelSchema.from_dataset(dataset), columns={"label": "label"})


def test_labels_of_a_model():
    assert LabelSchema.from_config(tiny_model(num_labels=1).config).problem_type == "regression"
    config = tiny_model(id2label={0: "no", 1: "yes"}).config
    assert LabelSchema.from_config(config) == LabelSchema("single_label_classification", ("no", "yes"))


ANSWERS = [["red"] * 7 + ["blue"] * 2 + ["?"], ["yes"] * 10, None]


def test_scored_answers_from_annotators():
    schema = LabelSchema.from_dataset(datasets.Dataset.from_dict({"label": ANSWERS}), problem_type="scored_answers")
    assert schema.names == ("red", "yes", "blue", "?")  # by total score
    assert schema.encode(ANSWERS[0], row=0, column="answers") == pytest.approx([1.0, 0.0, 2 / 3, 1 / 3])
    assert schema.encode(["never seen"], row=0, column="answers") == [0.0] * 4


def test_scored_answers_as_given():
    rows = [[{"answer": "red", "score": 1.0}, {"answer": "pink", "score": 0.3}], [{"answer": "no", "score": 0.6}]]
    dataset = datasets.Dataset.from_dict({"label": rows})
    schema = LabelSchema.from_dataset(dataset)
    assert (schema.problem_type, schema.names) == ("scored_answers", ("red", "no", "pink"))
    assert schema.encode(dataset[0]["label"], row=0, column="answers") == [1.0, 0.0, pytest.approx(0.3)]
    check_labels(dataset, schema, columns={"label": "answers"})


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("red", "'red' is of type str, but scored_answers needs a list"),
        (None, "NoneType, but scored_answers needs a list"),
        ([{"answer": "red", "score": 1.5}], "is not an answer with a score between 0 and 1"),
        ([{"answer": "red"}], "is not an answer with a score between 0 and 1"),
        ([3], "3 is not an answer with a score"),
    ],
)
def test_scored_answers_it_refuses(value, message):
    with pytest.raises(LabelError, match=f"Row 4, column 'answers': .*{message}"):
        LabelSchema("scored_answers", ("red", "blue")).encode(value, row=4, column="answers")


def test_one_answer_is_nothing_to_learn():
    with pytest.raises(ValueError, match="holds 1 answers"):
        LabelSchema.from_dataset(datasets.Dataset.from_dict({"label": [["red"]]}), problem_type="scored_answers")


def test_whole_numbers_with_gaps_are_ambiguous():
    dataset = datasets.Dataset.from_dict({"label": [1.0, 2.0, None]})
    with pytest.raises(ValueError, match="whole numbers with gaps.*to single_label_classification or to regression"):
        LabelSchema.from_dataset(dataset)
    assert LabelSchema.from_dataset(dataset, problem_type="regression").problem_type == "regression"
