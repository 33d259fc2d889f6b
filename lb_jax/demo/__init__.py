"""The demo corpus: scenes as real media files, captions, annotations, prompts. Imports no JAX."""
