"""Tables of made-up phones."""

from played.tables import phone  # noqa: F401
