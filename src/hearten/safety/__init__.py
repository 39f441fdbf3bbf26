"""Screens and care for anything a person reads or writes here.

Everything runs on this machine, keeps no text and counts only kinds.
"""
