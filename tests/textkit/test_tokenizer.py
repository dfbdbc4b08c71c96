# ruff: noqa: RUF001 -- texts of many scripts
import base64
import io
import itertools
import json
import re

import keras
import numpy as np
import pytest
import sentencepiece
import tensorflow as tf
import tokenizers
from tokenizers import models, normalizers, pre_tokenizers, processors, trainers

from tests.served import ALONE, WITH_TEXT, serve
from textkit.tokenizer import Token, Tokenizer
from textkit.tokenizers import characters

ENGLISH = [
    "The quick brown fox jumps over the lazy dog; the dogs, however, don't jump.",
    "A lazy dog sleeps, and 2 quick foxes jumped over 35 sleeping dogs!",
    "It's what the foxes' friends would've done: they'll jump, I'm told.",
    "Naïve café owners say déjà vu is a cliché.",
]
CHINESE = ["我们今天去北京大学。", "北京的天气怎么样？今天天气很好！", "book一本：great书，价格是35元。"]
STRANGE = {
    "nothing": "",
    "spaces": "   ",
    "a line end": "\n",
    "lines and tabs": "a  dog\n\n the \t\tfox   ",
    "NUL": "\0a\0dog\0",
    "control characters": "the\u0085 f\u200box \ufeffjumps\u00ad \u007f",
    "other spaces": "\u00a0the\u00a0\u3000fox\u2028dog",
    "accents on letters": "É ÀÉÎõü ñ Ñ",
    "accents after letters": "E\u0301 de\u0301ja\u0300 \u0301",
    "capital letters": "İSTANBUL ΣΑΣ Straße DZ",
    "full width": "１２３ ａｂｃ ﬁ ①，。",
    "Korean": "한국어 텍스트",
    "Japanese": "日本語のテキスト、です。",
    "Hebrew and Arabic": "שלום עולם مَرْحَبًا",
    "Hindi": "क्षि १२३ ६६ ६",
    "emoji": "fox🦊dog 👩‍👩‍👧🇫🇷 hi🙂",
    "punctuation": "--- a.b,c's ¡¿«»… $5+x_y=^`~|",
    "looks like special tokens": "[SEP] [CLS]dog <mask> </s> ##s ▁the",
    "apostrophes": "'sally 'twas it''s 9's !'s\n's 'S we're'll'd '",
    "100 letters": "a" * 100 + " " + "é" * 100,
    "101 letters": "a" * 101 + " " + "é" * 101 + " x" + "。" * 101,
    "invalid in XML": "\ufffe\uffff\U0010ffff",
}
TEXTS = [*ENGLISH, *CHINESE, *STRANGE.values()]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
ROBERTA = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


def reference_wordpiece(lower_case=True, strip_accents=None, split_chinese=True):
    """The `tokenizers` library's WordPiece as BERT has it, learned from the texts."""
    reference = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=100))
    reference.normalizer = normalizers.BertNormalizer(True, split_chinese, strip_accents, lower_case)
    reference.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=300, special_tokens=SPECIAL, show_progress=False)
    reference.train_from_iterator([*ENGLISH, *CHINESE, "한국 שלום क्षि é ñ", "a" * 100], trainer)
    reference.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    reference.encode_special_tokens = True  # in a text they are text
    return reference


def reference_bytes():
    reference = tokenizers.Tokenizer(models.BPE())
    reference.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=ROBERTA,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    reference.train_from_iterator([*ENGLISH, *CHINESE, "aaaaaaa aaaa    ", "a" * 99], trainer)
    reference.post_processor = processors.RobertaProcessing(
        ("</s>", 2), ("<s>", 0), trim_offsets=True, add_prefix_space=False
    )
    reference.encode_special_tokens = True
    return reference


def ours(reference, **options):
    """Our tokenizer of a reference's vocabulary."""
    model = json.loads(reference.to_str())["model"]
    vocabulary = sorted(model["vocab"], key=model["vocab"].get)
    if model["type"] == "WordPiece":
        return Tokenizer("wordpiece", vocabulary, **options)
    return Tokenizer(
        "bytes", vocabulary, [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    )


def sentencepiece_model(**options):
    written = io.BytesIO()
    options = {"pad_id": 0, "unk_id": 1, "bos_id": 2, "eos_id": 3, **options}
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([*ENGLISH, *CHINESE] * 3),
        model_writer=written,
        vocab_size=150,
        hard_vocab_limit=False,
        minloglevel=2,
        **options,
    )
    return written.getvalue()


