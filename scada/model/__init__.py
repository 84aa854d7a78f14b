"""Ground floor: the words and data types every room shares. Knows no clock, socket or file."""
