"""The Python interface for notebooks and scripts: ``micl_cli.learn``, ``micl_cli.load_run`` and ``micl_cli.Run``.

It is made of what the commands are made of: the same arguments, plans, run store and models.
"""
