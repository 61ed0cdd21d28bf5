"""What the project's web pages share: how a template is filled in, and how scripts make elements.

A page is one file without a network. No text can be taken for a part of it.
"""

import json
import re
from pathlib import Path

HEAD = """\
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
      content="default-src 'none'; style-src 'unsafe-inline';
                script-src 'unsafe-inline'; img-src data:">
<link rel="icon" href="data:,">"""
DOM = Path(__file__).with_name("dom.js").read_text("utf-8")  # the object `dom`; comes first


def filled(template, **parts):
    """The template with its {{name}}s replaced, in one pass: what is put in is not looked at.
    {{head}} is what pages with scripts begin with: no network, nothing but their own scripts."""
    parts = {"head": HEAD, **parts}
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], template)


def as_json(data):
    """Data as JSON that can stand in a <script>: there is no "</script>" and no "<!--" in it."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")
