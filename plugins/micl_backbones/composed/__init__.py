"""The composed backbone: a language model, one frozen encoder per modality, and connectors."""