ALBERT = {
    "pad_piece": "[PAD]",
    "unk_piece": "[UNK]",
    "bos_piece": "[CLS]",
    "eos_piece": "[SEP]",
    "control_symbols": ["[MASK]"],
}


@pytest.fixture(scope="module")
def wordpiece():
    return ours(reference_wordpiece(), lower_case=True)


@pytest.fixture(scope="module")
def byte_pairs():
    return ours(reference_bytes())


@pytest.fixture(scope="module")
def sentence_pieces():
    return Tokenizer("sentencepiece", sentencepiece_model(**ALBERT))


@pytest.fixture(params=["wordpiece", "byte_pairs", "sentence_pieces"])
def tokenizer(request):
    return request.getfixturevalue(request.param)


def rows(tokenizer, texts, pairs=None, **options):
    """What `encode` gives, without the padding: ids, segments and offsets of each text."""
    encoded = tokenizer.encode(texts, pairs, return_offsets=True, **options)
    lengths = encoded["padding_mask"].numpy().sum(1)
    parts = (encoded[name].numpy() for name in ("token_ids", "segment_ids", "offsets"))
    return [tuple(part[:length].tolist() for part in row) for *row, length in zip(*parts, lengths, strict=True)]


def assert_like_the_reference(tokenizer, reference):
    encodings = reference.encode_batch(TEXTS)
    for text, (ids, segments, offsets), expected in zip(TEXTS, rows(tokenizer, TEXTS), encodings, strict=True):
        special = np.array(expected.special_tokens_mask, bool)
        assert ids == expected.ids, text
        assert segments == expected.type_ids
        assert offsets == np.where(special[:, None], -1, expected.offsets).tolist(), text
        words = [-1 if word is None else word for word in expected.word_ids]
        assert [token.word for token in tokenizer.tokens(text)] == words, text


class TestWordPiece:
    @pytest.mark.parametrize(
        "options",
        [
            {"lower_case": True},
            {"lower_case": False},
            {"lower_case": True, "strip_accents": False},
            {"lower_case": False, "strip_accents": True, "split_chinese": False},
        ],
        ids=["uncased", "cased", "uncased with accents", "cased without accents"],
    )
    def test_as_the_reference(self, options):
        reference = reference_wordpiece(**options)
        assert_like_the_reference(ours(reference, **options), reference)

    def test_changes_of_every_character(self):
        # The reference has an older Unicode: what it does not know of lies in few places.
        reference = normalizers.BertNormalizer(True, False, True, True)
        change = characters.bert_change(True, True)
        codes = [
            *range(0x07FD),
            *range(0x1E00, 0x2E43),
            *range(0x2E80, 0xA7CB),
            *range(0xAC00, 0xD800),
            *range(0xE000, 0x10380),
        ]
        wrong = [code for code in codes if change(chr(code)) != reference.normalize_str(chr(code))]
        assert not wrong
        again = characters.Changes(change)(characters.read(tf.constant(["".join(map(chr, codes))])))
        assert tf.strings.unicode_encode(again.codes, "UTF-8").numpy().decode() == "".join(map(change, map(chr, codes)))

    def test_classes_of_every_character(self):
        reference = pre_tokenizers.BertPreTokenizer()
        codes = [
            *range(0x0600),
            *range(0x1E00, 0x2E43),
            *range(0x2E80, 0xA7CB),
            *range(0xAC00, 0xD800),
            *range(0xE000, 0x10380),
        ]
        found = characters.Classes(characters.bert_classes(False))(tf.constant(codes)).numpy()
        sizes = {1: characters.INSIDE, 2: characters.SPACE, 3: characters.ALONE}
        expected = [sizes[len(reference.pre_tokenize_str(f"a{chr(code)}b"))] for code in codes]
        # Separators of information are no space to the reference; BERT has removed them before.
        different = {code for code, mine, theirs in zip(codes, found, expected, strict=True) if mine != theirs}
        assert different == {0x1C, 0x1D, 0x1E, 0x1F}

    def test_chinese_as_published(self):
        # The reference leaves out 2B820 to 2B91F, which BERT has.
        extra = characters.bert_classes(True) != characters.bert_classes(False)
        ranges = [(0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F)]
        ranges += [(0x2B740, 0x2B81F), (0x2B820, 0x2CEAF), (0x2F800, 0x2FA1F)]
        expected = np.zeros(0x110000, bool)
        for first, last in ranges:
            expected[first : last + 1] = True
        np.testing.assert_array_equal(extra, expected)


