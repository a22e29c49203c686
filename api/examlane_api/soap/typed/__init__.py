"""A service whose messages have types: a WSDL's files read into one contract, and values in plain Python."""
