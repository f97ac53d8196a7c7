"""An accelerator that every machine has: PyTorch computes on it as on a GPU, in the host's memory.

Its tensors cannot be mixed with the CPU's, and NumPy cannot read them, so what forgets to move a
tensor fails as it does with CUDA. See ``pretend.cpp``.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sysconfig
import types
from functools import cache
from pathlib import Path

NAME = "pretend"
_SOURCE = Path(__file__).with_name("pretend.cpp")


@cache
def install(folder: Path) -> None:
    """Compile it in *folder*, and let PyTorch have it as the device ``"pretend"``.

    Needs a C++ compiler; takes about half a minute.
    """
    import torch
    from torch.utils import cpp_extension

    library = folder / f"{NAME}{sysconfig.get_config_var('EXT_SUFFIX')}"
    includes = [*cpp_extension.include_paths(), sysconfig.get_path("include")]
    libraries = cpp_extension.library_paths()
    command = ["c++", "-std=c++20", "-O0", "-fPIC", "-shared", f"-DTORCH_EXTENSION_NAME={NAME}"]
    command += [part for path in includes for part in ("-isystem", path)]
    command += [str(_SOURCE), "-o", str(library)]
    for path in libraries:
        command += [f"-L{path}", f"-Wl,-rpath,{path}"]
    command += ["-lc10", "-ltorch_cpu", "-ltorch", "-ltorch_python"]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    specification = importlib.util.spec_from_file_location(NAME, library)
    assert specification is not None
    assert specification.loader is not None
    extension = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(extension)
    extension.register_hooks()
    torch.utils.rename_privateuse1_backend(NAME)
    torch._register_device_module(NAME, _module())
    torch.utils.generate_methods_for_privateuse1_backend()


def _module() -> types.ModuleType:
    """Return ``torch.pretend``, as ``torch.cuda`` is for CUDA."""
    import torch

    module = types.ModuleType(f"torch.{NAME}")
    functions = {
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "set_device": lambda device: None,
        "synchronize": lambda device=None: None,
        "manual_seed_all": lambda seed: None,
        "_is_in_bad_fork": lambda: False,
        "get_rng_state": lambda device=None: torch.get_rng_state(),
        "set_rng_state": lambda state, device=None: torch.set_rng_state(state),
        "get_amp_supported_dtype": lambda: [torch.float16, torch.bfloat16],
    }
    for name, function in functions.items():
        setattr(module, name, function)
    return module
