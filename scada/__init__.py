"""The control centre: ground floor, hall, control rooms and roof."""
