"""In-tree backbones and adapter kinds."""
