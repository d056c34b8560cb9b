"""The templates of pages and tables, beside this module in ``templates/``."""

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("lrpilot.experiments.report"),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render(template: str, **content: object) -> str:
    """A template filled with ``content``; what goes into HTML is escaped."""
    return _environment().get_template(template).render(content)