class TestBytes:
    def test_as_the_reference(self, byte_pairs):
        assert_like_the_reference(byte_pairs, reference_bytes())

    def test_classes_of_characters(self):
        reference = pre_tokenizers.ByteLevel(add_prefix_space=False)
        codes = range(0x3200)

        def joined(text):
            return reference.pre_tokenize_str(text)[0][1] == (0, 3)

        for code, found in zip(codes, characters.gpt2_classes()[:0x3200], strict=True):
            character = chr(code)
            if not any(map(joined, (f"a{character}a!", f"1{character}1!", f"!{character}!a"))):
                expected = characters.BLANK
            else:
                expected = 1 if joined(f"a{character}a!") else 2 if joined(f"1{character}1!") else 0
            assert found == expected or character in "\u1c89\u1c8a", hex(code)  # letters of Unicode 16

    def test_every_text_comes_back(self, byte_pairs):
        ids = [row[0] for row in rows(byte_pairs, TEXTS)]
        assert byte_pairs.decode(ids) == TEXTS

    @pytest.mark.parametrize(
        "merges", [["a b", "c d", "ab c", "b c", "d a", "cd a"], ["ab c", "b c", "a b", "c d", "abc d"]]
    )
    def test_merges_in_any_order(self, merges):
        # The second takes what is made later than it is taken.
        letters = sorted(pre_tokenizers.ByteLevel.alphabet())
        vocabulary = [*ROBERTA, *letters, *dict.fromkeys(merge.replace(" ", "") for merge in merges)]
        ids = {token: index for index, token in enumerate(vocabulary)}
        reference = tokenizers.Tokenizer(models.BPE(ids, [tuple(merge.split(" ")) for merge in merges]))
        texts = ["".join(text) for length in range(1, 7) for text in itertools.product("abcd", repeat=length)]
        expected = [each.ids for each in reference.encode_batch(texts)]
        assert [row[0][1:-1] for row in rows(Tokenizer("bytes", vocabulary, merges), texts)] == expected

    def test_a_long_run_of_one_letter(self, byte_pairs):
        lengths = range(1, 60)
        expected = [each.ids for each in reference_bytes().encode_batch(["a" * length for length in lengths])]
        assert [row[0] for row in rows(byte_pairs, ["a" * length for length in lengths])] == expected


class TestSentencePiece:
    def test_as_the_reference(self, sentence_pieces):
        model = sentencepiece.SentencePieceProcessor(model_proto=sentencepiece_model(**ALBERT))
        assert [row[0] for row in rows(sentence_pieces, TEXTS)] == [[2, *model.encode(text), 3] for text in TEXTS]
        texts = ENGLISH + CHINESE
        for text, (ids, _, offsets) in zip(texts, rows(sentence_pieces, texts), strict=True):
            for index, (begin, end) in zip(ids[1:-1], offsets[1:-1], strict=True):
                piece = model.id_to_piece(index).lstrip("▁")
                if index != 1 and piece in text:  # not rewritten by the model's own normalization
                    assert text[begin:end].replace(" ", "") == piece

    def test_words_and_offsets(self, sentence_pieces):
        tokens = sentence_pieces.tokens("  the   lazy dogs 北京")[1:-1]
        spans = {}
        for token in tokens:
            spans.setdefault(token.word, []).extend(range(token.begin, token.end))
        assert {word: (span[0], span[-1] + 1) for word, span in spans.items()} == {
            0: (2, 5),
            1: (8, 12),
            2: (13, 17),
            3: (18, 20),
        }

    def test_case_and_accents(self):
        model = sentencepiece_model(**ALBERT)
        folded = Tokenizer("sentencepiece", model, lower_case=True, strip_accents=True)
        plain = Tokenizer("sentencepiece", base64.b64encode(model).decode())
        assert rows(folded, ["THE Lâzy ｄog"])[0][0] == rows(plain, ["the lazy dog"])[0][0]
        offsets = [(token.begin, token.end) for token in folded.tokens("é ﬁ x")[1:-1]]
        assert offsets[-1] == (4, 5)  # though the ligature became two letters

    def test_quotes(self):
        model = sentencepiece_model(**ALBERT, required_chars="\"`'")
        straight = Tokenizer("sentencepiece", model, straight_quotes=True)
        plain = Tokenizer("sentencepiece", model)
        written = ["``the lazy'' dog's", "a```` '''", "`", "dog`", "` `'"]
        read = ['"the lazy" dog\'s', 'a"" "\'', "`", "dog`", "` `'"]
        assert [row[0] for row in rows(straight, written)] == [row[0] for row in rows(plain, read)]
        assert [row[0] for row in rows(straight, written)] != [row[0] for row in rows(plain, written)]
        spans = [(token.begin, token.end) for token in straight.tokens(written[0])[1:-1]]
        assert spans[-1] == (len(written[0]) - 1, len(written[0]))

    def test_a_model_without_padding_has_fairseqs_ids(self):
        proto = sentencepiece_model(pad_id=-1, unk_id=0, bos_id=1, eos_id=2)
        model = sentencepiece.SentencePieceProcessor(model_proto=proto)
        tokenizer = Tokenizer("sentencepiece", proto)
        assert (tokenizer.template, tokenizer.size) == ("roberta", model.vocab_size() + 2)
        special = tokenizer.start_id, tokenizer.pad_id, tokenizer.end_id, tokenizer.unknown_id, tokenizer.mask_id
        assert special == (0, 1, 2, 3, tokenizer.size - 1)
        text = "the lazy dog 猫"
        pieces = model.encode(text)
        assert 0 in pieces
        assert rows(tokenizer, [text])[0][0] == [0, *(index + 1 if index else 3 for index in pieces), 2]
        assert tokenizer.to_tokens([0, 4]).numpy().tolist() == [b"<s>", model.id_to_piece(3).encode()]


