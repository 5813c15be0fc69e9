"""Look again at each person on a crop of the picture."""
