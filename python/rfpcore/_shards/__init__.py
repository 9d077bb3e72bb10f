"""Shards: their files, how clusters are dealt to them, and the ways to go through them."""
