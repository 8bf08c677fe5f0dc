"""What travels between the HTTP service and `RemoteMemory`: requests, results and errors as JSON."""
