"""The benchmark ``open``: real pictures, recorded instruments and animations out of pinned Debian packages."""
