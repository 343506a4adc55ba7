# Copyright 2026 The hf_multimodal authors.
# SPDX-License-Identifier: Apache-2.0
"""The main job, end to end: train on the built-in scenes, compare with each modality alone, save, reload, predict."""

import argparse
import json
import math
import subprocess
import sys
import time
from pathlib import Path

from hf_multimodal.modeling.image_opening import open_image
from hf_multimodal.training.run import train
from hf_multimodal.training.run_config import RunConfig
from hf_multimodal.training.run_parts import load_splits

ROOT = Path(__file__).resolve().parent.parent
CONFIG = ROOT / "scripts" / "configs" / "scenes.yaml"
OUTPUT = ROOT / "runs" / "quickstart"
# One modality alone cannot learn anything here, by construction (see hf_multimodal/data/scenes.py): two epochs show it.
VARIANTS = {
    "text + image": [],
    "text only": ["towers.image=null", "training.num_train_epochs=2"],
    "image only": ["towers.text=null", "training.num_train_epochs=2"],
}
# Runs where this package is not imported: the saved folder brings the code it needs.
RELOAD = """
import json, sys
from PIL import Image
from transformers import AutoModelForSequenceClassification, AutoProcessor
folder, text, image = sys.argv[1:]
model = AutoModelForSequenceClassification.from_pretrained(folder, trust_remote_code=True).eval()
processor = AutoProcessor.from_pretrained(folder, trust_remote_code=True)
batch = processor(text=[text], images=[Image.open(image)], return_tensors="pt")
probabilities = model(**batch).logits.softmax(-1)[0]
best = int(probabilities.argmax())
answer = {"label": model.config.id2label[best], "score": float(probabilities[best])}
print(json.dumps({**answer, "package_imported": "hf_multimodal" in sys.modules}))
"""


def main() -> None:
    """Runs the comparison and prints a table and where the files are."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--output", type=Path, default=OUTPUT, help="where the runs go; replaced if left at its default"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace earlier runs in another output folder, too")
    parser.add_argument("overrides", nargs="*", help="fields of scripts/configs/scenes.yaml, as key=value")
    arguments = parser.parse_args()
    started = time.perf_counter()
    try:
        rows = [_train_variant(name, index, arguments) for index, name in enumerate(VARIANTS)]
    except ValueError as error:  # a mistake in the arguments
        parser.exit(2, f"error: {error}\n")
    _print_table(rows)
    folder = rows[0]["folder"]
    _predict_elsewhere(RunConfig.load(folder / "run_config.yaml"), folder)
    _say(f"\nModel, processor, card, metrics:  {folder}")
    _say(f"Everything took {time.perf_counter() - started:.0f} s.")


def _train_variant(name: str, index: int, arguments: argparse.Namespace) -> dict:
    _say(f"\n[{index + 1}/{len(VARIANTS)}] {name}")
    folder = arguments.output / name.replace(" + ", "_").replace(", ", "_").replace(" ", "_")
    config = RunConfig.load(CONFIG, [*VARIANTS[name], *arguments.overrides, f"output_dir={folder}"])
    result = train(config, overwrite=arguments.overwrite or arguments.output == OUTPUT)
    facts, test = result.metrics["training"], result.metrics["test"]
    return {"name": name, "folder": folder, "test": test, "seconds": facts["seconds"], "rows": result.sizes["test"]}


def _print_table(rows: list[dict]) -> None:
    noise = 1.96 * math.sqrt(0.25 / rows[0]["rows"])
    _say(f"\nTest split, {rows[0]['rows']} rows; chance is 50.0 % ± {100 * noise:.1f} (95 %).\n")
    _say(f"{'model':32}{'accuracy':>10}{'F1':>8}{'training':>10}")
    for row in rows:
        scores = row["test"]
        _say(f"{row['name']:32}{100 * scores['accuracy']:8.1f} %{scores['f1']:8.3f}{row['seconds']:8.0f} s")


def _predict_elsewhere(config: RunConfig, folder: Path) -> None:
    row = load_splits(config)["test"][0]
    picture = folder / "example.png"
    open_image(row["image"]).save(picture)
    command = [sys.executable, "-c", RELOAD, str(folder), row["text"], str(picture)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"The model could not be loaded in a fresh process:\n{done.stderr}")
    answer = json.loads(done.stdout.splitlines()[-1])
    truth = {0: "false", 1: "true"}[row["label"]]
    _say("\nReloaded with AutoModelForSequenceClassification and AutoProcessor in a fresh process")
    _say(f"(hf_multimodal imported there: {'yes' if answer['package_imported'] else 'no'}):")
    _say(f"  {picture.name}, {row['text']!r}  ->  {answer['label']} ({answer['score']:.2f}); the truth: {truth}")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
