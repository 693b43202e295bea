"""Videos taken apart for programs elsewhere, over HTTP."""
