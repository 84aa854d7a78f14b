"""Electronic supply contracts: from the application to a document both sides signed, bound to its metering point."""
