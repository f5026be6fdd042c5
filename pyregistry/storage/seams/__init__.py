"""The three protocols that a storage implements (objects, uploads, coordinator), and the layout of its paths."""
