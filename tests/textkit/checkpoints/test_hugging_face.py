"""Hugging Face folders of text models: against KerasHub's readers, transformers itself, by hand, and broken ones."""

import json

import keras
import numpy as np
import pytest

from tests.checks import assert_close, numpy
from tests.textkit.checkpoints.folders import CONFIGS, HEADS, NAMES, tensors_of, write
from tests.textkit.encoders import make_ids
from textkit import (
    CausalLM,
    MaskedLanguageModel,
    SentenceEncoder,
    SpanClassifier,
    TextClassifier,
    TextEncoder,
    TokenClassifier,
)
from textkit.text_model import TextModel
from vitkit import ViTBackbone

CLASSES = dict(zip(HEADS, (TextClassifier, TokenClassifier, SpanClassifier, MaskedLanguageModel), strict=True))
QUERY = "encoder.layer.1.attention.self.query.weight"


def weights_of(model):
    return {weight.path: numpy(weight) for weight in model.weights}


@pytest.mark.parametrize(
    ("kind", "backbone", "options"),
    [
        ("bert", "Bert", {"hidden_act": "gelu_new"}),  # whatever the folder says, theirs takes that one
        ("roberta", "Roberta", {}),
        ("distilbert", "DistilBert", {}),
        ("albert", "Albert", {}),
        ("gpt2", "GPT2", {}),
    ],
)
def test_equals_kerashub_s_reader(tmp_path, kind, backbone, options):
    keras_hub = pytest.importorskip("keras_hub", reason="the reader to compare with is KerasHub's")
    tensors = tensors_of(kind)
    if kind == "roberta":  # theirs leaves it out
        tensors["roberta.embeddings.token_type_embeddings.weight"][:] = 0
    write(tmp_path, kind, tensors=tensors, **options)
    theirs = getattr(keras_hub.models, f"{backbone}Backbone").from_preset(str(tmp_path))
    ids = make_ids(pad_id=CONFIGS[kind].get("pad_token_id", 0))
    mask = ids["token_ids"] != CONFIGS[kind].get("pad_token_id", 0)
    inputs = {**ids, "padding_mask": mask}
    expected = theirs({name: value for name, value in inputs.items() if name in theirs.input})
    ours = (CausalLM if kind == "gpt2" else TextEncoder).from_preset(tmp_path)
    seen = ours(inputs, return_hidden_states=True)
    expected = expected if isinstance(expected, dict) else {"sequence_output": expected}
    for name, value in expected.items():
        rows = mask if name == "sequence_output" else slice(None)
        assert_close(numpy(seen[name])[rows], numpy(value)[rows], 1e-4)


@pytest.mark.parametrize("head", ["Model", *HEADS])
@pytest.mark.parametrize("kind", NAMES)
def test_every_weight_comes_from_the_file(tmp_path, kind, head):
    tensors = tensors_of(kind, head)
    model = CLASSES.get(head, TextEncoder).from_preset(write(tmp_path, kind, head, tensors))
    if kind == "roberta":
        positions = "roberta.embeddings.position_embeddings.weight"
        tensors[positions] = tensors[positions][2:]  # those of padding are nobody's
    # random values: the same sorted ones mean the same tensors
    theirs = np.sort(np.concatenate([tensor.ravel() for tensor in tensors.values()]))
    ours = np.sort(np.concatenate([weight.ravel() for weight in weights_of(model).values()]))
    np.testing.assert_array_equal(ours, theirs)


def test_every_weight_of_gpt2_comes_from_the_file(tmp_path):
    tensors = tensors_of("gpt2")
    weights = weights_of(CausalLM.from_preset(write(tmp_path, "gpt2", "LMHeadModel")))
    joint = tensors["transformer.h.1.attn.c_attn.weight"]
    np.testing.assert_array_equal(weights["decoder_layer_1/self_attention/key/kernel"][:, 1], joint[:, 18:24])
    theirs = np.sort(np.concatenate([tensor.ravel() for tensor in tensors.values()]))
    np.testing.assert_array_equal(np.sort(np.concatenate([weight.ravel() for weight in weights.values()])), theirs)


