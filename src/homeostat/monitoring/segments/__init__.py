"""Parts of the rows on which a model is worse than on the rest, found without anybody naming them."""
