"""Tests of the JSON-RPC server over a real in-process chain."""
