"""The server: a web page and an HTTP API over one model.

The HTTP process holds no accelerator library. Media go from it to sandboxed decoders (`decoding`),
arrays go to the one engine process that holds the model (`engine`), and both the API (`api`) and
the page (`page`) call the same functions (`service`).

May import `search`, `inference` and what those may. Read first: `service`, then `run`.
"""
