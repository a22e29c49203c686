"""examlane_api: REST, SOAP, pages and the command line around the core."""
