"""Meters: payloads, validation and the head-end."""
