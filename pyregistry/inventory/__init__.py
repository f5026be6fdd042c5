"""Inventory: the images by repository and tag, and the disk space that they take."""