@pytest.mark.parametrize(
    ("kind", "activation"),
    [("roberta", np.tanh), ("distilbert", lambda x: np.maximum(x, 0)), ("electra", keras.activations.gelu)],
)
def test_a_classifier_of_two_maps_has_the_first_as_its_pooler(tmp_path, kind, activation):
    tensors = tensors_of(kind, "ForSequenceClassification")
    model = TextClassifier.from_preset(write(tmp_path, kind, "ForSequenceClassification", tensors))
    ids = make_ids(pad_id=model.encoder.config["pad_id"])
    first, last = ("pre_classifier", "classifier") if kind == "distilbert" else ("classifier.dense", "classifier.out_proj")
    token = numpy(model.encoder(ids)["sequence_output"])[:, 0]
    hidden = numpy(activation(token @ tensors[f"{first}.weight"].T + tensors[f"{first}.bias"]))
    assert_close(model(ids), hidden @ tensors[f"{last}.weight"].T + tensors[f"{last}.bias"])


@pytest.mark.parametrize("head", ["Model", *HEADS, "ForPreTraining"])
@pytest.mark.parametrize("kind", [*NAMES, "gpt2"])
def test_equals_transformers(tmp_path, kind, head):
    torch = pytest.importorskip("torch", reason="the reference is PyTorch's")
    transformers = pytest.importorskip("transformers", reason="the reference is its own")
    name = f"{NAMES.get(kind, 'GPT2')}{head if kind != 'gpt2' else 'LMHeadModel'}"
    if not hasattr(transformers, name) or (kind == "gpt2" and head != "ForMaskedLM"):
        pytest.skip(f"there is no {kind}{head}")
    torch.manual_seed(0)
    theirs = getattr(transformers, name)(transformers.AutoConfig.for_model(kind, **CONFIGS[kind], num_labels=2)).eval()
    for parameter in theirs.parameters():
        parameter.data += 0.3 * torch.randn(parameter.shape)
    theirs.save_pretrained(tmp_path)
    cls = CausalLM if kind == "gpt2" else CLASSES.get(head, TextEncoder)
    if head == "ForPreTraining" and kind in ("bert", "albert"):
        cls = MaskedLanguageModel
    ours = cls.from_preset(tmp_path)
    pad = CONFIGS[kind].get("pad_token_id", 0)
    ids = make_ids(pad_id=pad)
    mask = ids["token_ids"] != pad
    call = {"input_ids": torch.tensor(ids["token_ids"]).long(), "attention_mask": torch.tensor(mask).long()}
    if kind in ("bert", "electra", "albert"):
        call["token_type_ids"] = torch.tensor(ids["segment_ids"]).long()
    with torch.no_grad():
        expected = theirs(**call)
    seen = ours({**ids, "padding_mask": mask}, return_hidden_states=True)
    places = {
        "last_hidden_state": "sequence_output",
        "pooler_output": "pooled_output",
        "prediction_logits": "logits",
        "logits": "logits",
        "start_logits": "start_logits",
        "end_logits": "end_logits",
    }
    compared = [(place, expected[name]) for name, place in places.items() if name in expected and place in seen]
    assert compared or (kind, head) == ("electra", "ForPreTraining")
    for place, value in compared:
        rows = mask if tuple(value.shape[:2]) == mask.shape else slice(None)
        assert_close(numpy(seen[place])[rows], value.numpy()[rows])


def test_names_without_a_prefix_and_those_of_the_first_checkpoints(tmp_path):
    folders = [tmp_path / name for name in ("new", "bare", "old")]
    tensors = tensors_of("bert")
    bare = {name.removeprefix("bert."): tensor for name, tensor in tensors.items()}
    bare["embeddings.position_ids"] = np.arange(9)[None]
    renamed = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    old = {}
    for name, tensor in tensors.items():
        ending = ".".join(name.split(".")[-2:])
        old[name.removesuffix(ending) + renamed.get(ending, ending)] = tensor
    assert set(old) != set(tensors)
    expected = None
    for folder, some in zip(folders, (tensors, bare, old), strict=True):
        folder.mkdir()
        weights = weights_of(TextEncoder.from_preset(write(folder, tensors=some)))
        expected = expected or weights
        assert set(weights) == set(expected)
        for path, value in weights.items():
            np.testing.assert_array_equal(value, expected[path])


def test_heads_of_other_tasks_are_left_out(tmp_path):
    for index, head in enumerate(HEADS):
        folder = tmp_path / str(index)
        folder.mkdir()
        write(folder, "roberta", head)
        assert (TextEncoder.from_preset(folder).pooler is not None) == (head == "ForSequenceClassification")
        assert SentenceEncoder.from_preset(folder).encoder.pooler is None
        classifier = TokenClassifier if head != "ForTokenClassification" else TextClassifier
        with pytest.raises(ValueError, match=r"weights with a head, or num_classes= for a new head\. Received: \{\}"):
            classifier.from_preset(folder)
        assert classifier.from_preset(folder, num_classes=3).num_classes == 3


