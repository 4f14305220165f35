"""Azure on one machine, under Azure's own host names, over the services' own protocols."""
