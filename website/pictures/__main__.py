"""Writes all pictures to `docs/pictures/`."""

from website.pictures import write_pictures

write_pictures()
