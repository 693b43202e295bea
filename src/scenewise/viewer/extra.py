"""What is said where the web server is not installed."""

from __future__ import annotations

from scenewise.errors import InputError


def missing_extra() -> InputError:
    """Return the message that names the extra."""
    return InputError("viewer", "needs FastAPI and uvicorn.", "Install them: pip install 'scenewise[viewer]'")
