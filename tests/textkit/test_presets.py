"""Presets: parameter counts against the papers, against KerasHub's published figures, and by hand."""

import keras
import pytest

from textkit.causal_lm import CausalLM
from textkit.encoder import TextEncoder
from textkit.heads import TextClassifier
from textkit.presets import CAUSAL, ENCODERS, RECURRENT, TRANSFORMERS
from textkit.recurrent import RecurrentSeq2Seq
from textkit.transformer import TransformerSeq2Seq


def count(cls, name, **overrides):
    """Parameters of a preset, whose memory is never taken."""
    with keras.StatelessScope(initialize_variables=False):
        counted = cls.from_preset(name, load_weights=False, **overrides).count_params()
    keras.utils.clear_session(free_memory=False)  # or the next model that is built gives values to all that wait for them
    return counted


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


POOLER = {name: {"use_pooler": False} for name in ("distilbert_base_uncased", "distilbert_base_cased", "roberta_base")}
POOLER["roberta_large"] = {"use_pooler": False}
# RoBERTa's one kind of token, which KerasHub leaves out
EXTRA = {"roberta_base": 768, "roberta_large": 1024}


@pytest.mark.parametrize(
    ("name", "backbone", "theirs"),
    [
        ("bert_tiny_uncased", "Bert", "bert_tiny_en_uncased"),
        ("bert_small_uncased", "Bert", "bert_small_en_uncased"),
        ("bert_medium_uncased", "Bert", "bert_medium_en_uncased"),
        ("bert_base_uncased", "Bert", "bert_base_en_uncased"),
        ("bert_base_cased", "Bert", "bert_base_en"),
        ("bert_base_chinese", "Bert", "bert_base_zh"),
        ("bert_base_multilingual_cased", "Bert", "bert_base_multi"),
        ("bert_large_uncased", "Bert", "bert_large_en_uncased"),
        ("bert_large_cased", "Bert", "bert_large_en"),
        ("roberta_base", "Roberta", "roberta_base_en"),
        ("roberta_large", "Roberta", "roberta_large_en"),
        ("distilbert_base_uncased", "DistilBert", "distil_bert_base_en_uncased"),
        ("distilbert_base_cased", "DistilBert", "distil_bert_base_en"),
        ("albert_base_v2", "Albert", "albert_base_en_uncased"),
        ("albert_large_v2", "Albert", "albert_large_en_uncased"),
        ("albert_xlarge_v2", "Albert", "albert_extra_large_en_uncased"),
        ("albert_xxlarge_v2", "Albert", "albert_extra_extra_large_en_uncased"),
        ("electra_small", "Electra", "electra_small_discriminator_uncased_en"),
        ("electra_base", "Electra", "electra_base_discriminator_uncased_en"),
        ("electra_large", "Electra", "electra_large_discriminator_uncased_en"),
        ("minilm_l6", "Bert", "all_minilm_l6_v2_en"),
        ("minilm_l12", "Bert", "all_minilm_l12_v2_en"),
        ("gpt2_base", "GPT2", "gpt2_base_en"),
        ("gpt2_medium", "GPT2", "gpt2_medium_en"),
        ("gpt2_large", "GPT2", "gpt2_large_en"),
        ("gpt2_xl", "GPT2", "gpt2_extra_large_en"),
    ],
)
def test_encoders_count_what_kerashub_publishes(name, backbone, theirs):
    keras_hub = pytest.importorskip("keras_hub", reason="the published figures are KerasHub's")
    published = getattr(keras_hub.models, f"{backbone}Backbone").presets[theirs]["metadata"]["params"]
    cls = CausalLM if name in CAUSAL else TextEncoder
    assert count(cls, name, **POOLER.get(name, {})) == published + EXTRA.get(name, 0)


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        # Turc et al. 2019, table 1
        ("bert_tiny_uncased", 4.4),
        ("bert_mini_uncased", 11.3),
        ("bert_small_uncased", 29.1),
        ("bert_medium_uncased", 41.7),
        # Devlin et al. 2019, section 3
        ("bert_base_uncased", 110),
        ("bert_large_uncased", 340),
        # Liu et al. 2019, appendix
        ("roberta_base", 125),
        ("roberta_large", 355),
        # Sanh et al. 2019, table 3
        ("distilbert_base_uncased", 66),
        # Lan et al. 2020, table 1
        ("albert_base_v2", 12),
        ("albert_large_v2", 18),
        ("albert_xlarge_v2", 60),
        # Clark et al. 2020, table 8
        ("electra_small", 14),
        ("electra_base", 110),
        ("electra_large", 335),
    ],
)
def test_encoders_count_what_the_papers_say(name, millions):
    assert abs(count(TextEncoder, name) / 1e6 / millions - 1) < 0.04


@pytest.mark.parametrize("name", ENCODERS)
def test_every_encoder_takes_a_head_and_another_vocabulary(name):
    encoder, width = count(TextEncoder, name, vocabulary_size=11), ENCODERS[name]["config"]["hidden_dim"]
    assert count(TextClassifier, name, num_classes=3, vocabulary_size=11) == encoder + 3 * width + 3


def test_every_published_weight_is_somewhere_else():
    repositories = [preset["hf"] for preset in (*ENCODERS.values(), *CAUSAL.values()) if "hf" in preset]
    assert len(set(repositories)) == len(repositories)
    assert {repository.count("/") for repository in repositories} == {1}


def test_rotary_mini_is_bert_mini_without_a_table_of_positions():
    final_norm = 2 * 256
    assert count(TextEncoder, "rotary_mini") == count(TextEncoder, "bert_mini_uncased") - 512 * 256 + final_norm
