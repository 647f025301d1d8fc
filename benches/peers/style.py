"""How charts look, those of the bench of peers and those of the bench of an outage."""

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot  # noqa: E402, F401 (after the backend is chosen)

RED, DARK, SAND, GREEN, GREY = "#d1495b", "#30343f", "#f2e8cf", "#e3efe3", "#b5b9c2"


def begin(name):
    """Text stays text, and the same records give the same file."""
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": name, "font.size": 8})


def save(figure, path):
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
