"""The demo corpus: scenes rendered to real media files, with captions, annotations and prompts.
Imports no JAX.
"""
