import base64
import collections
import io
import json

import keras
import numpy as np
import pytest
import sentencepiece
import tensorflow as tf

from tests.served import ALONE, WITH_TEXT, serve
from textkit.vocabulary import Vocabulary

ENGLISH = [
    "the quick brown fox jumps over the lazy dog",
    "a lazy dog sleeps and a quick fox jumps",
    "the dogs and the foxes were sleeping in the sun",
    "jumping over dogs is what the quick foxes do",
] * 3
CHINESE = ["我们今天去北京", "今天天气很好", "北京的天气怎么样", "我们去北京大学", "大学今天很好"] * 3
IDS = {"pad_id": 0, "unk_id": 1, "bos_id": 2, "eos_id": 3}


@pytest.fixture(scope="module")
def english():
    return Vocabulary.learn(ENGLISH, "subwords", 61)


@pytest.fixture(scope="module")
def chinese():
    return Vocabulary.learn(CHINESE, "subwords", 41)


class TestSymbols:
    def test_ids_follow_the_special_ones(self):
        vocabulary = Vocabulary(["b", "é", "你"], "characters")
        assert vocabulary.size == 7
        assert vocabulary.encode(["é你b", "", "xb"]).to_list() == [[5, 6, 4], [], [1, 4]]
        assert vocabulary.encode(["b"]).dtype == tf.int32

    def test_learned_symbols_are_ordered_by_count_then_by_themselves(self):
        words = ["b a", "c b", "b\td  c"]
        vocabulary = Vocabulary.learn(words, "words")
        assert vocabulary.tokens(range(8)) == ["<pad>", "<unk>", "<s>", "</s>", "b", "c", "a", "d"]
        assert Vocabulary.learn(words, "words", size=6).get_config()["symbols"] == ["b", "c"]
        assert Vocabulary.learn(["bab", "ca"], "characters").get_config()["symbols"] == ["a", "b", "c"]

    def test_decode_ends_and_leaves_out_what_is_no_text(self):
        vocabulary = Vocabulary(["a", "b", "你"])
        ids = [[2, 4, 5, 3, 6], [2, 6, 1, 0, 4], [3, 4, 4, 4, 4]]
        assert vocabulary.decode(ids) == ["ab", "你\ufffda", ""]
        assert vocabulary.decode(np.array(ids, "int64")) == ["ab", "你\ufffda", ""]
        assert Vocabulary(["AE", "K"], "words").decode([[2, 5, 4, 3]]) == ["K AE"]

    @pytest.mark.parametrize(("kind", "text"), [("characters", "ça va, 你好"), ("words", "ça va, 你好")])
    def test_round_trip(self, kind, text):
        vocabulary = Vocabulary.learn([text], kind)
        assert vocabulary.decode(vocabulary.encode([text]).to_tensor()) == [text]

    @pytest.mark.parametrize(
        ("kind", "symbols", "match"),
        [
            ("characters", ["a", "bc"], r"single characters, each once. Received: 'bc' 1 times"),
            ("characters", ["a", ""], r"single characters, each once. Received: '' 1 times"),
            ("characters", ["a", "b", "a"], r"single characters, each once. Received: 'a' 2 times"),
            ("words", ["a b"], r"words without spaces, each once. Received: 'a b' 1 times"),
        ],
    )
    def test_what_could_not_be_found_is_refused(self, kind, symbols, match):
        with pytest.raises(ValueError, match=match):
            Vocabulary(symbols, kind)