def test_a_new_head_is_said(tmp_path):
    folder = write(tmp_path)
    for cls in (MaskedLanguageModel, SpanClassifier):
        with pytest.warns(UserWarning, match=f"The new head of {cls.__name__} is untrained") as caught:
            cls.from_preset(folder)
        assert [warning.filename for warning in caught if warning.category is UserWarning] == [__file__]


def test_another_number_of_classes_and_other_arguments(tmp_path):
    names = {str(index): f"mood {index}" for index in range(5)}
    folder = write(tmp_path, head="ForSequenceClassification", id2label=names)
    model = TextClassifier.from_preset(folder)
    assert model.class_names == list(names.values())
    other = TextClassifier.from_preset(folder, num_classes=3, max_sequence_length=7)
    assert (other.num_classes, other.class_names, other.encoder.config["max_sequence_length"]) == (3, None, 7)
    ids = make_ids()
    assert_close(other.encoder(ids), model.encoder(ids))
    fresh = TextClassifier.from_preset(folder, load_weights=False)
    assert {**fresh.get_config(), "name": ""} == {**model.get_config(), "name": ""}
    assert np.abs(numpy(fresh(ids)) - numpy(model(ids))).max() > 1e-3


@pytest.mark.parametrize(
    ("kind", "head", "cls"),
    [*(("roberta", *pair) for pair in CLASSES.items()), ("bert", "Model", TextEncoder), ("gpt2", "Model", CausalLM)],
)
def test_the_folder_says_which_model_it_is(tmp_path, kind, head, cls):
    assert type(TextModel.from_preset(write(tmp_path, kind, head))) is cls


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, "single"),
        ({"problem_type": "multi_label_classification"}, "multi"),
        ({"num_labels": 1}, "regression"),
        ({"num_labels": 1, "problem_type": "single_label_classification"}, "single"),
    ],
)
def test_the_problem_is_read(tmp_path, config, expected):
    tensors = tensors_of("bert", "ForSequenceClassification", config.get("num_labels", 5))
    write(tmp_path, head="ForSequenceClassification", tensors=tensors, **config)
    assert TextClassifier.from_preset(tmp_path).problem == expected


@pytest.mark.parametrize(
    ("kind", "config", "of_texts", "of_words"),
    [
        ("bert", {"classifier_dropout": 0.4}, 0.4, 0.4),
        ("roberta", {"classifier_dropout": 0.0}, 0.0, 0.0),
        ("electra", {"classifier_dropout": None, "hidden_dropout_prob": 0.3}, 0.3, 0.3),
        ("bert", {"hidden_dropout_prob": 0.3}, 0.3, 0.3),
        ("albert", {"classifier_dropout_prob": 0.4}, 0.4, 0.4),
        ("albert", {"hidden_dropout_prob": 0.0}, 0.1, 0.1),
        ("albert", {"classifier_dropout_prob": None, "hidden_dropout_prob": 0.3}, 0.3, 0.3),
        ("distilbert", {"seq_classif_dropout": 0.4, "dropout": 0.3}, 0.4, 0.3),
        ("distilbert", {}, 0.2, 0.1),
    ],
)
def test_the_dropout_before_a_classifier_is_read(tmp_path, kind, config, of_texts, of_words):
    folder = write(tmp_path, kind, **config)
    for cls, expected in ((TextClassifier, of_texts), (TokenClassifier, of_words)):
        model = cls.from_preset(folder, num_classes=3)
        assert (model.head_dropout, model.dropout_layer.rate) == (expected, expected)
        assert cls.from_preset(folder, num_classes=3, head_dropout=0.25).head_dropout == 0.25
    heads = write(tmp_path, kind, "ForSequenceClassification", **config)
    assert TextClassifier.from_preset(heads).head_dropout == of_texts
    assert SpanClassifier.from_preset(heads, load_weights=False).head_dropout == 0.0


@pytest.mark.parametrize(
    ("mode", "modules", "expected"),
    [
        ("mean_tokens", ["Transformer", "Pooling", "Normalize"], ("mean", True)),
        ("cls_token", ["Transformer", "Pooling"], ("token", False)),
    ],
)
def test_the_pooling_of_sentence_transformers_is_read(tmp_path, mode, modules, expected):
    sentence_transformers(write(tmp_path), mode, modules)
    model = SentenceEncoder.from_preset(tmp_path)
    assert (model.pooling, model.normalize) == expected
    assert SentenceEncoder.from_preset(tmp_path, normalize=not expected[1]).normalize != expected[1]


