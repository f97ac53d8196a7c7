"""Inference Endpoints: create, watch, use and end dedicated machines."""