class TestEncode:
    @pytest.mark.parametrize("make", [reference_wordpiece, reference_bytes])
    def test_pairs_and_truncation_as_the_reference(self, make):
        reference = make()
        tokenizer = ours(reference, **({"lower_case": True} if make is reference_wordpiece else {}))
        texts = [*TEXTS, *TEXTS[:6], "dog", "the lazy dog"]
        pairs = [*TEXTS[::-1], *ENGLISH, "", "dog", "the", "dog"]
        for max_length in (None, 6, 7, 19, 32):
            if max_length:
                reference.enable_truncation(max_length)
            expected = reference.encode_batch(list(zip(texts, pairs, strict=True)))
            found = rows(tokenizer, texts, pairs, max_length=max_length)
            assert [row[:2] for row in found] == [(each.ids, each.type_ids) for each in expected]
            found = rows(tokenizer, texts, max_length=max_length)
            assert [row[0] for row in found] == [each.ids for each in reference.encode_batch(texts)]

    def test_padding(self, tokenizer):
        encoded = tokenizer.encode(["the dog", ""])
        assert {name: (each.dtype.name, each.shape[0]) for name, each in encoded.items()} == {
            "token_ids": ("int32", 2),
            "segment_ids": ("int32", 2),
            "padding_mask": ("bool", 2),
        }
        mask = encoded["padding_mask"].numpy()
        assert mask[0].all()  # the longest
        assert mask[1].sum() == 2
        assert (encoded["token_ids"].numpy()[~mask] == tokenizer.pad_id).all()
        offsets = tokenizer.encode(["the dog", ""], return_offsets=True)["offsets"].numpy()
        assert (offsets[1] == -1).all()
        assert tokenizer.encode([])["token_ids"].shape[0] == 0

    def test_tokens(self, wordpiece):
        text = "Naïve dogs"
        tokens = wordpiece.tokens(text, "a fox")
        assert [token.id for token in tokens] == rows(wordpiece, [text], ["a fox"])[0][0]
        assert tokens[0] == Token(2, "[CLS]", -1, -1, -1, -1)
        first = [token for token in tokens if token.part == 0]
        assert "".join(token.text.removeprefix("##") for token in first) == "naivedogs"
        assert "".join(text[token.begin : token.end] for token in first) == "Naïvedogs"
        assert {token.word for token in first} == {0, 1}
        assert {"a fox"[token.begin : token.end] for token in tokens if token.part == 1} >= {"a"}

    def test_decode(self, wordpiece, sentence_pieces):
        assert wordpiece.decode(wordpiece.encode(["The lazy dogs", ""])["token_ids"]) == ["the lazy dogs", ""]
        text = "The lazy dogs 北京"
        assert sentence_pieces.decode(sentence_pieces.encode([text])["token_ids"].numpy()) == [text]
        assert wordpiece.decode([[wordpiece.unknown_id]]) == ["[UNK]"]

    def test_bytes_of_tokens_are_shown_as_text(self, byte_pairs):
        assert "".join(token.text for token in byte_pairs.tokens("the dog")[1:-1]) == "the dog"

    def test_what_says_nothing_of_a_word(self, byte_pairs):
        config = byte_pairs.get_config()
        others = config["vocabulary"][len(ROBERTA) :]
        for special, expected in ((["<pad>"], 0), (["<pad>", "<unk>"], 1), (["<pad>", "<unk>", "<mask>"], 2)):
            assert Tokenizer("bytes", [*special, *others], config["merges"]).blank_id == expected

    def test_gpt2_has_one_special_token(self, byte_pairs):
        config = byte_pairs.get_config()
        vocabulary = [*config["vocabulary"][len(ROBERTA) :], "<|endoftext|>"]
        tokenizer = Tokenizer("bytes", vocabulary, config["merges"])
        assert tokenizer.template == "none"
        assert (tokenizer.pad_id, tokenizer.end_id, tokenizer.mask_id) == (tokenizer.size - 1, tokenizer.size - 1, None)
        ids = rows(byte_pairs, ["the dog"])[0][0][1:-1]
        assert rows(tokenizer, ["the dog"])[0][0] == [index - len(ROBERTA) for index in ids]

    def test_bytes_that_are_no_unicode(self, tokenizer):
        (found,) = rows(tokenizer, [b"the \xff\xfedog"])
        assert found == rows(tokenizer, ["the \ufffd\ufffddog"])[0]

    def test_a_megabyte_in_a_line(self, tokenizer):
        text = "the lazy dogs don't sleep. 北京" * 37_000
        assert len(text) > 1_000_000
        ids, _, offsets = rows(tokenizer, [text])[0]
        assert offsets[-2][1] == len(text)
        assert len(ids) > 200_000
        assert rows(tokenizer, [text], max_length=64)[0][0][:-1] == ids[:63]

    def test_in_a_data_set(self, tokenizer):
        batches = (
            tf.data.Dataset.from_tensor_slices(TEXTS).batch(5).map(lambda texts: tokenizer.encode(texts, max_length=16))
        )
        found = [
            row[mask].tolist()
            for each in batches
            for row, mask in zip(each["token_ids"].numpy(), each["padding_mask"].numpy(), strict=True)
        ]
        assert found == [row[0] for row in rows(tokenizer, TEXTS, max_length=16)]

    def test_in_a_saved_model(self, tokenizer, tmp_path):
        module = tf.Module()
        module.tokenizer = tokenizer

        @tf.function(input_signature=[tf.TensorSpec((None,), tf.string)])
        def encode(texts):
            encoded = tokenizer.encode(texts, return_offsets=True)
            return {"tokens": tokenizer.to_tokens(encoded["token_ids"]), **encoded}

        tf.saved_model.save(module, str(tmp_path / "saved_model"), signatures=encode)
        texts = ["Naïve dogs 北京!", "the fox"]
        found = serve(tmp_path, {"serving_default": {"texts": texts}}, ALONE if tokenizer.kind == "bytes" else WITH_TEXT)
        for name, expected in tokenizer.encode(texts, return_offsets=True).items():
            np.testing.assert_array_equal(found[f"serving_default/{name}"], expected)
        assert (
            found["serving_default/tokens"].tolist()
            == np.char.decode(tokenizer.to_tokens(found["serving_default/token_ids"]).numpy().astype("S"), "utf-8").tolist()
        )


