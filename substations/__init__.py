"""Substations: station files, register and node maps, and the two field protocols."""
