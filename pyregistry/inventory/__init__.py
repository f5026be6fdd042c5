"""What there is: the images by repository and tag, and the room that they take."""
