"""A private Redis or Valkey server: find a binary, start it, stop it; several, as a cluster."""
