"""In-tree encoder families of the composed backbone: frozen networks from a medium to a few token vectors."""
