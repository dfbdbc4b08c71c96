"""Chinese reviews: what masked pretraining on a newspaper adds to few labels and to many.

    python -m scripts.pretrain_chinese --data FOLDER [--out FOLDER] [--minutes 30] [--pooling mean] [--with-reviews]

`FOLDER` has `people_daily.txt`, whose lines are words with tags ("新年/t 讲话/n"), and `pos.txt` and `neg.txt`, a review a
line. A small encoder is pretrained on masked characters of the newspaper. It is then fine-tuned on 1 000 labelled reviews
and on all of them, beside one of the same size without pretraining, and beside TF-IDF of characters with logistic
regression. With `--with-reviews` the training reviews are pretrained on too, without their labels ("Don't Stop Pretraining",
Gururangan et al. 2020). A hash of the text puts a review in train, validation or test; those in both files are left out.
"""

import argparse
import dataclasses
import json
import pathlib
import random
import statistics

import keras

import textkit
from scripts.tfidf import tfidf_predictions
from shared_layers.runtime import get_strategy, write_aside
from textkit import label_metrics
from textkit.datasets.documents import file_documents
from textkit.datasets.labelled import ClassifiedTexts
from textkit.datasets.splits import SPLITS, carved
from textkit.fine_tuning import fine_tune
from textkit.heads import POOLINGS
from textkit.label_evaluation import evaluate_labels
from textkit.pretraining import evaluate_masked, pretrain

CLASSES = ("negative", "positive")
FEW = 1000
VOCABULARY_SIZE = 6000
MAX_LENGTH = 128
# With rotary positions heads find a character's neighbours within some 500 steps of 1024 tokens; with learned ones the loss
# had not moved after 3200 from what the frequencies of characters give.
SIZES = {
    "num_layers": 3,
    "num_heads": 4,
    "hidden_dim": 256,
    "intermediate_dim": 1024,
    "max_sequence_length": MAX_LENGTH,
    "normalize_first": True,
    "positions": "rotary",
}
# So little text is seen only a few times: no dropout.
PRETRAINING = {"epochs": 40, "batch_tokens": 1024, "learning_rate": 1e-3, "warmup_steps": 200, "max_length": MAX_LENGTH}
PRETRAINING_DROPOUT, DROPOUT = 0.0, 0.1
FINE_TUNING = {
    "few": {"epochs": 6, "batch_size": 16, "learning_rate": 3e-4},
    "all": {"epochs": 2, "batch_size": 32, "learning_rate": 3e-4},
}
SEEDS = {"few": (0, 1, 2), "all": (0,)}  # few labels vary by chance: the mean of three

SMOKE = {
    "limit": 60,
    "sizes": {"num_layers": 1, "num_heads": 2, "hidden_dim": 16, "intermediate_dim": 16},
    "pretraining": {"epochs": 1, "batch_tokens": 256},
    "fine_tuning": {amount: {"epochs": 1} for amount in FINE_TUNING},
    "seeds": {amount: [0] for amount in FINE_TUNING},
}


def read_newspaper(folder, limit=None):
    """The newspaper as `Documents`, a line each, words divided by spaces."""
    return file_documents(pathlib.Path(folder) / "people_daily.txt", lines=True, tag_mark="/").limited(limit)


def read_reviews(folder, limit=None):
    """The reviews as `ClassifiedTexts`, shuffled, without those that are in both files."""
    texts = [
        dict.fromkeys(line.strip() for line in (pathlib.Path(folder) / name).read_text("utf-8").splitlines() if line.strip())
        for name in ("neg.txt", "pos.txt")
    ]
    rows = [((text,), label) for label, some in enumerate(texts) for text in some if text not in texts[1 - label]]
    random.Random(0).shuffle(rows)
    splits = carved({"train": rows[:limit]}, "reviews", lambda row: row[0][0])
    return ClassifiedTexts(**splits, name="reviews", class_names=CLASSES)


