"""How good a segmentation is: the confusion matrix, what follows from it, and pictures of both."""