class TestSubwords:
    def test_round_trip_and_ids(self, english):
        assert english.tokens(range(4)) == ["<pad>", "<unk>", "<s>", "</s>"]
        ids = english.encode(ENGLISH)
        assert english.decode(ids.to_tensor()) == ENGLISH
        assert ids.dtype == tf.int32
        assert min(ids.flat_values.numpy()) > 3
        assert len(ids.flat_values) < 0.8 * sum(map(len, ENGLISH))  # else they are characters
        assert "".join(english.tokens(ids[0])).replace("▁", " ").strip() == ENGLISH[0]

    def test_chinese(self, chinese):
        ids = chinese.encode(CHINESE)
        assert chinese.decode(ids.to_tensor()) == CHINESE
        assert any(len(token.strip("▁")) > 1 for token in chinese.tokens(ids.flat_values))
        # A text of words never seen together, and one of a character never seen.
        assert chinese.decode(chinese.encode(["北京很好"]).to_tensor()) == ["北京很好"]
        assert 1 in chinese.encode(["北京猫"]).to_list()[0]
        assert chinese.decode(chinese.encode(["北京猫"]).to_tensor()) == ["北京\ufffd"]

    def test_text_comes_back_as_it_was(self):
        texts = ["\uff08\uff11\uff09你好\uff0c世界", "(1) caf\u00e9, ﬁn\nend"]  # full width, ligature, line
        vocabulary = Vocabulary.learn(texts * 5, "subwords")
        assert vocabulary.decode(vocabulary.encode(texts).to_tensor()) == texts

    def test_learning_twice_gives_the_same(self, english):
        assert Vocabulary.learn(iter(ENGLISH), "subwords", 61).get_config() == english.get_config()

    def test_rarest_letter_of_an_alphabet_is_kept(self):
        texts = ["the quick brown fox jumps over the lazy dog"] * 2000 + ["þ"]
        vocabulary = Vocabulary.learn(texts, "subwords", 61)
        assert 1 not in vocabulary.encode(["þ"]).to_list()[0]

    def test_size_is_the_most(self, english):
        assert Vocabulary.learn(ENGLISH, "subwords", 37).size == 37
        assert 37 < english.size <= 61  # as many as so small a text gives
        assert Vocabulary.learn(ENGLISH, "subwords").size == english.size

    def test_long_texts_are_learned_from(self):
        vocabulary = Vocabulary.learn(["ab cd " * 50_000], "subwords", 17)
        assert 1 not in vocabulary.encode(["ab cd"]).to_list()[0]

    def test_size_that_cannot_hold_the_letters_is_refused(self):
        with pytest.raises(ValueError, match=r"a size to learn subwords with: .*ocabulary size.*Received: size=11$"):
            Vocabulary.learn(ENGLISH, "subwords", 11)

    @pytest.mark.parametrize("symbols", [b"no model", "no base64!", base64.b64encode(b"no model").decode(), 5])
    def test_what_is_no_model_is_refused(self, symbols):
        with pytest.raises(ValueError, match=r"Expected a sentencepiece model. Received: symbols="):
            Vocabulary(symbols, "subwords")

    def test_model_with_other_ids_is_refused(self):
        written = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(ENGLISH), model_writer=written, vocab_size=37, minloglevel=2
        )
        with pytest.raises(ValueError, match=r"as pieces 0, 1, 2 and 3. Received: \(-1, 0, 1, 2\)"):
            Vocabulary(written.getvalue(), "subwords")


