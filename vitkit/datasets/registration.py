"""Registers `bird_focus` with `tensorflow_datasets` without importing it.

`tensorflow_datasets` only finds builders whose classes have been defined; it has no entry point for other packages.
Importing it here would make `import vitkit` slow, so an import hook imports the builder's module right after
`tensorflow_datasets`, whenever that is imported.
"""

import importlib
import importlib.abc
import importlib.util
import sys

_TFDS = "tensorflow_datasets"
_BUILDER = "vitkit.datasets.bird_focus"


class _ImportBuilderAfterwards(importlib.abc.MetaPathFinder):
    """Import hook: imports the builder as soon as `tensorflow_datasets` has been imported."""

    def find_spec(self, fullname, path=None, target=None):
        """Returns the module's usual spec, with a loader that then imports the builder."""
        if fullname != _TFDS:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None:
            execute = spec.loader.exec_module

            def execute_and_register(module):
                execute(module)
                importlib.import_module(_BUILDER)

            spec.loader.exec_module = execute_and_register
        return spec


def register_builders() -> None:
    """Registers the builders now if `tensorflow_datasets` is imported, otherwise as soon as it is."""
    if _TFDS in sys.modules:
        importlib.import_module(_BUILDER)
    elif not any(isinstance(finder, _ImportBuilderAfterwards) for finder in sys.meta_path):
        sys.meta_path.insert(0, _ImportBuilderAfterwards())
