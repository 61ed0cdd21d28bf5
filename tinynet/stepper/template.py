"""Filling in the template of a page, so that no text can be taken for a part of the page."""

import json
import re


def filled(template, **parts):
    """The template with its {{name}}s replaced, in one pass: what is put in is not looked at."""
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], template)


def as_json(data):
    """Data as JSON that can stand in a <script>: there is no "</script>" and no "<!--" in it."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")