class TestWords:
    def test_of_characters(self):
        vocabulary = Vocabulary(["a", "b", " "])
        # A space goes with what comes after it, the last with what is before it.
        words, indices = vocabulary.words(" ab  c ")
        assert (words, indices) == (["ab", "c"], [0, 0, 0, 1, 1, 1, 1])
        assert vocabulary.words("你好 ab") == (["你", "好", "ab"], [0, 1, 2, 2, 2])

    def test_of_words(self):
        vocabulary = Vocabulary(["ab"], "words")
        assert vocabulary.words(" ab  c, d\u00a0e 你好 ") == (["ab", "c,", "d\u00a0e", "你好"], [0, 1, 2, 3])

    def test_of_subwords(self, english):
        text = " the  dogs jumped"
        words, indices = english.words(text)
        assert words == ["the", "dogs", "jumped"]
        pieces = collections.defaultdict(str)
        for token, index in zip(english.tokens(english.encode([text])[0]), indices, strict=True):
            pieces[index] += token
        assert pieces == {0: "▁the", 1: "▁dogs", 2: "▁jumped"}

    def test_of_chinese_subwords_are_what_one_spans(self, chinese):
        text = "今天去北京ok"
        tokens = [token.strip("▁") for token in chinese.tokens(chinese.encode([text])[0])]
        words, indices = chinese.words(text)
        assert "".join(words) == text
        assert words[-1] == "ok"
        assert max(map(len, words[:-1])) > 1  # several characters in one token
        assert all(words[index] == token for token, index in zip(tokens, indices, strict=True) if token and token != "<unk>")

    def test_of_letters_that_a_model_rewrites(self):
        written = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(ENGLISH), model_writer=written, vocab_size=37, minloglevel=2, **IDS
        )
        english = Vocabulary(written.getvalue(), "subwords")
        text = "the \uff46\uff4f\uff58 \ufb00 dog"  # "fox" in full width, "ff" in one letter
        words, indices = english.words(text)
        assert 1 not in english.encode([text]).to_list()[0]
        assert words == text.split()
        assert len(indices) == len(english.encode([text]).to_list()[0])
        assert indices == sorted(indices)
        assert set(indices) == {0, 1, 2, 3}

    @pytest.mark.parametrize("text", ["", "   "])
    def test_of_nothing(self, english, text):
        vocabulary = Vocabulary(["a"])
        assert vocabulary.words(text) == ([], [-1] * len(text))
        assert english.words(text)[0] == []
        assert set(english.words(text)[1]) <= {-1}


class TestEverywhere:
    @pytest.fixture(params=["characters", "words", "subwords"])
    def vocabulary(self, request):
        return Vocabulary.learn(ENGLISH, request.param, 61)

    def test_config_through_json(self, vocabulary):
        config = json.loads(json.dumps(vocabulary.get_config()))
        again = Vocabulary.from_config(config)
        assert (again.kind, again.size) == (vocabulary.kind, vocabulary.size)
        assert again.encode(ENGLISH).to_list() == vocabulary.encode(ENGLISH).to_list()
        through_keras = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(vocabulary))
        assert through_keras.get_config() == vocabulary.get_config()

    def test_in_a_data_set(self, vocabulary):
        batches = tf.data.Dataset.from_tensor_slices(ENGLISH).batch(5).map(vocabulary.encode)
        found = [row for batch in batches for row in batch.to_list()]
        assert found == vocabulary.encode(ENGLISH).to_list()
        texts = batches.map(lambda ids: vocabulary.to_text(ids.to_tensor()))
        assert [text.decode() for batch in texts for text in batch.numpy()] == ENGLISH

    def test_in_the_graph_of_a_saved_model(self, vocabulary, tmp_path):
        module = tf.Module()
        module.vocabulary = vocabulary

        @tf.function(input_signature=[tf.TensorSpec((None,), tf.string)])
        def echo(strings):
            ids = vocabulary.encode(strings).to_tensor()
            return {"text": vocabulary.to_text(ids), "tokens": vocabulary.to_tokens(ids)}

        tf.saved_model.save(module, str(tmp_path / "saved_model"), signatures=echo)
        setting = WITH_TEXT if vocabulary.kind == "subwords" else ALONE
        found = serve(tmp_path, {"serving_default": {"strings": [ENGLISH[1]]}}, setting)
        assert found["serving_default/text"].tolist() == [ENGLISH[1]]
        assert found["serving_default/tokens"].tolist() == [vocabulary.tokens(vocabulary.encode([ENGLISH[1]])[0])]

    def test_unknown_kind_is_refused(self):
        with pytest.raises(ValueError, match=r"Unknown kind; did you mean 'characters'.*Received: kind='character'"):
            Vocabulary(["a"], "character")
        with pytest.raises(ValueError, match=r"Unknown kind; did you mean 'words'"):
            Vocabulary.learn(["a"], "word")

    @pytest.mark.parametrize("kind", ["characters", "words", "subwords"])
    def test_learning_from_nothing_is_refused(self, kind):
        with pytest.raises(ValueError, match=r"texts to learn from. Received: 2 texts, all blank"):
            Vocabulary.learn(["", " "], kind)
        with pytest.raises(ValueError, match=r"a size above 4, the number of special ids. Received: size=4"):
            Vocabulary.learn(["a"], kind, 4)