class TestKeeping:
    def test_config_through_json(self, tokenizer):
        again = Tokenizer.from_config(json.loads(json.dumps(tokenizer.get_config())))
        assert again.get_config() == tokenizer.get_config()
        assert rows(again, TEXTS) == rows(tokenizer, TEXTS)
        through_keras = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(tokenizer))
        assert through_keras.get_config() == tokenizer.get_config()

    def test_folder(self, tokenizer, tmp_path):
        for _ in range(2):  # the second replaces the first
            tokenizer.save(tmp_path / "tokenizer")
        again = Tokenizer.from_folder(tmp_path / "tokenizer")
        assert rows(again, TEXTS, TEXTS[::-1]) == rows(tokenizer, TEXTS, TEXTS[::-1])
        assert again.mask_id == tokenizer.mask_id

    def test_folder_of_something_else_is_kept(self, wordpiece, tmp_path):
        (tmp_path / "mine.txt").touch()
        with pytest.raises(ValueError, match=r"a new or empty folder, or one with tokenizer_config\.json"):
            wordpiece.save(tmp_path)

    @pytest.mark.parametrize("make", [reference_wordpiece, reference_bytes])
    def test_tokenizer_json(self, make, tmp_path):
        reference = make()
        reference.save(str(tmp_path / "tokenizer.json"))
        tokenizer = Tokenizer.from_folder(tmp_path)
        assert [row[0] for row in rows(tokenizer, TEXTS)] == [each.ids for each in reference.encode_batch(TEXTS)]
        assert tokenizer.mask_id == reference.token_to_id("[MASK]" if tokenizer.kind == "wordpiece" else "<mask>")

    def test_tokenizer_json_of_unigrams(self, tmp_path):
        from sentencepiece import sentencepiece_model_pb2

        proto = sentencepiece_model_pb2.ModelProto.FromString(sentencepiece_model(**ALBERT))
        reference = tokenizers.Tokenizer(models.Unigram([(each.piece, each.score) for each in proto.pieces], 1, False))
        reference.add_special_tokens(SPECIAL)
        charsmap = normalizers.Precompiled(proto.normalizer_spec.precompiled_charsmap)
        quotes = [normalizers.Replace("``", '"'), normalizers.Replace("''", '"')]
        reference.normalizer = normalizers.Sequence([*quotes, normalizers.Lowercase(), charsmap])
        reference.pre_tokenizer = pre_tokenizers.Metaspace()
        reference.save(str(tmp_path / "tokenizer.json"))
        tokenizer = Tokenizer.from_folder(tmp_path)
        texts = [text.lower() for text in TEXTS]
        expected = Tokenizer("sentencepiece", sentencepiece_model(**ALBERT), straight_quotes=True)
        assert rows(tokenizer, texts) == rows(expected, texts)
        assert tokenizer.get_config()["lower_case"]
        assert tokenizer.get_config()["straight_quotes"]
        reference.normalizer = normalizers.Replace("a", "b")
        reference.save(str(tmp_path / "tokenizer.json"))
        with pytest.raises(ValueError, match=r"Expected replacements of `` and '' .*'String': 'a'"):
            Tokenizer.from_folder(tmp_path)

    def test_vocab_txt_and_its_config(self, wordpiece, tmp_path):
        lines = "".join(f"{token}\n" for token in wordpiece.get_config()["vocabulary"])
        (tmp_path / "vocab.txt").write_bytes(lines.encode())
        assert rows(Tokenizer.from_folder(tmp_path), TEXTS) == rows(wordpiece, TEXTS)  # lower case is the published default
        told = {
            "do_lower_case": False,
            "strip_accents": True,
            "tokenize_chinese_chars": False,
            "mask_token": {"content": "a"},
        }
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(told))
        tokenizer = Tokenizer.from_folder(tmp_path)
        config = tokenizer.get_config()
        assert (config["lower_case"], config["strip_accents"], config["split_chinese"]) == (False, True, False)
        assert tokenizer.to_tokens(tokenizer.mask_id).numpy() == b"a"

    def test_vocab_json_and_merges(self, byte_pairs, tmp_path):
        reference_bytes().model.save(str(tmp_path))
        assert rows(Tokenizer.from_folder(tmp_path), TEXTS) == rows(byte_pairs, TEXTS)

    @pytest.mark.parametrize("name", ["spiece.model", "sentencepiece.bpe.model"])
    def test_sentencepiece_model(self, name, tmp_path):
        proto = sentencepiece_model(**ALBERT)
        (tmp_path / name).write_bytes(proto)
        folded = name == "spiece.model"  # as ALBERT is published
        expected = Tokenizer("sentencepiece", proto, lower_case=folded, strip_accents=folded, straight_quotes=folded)
        assert Tokenizer.from_folder(tmp_path).get_config()["straight_quotes"] == folded
        assert rows(Tokenizer.from_folder(tmp_path), TEXTS) == rows(expected, TEXTS)


