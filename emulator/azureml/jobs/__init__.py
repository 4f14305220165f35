"""Jobs as ARM shows them: create, get, list, cancel."""
