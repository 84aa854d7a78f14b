"""Historian: everything that knows SQL."""
