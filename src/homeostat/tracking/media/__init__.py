"""Media of a run: text, tables, images, figures, audio, each kept as files in a format that other tools open."""
