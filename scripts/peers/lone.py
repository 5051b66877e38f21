"""Import one module of a large package without the package's dependencies.

vLLM's and SGLang's benchmark clients are a few files that need numpy, aiohttp
and little else, in packages that need PyTorch, a GPU and gigabytes. `load` puts
empty stand-ins in place of everything else that they import, so that the
clients' own code runs unchanged and the rest does not have to be installed.
"""

import importlib
import importlib.abc
import importlib.machinery
import sys
import types

# Third-party modules that the clients import for things that are not used here:
# tokenizers, data sets, images.
UNUSED = {"torch", "triton", "transformers", "datasets", "PIL", "pybase64", "pandas", "huggingface_hub", "cv2", "zmq"}


class Anything(type):
    """The class of an empty class whose every attribute is another."""

    def __getattr__(cls, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return empty(name)


def empty(name):
    return Anything(name, (), {"__init__": lambda self, *a, **k: None, "__class_getitem__": classmethod(lambda cls, _: cls)})


class StandIn(types.ModuleType):
    """A module in which every name is an empty class."""

    __path__ = []

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        setattr(self, name, empty(name))
        return getattr(self, name)


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def __init__(self, real, package):
        self.real, self.package = real, package

    def find_spec(self, name, path=None, target=None):
        top = name.split(".")[0]
        if top == self.package:
            # The real modules, and what they lie in. The package's own __init__
            # imports half of the package: an empty one takes its place.
            if any(name == r or name.startswith(r + ".") for r in self.real):
                return None
            if any(r.startswith(name + ".") for r in self.real):
                return None if name != top else self.shell(name)
        elif top not in UNUSED:
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def shell(self, name):
        """The package's folder without its __init__."""
        for entry in sys.path:
            spec = importlib.machinery.PathFinder.find_spec(name, [entry or "."])
            if spec and spec.submodule_search_locations:
                empty = importlib.machinery.ModuleSpec(name, self, is_package=True)
                empty.submodule_search_locations = spec.submodule_search_locations
                return empty
        return None

    def create_module(self, spec):
        module = StandIn(spec.name)
        module.__path__ = list(spec.submodule_search_locations or [])
        return module

    def exec_module(self, module):
        pass


def load(name, *also):
    """The module `name`, real as are those in `also`, in a package of stand-ins."""
    sys.meta_path.insert(0, Finder((name, *also), name.split(".")[0]))
    return importlib.import_module(name)
