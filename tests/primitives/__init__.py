"""Tests of primitives."""
