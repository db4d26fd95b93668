"""Training by a recipe: everything that made a checkpoint stands in one TOML file."""
