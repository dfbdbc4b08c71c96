import numpy as np
import pytest

from textkit import metrics


def distance_by_recursion(one, other):
    """Levenshtein's definition, read aloud."""
    if not one or not other:
        return len(one) + len(other)
    if one[0] == other[0]:
        return distance_by_recursion(one[1:], other[1:])
    return 1 + min(
        distance_by_recursion(one[1:], other),
        distance_by_recursion(one, other[1:]),
        distance_by_recursion(one[1:], other[1:]),
    )


class TestEditDistances:
    @pytest.mark.parametrize(
        ("one", "other", "distance"),
        [
            ("kitten", "sitting", 3),
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("abc", "abc", 0),
            ("abc", "axc", 1),
            ("ab", "ba", 2),
            ("abcde", "bcde", 1),
            ("bcde", "abcde", 1),
            (["K", "AE", "T"], ["K", "AA", "T", "S"], 2),
            ("你好", "您好", 1),
        ],
    )
    def test_by_hand(self, one, other, distance):
        assert metrics.edit_distances([one], [other]).tolist() == [distance]

    def test_many_at_once_are_those_of_each_by_recursion(self, monkeypatch):
        monkeypatch.setattr(metrics, "_PAIRS_AT_ONCE", 7)
        random = np.random.default_rng(0)
        words = ["".join(random.choice(list("abc"), random.integers(0, 6))) for _ in range(2 * 53)]
        ones, others = words[:53], words[53:]
        expected = [distance_by_recursion(one, other) for one, other in zip(ones, others, strict=True)]
        assert metrics.edit_distances(ones, others).tolist() == expected
        assert metrics.edit_distances(others, ones).tolist() == expected

    def test_of_nothing_is_nothing(self):
        assert metrics.edit_distances([], []).tolist() == []

    def test_unequal_numbers_are_refused(self):
        with pytest.raises(ValueError, match=r"as many references as hypotheses. Received: 1 for 2"):
            metrics.edit_distances(["a", "b"], ["a"])


class TestPronunciations:
    def test_the_nearest_counts(self):
        # 1 edit to 3 symbols (not 2 edits to the other 5); 0 to the second of two; 2 edits to 2 symbols.
        hypotheses = ["K AE", "T UW", "AA AA AA"]
        references = [["T R AE T S", "K AE T"], ["T AH", "T UW"], ["AA B"]]
        assert metrics.phoneme_error_rate(hypotheses, references) == pytest.approx((1 + 0 + 2) / (3 + 2 + 2))
        assert metrics.word_error_rate(hypotheses, references) == pytest.approx(2 / 3)

    def test_of_equally_near_ones_the_first_counts(self):
        near = ["A B", "A B C D"]
        assert metrics.phoneme_error_rate(["A B C"], [near]) == pytest.approx(1 / 2)
        assert metrics.phoneme_error_rate(["A B C"], [near[::-1]]) == pytest.approx(1 / 4)

    def test_lists_are_as_good_as_strings(self):
        assert metrics.phoneme_error_rate([["K", "AE"]], [[["K", "AE", "T"]]]) == pytest.approx(1 / 3)

    def test_nothing_said_is_all_wrong_and_too_much_is_more(self):
        assert metrics.phoneme_error_rate([""], [["K AE T"]]) == 1
        assert metrics.phoneme_error_rate(["K K K K"], [["T"]]) == 4
        assert metrics.word_error_rate([""], [["K AE T"]]) == 1

    @pytest.mark.parametrize("metric", [metrics.phoneme_error_rate, metrics.word_error_rate, metrics.exact_match])
    def test_what_cannot_be_compared_is_refused(self, metric):
        with pytest.raises(ValueError, match=r"at least one hypothesis. Received: none"):
            metric([], [])
        with pytest.raises(ValueError, match=r"as many references as hypotheses. Received: 2 for 1"):
            metric(["a"], [["a"], ["b"]])
        with pytest.raises(ValueError, match=r"correct answers for each hypothesis. Received: references\[1\]=\[\]"):
            metric(["a", "b"], [["a"], []])
        with pytest.raises(ValueError, match=r"correct answers for each hypothesis. Received: references\[0\]='a'"):
            metric(["a"], ["a"])

    def test_empty_references_have_no_rate(self):
        with pytest.raises(ValueError, match=r"references with at least one symbol. Received: 1 empty ones"):
            metrics.phoneme_error_rate(["K"], [[""]])