def run(
    folder,
    out,
    minutes=30.0,
    strategy="none",
    resume=False,
    pooling="token",
    with_reviews=False,
    *,
    limit=None,
    sizes=SIZES,
    pretraining=PRETRAINING,
    fine_tuning=FINE_TUNING,
    seeds=SEEDS,
):
    """Pretrains, fine-tunes and measures, and returns what it writes to `metrics.json` in the folder of the run.

    Args:
        folder: str or path-like, of the data.
        out: str or path-like.
        minutes: float, the longest time for pretraining.
        strategy: str, see `shared_layers.runtime.get_strategy`.
        resume: bool, whether to go on from each run's last checkpoint.
        pooling: str, what is classified, see `textkit.TextClassifier`.
        with_reviews: bool, whether to pretrain on the training reviews too, without their labels.
        limit: int, at most this many lines and reviews of each split; `None` for all.
        sizes: dict, of the encoder, other than `SIZES`.
        pretraining: dict, other options of it than `PRETRAINING`.
        fine_tuning: dict {"few" or "all": options}, which are compared and how they are trained.
        seeds: dict {"few" or "all": runs of each}.
    """
    out = pathlib.Path(out)
    newspaper, reviews = read_newspaper(folder, limit), read_reviews(folder, limit)
    lines = (line for document in newspaper.train for line in document)
    texts = (text for (text,), _ in reviews.train)
    tokenizer = textkit.Tokenizer.learn([*lines, *texts], "wordpiece", VOCABULARY_SIZE)
    corpus = with_unlabelled(newspaper, reviews) if with_reviews else newspaper
    made = {**SIZES, **sizes, "vocabulary_size": tokenizer.size, "tokenizer": tokenizer}
    replicas = get_strategy(strategy)

    keras.utils.set_random_seed(0)
    with replicas.scope():
        model = textkit.MaskedLanguageModel(**made, dropout=PRETRAINING_DROPOUT)
    pretrained = out / "pretrained"
    training = pretrain(model, corpus, pretrained, minutes=minutes, resume=resume, **{**PRETRAINING, **pretraining})
    best = textkit.MaskedLanguageModel.from_preset(pretrained / "best.keras")
    masked = evaluate_masked(best, newspaper, max_length=MAX_LENGTH)
    metrics = {"pretraining": training, "masked": masked}

    sources = {"without pretraining": None, "with pretraining": pretrained / "best.keras"}
    for amount, options in fine_tuning.items():
        data = few(reviews) if amount == "few" else reviews
        metrics[amount] = {"train": len(data.train), "test": len(data.test), "TF-IDF": {"accuracy": [tfidf_accuracy(data)]}}
        for name, source in sources.items():
            runs = []
            for seed in seeds[amount]:
                keras.utils.set_random_seed(seed)  # for new weights
                with replicas.scope():
                    model = classifier(made, source, pooling)
                folder = out / f"{amount}_{name.split()[0]}_{seed}"
                fine_tune(model, data, folder, max_length=MAX_LENGTH, seed=seed, resume=resume, **options)
                best = textkit.TextClassifier.from_preset(folder / "best.keras")
                runs.append(evaluate_labels(best, data, num_errors=0, max_length=MAX_LENGTH))
            metrics[amount][name] = {"accuracy": [each["accuracy"] for each in runs]}
            metrics[amount]["commonest class"] = {"accuracy": [runs[0]["baseline"]["accuracy"]]}
    with write_aside(out / "metrics.json") as temporary:
        temporary.write_text(json.dumps(metrics, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return metrics


def with_unlabelled(newspaper, reviews):
    """The newspaper's `Documents` and the reviews for training and validation, each a document."""
    more = {
        split: [*getattr(newspaper, split), *([text] for (text,), _ in getattr(reviews, split))]
        for split in ("train", "validation")
    }
    return dataclasses.replace(newspaper, **more)


def few(reviews):
    """The same reviews with `FEW` for training and for validation."""
    splits = {"train": reviews.train[:FEW], "validation": reviews.validation[:FEW], "test": reviews.test}
    return ClassifiedTexts(**splits, name=f"{FEW} reviews", class_names=CLASSES)


def classifier(made, source, pooling):
    """A classifier with new weights, or on the encoder in a file."""
    head = {"num_classes": len(CLASSES), "class_names": list(CLASSES), "dropout": DROPOUT, "pooling": pooling}
    if source is None:
        return textkit.TextClassifier(**made, **head)
    return textkit.TextClassifier.from_preset(source, **head)


def tfidf_accuracy(data):
    """Test accuracy of TF-IDF on characters with logistic regression, on the same splits."""
    train, validation, test = ([texts[0] for texts, _ in getattr(data, split)] for split in SPLITS)
    known = data.labels("train"), data.labels("validation")
    predicted = tfidf_predictions(train, known[0], validation, known[1], test, units="characters")
    return label_metrics.accuracy(predicted, data.labels("test"))


def table(metrics):
    """The compared accuracies as a plain-text table."""
    rows = ("commonest class", "TF-IDF", "without pretraining", "with pretraining")
    amounts = [metrics[amount] for amount in FINE_TUNING if amount in metrics]
    lines = [f"{'accuracy':<24}" + "".join(f"{amount['train']:>8} labels" for amount in amounts)]
    for name in rows:
        means = (statistics.mean(amount[name]["accuracy"]) for amount in amounts)
        lines.append(f"{name:<24}" + "".join(f"{mean:>15.4f}" for mean in means))
    return "\n".join(lines)


def main():
    """Reads the command line and prints what was reached."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="folder with people_daily.txt, pos.txt and neg.txt")
    parser.add_argument("--out", default="runs/chinese", help="folder of the runs")
    parser.add_argument("--minutes", type=float, default=30.0, help="longest time for pretraining")
    parser.add_argument("--strategy", default="none", help="none, mirrored or tpu")
    parser.add_argument("--pooling", choices=POOLINGS, default="token", help="what the classifier reads of a review")
    parser.add_argument("--with-reviews", action="store_true", help="pretrain on the training reviews too, without labels")
    parser.add_argument("--resume", action="store_true", help="go on from each run's last checkpoint")
    parser.add_argument("--smoke", action="store_true", help="quick check that it runs: few lines, one epoch")
    given = parser.parse_args()
    short = SMOKE if given.smoke else {}
    options = {"strategy": given.strategy, "resume": given.resume, "pooling": given.pooling, **short}
    metrics = run(given.data, given.out, given.minutes, with_reviews=given.with_reviews, **options)
    training, masked = metrics["pretraining"], metrics["masked"]
    print(f"{training['parameters']} parameters, pretrained in {training['seconds'] / 60:.1f} minutes")
    print(
        f"masked accuracy {masked['accuracy']:.4f} of {masked['num_tokens']} tokens, perplexity {masked['perplexity']:.1f};"
    )
    print(f"always guessing {masked['baseline_token']!r}: {masked['baseline_accuracy']:.4f}")
    print(table(metrics))


if __name__ == "__main__":
    main()
