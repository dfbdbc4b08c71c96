"""Presets: parameter counts against the papers, and by hand."""

import keras
import pytest

from textkit.presets import RECURRENT, TRANSFORMERS
from textkit.recurrent import RecurrentSeq2Seq
from textkit.transformer import TransformerSeq2Seq


def count(cls, name, **overrides):
    """Parameters of a preset, whose memory is never taken."""
    with keras.StatelessScope(initialize_variables=False):
        return cls.from_preset(name, load_weights=False, **overrides).count_params()


@pytest.mark.parametrize(
    ("name", "width", "inner", "millions"), [("transformer_base", 512, 2048, 65), ("transformer_big", 1024, 4096, 213)]
)
def test_transformers_count_what_the_paper_says(name, width, inner, millions):
    """Table 3 of Vaswani et al. 2017, with one table of 37 000 pieces, which the paper rounds."""
    attention = 4 * (width * width + width)
    feed_forward = 2 * width * inner + inner + width
    norm = 2 * width
    layers = 6 * (attention + feed_forward + 2 * norm) + 6 * (2 * attention + feed_forward + 3 * norm)
    counted = count(TransformerSeq2Seq, name)
    assert counted == 37000 * width + layers
    assert abs(counted / 1e6 / millions - 1) < 0.035  # 63.1 and 214.2


def gru(width, units):
    return 3 * (width * units + units * units + 2 * units)


@pytest.mark.parametrize(("name", "directions"), [("rnnsearch_50", 2), ("rnnencdec_50", 1)])
def test_rnnsearch_has_the_sizes_of_the_paper(name, directions):
    """Appendix A.2.3 of Bahdanau et al. 2015: 1000 units each, embeddings of 620, 30 000 words."""
    words, memory = 30004, directions * 1000
    encoder = directions * gru(620, 1000)
    decoder = gru(620 + 1000, 1000)
    bridge, readout = memory * 1000 + 1000, (memory + 1000) * 1000 + 1000
    attention = (1000 * 1000 + 2000 * 1000 + 1000) if directions == 2 else 0
    expected = 2 * words * 620 + encoder + decoder + bridge + readout + attention + 1000 * words + words
    assert count(RecurrentSeq2Seq, name) == expected


@pytest.mark.parametrize("name", [*RECURRENT, *TRANSFORMERS])
def test_every_preset_takes_another_vocabulary(name):
    cls = RecurrentSeq2Seq if name in RECURRENT else TransformerSeq2Seq
    vocabulary = {"source_vocabulary_size": 11, "target_vocabulary_size": 11}
    assert 0 < count(cls, name, **vocabulary) < count(cls, name)


def test_published_weights_are_not_promised():
    with pytest.raises(ValueError, match="No weights are published for it: pass load_weights=False"):
        TransformerSeq2Seq.from_preset("transformer_base")
