"""The Redis and Valkey servers that the tests run on: which there are, and who shares them."""
