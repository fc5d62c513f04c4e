"""The work: preparing, learning, evaluating. It knows no database and no terminal."""
