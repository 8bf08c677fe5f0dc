"""What a service and `RemoteMemory` send each other: requests, results and errors as JSON."""
