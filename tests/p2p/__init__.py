"""Tests of room p2p."""