class TestLearn:
    @pytest.mark.parametrize("kind", ["wordpiece", "bytes", "sentencepiece"])
    def test_learned(self, kind):
        texts = [*ENGLISH, *CHINESE] * 3
        size = {"wordpiece": 250, "bytes": 400, "sentencepiece": 130}[kind]
        tokenizer = Tokenizer.learn(iter(texts), kind, size)
        assert tokenizer.get_config() == Tokenizer.learn(texts, kind, size).get_config()
        assert tokenizer.size <= size
        assert tokenizer.mask_id is not None
        found = rows(tokenizer, ENGLISH)
        assert all(tokenizer.unknown_id not in row[0] for row in found)
        assert sum(len(row[0]) for row in found) < 0.8 * sum(map(len, ENGLISH))  # else they are letters

    def test_case(self):
        assert "Naïve" in Tokenizer.learn(ENGLISH * 9, size=600, lower_case=False).get_config()["vocabulary"]
        vocabulary = Tokenizer.learn(ENGLISH * 9, size=600).get_config()["vocabulary"]
        assert "naive" in vocabulary

    @pytest.mark.parametrize(
        ("texts", "kind", "size", "match"),
        [
            (["a"], "word", 100, r"Unknown kind; did you mean 'wordpiece'"),
            (["", " "], "bytes", 400, r"texts to learn from\. Received: 2 texts, all blank"),
            (["ab"], "wordpiece", 9, r"a size above 9, the special tokens and characters\. Received: size=9"),
            (["ab"], "bytes", 261, r"a size above 261, .*size=261"),
            (ENGLISH, "sentencepiece", 10, r"a size to learn subwords with: .*size=10"),
        ],
    )
    def test_refused(self, texts, kind, size, match):
        with pytest.raises(ValueError, match=match):
            Tokenizer.learn(texts, kind, size)


