"""An HTTP server that answers with the model of a run, with the API of OpenAI's chat completions.

Only the standard library is used: one thread reads each request, and one thread alone computes.
"""
