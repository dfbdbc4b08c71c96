"""SavedModels that stand alone; TensorFlow only."""

from shared_layers.runtime.backends import require_tensorflow
from shared_layers.runtime.files import refuse_to_replace_others, write_aside


def export_saved_model(path, signatures, variables, assets=()):
    """Writes functions of tensors as a SavedModel, which loads where neither this package nor Keras is.

    Args:
        path: str or path-like, a folder; whole or absent afterwards. A SavedModel already there is replaced.
        signatures: dict, name -> (function, specs): a callable that takes one tensor for each `tf.TensorSpec`
            in the list `specs` (their names are the signature's arguments) and returns a dict of tensors; it
            is traced as it is, without AutoGraph. "serving_default" is what servers call.
        variables: list of `keras.Variable` (`model.variables`) or `tf.Variable` that the functions use.
        assets: tf.saved_model.Asset, lookup tables and the like that the functions use.

    Raises:
        ValueError: for another backend than TensorFlow; if the folder holds something else.

    Example:
        >>> import tempfile
        >>> import tensorflow as tf
        >>> folder = tempfile.mkdtemp() + "/saved_model"
        >>> double = (lambda x: {"twice": 2.0 * x}, [tf.TensorSpec((None,), name="x")])
        >>> export_saved_model(folder, {"serving_default": double}, [])
        >>> tf.saved_model.load(folder).signatures["serving_default"](x=tf.ones(3))["twice"].numpy()
        array([2., 2., 2.], dtype=float32)
    """
    require_tensorflow("A SavedModel")
    import tensorflow as tf

    refuse_to_replace_others(path, marker="saved_model.pb")
    module = tf.Module()
    # The module holds tensors' variables and traced graphs alone, so no Keras object is written.
    module.all_variables = [getattr(variable, "value", variable) for variable in variables]
    module.all_assets = list(assets)
    with write_aside(path) as temporary:
        functions, traced = {}, {}  # what has two names is traced once
        for name, (function, specs) in signatures.items():
            key = function, tuple(specs)
            if key not in traced:
                traced[key] = tf.function(function, input_signature=specs, autograph=False).get_concrete_function()
            functions[name] = traced[key]
        tf.saved_model.save(module, str(temporary), functions)
