"""The file door: files that agencies drop into folders of their own, each row a delivery with its own verdict."""
