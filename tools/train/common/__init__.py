"""What all that is trained here shares: folders, settings, what a run leaves behind, and words as they are spoken."""
