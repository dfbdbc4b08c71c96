"""Film reviews, positive or negative: a fine-tuned pretrained encoder beside TF-IDF with logistic regression.

    python -m scripts.finetune_reviews --reviews reviews.tsv --model FOLDER [--out runs/reviews] [--smoke]

`reviews.tsv` has lines "text TAB rating", ratings from -4 to 4 (Hutto and Gilbert 2014, VADER's film reviews: 10 605
sentences); those of |rating| >= 0.5 are kept. A hash of the text puts it in train, validation or test. `FOLDER` is an
encoder such as all-MiniLM-L6-v2: a folder, a .keras file or hf://OWNER/NAME.
"""

import argparse
import json
import pathlib

import keras

import textkit
from scripts.tfidf import tfidf_predictions
from shared_layers.runtime import get_strategy, write_aside
from textkit import label_metrics
from textkit.datasets.labelled import ClassifiedTexts, load
from textkit.datasets.splits import SPLITS

CLASSES = ("negative", "positive")
CLEAR = 0.5  # the lowest |rating| of a review that is used
TRAINING = {"epochs": 4, "batch_size": 32, "learning_rate": 1e-4, "layer_decay": 0.8, "max_length": 64}
SMOKE = {"limit": 40, "epochs": 1, "batch_size": 8, "max_length": 16}


def read(path, limit=None):
    """The reviews with a clear rating, as `ClassifiedTexts`, at most `limit` in each split."""
    rated = load("classify", path, problem="regression")
    splits = {
        split: [(texts, int(rating > 0)) for texts, rating in getattr(rated, split) if abs(rating) >= CLEAR]
        for split in SPLITS
    }
    return ClassifiedTexts(**splits, name="reviews", class_names=CLASSES).limited(limit)


def run(reviews, source, out, strategy="none", resume=False, limit=None, **changes):
    """Trains, measures both on the test split, and returns what it writes to `metrics.json` in the folder.

    Args:
        reviews: str or path-like, the file.
        source: str or path-like, the encoder.
        out: str or path-like, the folder.
        strategy: str, see `shared_layers.runtime.get_strategy`.
        resume: bool, whether to go on from the run's last checkpoint.
        limit: int, at most this many reviews of each split; `None` for all.
        **changes: options in place of those of `TRAINING`.
    """
    out = pathlib.Path(out)
    data = read(reviews, limit)
    keras.utils.set_random_seed(0)  # for the new head
    with get_strategy(strategy).scope():
        model = textkit.TextClassifier.from_preset(source, num_classes=2, class_names=list(CLASSES))
    options = TRAINING | changes
    training = textkit.fine_tune(model, data, out, resume=resume, **options)
    best = textkit.TextClassifier.from_preset(out / "best.keras")
    report = textkit.evaluate_labels(best, data, max_length=options["max_length"])
    metrics = {"training": training, "fine_tuned": report, "tfidf": baseline(data)}
    with write_aside(out / "metrics.json") as temporary:
        temporary.write_text(json.dumps(metrics, indent=2) + "\n")
    return metrics


def baseline(data):
    """What TF-IDF and logistic regression reach on the same splits."""
    train, validation, test = ([texts[0] for texts, _ in getattr(data, split)] for split in SPLITS)
    right = data.labels("test")
    predicted = tfidf_predictions(train, data.labels("train"), validation, data.labels("validation"), test)
    return {
        "accuracy": label_metrics.accuracy(predicted, right),
        "macro_f1": label_metrics.precision_recall_f1(predicted, right, len(CLASSES), average="macro").f1,
        "matthews_correlation": label_metrics.matthews_correlation(predicted, right, len(CLASSES)),
    }


def table(metrics):
    """The rows to be compared, as text in columns."""
    rows = {
        "the commonest class": metrics["fine_tuned"]["baseline"],
        "TF-IDF, logistic regression": metrics["tfidf"],
        "fine-tuned": metrics["fine_tuned"],
    }
    lines = [f"{'':<28}{'accuracy':>9}{'macro F1':>9}{'Matthews':>9}"]
    for name, row in rows.items():
        lines.append(f"{name:<28}{row['accuracy']:>9.4f}{row['macro_f1']:>9.4f}{row['matthews_correlation']:>9.4f}")
    return "\n".join(lines)


def main():
    """Reads the command line and prints what was reached."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reviews", required=True, help="file of lines 'text TAB rating'")
    parser.add_argument("--model", required=True, help="pretrained encoder: folder, .keras file or hf://OWNER/NAME")
    parser.add_argument("--out", default="runs/reviews", help="folder of the run")
    parser.add_argument("--strategy", default="none", help="none, mirrored, multi_worker or tpu")
    parser.add_argument("--resume", action="store_true", help="go on from the run's last checkpoint")
    parser.add_argument("--smoke", action="store_true", help="quick check that it runs: few texts, one epoch")
    given = parser.parse_args()
    short = SMOKE if given.smoke else {}
    metrics = run(given.reviews, given.model, given.out, given.strategy, given.resume, **short)
    training, report = metrics["training"], metrics["fine_tuned"]
    print(f"{training['parameters']} parameters, trained in {training['seconds'] / 60:.1f} minutes")
    print(f"{report['num_examples']} reviews of the test split\n{table(metrics)}")


if __name__ == "__main__":
    main()
