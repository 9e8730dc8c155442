"""What a Kafka broker does, one module per noun, on a `Store`. Asynchronous; knows no client."""
