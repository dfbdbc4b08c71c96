"""Export as a SavedModel: raw pictures in, probabilities and heatmaps out; TensorFlow only."""

import tensorflow as tf

from shared_layers.runtime import export_saved_model
from vitkit.evidence import has_head
from vitkit.heatmaps import explain_tensors
from vitkit.preprocessing import prepare


def export(model, path, method="auto"):
    """Exports a classifier as a SavedModel, which loads without these packages and without Keras.

    Its signatures, which include preprocessing and class names:

    - `serving_default` (images: uint8 (b, H, W, 3), any size) -> probabilities float32 (b, c), class_names string (c,);
    - `serving_bytes` (images: string (b,), each an encoded JPEG or PNG, of any sizes) -> probabilities and class_names.
      Unlike `vitkit.preprocessing.read_image`, TensorFlow's decoder ignores the EXIF orientation and drops transparency;
    - `explain` (images: as for `serving_default`; target: int32 (b,), the class to explain, -1 for the predicted class)
      -> probabilities, class_names and heatmap float32 (b, H, W) in [0, 1], equal to that of `vitkit.explain`.

    Args:
        model: a `vitkit.ViTClassifier`.
        path: str or path-like, the folder to write, atomically. An existing SavedModel is replaced.
        method: str, the heatmap method, see `vitkit.explain`.

    Raises:
        ValueError: the model has no head, the method is unknown, or the folder holds other files.
    """
    if not has_head(model):
        raise ValueError(f"Expected a classifier to export. Received: model={type(model).__name__}")
    names = [str(name) for name in model.class_names or range(model.num_classes)]

    def answer(logits):
        return {"probabilities": tf.nn.softmax(tf.cast(logits, tf.float32)), "class_names": tf.constant(names)}

    def decode(encoded):
        picture = tf.io.decode_image(encoded, channels=3, expand_animations=False)
        picture.set_shape((None, None, 3))
        return prepare(picture[None], **model.preprocessing)[0]

    def serve_pictures(images):
        return answer(model(prepare(images, **model.preprocessing), training=False))

    def serve_bytes(images):
        prepared = tf.TensorSpec(model.preprocessing["image_shape"], tf.float32)
        return answer(model(tf.map_fn(decode, images, fn_output_signature=prepared), training=False))

    def serve_heatmaps(images, target):
        seen = explain_tensors(model, images, target, method)
        return {**answer(seen["logits"]), "heatmap": seen["heatmap"]}

    pictures = tf.TensorSpec((None, None, None, 3), tf.uint8, name="images")
    signatures = {
        "serving_default": (serve_pictures, [pictures]),
        "serving_bytes": (serve_bytes, [tf.TensorSpec((None,), tf.string, name="images")]),
        "explain": (serve_heatmaps, [pictures, tf.TensorSpec((None,), tf.int32, name="target")]),
    }
    export_saved_model(path, signatures, model.variables)
