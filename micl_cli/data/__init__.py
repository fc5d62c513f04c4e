"""Tasks on disk: descriptions and manifests, preparing tasks, and opening prepared ones."""
