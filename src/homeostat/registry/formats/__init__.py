"""One file for each kind of model file: how it is checked, read and made ready to answer."""
