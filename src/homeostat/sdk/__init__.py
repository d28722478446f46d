"""What `import homeostat as hs` gives: embedded or over HTTP, same verbs."""
