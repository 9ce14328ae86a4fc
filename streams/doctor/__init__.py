"""`riverrun doctor`: checks of this machine and of the servers."""
