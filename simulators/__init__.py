"""The field in software: substations and meters to test against. No other package rests on it."""
