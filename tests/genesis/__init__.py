"""Tests of genesis."""
