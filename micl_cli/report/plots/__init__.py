"""Plots of runs by matplotlib, in one style, for HTML reports and for papers."""
