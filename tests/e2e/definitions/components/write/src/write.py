"""Writes down what the step was given."""

import json
import sys
from pathlib import Path

letter, answer, *given = sys.argv[1:]
facts = dict(fact.split("=", 1) for fact in given)
Path(answer, "answer.json").write_text(json.dumps({"letter": Path(letter).read_text(), **facts}))
