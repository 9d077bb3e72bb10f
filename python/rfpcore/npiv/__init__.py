"""Nonparametric instrumental variables."""

from .particles import MeanField

__all__ = ["MeanField"]