@pytest.mark.parametrize(
    ("mode", "modules", "message"),
    [
        ("max_tokens", ["Transformer", "Pooling"], "Expected one of .*cls_token.* Received: pooling_mode_max_tokens in"),
        ("mean_tokens", ["Transformer", "Pooling", "Dense"], r"Expected modules of \('Transformer'.* Received: Dense in "),
    ],
)
def test_other_poolings_are_refused(tmp_path, mode, modules, message):
    sentence_transformers(write(tmp_path), mode, modules)
    with pytest.raises(ValueError, match=message):
        SentenceEncoder.from_preset(tmp_path)


def sentence_transformers(folder, mode, modules):
    (folder / "1_Pooling").mkdir()
    modes = {f"pooling_mode_{name}": name == mode for name in ("cls_token", "mean_tokens", "max_tokens")}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": 12, **modes}))
    modules = [{"idx": index, "type": f"sentence_transformers.models.{name}"} for index, name in enumerate(modules)]
    (folder / "modules.json").write_text(json.dumps(modules))


@pytest.mark.parametrize(
    ("cls", "kind", "message"),
    [
        (TextEncoder, "t5", r"a checkpoint of albert, bert, .* for TextEncoder\. Received: model_type='t5', path="),
        (TextEncoder, "gpt2", r"a checkpoint of albert, .* Received: model_type='gpt2'"),
        (CausalLM, "bert", r"a checkpoint of gpt2 for CausalLM\. Received: model_type='bert'"),
        (TextClassifier, None, r"a checkpoint of albert, .* for TextClassifier\. Received: model_type=None"),
        (ViTBackbone, "bert", r"Unknown model_type; .* Received: model_type='bert'"),
    ],
)
def test_another_family_is_named(tmp_path, cls, kind, message):
    with pytest.raises(ValueError, match=message):
        cls.from_preset(write(tmp_path, "bert", model_type=kind))


@pytest.mark.parametrize(
    ("kind", "config", "message"),
    [
        ("bert", {"hidden_act": "gelu_old"}, "Unknown activation; did you mean 'gelu' or 'gelu_new'"),
        ("bert", {"position_embedding_type": "relative_key"}, "Expected position_embedding_type='absolute' in config.json"),
        ("bert", {"is_decoder": True}, "Expected is_decoder=False in config.json. Received: is_decoder=True"),
        ("albert", {"num_hidden_groups": 2}, "Expected num_hidden_groups=1 in config.json. Received: num_hidden_groups=2"),
    ],
)
def test_what_is_not_to_be_had_is_refused(tmp_path, kind, config, message):
    with pytest.raises(ValueError, match=message):
        TextEncoder.from_preset(write(tmp_path, kind, **config))


def test_a_head_that_is_not_tied_is_refused(tmp_path):
    folder = write(tmp_path, head="ForMaskedLM", tie_word_embeddings=False)
    with pytest.raises(ValueError, match=r"Expected tie_word_embeddings=True .* Received: tie_word_embeddings=False"):
        MaskedLanguageModel.from_preset(folder)
    TextEncoder.from_preset(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({QUERY: None}, rf"a tensor {QUERY} of shape \(12, 12\)\. Received: none"),
        ({QUERY: np.ones((12, 5), "float32")}, rf"{QUERY} to have shape \(12, 12\)\. Received: shape=\(12, 5\)"),
        (
            {"adapter.weight": np.ones((2, 3), "float32")},
            r"no tensor of that name\. Received: adapter.weight of shape \(2, 3\)",
        ),
    ],
    ids=["missing", "misshapen", "extra"],
)
def test_a_tensor_that_does_not_fit_is_named(tmp_path, change, message):
    tensors = tensors_of("bert") | {f"bert.{name}": tensor for name, tensor in change.items()}
    tensors = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    with pytest.raises(ValueError, match=message):
        TextEncoder.from_preset(write(tmp_path, tensors=tensors))


def test_broken_folders_are_named(tmp_path):
    folder = write(tmp_path)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"to unpickle a file is to run the code inside.*pytorch_model\.bin"):
        TextEncoder.from_preset(folder)
    (folder / "pytorch_model.bin").unlink()
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors in the folder\. Received: path="):
        TextEncoder.from_preset(folder)
    (folder / "config.json").write_text('{"model_type": "bert", "architectures": 5}')
    with pytest.raises(ValueError, match=r"Expected Hugging Face's config \(TypeError\(.*\)\)\. Received: path="):
        SpanClassifier.from_preset(folder)
