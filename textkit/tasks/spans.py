"""SpanTask: extractive question answering; long contexts are read in overlapping windows."""

import dataclasses

import keras
import numpy as np

from textkit import encoding, label_metrics
from textkit.datasets.labelled import Questions
from textkit.prediction import Predictor
from textkit.span_search import MAX_ANSWER, best_spans
from textkit.tasks.task import MEAN, Task
from textkit.tokenizers.layout import special_purposes

STRIDE = 128  # tokens
MAX_LENGTH = 384
_CANDIDATES = 400  # spans of a window: byte-pair tokens can give several with the same characters


@dataclasses.dataclass(frozen=True)
class Found:
    """An answer found in a context.

    Attributes:
        text: str, the characters of the context; "" for no answer.
        begin: int, the index of its first character in the context; -1 for no answer.
        end: int, the index after its last character; -1 for no answer.
        score: float, the sum of its start logit and its end logit.
    """

    text: str
    begin: int
    end: int
    score: float


@dataclasses.dataclass(frozen=True)
class Windows:
    """Model inputs for questions with their contexts.

    Attributes:
        inputs: dict of arrays (n, t), see `textkit.encoding.encode`: n windows, grouped by question.
        offsets: int32 (n, t, 2), the characters of the context where each token begins and ends; -1 for other tokens.
        question: int64 (n,), the index of each window's question.
    """

    inputs: dict
    offsets: np.ndarray
    question: np.ndarray


def make_windows(tokenizer, questions, contexts, max_length=MAX_LENGTH, stride=STRIDE):
    """Cuts contexts into overlapping windows that, with the question, have at most `max_length` tokens.

    Args:
        tokenizer: `textkit.Tokenizer` whose pairs begin with a special token, which stands for no answer.
        questions: list of str. A question longer than half a window is truncated.
        contexts: list of str, one for each question.
        max_length: int, the maximum number of tokens of a window, question and special tokens included.
        stride: int, tokens from the start of one window to the start of the next; at most the context tokens of a window.

    Returns:
        `Windows`.

    Raises:
        ValueError: a tokenizer without special tokens, no questions, another number of contexts, `max_length` too small
            for a context, or `stride` below 1.

    Reference: Devlin et al. 2019, run_squad.py (`doc_stride`).
    """
    if len(questions) != len(contexts) or not questions:
        raise ValueError(f"Expected a context for each question. Received: {len(contexts)} for {len(questions)} questions")
    special = len(special_purposes(tokenizer.template))
    if not special:
        raise ValueError(f"Expected a tokenizer with special tokens. Received: template={tokenizer.template!r}")
    room, of_question = _rooms(tokenizer, max_length)
    if room < 2 or stride < 1:
        raise ValueError(f"Expected max_length above {special + 1}, and stride above 0. Received: {max_length=}, {stride=}")
    windows, numbers = [], []
    for number, row in enumerate(encoding.encoded_rows(tokenizer, questions, contexts, return_offsets=True)):
        is_context = encoding.in_pair(row["offsets"]).numpy()
        question, context = np.flatnonzero(~is_context & (row["offsets"][:, 0] >= 0)), np.flatnonzero(is_context)
        row["offsets"][question] = -1
        framing = ~is_context
        framing[question[of_question:]] = False
        width = room - min(len(question), of_question)
        for start in _starts(len(context), width, stride):
            kept = framing.copy()
            kept[context[start : start + width]] = True
            windows.append({name: values[kept] for name, values in row.items()})
            numbers.append(number)
    inputs = encoding.stack_rows(tokenizer, windows)
    return Windows(offsets=inputs.pop("offsets"), inputs=inputs, question=np.array(numbers))


def find_answers(
    model,
    questions,
    contexts,
    num_best=1,
    *,
    can_be_none=True,
    max_length=None,
    stride=STRIDE,
    max_answer=MAX_ANSWER,
    batch_size=32,
    progress=None,
):
    """Finds the answers to questions in contexts of any length.

    Args:
        model: a `SpanClassifier` with a tokenizer.
        questions: list of str.
        contexts: list of str, one for each question.
        num_best: int, the number of answers to each question.
        can_be_none: bool, whether "no answer" is possible. Its score is that of the first token, the lowest of all windows.
        max_length: int, see `make_windows`; `None` for 384, or the number of positions if that is smaller.
        stride: int, see `make_windows`.
        max_answer: int, the maximum number of tokens of an answer.
        batch_size: int, windows of a batch.
        progress: callable of (done, total), or `None`.

    Returns:
        list of lists of `Found`, the best first.

    Raises:
        ValueError: see `make_windows`; a model without a tokenizer or with fewer ids than it, a length beyond its positions;
            `max_answer` or `batch_size` below 1.

    Reference: Devlin et al. 2019, sections 4.2 and 4.3.
    """
    windows = make_windows(model.tokenizer, questions, contexts, _window_length(model, max_length), stride)
    outputs = Predictor(model, batch_size)(windows.inputs, progress=progress)
    return _best(windows, outputs, contexts, num_best, can_be_none, max_answer)


