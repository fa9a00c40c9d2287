"""Tests of vm."""
