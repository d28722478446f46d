"""Dataset versions: content-addressed training sets, with the code and the environment that made them."""
