"""Export of learnt adapters, connectors and merged weights, and their loading."""
