"""What must hold for the wheel alone in an environment without extras."""

from __future__ import annotations

import sys

import shared_core

assert "site-packages" in (shared_core.__file__ or ""), shared_core.__file__
for name in shared_core.__all__:
    getattr(shared_core, name)
shared_core.RouterClient("some/model", api_key="hf_" + "x" * 10).close()

for package, extra in (
    ("langchain_hfrouter", "langchain"),
    ("llama_index_hfrouter", "llama-index"),
):
    try:
        module = __import__(package)
        for name in module.__all__:
            getattr(module, name)
    except ImportError as error:
        assert f"hfrouter[{extra}]" in str(error) and "pip install" in str(error), error
    else:
        raise AssertionError(f"{package} works without its framework?")

print(f"hfrouter {shared_core.__version__} on Python {sys.version.split()[0]}: as it should be")
