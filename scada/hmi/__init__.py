"""What people see: the state door of each process and the terminal views made from it."""
