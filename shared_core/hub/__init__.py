"""Models: what the router serves, the status of one model, search on the Hub, whoami."""