class SpanTask(Task):
    """A `SpanClassifier` and `Questions`; see `Task`.

    In a window that does not contain the whole answer, the first token is both start and end: no answer.

    Args:
        model, data: see `Task`.
        max_length: int, the maximum number of tokens of a window; `None` for 384, or the number of positions if that is
            smaller.
        class_weights: `None`.
        stride: int, see `make_windows`; `None` for 128.
    """

    data_class = Questions
    monitor, mode = "val_loss", "min"

    def __init__(self, model, data, max_length=None, class_weights=None, stride=None):
        super().__init__(model, data, max_length)
        self.refuse(class_weights=class_weights)
        self.max_length = _window_length(model, max_length)
        self.stride = STRIDE if stride is None else stride

    def loss(self):
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction=MEAN)

    def encode(self, split, training=False):
        asked = getattr(self.data, split)
        windows = self._windows(asked)
        # The first of several right answers is the label.
        answers = [each.answers[0] if each.answers else None for each in asked]
        places = [
            answer_tokens(offsets, answers[number])
            for offsets, number in zip(windows.offsets, windows.question, strict=True)
        ]
        first, last = np.array(places, "int32").T
        return windows.inputs, {"start_logits": first, "end_logits": last}, np.ones(len(first), "float32")

    def count_cut(self, split):
        """Counts the truncated questions, see `Task`; contexts are never truncated."""
        _, of_question = _rooms(self.tokenizer, self.max_length)
        most = of_question + len(special_purposes(self.tokenizer.template, 1))
        return encoding.count_longer(self.tokenizer, most, [each.question for each in getattr(self.data, split)])

    def measure(self, split, predict, num_errors):
        asked = getattr(self.data, split)
        windows = self._windows(asked)
        outputs = predict(windows.inputs)
        contexts, wanted = [each.context for each in asked], [[answer.text for answer in each.answers] for each in asked]
        can_be_none = not all(each.answers for each in self.data.train)
        found = [best[0] for best in _best(windows, outputs, contexts, 1, can_be_none, MAX_ANSWER)]
        texts = [each.text for each in found]
        each_f1 = [label_metrics.answer_scores([text], [right])["f1"] for text, right in zip(texts, wanted, strict=True)]
        wrong = [row for row in range(len(asked)) if each_f1[row] < 1]
        wrong.sort(key=lambda row: (each_f1[row], -found[row].score))
        unanswered = sum(not each.answers for each in self.data.train)
        guesses = [""] * len(asked) if 2 * unanswered > len(self.data.train) else contexts
        return {
            **label_metrics.answer_scores(texts, wanted),
            "baseline": label_metrics.answer_scores(guesses, wanted),
            "errors": [
                {"question": asked[row].question, "context": contexts[row], "answers": wanted[row], "predicted": texts[row]}
                for row in wrong[:num_errors]
            ],
        }

    def _windows(self, asked):
        questions, contexts = [each.question for each in asked], [each.context for each in asked]
        return make_windows(self.tokenizer, questions, contexts, self.max_length, self.stride)


def answer_tokens(offsets, answer):
    """Finds the tokens of an answer in a window.

    Args:
        offsets: int (t, 2), see `Windows`.
        answer: `textkit.datasets.labelled.Answer`, or `None`.

    Returns:
        (int, int), the indices of the first and the last token; (0, 0) if the window does not contain the whole answer.

    Example:
        >>> from textkit.datasets.labelled import Answer
        >>> answer_tokens(np.array([[-1, -1], [0, 4], [5, 8], [8, 10], [-1, -1]]), Answer("sing", 5))
        (2, 3)
    """
    context = np.flatnonzero(offsets[:, 1] >= 0)
    if answer is None or not len(context):
        return 0, 0
    begins, ends = offsets[context].T
    past = answer.begin + len(answer.text)
    inside = context[(ends > answer.begin) & (begins < past)]
    if not len(inside) or begins[0] > answer.begin or ends[-1] < past:
        return 0, 0
    return int(inside[0]), int(inside[-1])


def _window_length(model, max_length):
    """The maximum number of tokens of a window for a model; `max_length` may be `None`."""
    most = encoding.most_tokens(model, max_length)
    return min(MAX_LENGTH, most or MAX_LENGTH) if max_length is None else most


def _rooms(tokenizer, max_length):
    """The maximum number of tokens of question and context in a window, and of the question alone."""
    room = max_length - len(special_purposes(tokenizer.template))
    return room, room // 2


def _starts(count, width, stride):
    """The starts of windows of `width` tokens that cover `count` tokens."""
    step = min(stride, width)
    return range(0, max(count - width + step, 1), step)


def _best(windows, outputs, contexts, num_best, can_be_none, max_answer):
    """The best answers to each question: list of lists of `Found`."""
    answers = [{} for _ in contexts]  # {(begin, end): score}
    nothing = np.full(len(contexts), np.inf)
    for row, number in enumerate(windows.question):
        begin, end = outputs["start_logits"][row], outputs["end_logits"][row]
        nothing[number] = min(nothing[number], float(begin[0]) + float(end[0]))
        offsets = windows.offsets[row]
        for first, last, score in best_spans(begin, end, offsets[:, 1] >= 0, _CANDIDATES, max_answer):
            span = int(offsets[first, 0]), int(offsets[last, 1])
            answers[number][span] = max(score, answers[number].get(span, -np.inf))
    found = []
    for context, spans, score in zip(contexts, answers, nothing, strict=True):
        ranked = [Found(context[begin:end], begin, end, value) for (begin, end), value in spans.items()]
        if can_be_none or not ranked:  # first, so that it wins ties
            ranked.insert(0, Found("", -1, -1, float(score)))
        found.append(sorted(ranked, key=lambda each: -each.score)[:num_best])
    return found
