"""The parts of the loop: channels between its threads, the stages, the account of what became of each frame."""
