"""The three protocols that a storage implements, objects, uploads and coordinator, and the layout on them."""
