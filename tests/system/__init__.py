"""Tests with real processes: a whole network on this machine."""
