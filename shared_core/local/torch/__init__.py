"""Models that compute in PyTorch. Importing these modules does not import it; a model does."""
