"""The contract office: the contract desk joined to its archive, tokens, services and clock, and open to the public."""
