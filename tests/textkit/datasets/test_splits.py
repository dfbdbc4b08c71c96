import pytest

from textkit.datasets import splits


def split(train, **options):
    return splits.carved({"train": list(train)}, "some", str, **options)


class TestCarved:
    def test_tenths_as_if_drawn(self):
        found = split(range(211))
        assert [len(found[name]) for name in splits.SPLITS] == [169, 21, 21]
        assert sorted(found["train"] + found["validation"] + found["test"]) == list(range(211))
        for part in found.values():
            assert part == sorted(part)
            assert part[-1] - part[0] > 100
        assert split(range(211)) == found

    def test_most_of_a_grown_file_stays_in_its_split(self):
        small, grown = split(range(1000), share=0.05), split(range(1100), share=0.05)
        assert len(set(small["test"]) - set(grown["train"])) > 40  # of 50

    def test_no_more_is_carved_than_is_needed(self):
        found = split(range(70_001), share=0.05, most=3000)
        assert (len(found["test"]), len(found["validation"])) == (3000, 3000)

    def test_equal_keys_stay_together(self):
        train = [(number % 37, number) for number in range(370)]
        found = splits.carved({"train": train}, "some", lambda example: str(example[0]))
        assert [len(found[name]) for name in splits.SPLITS] == [310, 30, 30]
        keys = [key for name in splits.SPLITS for key in {key for key, _ in found[name]}]
        assert sorted(keys) == list(range(37))

    def test_what_is_there_is_left_alone(self):
        given = {"train": [1, 2], "validation": [1], "test": []}
        assert splits.carved(given, "some", str) == given
        found = splits.carved({"train": [1, 2, 3], "test": [4]}, "some", str)
        assert (len(found["train"]), len(found["validation"]), found["test"]) == (2, 1, [4])

    @pytest.mark.parametrize("train", [[], ["a", "b"], ["a"] * 9])
    def test_too_few_are_refused(self, train):
        with pytest.raises(ValueError, match=rf"more than 2 texts in train. Received: {len(set(train))} in 'some'"):
            split(train)


class TestClassNames:
    def names(self, **given):
        return splits.class_names(given, lambda example: example.split(), "some")

    def test_are_those_of_train_in_order(self):
        assert self.names(train=["b a", "c"], validation=["c"]) == ("a", "b", "c")
        assert self.names(train=["10", "9", "-1"]) == ("-1", "9", "10")
        assert self.names(train=["10", "9", "x"]) == ("10", "9", "x")

    def test_unseen_ones_are_named(self):
        with pytest.raises(
            ValueError, match=r"labels in test that occur in train. Received: 'd', 'e', 'f', \.\.\. in 'some'"
        ):
            self.names(train=["a"], validation=["a"], test=["g a f", "e d"])