WORDS = [*SPECIAL, "dog", "##s"]


class TestBadInput:
    @pytest.mark.parametrize(
        ("arguments", "match"),
        [
            (("wordpieces", WORDS), r"Unknown kind; did you mean 'wordpiece'.*kind='wordpieces'"),
            (("wordpiece", [*WORDS, "dog"]), r"each token of the vocabulary once\. Received: 'dog' 2 times"),
            (("wordpiece", WORDS[1:]), r"with '\[PAD\]' or '<pad>' or .*\. Received: 6 other tokens"),
            (("wordpiece", ["[PAD]", "[UNK]", "[CLS]"]), r"with '\[SEP\]' or '</s>'"),
            (("wordpiece", []), r"with '\[PAD\]'"),
            (("wordpiece", WORDS, ["d o"]), r"merges with kind='bytes' only\. Received: kind='wordpiece'"),
            (("bytes", WORDS), r"merges with kind='bytes' only\. Received: kind='bytes', merges=None"),
            (("bytes", WORDS, ["d o"]), r"all 256 bytes and all merged tokens\. Received: 259 missing, such as 'Ā'"),
            (("bytes", WORDS, ["dog"]), r"merges of two tokens separated by a space\. Received: 'dog'"),
            (("sentencepiece", "no model"), r"Expected a sentencepiece model"),
            (("wordpiece", WORDS, None, "berd"), r"Unknown template; did you mean 'bert'"),
        ],
    )
    def test_vocabularies(self, arguments, match):
        with pytest.raises(ValueError, match=match):
            Tokenizer(*arguments)

    def test_special_tokens(self):
        with pytest.raises(ValueError, match=r"Unknown special token; did you mean 'mask'"):
            Tokenizer("wordpiece", WORDS, special_tokens={"masc": "dog"})
        with pytest.raises(ValueError, match=r"a vocabulary with 'cat'\. Received: 7 other tokens"):
            Tokenizer("wordpiece", WORDS, special_tokens={"mask": "cat"})

    @pytest.mark.parametrize(
        ("arguments", "match"),
        [
            (("dog",), r"a list of strings\. Received: texts='dog'"),
            (([5],), r"a list of strings\. Received: texts\[0\]=5"),
            ((["dog", "b\udcff"],), r"UTF-8 in every string\. Received: texts\[1\]='b\\udcff'"),
            ((["dog"], ["b\ud800"]), r"UTF-8 in every string\. Received: pairs\[0\]='b\\ud800'"),
            ((["dog"], ["a", "b"]), r"a pair for each text\. Received: 1 texts, 2 pairs"),
            ((["dog"], None, 2), r"a max_length above 2, the number of special tokens\. Received: max_length=2"),
            ((["dog"], ["a"], 3), r"a max_length above 3, .*\. Received: max_length=3"),
            ((tf.constant("dog"),), r"a string tensor \(b,\)\. Received: texts of string \(\)"),
            ((tf.constant([1]),), r"a string tensor \(b,\)\. Received: texts of int32 \(1,\)"),
        ],
    )
    def test_texts(self, arguments, match):
        with pytest.raises(ValueError, match=match) as raised:
            Tokenizer("wordpiece", WORDS).encode(*arguments)
        assert "\n" not in str(raised.value)

    @pytest.mark.parametrize(
        ("files", "match"),
        [
            ({}, r"a folder with one of spiece\.model, .*merges\.txt\. Received: folder="),
            ({"vocab.txt": b"[PAD]\n\xff\n"}, r"Expected UTF-8\. Received: path=.*vocab\.txt"),
            ({"tokenizer.json": b"{"}, r"Expected JSON\. Received: path=.*tokenizer\.json"),
            ({"tokenizer.json": b"[]"}, r"a JSON object\. Received: path="),
            ({"tokenizer.json": b"{}"}, r"like that of BERT, GPT-2 or ALBERT\. Received: path="),
            ({"vocab.json": b'{"a": 0, "b": 2}', "merges.txt": b""}, r"ids from 0 on, each once\. Received: 2 ids up to 2"),
            ({"vocab.json": b'{"a": "b"}', "merges.txt": b""}, r"ids from 0 on, each once\."),
            ({"vocab.txt": b"a", "tokenizer_config.json": b'{"add_prefix_space": true}'}, r"without a prefix space"),
            (
                {"vocab.txt": b"a", "tokenizer_config.json": b'{"cls_token": ["a"]}'},
                r"Expected cls_token to be a str\. Received: \['a'\] in ",
            ),
        ],
    )
    def test_folders(self, files, match, tmp_path):
        for name, content in files.items():
            (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=match):
            Tokenizer.from_folder(tmp_path)

    @pytest.mark.parametrize(
        ("part", "step", "match"),
        [
            ("normalizer", normalizers.NFC(), r"Expected none as normalizer\. Received: NFC"),
            ("pre_tokenizer", pre_tokenizers.Whitespace(), r"Expected ByteLevel as pre-tokenizer\. Received: Whitespace"),
            (
                "pre_tokenizer",
                pre_tokenizers.ByteLevel(add_prefix_space=True),
                r"without a prefix space\. Received: add_prefix_space=True",
            ),
        ],
    )
    def test_tokenizers_that_work_in_another_way(self, part, step, match, tmp_path):
        reference = reference_bytes()
        setattr(reference, part, step)
        reference.save(str(tmp_path / "tokenizer.json"))
        with pytest.raises(ValueError, match=match):
            Tokenizer.from_folder(tmp_path)


