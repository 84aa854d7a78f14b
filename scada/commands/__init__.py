"""The commands of ``scada``, one module a subject."""
