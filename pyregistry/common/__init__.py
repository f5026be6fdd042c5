"""Small parts that know nothing of registries."""
