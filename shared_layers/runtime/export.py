"""Export of standalone SavedModels; TensorFlow only."""

from shared_layers.runtime.backends import require_tensorflow
from shared_layers.runtime.files import refuse_to_replace_others, write_aside


def export_saved_model(path, signatures, variables, assets=()):
    """Writes functions of tensors as a SavedModel, which loads without this package and without Keras.

    Args:
        path: str or path-like, the folder to write, atomically. An existing SavedModel is replaced.
        signatures: dict, name -> (function, specs): a function that takes one tensor for each `tf.TensorSpec`
            in the list `specs` (their names are the signature's arguments) and returns a dict of tensors; it
            is traced without AutoGraph. Servers call "serving_default" by default.
        variables: list of `keras.Variable` (`model.variables`) or `tf.Variable` that the functions use.
        assets: sequence of `tf.saved_model.Asset`, lookup tables and other tracked resources that the functions use.

    Raises:
        ValueError: another backend than TensorFlow, or a folder with other files.

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
    # The module only holds variables and traced graphs, so no Keras object is written.
    module.all_variables = [getattr(variable, "value", variable) for variable in variables]
    module.all_assets = list(assets)
    with write_aside(path) as temporary:
        functions, traced = {}, {}  # a function with two names is traced once
        for name, (function, specs) in signatures.items():
            key = function, tuple(specs)
            if key not in traced:
                traced[key] = tf.function(function, input_signature=specs, autograph=False).get_concrete_function()
            functions[name] = traced[key]
        tf.saved_model.save(module, str(temporary), functions)
