"""One module an API, with one function `handle`."""