class TestCommand:
    @pytest.fixture
    def folder(self, tmp_path):
        (tmp_path / "english.txt").write_text("\n".join(ENGLISH), "utf-8")
        (tmp_path / "chinese.txt").write_text("\n".join(CHINESE), "utf-8")
        (tmp_path / "latin1.txt").write_bytes(b"dog\ncaf\xe9\n")
        (tmp_path / "empty.txt").touch()
        return tmp_path

    @pytest.mark.parametrize("kind", ["wordpiece", "bytes", "sentencepiece"])
    def test_learns(self, folder, command, kind):
        code, out, error = command(f"train-tokenizer english.txt chinese.txt --kind {kind} --size 290 --out made")
        assert (code, error) == (0, "")
        tokenizer = Tokenizer.from_folder(folder / "made")
        assert out == f"{tokenizer.size} tokens in made\n"
        assert tokenizer.get_config() == Tokenizer.learn([*ENGLISH, *CHINESE], kind, 290).get_config()

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ("no.txt", r"'no\.txt' does not exist"),
            ("english.txt latin1.txt", r"Expected UTF-8\. Received: line 2 of latin1\.txt"),
            ("empty.txt", r"texts to learn from\. Received: 0 texts"),
            ("english.txt --kind bite", r"Unknown kind; .*'bytes'"),
            ("english.txt --size 20", r"a size above \d+, the special tokens and characters\. Received: size=20"),
        ],
    )
    def test_one_line_for_what_is_wrong(self, folder, command, line, message):
        code, out, error = command(f"train-tokenizer {line} --out made")
        assert (code, out, error.count("\n")) == (2, "", 1)
        assert error.startswith("textkit: ")
        assert re.search(message, error), error
        assert not (folder / "made").exists()
