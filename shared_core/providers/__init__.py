"""Inference providers behind the router: who serves which task, and in which language."""
