"""Doctor: what of a server's set-up, or of the topics on it, loses data or stands in the way."""
