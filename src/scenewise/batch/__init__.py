"""Many videos: what is left to do, who does it, and a page about all of them."""
