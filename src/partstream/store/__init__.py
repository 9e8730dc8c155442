"""The road to Redis: links, routing by slot, keys, scripts. The only package that imports redis."""
