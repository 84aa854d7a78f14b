"""The field, simulated: the grid's physics, substations and the meter fleet. Nobody imports this."""
