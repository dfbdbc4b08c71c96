"""SavedModels in processes where these packages cannot be imported. There is one for each setting: to start TensorFlow takes
seconds."""

import atexit
import functools
import json
import subprocess
import sys

import numpy as np

# Byte pairs are read where nothing but TensorFlow can be imported; word pieces need TensorFlow Text, which imports Keras.
ALONE = "import sys; sys.modules['keras'] = sys.modules['textkit'] = sys.modules['shared_layers'] = None\n"
WITH_TEXT = "import sys; sys.modules['textkit'] = sys.modules['shared_layers'] = None\nimport tensorflow_text\n"
CLIENT = """
import json, os
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # what a library prints is no answer
import numpy as np
import tensorflow as tf

def answer(folder, calls):
    served, found = tf.saved_model.load(folder + "/saved_model").signatures, {}
    for name, arguments in calls.items():
        given = {key: tf.constant(value, tf.int32 if key == "target" else tf.string) for key, value in arguments.items()}
        for key, value in served[name.split("#")[0]](**given).items():
            array = value.numpy()
            found[f"{name}/{key}"] = np.char.decode(array.astype("S"), "utf-8") if value.dtype == tf.string else array
    np.savez(folder + "/answers.npz", **found)

for line in sys.stdin:
    try:
        answer(*json.loads(line))
        said = ""
    except Exception as error:
        said = repr(error)
    print(json.dumps(said), file=answers, flush=True)
"""


def serve(folder, calls, setting=WITH_TEXT):
    """Asks the SavedModel in `folder`/saved_model.

    Args:
        folder: `pathlib.Path`.
        calls: dict, the arguments for each signature; what follows a "#" in its name tells calls of it from each other.
        setting: str, a program: what can be imported and what is.

    Returns:
        dict of "call/output" to array.

    Raises:
        RuntimeError: it could not be served, and what was said of it.
    """
    process = _process(setting)
    process.stdin.write(json.dumps([str(folder), calls]) + "\n")
    process.stdin.flush()
    said = process.stdout.readline()
    assert said, "The process that serves has ended"
    if json.loads(said):
        raise RuntimeError(json.loads(said))
    return dict(np.load(folder / "answers.npz"))


@functools.cache
def _process(setting):
    program = [sys.executable, "-c", setting + CLIENT]
    process = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    atexit.register(process.communicate)  # closes its input, at which it ends
    return process
