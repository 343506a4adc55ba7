# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""The cards in model_cards/ are those that would be rendered now, and their headers are sound."""

import subprocess
import sys
from pathlib import Path

from huggingface_hub import ModelCard

from hf_multimodal.training.run import train
from hf_multimodal.training.run_config import RunConfig
from tests.training.tiny_run import tiny_run

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / "scripts" / "cards"
CARDS = sorted((ROOT / "model_cards").glob("*.md"))


def cards(*arguments):
    return subprocess.run([sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, check=False)


def test_the_cards_are_current():
    result = cards("--check")
    assert result.returncode == 0, result.stderr


def test_every_card_has_its_data_and_results():
    assert CARDS
    data = {file.stem for file in (ROOT / "model_cards" / "data").glob("*.json")}
    assert {card.stem for card in CARDS} == data
    for path in CARDS:
        card = ModelCard.load(path)
        assert card.data.model_name == path.stem
        assert card.data.eval_results or "loss" in card.text
        assert (ROOT / "scripts" / "configs" / f"{path.stem}.yaml").is_file()


def test_a_run_is_taken_in(tmp_path):
    run = train(
        RunConfig.from_dict(tiny_run(tmp_path / "tiny", card={"limits": "Only drawn scenes.", "license": "mit"}))
    )
    assert cards(str(run.folder), "--folder", str(tmp_path / "cards")).returncode == 0
    rendered = (tmp_path / "cards" / "tiny.md").read_text()
    assert "## Limits\n\nOnly drawn scenes." in rendered
    assert "*Not filled in yet (`card.intended_use`" in rendered
    assert "license: mit" in rendered
    assert "metrics.json" not in rendered
    own = (run.folder / "README.md").read_text()
    assert rendered.split("## Trained on")[0] == own.split("## Trained on")[0]
    assert cards("--check", "--folder", str(tmp_path / "cards")).returncode == 0
    (tmp_path / "cards" / "tiny.md").write_text("changed")
    result = cards("--check", "--folder", str(tmp_path / "cards"))
    assert result.returncode == 1
    assert "tiny.md" in result.stderr
