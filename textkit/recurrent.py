"""RecurrentSeq2Seq: a GRU or LSTM encoder-decoder, with any attention or none."""

import keras
from keras import ops

from shared_layers import Attention, Linear
from shared_layers.runtime import check_sizes, require_tensorflow, unknown_name
from textkit.presets import RECURRENT
from textkit.scan import scan
from textkit.seq2seq import Seq2Seq, sizes
from textkit.vocabulary import PAD

ATTENTIONS = ("additive", "concat", "concat_linear", "dot", "general", "scaled_dot")
CELLS = {"gru": (keras.layers.GRU, keras.layers.GRUCell), "lstm": (keras.layers.LSTM, keras.layers.LSTMCell)}


@keras.saving.register_keras_serializable(package="textkit")
class RecurrentSeq2Seq(Seq2Seq):
    """A recurrent encoder and a recurrent decoder with input feeding.

    At step t the decoder's state is h_t = cell([y_(t-1); r_(t-1)], h_(t-1)), the context c_t is the attention output for the
    query h_t over the encoder's outputs, the readout is r_t = tanh(W [c_t; h_t]), and the logits are a linear map of it. So
    the query of a step has already read the previous token (same-step reading). Without attention the context is the
    encoder's last state at every step, which also replaces the readout in the decoder's input.

    Args:
        source_vocabulary_size, target_vocabulary_size: int.
        cell: "gru" or "lstm".
        hidden_dim: int, width of each direction of the encoder, of the decoder and of the readout.
        embedding_dim: int; `None` for `hidden_dim`.
        num_encoder_layers: int.
        bidirectional: bool, whether the encoder is bidirectional; its outputs then have width 2 `hidden_dim`.
        num_decoder_layers: int.
        attention: "additive", "concat", "concat_linear", "dot", "general" or "scaled_dot", the score, see
            `shared_layers.Attention`; `None` for a fixed context. For "dot" and "scaled_dot" the keys are the sum of both
            directions.
        attention_dim: int, width of the score network of "additive" and "concat"; `None` for `hidden_dim`.
        selection: "soft", "hard_topk" or "hard_sample" (trained with the straight-through estimator, on the
            TensorFlow backend only: it samples at every step, and JAX cannot carry random state through a scan). REINFORCE,
            which `shared_layers.Attention` also has, needs its own loss.
        num_selected: int, how many source tokens a hard selection takes.
        renormalize: bool, "hard_topk" only: the weights of the selected tokens are their softmax instead of 1.
        dropout: float in [0, 1), on embeddings, between layers and on readouts.
        scheduled_sampling: bool, whether in training an input token of the decoder is replaced, with probability
            `sampling_probability` (a weight, initially 0; see `ScheduledSampling`), by the decoder's own prediction.

    Call arguments:
        as those of `Seq2Seq`.

    Returns:
        logits (b, t, v) float32, or a dict of "logits" and "alignment" (b, t, s) float32, which is zero without attention.

    Raises:
        ValueError: an unknown cell, attention or selection, options of another selection, selection options without
            attention, sizes that are not positive; in training on JAX, "hard_sample".

    Reference: Luong et al. 2015, sections 3.1 and 3.3; additive score and first state: Bahdanau et al. 2015, appendix A
    (whose decoder attends before it reads the last token, has a maxout readout, and takes its first state from the
    backward direction alone, here from both); fixed context: Cho et al. 2014, section 2.2; Bengio et al. 2015, "Scheduled
    Sampling", section 2.4 (the most probable token in place of a draw).

    Example:

    >>> import numpy as np
    >>> from textkit.recurrent import RecurrentSeq2Seq
    >>> model = RecurrentSeq2Seq(11, 13, hidden_dim=8, attention="additive")
    >>> ids = {"source_ids": np.array([[4, 5, 3]]), "target_ids": np.array([[2, 7]])}
    >>> seen = model(ids, return_attention_scores=True)
    >>> seen["logits"].shape.as_list(), seen["alignment"].shape.as_list()
    ([1, 2, 13], [1, 2, 3])
    """

    presets = RECURRENT

    def __init__(
        self,
        source_vocabulary_size,
        target_vocabulary_size,
        cell="gru",
        hidden_dim=256,
        embedding_dim=None,
        num_encoder_layers=1,
        bidirectional=True,
        num_decoder_layers=1,
        attention=None,
        attention_dim=None,
        selection="soft",
        num_selected=1,
        renormalize=False,
        dropout=0.0,
        scheduled_sampling=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if cell not in CELLS:
            raise unknown_name("cell", cell, CELLS)
        if attention is not None and attention not in ATTENTIONS:
            raise unknown_name("attention", attention, ATTENTIONS)
        if attention is None and (selection, num_selected, renormalize) != ("soft", 1, False):
            raise ValueError(
                "`selection`, `num_selected` and `renormalize` are options of an attention. Received: attention=None, "
                f"selection={selection!r}, num_selected={num_selected}, renormalize={renormalize}"
            )
        embedding_dim = hidden_dim if embedding_dim is None else embedding_dim
        attention_dim = hidden_dim if attention_dim is None else attention_dim
        self.config = {
            "source_vocabulary_size": source_vocabulary_size,
            "target_vocabulary_size": target_vocabulary_size,
            "cell": cell,
            "hidden_dim": hidden_dim,
            "embedding_dim": embedding_dim,
            "num_encoder_layers": num_encoder_layers,
            "bidirectional": bidirectional,
            "num_decoder_layers": num_decoder_layers,
            "attention": attention,
            "attention_dim": attention_dim,
            "selection": selection,
            "num_selected": num_selected,
            "renormalize": renormalize,
            "dropout": dropout,
            "scheduled_sampling": scheduled_sampling,
        }
        check_sizes(**sizes(self.config))
        self.sums_directions = bidirectional and attention in ("dot", "scaled_dot")
        policy = self.dtype_policy
        recurrent_layer, recurrent_cell = CELLS[cell]
        memory_width = hidden_dim * (2 if bidirectional else 1)
        context_width = hidden_dim if attention else memory_width  # of the input feeding

        def embedding(name, size):
            layer = keras.layers.Embedding(size, embedding_dim, dtype=policy, name=name)
            layer.build()
            return layer

        self.source_embedding = embedding("source_embedding", source_vocabulary_size)
        self.target_embedding = embedding("target_embedding", target_vocabulary_size)
        self.dropout_layer = keras.layers.Dropout(dropout, dtype=policy, name="dropout")
        self.encoder_layers = []
        for depth in range(num_encoder_layers):
            layer = recurrent_layer(
                hidden_dim, return_sequences=True, return_state=True, dtype=policy, name=f"encoder_{depth}"
            )
            if bidirectional:
                layer = keras.layers.Bidirectional(layer, dtype=policy, name=f"encoder_{depth}")
            layer.build((None, None, memory_width if depth else embedding_dim))
            self.encoder_layers.append(layer)
        self.decoder_cells = []
        for depth in range(num_decoder_layers):
            layer = recurrent_cell(hidden_dim, dtype=policy, name=f"decoder_{depth}")
            layer.build((None, hidden_dim if depth else embedding_dim + context_width))
            self.decoder_cells.append(layer)
        self.num_cell_states = 2 if cell == "lstm" else 1
        num_states = num_decoder_layers * self.num_cell_states
        self.bridge = Linear((num_states, hidden_dim), activation="tanh", dtype=policy, name="bridge")
        self.bridge.build((None, memory_width))
        if attention:
            self.attention = Attention(
                score_mode=attention,
                units=attention_dim if attention in ("additive", "concat") else None,
                selection=selection,
                num_selected=num_selected,
                renormalize=renormalize,
                dtype=policy,
                name="attention",
            )
            values = (None, None, memory_width)
            self.attention.build([(None, hidden_dim), values, (None, None, hidden_dim) if self.sums_directions else values])
        self.readout = Linear(hidden_dim, activation="tanh", dtype=policy, name="readout")
        self.readout.build((None, memory_width + hidden_dim))
        self.head = Linear(target_vocabulary_size, dtype=policy, name="head")
        self.head.build((None, hidden_dim))
        if scheduled_sampling:
            self.sampling_probability = self.add_weight(
                shape=(), initializer="zeros", trainable=False, dtype="float32", name="sampling_probability"
            )
        self.built = True

    def teacher_force(self, source_ids, target_ids, training=None, return_attention_scores=False):
        """Computes the outputs for whole targets, in one scan over their tokens.

        Args:
            source_ids: int tensor (b, s).
            target_ids: int tensor (b, t), beginning with the start token.
            training: bool.
            return_attention_scores: bool; the alignment is returned in any case.

        Returns:
            dict of "logits" and "alignment", see the class.
        """
        if training and self.config["attention"] and self.config["selection"] == "hard_sample":
            require_tensorflow("Training with selection='hard_sample'")
        memory = self.encode(source_ids, training)
        inputs = self._scan_inputs(target_ids, training)
        carried = {"state": self.start(memory)}
        if "is_own" in inputs:
            carried["tokens"] = target_ids[:, 0]

        def read(carried, inputs):
            if "is_own" in inputs:
                tokens = ops.where(inputs["is_own"], carried["tokens"], inputs["tokens"])
                embedded = self.target_embedding(tokens) * inputs["embedding_mask"]
            else:
                embedded = inputs["embedded"]
            state, alignment = self._advance(embedded, carried["state"], memory, training, inputs.get("layer_masks"))
            read_on = {"state": state}
            if "is_own" in inputs:
                read_on["tokens"] = ops.cast(ops.argmax(self.head(state["readout"]), axis=-1), carried["tokens"].dtype)
            return read_on, (state["readout"], alignment)

        _, outputs = scan(read, carried, inputs)
        readouts, alignment = (ops.transpose(x, (1, 0, 2)) for x in outputs)
        return {"logits": self._logits(self.dropout_layer(readouts, training=training)), "alignment": alignment}

    def encode(self, source_ids, training=None):
        """Encodes the source for the decoder.

        Args:
            source_ids: int tensor (b, s).
            training: bool.

        Returns:
            dict of "mask" bool (b, s), "context" (b, m), the encoder's last state, and with attention "values" (b, s, m) and
            the projected "keys".
        """
        mask = ops.not_equal(source_ids, PAD)
        x = self.source_embedding(source_ids)
        for layer in self.encoder_layers:
            x, *states = layer(self.dropout_layer(x, training=training), mask=mask, training=training)
        # without the cell states of an LSTM
        memory = {"mask": mask, "context": ops.concatenate(states[:: self.num_cell_states], axis=-1)}
        if self.config["attention"]:
            keys = sum(ops.split(x, 2, axis=-1)) if self.sums_directions else x
            memory |= {"values": x, "keys": self.attention.project_keys(keys)}
        return memory

    def start(self, memory, max_length=None):
        """Makes the initial state.

        Args:
            memory: dict, as returned by `encode`.
            max_length: not used.

        Returns:
            dict of "cells", a list with the states (b, h) of each decoder layer, and "readout" (b, h).
        """
        states = self.bridge(memory["context"])  # (b, layers * states, h)
        states = [states[:, i] for i in range(states.shape[1])]
        size = self.num_cell_states
        cells = [states[first : first + size] for first in range(0, len(states), size)]
        return {"cells": cells, "readout": ops.zeros_like(states[0])}

    def step(self, tokens, index, state, memory):
        """Decodes one token of each row, see `Seq2Seq`."""
        state, alignment = self._advance(self.target_embedding(tokens), state, memory)
        return self._logits(state["readout"]), alignment, state

    def _advance(self, embedded, state, memory, training=None, layer_masks=None):
        """The state after an embedded token (b, d), and its alignment (b, s). Only "hard_sample" is random here."""
        attends = self.config["attention"] is not None
        x = ops.concatenate([embedded, state["readout"] if attends else memory["context"]], axis=-1)
        cells = []
        for depth, (cell, states) in enumerate(zip(self.decoder_cells, state["cells"], strict=True)):
            if depth and layer_masks is not None:
                x = x * layer_masks[:, depth - 1]
            x, states = cell(x, states)
            cells.append(states)
        if attends:
            context, alignment = self.attention(
                [x, memory["values"], memory["keys"]],
                mask=[None, memory["mask"]],
                training=training,
                return_attention_scores=True,
                keys_are_projected=True,
            )
        else:
            context, alignment = memory["context"], ops.zeros_like(memory["mask"], dtype="float32")
        return {"cells": cells, "readout": self.readout(ops.concatenate([context, x], axis=-1))}, alignment

    def _scan_inputs(self, target_ids, training):
        """The inputs of each step of the scan, time first; random numbers are drawn here, as JAX cannot do it in a scan."""
        tokens = ops.transpose(target_ids)  # (t, b)
        length, batch = ops.shape(tokens)
        drops = training and self.config["dropout"] > 0

        def dropout_mask(*shape):
            return self.dropout_layer(ops.ones((length, batch, *shape), self.compute_dtype), training=training)

        if training and self.config["scheduled_sampling"]:
            uniform = keras.random.uniform((length, batch), seed=self.seed_generator)
            follows = ops.arange(length)[:, None] > 0  # the first token is always given
            inputs = {
                "tokens": tokens,
                "is_own": ops.logical_and(follows, uniform < ops.cast(self.sampling_probability, "float32")),
                "embedding_mask": dropout_mask(self.config["embedding_dim"]),
            }
        else:
            inputs = {"embedded": self.dropout_layer(self.target_embedding(tokens), training=training)}
        if drops and len(self.decoder_cells) > 1:
            inputs["layer_masks"] = dropout_mask(len(self.decoder_cells) - 1, self.config["hidden_dim"])
        return inputs

    def _logits(self, readouts):
        return ops.cast(self.head(readouts), "float32")

    def get_config(self):
        return {**super().get_config(), **self.config}


class ScheduledSampling(keras.callbacks.Callback):
    """Scheduled sampling: raises the probability that the decoder reads its own predictions, linearly over the epochs.

    Args:
        probability: float in [0, 1], the probability from epoch `num_epochs` on.
        num_epochs: int, the number of epochs over which it grows from 0.

    Raises:
        ValueError: at the start of training, a model without `scheduled_sampling=True`.

    Reference: Bengio et al. 2015, "Scheduled Sampling for Sequence Prediction", section 2.4 (there by mini-batch).
    """

    def __init__(self, probability, num_epochs):
        super().__init__()
        if not 0 <= probability <= 1:
            raise ValueError(f"`probability` should be in [0, 1]. Received: probability={probability}")
        self.probability = probability
        self.num_epochs = num_epochs

    def on_train_begin(self, logs=None):
        """Checks that the model was made with `scheduled_sampling=True`."""
        if not self.model.config["scheduled_sampling"]:
            raise ValueError("The model should be made with scheduled_sampling=True. Received: scheduled_sampling=False")

    def on_epoch_begin(self, epoch, logs=None):
        """Sets the probability of this epoch."""
        self.model.sampling_probability.assign(self.probability * min(1.0, epoch / self.num_epochs))
