"""Settings, the project's directory, and the loading of use cases."""
