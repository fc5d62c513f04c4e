"""Tasks on disk: their descriptions and manifests, how they are prepared, and how they are opened."""
