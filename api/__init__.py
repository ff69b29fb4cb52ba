"""The HTTP edge: routers, who may do what, problems, live streams."""
