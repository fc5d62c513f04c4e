"""The composed backbone: a language model, one frozen encoder a modality, connectors."""
