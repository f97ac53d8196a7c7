"""Models in PyTorch; run by .ci/torch_tests, skipped where PyTorch is not installed."""
