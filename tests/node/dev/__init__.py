"""Tests of the developer chain."""
