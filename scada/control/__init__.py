"""The control desk: who may order what, what stands against it, and that it happens once and is told truly."""
