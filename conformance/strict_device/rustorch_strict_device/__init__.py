"""Devices for tests: the standard and nothing beyond it."""
