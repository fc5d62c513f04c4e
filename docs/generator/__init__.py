"""The generated pages of the documentation site: the reference of commands, plugins, events and output."""