def test_exact_match_is_of_any_answer():
    assert metrics.exact_match(["a", "b", "c "], [["x", "a"], ["x"], ["c"]]) == pytest.approx(1 / 3)


class TestTranslations:
    def test_bleu_by_hand(self):
        # n-grams of "a b c d e" found in "a b c d f": 4/5, 3/4, 2/3, 1/2; equal lengths: no brevity penalty.
        score = metrics.bleu(["a b c d e"], [["a b c d f"]])
        assert score == pytest.approx(100 * (4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25)

    def test_bleu_of_what_is_short_is_penalised(self):
        assert metrics.bleu(["a b c d"], [["a b c d e f"]]) == pytest.approx(100 * np.exp(1 - 6 / 4))

    def test_bleu_is_of_the_corpus_with_as_many_references_as_there_are(self):
        score = metrics.bleu(["a b c d e", "p q r s"], [["x", "a b c d e"], ["p q r s"]])
        assert score == pytest.approx(100)

    def test_bleu_of_chinese_needs_its_tokenizer(self):
        hypothesis, reference = ["我们今天去北京"], [["我们明天去北京"]]
        # 1-grams 6/7; 2-grams 我们 天去 去北 北京 4/6; 3-grams 天去北 去北京 2/5; 4-grams 天去北京 1/4.
        expected = 100 * (6 / 7 * 4 / 6 * 2 / 5 * 1 / 4) ** 0.25
        assert metrics.bleu(hypothesis, reference, tokenize="zh") == pytest.approx(expected)
        assert metrics.bleu(hypothesis, reference) == 0

    def test_chrf_by_hand(self):
        # "ab" in "ac": 1-grams 1/2, 2-grams 0/1, F is the same whatever beta; orders of which there are none drop out.
        assert metrics.chrf(["ab"], [["ac"]]) == pytest.approx(100 * (1 / 2 + 0) / 2, abs=1e-6)
        # "ab" in "abcd": precisions 1, recalls 2/4 and 1/3; 3-grams: the hypothesis has none. F2 of the mean of both.
        precision, recall = 1, (2 / 4 + 1 / 3) / 2
        assert metrics.chrf(["ab"], [["abcd"]]) == pytest.approx(100 * 5 * precision * recall / (4 * precision + recall))

    def test_chrf_plus_plus_counts_words(self):
        # "abcd" in "cdab": 4/4, 2/3 (ab, cd), 0/2, 0/1; words: 2/2, 0/1.
        hypothesis, reference = ["ab cd"], [["cd ab"]]
        assert metrics.chrf(hypothesis, reference) == pytest.approx(100 * (1 + 2 / 3) / 4)
        assert metrics.chrf(hypothesis, reference, word_order=2) == pytest.approx(100 * (1 + 2 / 3 + 1) / 6)

    def test_unknown_tokenizer_is_refused(self):
        with pytest.raises(ValueError, match=r"Unknown tokenize; did you mean '13a'\? Received: tokenize='13b'"):
            metrics.bleu(["a"], [["a"]], tokenize="13b")


class TestRouge:
    def test_by_hand(self):
        # police killed the gunman / police kill the gunman (Lin 2004): 3 of 4 words, 1 of 3 pairs, and 3 in order.
        scores = metrics.rouge(["police kill the gunman"], [["police killed the gunman"]])
        assert scores == pytest.approx({"rouge1": 3 / 4, "rouge2": 1 / 3, "rougeL": 3 / 4})
        # the gunman kill police: as many words, but only two in order.
        scores = metrics.rouge(["the gunman kill police"], [["police killed the gunman"]])
        assert scores == pytest.approx({"rouge1": 3 / 4, "rouge2": 1 / 3, "rougeL": 2 / 4})

    def test_is_a_mean_of_the_best(self):
        scores = metrics.rouge(["a b", "a b"], [["x", "A, b!"], ["c d"]], ["rouge1"])
        assert scores == pytest.approx({"rouge1": 1 / 2})

    def test_english_is_as_keras_nlp_scores_it(self):
        import keras_nlp

        reference = "Dr. Smith's 2 dogs won't eat; they_sleep -- (all) day."
        hypothesis = "the 2 Dogs of dr smith sleep all day, won t they"
        metric = keras_nlp.metrics.RougeL()
        metric.update_state(reference, hypothesis)
        expected = float(metric.result()["f1_score"])
        assert 0 < expected < 1
        assert metrics.rouge([hypothesis], [[reference]], ["rougeL"])["rougeL"] == pytest.approx(expected)

    def test_chinese_and_accents(self):
        assert metrics.rouge(["我爱猫"], [["我爱狗"]], ["rouge1"])["rouge1"] == pytest.approx(2 / 3)
        assert metrics.rouge(["é"], [["è"]], ["rouge1"])["rouge1"] == 0

    def test_unknown_variant_is_refused(self):
        with pytest.raises(ValueError, match=r"Unknown variant; did you mean 'rougeL'.*Received: variant='rougel'"):
            metrics.rouge(["a"], [["a"]], ["rougel"])


class TestAlignmentErrorRate:
    def test_by_hand(self):
        # A has 4 links: one sure, two more possible, one neither. |A & S| = 1, |A & P| = 3, |A| = 4, |S| = 2.
        links = [[(0, 0), (1, 2), (2, 2), (4, 4)]]
        sure, possible = [[(0, 0), (3, 3)]], [[(1, 2), (2, 2)]]
        assert metrics.alignment_error_rate(links, sure, possible) == pytest.approx(1 - (1 + 3) / (4 + 2))

    def test_sure_alone_is_one_minus_f1(self):
        # 2 of 3 right, 2 of 4 found.
        links, sure = [[(0, 0), (1, 1), (5, 5)]], [[(0, 0), (1, 1), (2, 2), (3, 3)]]
        precision, recall = 2 / 3, 2 / 4
        expected = 1 - 2 * precision * recall / (precision + recall)
        assert metrics.alignment_error_rate(links, sure) == pytest.approx(expected)

    def test_is_counted_over_all_sentences(self):
        links, sure = [[(0, 0)], [(0, 0), (1, 1), (2, 2)]], [[(0, 1)], [(0, 0), (1, 1), (2, 2)]]
        assert metrics.alignment_error_rate(links, sure) == pytest.approx(1 - (3 + 3) / (4 + 4))

    def test_best_and_worst(self):
        assert metrics.alignment_error_rate([[(0, 0), (1, 0)]], [[(0, 0)]], [[(1, 0)]]) == 0
        assert metrics.alignment_error_rate([[(0, 1)]], [[(1, 0)]]) == 1  # source before target

    def test_what_cannot_be_judged_is_refused(self):
        with pytest.raises(ValueError, match=r"sure links for 2 sentences. Received: 1 sentences"):
            metrics.alignment_error_rate([[], []], [[]])
        with pytest.raises(ValueError, match=r"possible links for 1 sentences. Received: 2 sentences"):
            metrics.alignment_error_rate([[(0, 0)]], [[]], [[], []])
        with pytest.raises(ValueError, match=r"at least one link. Received: none in 1 sentences"):
            metrics.alignment_error_rate([[]], [[]])
