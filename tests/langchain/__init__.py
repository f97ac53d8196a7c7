"""Tests of ``langchain_hfrouter``."""
