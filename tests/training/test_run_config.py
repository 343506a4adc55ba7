# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""One YAML file per run: keys are checked, fields can be overridden."""

import pytest
import yaml

from hf_multimodal.training.run_config import RunConfig

VALUES = {
    "output_dir": "out",
    "data": {"source": "scenes", "columns": {"text": "statement", "label": "label"}},
    "towers": {"text": {"path": "bert"}},
}


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text(yaml.safe_dump(VALUES))
    return file


def test_defaults(path):
    config = RunConfig.load(path)
    assert config.task == "classification"
    assert config.data.splits == {"train": "train", "validation": "validation", "test": "test"}


def test_overrides(path):
    config = RunConfig.load(
        path, ["training.learning_rate=1e-4", "seed=3", "towers.image.path=resnet18", "data.limit={train: 10}"]
    )
    assert config.training == {"learning_rate": 1e-4}
    assert config.seed == 3
    assert config.towers["image"] == {"path": "resnet18"}
    assert config.data.limit == {"train": 10}


def test_overrides_add_to_what_is_there_by_default(path):
    assert RunConfig.load(path, ["data.splits.test=test2"]).data.splits == {
        "train": "train",
        "validation": "validation",
        "test": "test2",
    }
    assert RunConfig.load(path, ["data.splits.test=null"]).data.splits == {"train": "train", "validation": "validation"}
    path.write_text(yaml.safe_dump({**VALUES, "training": None}))  # an empty section
    assert RunConfig.load(path, ["training.seed=1"]).training == {"seed": 1}


def test_an_override_reaches_into_a_tower_given_by_its_path_alone(path):
    config = RunConfig.load(path, ["towers.text=bert-base", "towers.text.frozen=true"])
    assert config.towers["text"] == {"path": "bert-base", "frozen": True}


def test_save_and_load_again(path, tmp_path):
    config = RunConfig.load(path, ["training.learning_rate=2e-5"])
    config.save(tmp_path / "saved.yaml")
    assert RunConfig.load(tmp_path / "saved.yaml") == config


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("sead=1", r"Unknown key sead\. Did you mean 'seed'\?"),
        ("data.colums={}", r"Unknown key data\.colums\. Did you mean 'columns'\?"),
        ("task=clasification", r"Unknown task 'clasification'\. Did you mean 'classification'\?"),
        ("data.splits={dev: validation}", r"Unknown split 'dev'.*train, validation, test"),
        ("data.limit.train=0", r"data\.limit\.train holds 0: it is a whole number, 1 or more"),
        ("data.max_length=0", r"data\.max_length holds 0: it is a whole number, 1 or more"),
        ("seed", r"Cannot read the override 'seed': write key=value"),
        ("seed.x=1", r"Cannot set seed\.x: seed is 0"),
        ("data=scenes", r"data holds 'scenes': it needs at least source and columns"),
        ("data={source: scenes}", r"lacks data\.columns"),
    ],
)
def test_mistakes(path, override, message):
    if override == "seed.x=1":
        path.write_text(yaml.safe_dump({**VALUES, "seed": 0}))
    with pytest.raises(ValueError, match=message):
        RunConfig.load(path, [override])


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="No configuration file"):
        RunConfig.load(tmp_path / "absent.yaml")


def test_a_file_that_is_no_mapping(tmp_path):
    (tmp_path / "list.yaml").write_text("- 1")
    with pytest.raises(ValueError, match="holds list, not a mapping"):
        RunConfig.load(tmp_path / "list.yaml")


def test_package_paths(path):
    config = RunConfig.load(path, ["towers.text.path=package:hf_multimodal/data"])
    assert config.resolved_towers()["text"]["path"].endswith("data")
    config = RunConfig.load(path, ["towers.text.path=package:no_such_package/model"])
    with pytest.raises(ValueError, match="'no_such_package', which is not installed: pip install"):
        config.resolved_towers()
