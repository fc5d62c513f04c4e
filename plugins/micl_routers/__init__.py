"""In-tree routers, which assign each query to one of the tasks learnt."""
