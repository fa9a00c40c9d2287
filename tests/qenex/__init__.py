"""Tests of qenex."""
