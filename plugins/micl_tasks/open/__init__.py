"""The benchmark ``open``: real pictures, recorded instruments and animations from pinned Debian packages."""
